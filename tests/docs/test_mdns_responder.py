"""The mDNS responder of the documentation answers as RFC 6762 says."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

import pytest
import trio

from tests.lab import Host
from tests.lab.fixtures import TwoHosts
from tests.lab.machine import on
from tests.support.examples import PATIENCE_SECONDS, example
from trio_mcast import Datagram, McastReceiver, open_mcast_channel, open_mcast_sender

pytestmark = pytest.mark.once

GROUP, GROUP6, PORT = "224.0.0.251", "ff02::fb", 5353
NAME = b"\x04lamp\x05local\x00"
A, AAAA, QU = 1, 28, 0x8000


def question(kind: int, klass: int = 1, number: int = 0, name: bytes = NAME) -> bytes:
    return struct.pack("!6H", number, 0, 1, 0, 0, 0) + name + struct.pack("!HH", kind, klass)


def answers_in(data: bytes) -> list[tuple[int, bytes]]:
    """Return the type and address of each answer in a response; none in anything else."""
    _, flags, questions, count, _, _ = struct.unpack_from("!6H", data)
    position, answers = 12, []
    for _ in range(questions):
        position = data.index(0, position) + 5
    for _ in range(count if flags & 0x8000 else 0):
        position = data.index(0, position) + 1
        kind, _, _, size = struct.unpack_from("!HHIH", data, position)
        answers.append((kind, data[position + 10 : position + 10 + size]))
        position += 10 + size
    return answers


async def answer_from(receiver: McastReceiver) -> Datagram:
    async for datagram in receiver:
        if answers_in(datagram.data):
            return datagram
    raise AssertionError


async def started(host: Host) -> None:
    """Ask until the responder answers."""
    with on(host), trio.fail_after(PATIENCE_SECONDS):
        async with open_mcast_channel([GROUP, GROUP6], PORT, ttl=255) as channel:
            answers: list[Datagram] = []
            while len(answers) < 2:  # By IPv4 and by IPv6.
                await channel.send(question(A))
                answers = []
                with trio.move_on_after(0.2):
                    answers = [await answer_from(channel) for _ in range(2)]


async def test_mdns_responder_answers_on_the_interface_and_in_the_way_of_the_question(
    two_hosts: TwoHosts,
) -> None:
    a, b = two_hosts.a, two_hosts.b
    packed = bytes([10, 0, 1, 2])
    with b.popen(*example("mdns_responder.py", "lamp", "_http._tcp", "80")):
        await started(a)
        with on(a), trio.fail_after(PATIENCE_SECONDS):
            async with (
                open_mcast_channel(
                    [GROUP, GROUP6], PORT, ttl=255, accept_unicast=True, receive_ttl=True
                ) as channel,
                open_mcast_sender(GROUP, PORT, interfaces="eth0", receive_replies=True) as legacy,
            ):
                await channel.send(question(A), to=GROUP)
                to_all = await answer_from(channel)
                assert (to_all.group, to_all.source.port, to_all.ttl) == (GROUP, PORT, 255)
                assert answers_in(to_all.data) == [(A, packed)]
                await channel.send(question(AAAA), to=GROUP6)
                by_ipv6 = await answer_from(channel)
                assert by_ipv6.group == GROUP6
                addresses = {str(IPv6Address(it)) for _, it in answers_in(by_ipv6.data)}
                assert {"fd00:1::2", b.link_local("eth0")} <= addresses
                await channel.send(question(A, 1 | QU), to=GROUP)
                alone = await answer_from(channel)
                assert (alone.group, str(alone.source)) == (None, "10.0.1.2:5353")
                assert alone.ttl == 255
                await channel.send(question(A), to=("10.0.1.2", PORT))
                assert (await answer_from(channel)).group is None
                # Another name, and rubbish, are not answered.
                await legacy.send(question(A, name=b"\x03tub\x05local\x00"))
                for size in (0, 12, 17, 20):
                    await legacy.send(question(A)[:size])
                await legacy.send(question(A, number=77))
                reply = await legacy.replies.receive()
                assert str(reply.source) == "10.0.1.2:5353"
                assert reply.data[:2] == struct.pack("!H", 77)
                assert answers_in(reply.data) == [(A, packed)]
                await legacy.send(question(A, number=78))
                assert (await legacy.replies.receive()).data[:2] == struct.pack("!H", 78)
