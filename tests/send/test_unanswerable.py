"""Datagrams whose source cannot be answered: they are delivered, and an answer is an `OSError`."""

from __future__ import annotations

import errno
import sys
from ipaddress import ip_address
from typing import Any

import pytest
import trio

from tests.lab.fixtures import TwoHosts
from tests.support.forged_frames import forged, forger
from tests.support.senders import until_on
from tests.support.traffic import (
    PORT,
    TIMEOUT_SECONDS,
    family_of,
    member,
    plain_socket,
    receive,
    receiver_on,
    sender_on,
)
from tests.support.virtual_hosts import PLATFORMS, receiving, sending, two_on_lan
from trio_mcast import Endpoint, McastSender, SocketSetupError
from trio_mcast.testing._frames import Packet

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import fast_path
from trio_mcast._host.portable_socket import PosixSocket

pytestmark = pytest.mark.once

# Linux drops a source of 0.0.0.0 for other groups than these (ip_mc_validate_source).
GROUP4, GROUP6 = "224.0.0.77", "ff02::1:2"
# What Linux lets in, and what an answer is refused with.
FORGED = [
    (Endpoint("10.0.1.2", 0), errno.EADDRNOTAVAIL, "port 0"),
    (Endpoint("0.0.0.0", 4000), errno.EADDRNOTAVAIL, "no host has that address"),
    (Endpoint("0.1.2.3", 4000), errno.EADDRNOTAVAIL, "no host has that address"),
    (Endpoint("10.0.1.255", 4000), errno.EACCES, "broadcast"),
    (Endpoint("172.99.1.1", 4000), errno.ENETUNREACH, "no route"),
    (Endpoint("240.0.0.1", 4000), errno.ENETUNREACH, "no route"),
    (Endpoint("fd00:1::2", 0), errno.EADDRNOTAVAIL, "port 0"),
    (Endpoint("fe80::5%eth0", 0), errno.EADDRNOTAVAIL, "port 0"),
    (Endpoint("::", 4000), errno.EADDRNOTAVAIL, "no host has that address"),
    (Endpoint("2001:db8::1", 4000), errno.ENETUNREACH, "no route"),
]
EACH_FORGED = pytest.mark.parametrize(
    ("source", "number", "reason"), FORGED, ids=[str(source) for source, _, _ in FORGED]
)
# What other systems may let in, or a program may keep for longer than it holds.
NEVER = [
    (Endpoint("255.255.255.255", 4000), errno.EACCES, "broadcast"),
    (Endpoint("239.9.9.9", 4000), errno.EADDRNOTAVAIL, "a group"),
    (Endpoint("239.9.9.9", 0), errno.EADDRNOTAVAIL, "port 0"),
    (Endpoint("ff02::9", 4000), errno.EADDRNOTAVAIL, "a group"),
    (Endpoint("ff02::9%eth0", 4000), errno.EADDRNOTAVAIL, "a group"),
    (Endpoint("::%eth0", 4000), errno.EADDRNOTAVAIL, "no host has that address"),
    (Endpoint("::%9", 4000), errno.ENODEV, "9 is not an interface"),
    (Endpoint("::ffff:10.0.1.2", 4000), errno.EADDRNOTAVAIL, r"give 10\.0\.1\.2"),
    (Endpoint("::ffff:239.1.2.3", 4000), errno.EADDRNOTAVAIL, r"give 239\.1\.2\.3"),
    (Endpoint("fe80::5%gone", 4000), errno.ENODEV, "gone is not an interface"),
]
HOW = pytest.mark.parametrize("count", [1, 3], ids=["send", "batch"])


def group_like(source: Endpoint) -> str:
    return GROUP6 if ":" in source.host else GROUP4


async def answer(sender: McastSender, source: Endpoint, count: int) -> None:
    if count == 1:
        await sender.send(b"I am", to=source)
    else:
        await sender.send_batch([b"I am"] * count, to=source)


async def expect_refusal(
    sender: McastSender, source: Endpoint, count: int, number: int, reason: str
) -> None:
    """Answer, and be refused; that is counted, once for each datagram."""
    before = sender.statistics()
    with pytest.raises(SocketSetupError, match=reason) as caught:
        await answer(sender, source, count)
    after = sender.statistics()
    assert (caught.value.errno, caught.value.step) == (number, "send")
    assert (after.sent, after.failed) == (before.sent, before.failed + count)
    assert caught.value.interface is not None
    assert after.interfaces[caught.value.interface].last_error is caught.value


# On a real kernel ------------------------------------------------------------------------------


@HOW
@EACH_FORGED
@pytest.mark.parametrize("path", ["fast", "portable"])
async def test_forged_datagram_is_delivered_and_its_answer_refused(
    two_hosts: TwoHosts,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    source: Endpoint,
    number: int,
    reason: str,
    count: int,
) -> None:
    if path == "portable":
        # What it reads with and how, but for the counts.
        monkeypatch.setattr(
            fast_path.LinuxSocket,
            "receive",
            lambda sock, most, _busy_since=None: PosixSocket.receive(sock, most),
        )
    group, asked = group_like(source), b"who is there?"
    frame = forged(source.host.partition("%")[0], source.port, group, PORT, asked)
    with forger(two_hosts.b) as raw:
        async with (
            receiver_on(two_hosts, two_hosts.a, group, interfaces="eth0") as receiver,
            sender_on(two_hosts.a, group, interfaces="eth0") as sender,
        ):
            for _ in range(5):  # The first is read by itself, the others together.
                raw.send(frame)
            for _ in range(5):
                datagram = await receive(receiver)
                assert (datagram.data, datagram.source) == (asked, source)
                await expect_refusal(sender, datagram.source, count, number, reason)
            # Others are answered as before.
            with plain_socket(two_hosts.b, family_of(group)) as peer:
                to = Endpoint({GROUP4: "10.0.1.2", GROUP6: "fd00:1::2"}[group], port_of(peer))
                await sender.send(b"I am", to=to)
                data, _ = await trio.to_thread.run_sync(peer.recvfrom, 100)
            assert data == b"I am"


def port_of(sock: Any) -> int:
    return int(sock.getsockname()[1])


@HOW
@pytest.mark.parametrize(
    ("source", "number", "reason"), NEVER, ids=[str(source) for source, _, _ in NEVER]
)
async def test_answer_to_what_no_system_lets_in_is_refused_as_well(
    two_hosts: TwoHosts, source: Endpoint, number: int, reason: str, count: int
) -> None:
    async with sender_on(two_hosts.a, group_like(source), interfaces="eth0") as sender:
        for _ in range(2):
            await expect_refusal(sender, source, count, number, reason)


async def test_nothing_is_sent_to_an_address_that_no_host_has(two_hosts: TwoHosts) -> None:
    # Linux sends to itself what is for 0.0.0.0, and so would anybody have it send who forges.
    a = two_hosts.a
    async with sender_on(a, [GROUP4, GROUP6], interfaces=["eth0", "lo"]) as sender:
        for nobody, itself in (("0.0.0.0", "127.0.0.1"), ("::", "::1")):
            with plain_socket(a, family_of(nobody), port=PORT) as program:
                for to in (Endpoint(nobody, PORT), (nobody, PORT)):
                    with pytest.raises(SocketSetupError, match="no host has that address"):
                        await sender.send(b"forged", to=to)
                await sender.send(b"meant", to=(itself, PORT))
                assert await trio.to_thread.run_sync(program.recv, 100) == b"meant"


async def test_endpoint_with_a_group_is_a_peer_and_the_pair_that_equals_it_is_a_group(
    two_hosts: TwoHosts,
) -> None:
    other = "239.1.2.99"
    pair, source = (other, PORT), Endpoint(other, PORT)
    assert hash(pair) == hash(source)
    with member(two_hosts.b, other, "eth0") as program:
        await two_hosts.lan.wait_for_async(
            lambda seen: any((each.group, each.host) == (other, "b") for each in seen)
        )
        async with sender_on(two_hosts.a, GROUP4, interfaces="eth0") as sender:
            for number in range(3):
                await expect_refusal(sender, source, 1, errno.EADDRNOTAVAIL, "a group")
                await sender.send(b"%d" % number, to=pair)
                assert await trio.to_thread.run_sync(program.recv, 100) == b"%d" % number
            assert (sender.statistics().sent, sender.statistics().failed) == (3, 3)


async def test_peer_of_a_family_that_the_sender_has_not_is_refused(two_hosts: TwoHosts) -> None:
    for group, source in ((GROUP4, Endpoint("fd00:1::2", 7)), (GROUP6, Endpoint("10.0.1.2", 7))):
        async with sender_on(two_hosts.a, group, interfaces="eth0") as sender:
            await expect_refusal(sender, source, 1, errno.EAFNOSUPPORT, "none of this sender's")
            await expect_refusal(sender, source, 3, errno.EAFNOSUPPORT, "none of this sender's")


async def test_refusal_to_answer_is_over_when_the_interface_is_there(two_hosts: TwoHosts) -> None:
    a, peer = two_hosts.a, two_hosts.b.link_local("eth0")
    a.plug("eth1", two_hosts.lan, "10.0.2.1/24", "fd00:2::1/64")
    with trio.fail_after(2 * TIMEOUT_SECONDS), plain_socket(two_hosts.b, "ipv6") as program:
        async with sender_on(a, GROUP6, interfaces=["eth0", "eth1"]) as sender:
            to = Endpoint(f"{peer}%eth1", port_of(program))
            await sender.send(b"before", to=to)
            a.unplug("eth1")
            await until_on(sender, "eth0")
            await expect_refusal(sender, to, 1, errno.ENODEV, "goes on there")
            await sender.send(b"after", to=Endpoint(f"{peer}%eth0", port_of(program)))
            got = [await trio.to_thread.run_sync(program.recv, 100) for _ in range(2)]
    assert got == [b"before", b"after"]


# On a virtual network --------------------------------------------------------------------------


@HOW
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(
    ("source", "number"),
    [
        (Endpoint("10.0.0.1", 0), errno.EADDRNOTAVAIL),
        (Endpoint("0.0.0.0", 4000), errno.EADDRNOTAVAIL),
        (Endpoint("10.0.0.255", 4000), errno.EACCES),
        (Endpoint("255.255.255.255", 4000), errno.EACCES),
        (Endpoint("239.9.9.9", 4000), errno.EADDRNOTAVAIL),
        (Endpoint("fd00::1", 0), errno.EADDRNOTAVAIL),
        (Endpoint("::", 4000), errno.EADDRNOTAVAIL),
        (Endpoint("ff05::9", 4000), errno.EADDRNOTAVAIL),
    ],
    ids=str,
)
async def test_answer_is_refused_on_each_platform(
    platform: str, source: Endpoint, number: int, count: int
) -> None:
    group = "ff05::1234" if ":" in source.host else "239.1.2.3"
    address, to = ip_address(source.host), ip_address(group)
    async with (
        two_on_lan(platform) as lan,
        receiving(lan.b, group, interfaces="eth0") as receiver,
        sending(lan.b, group, interfaces="eth0") as sender,
    ):
        packet = Packet(address, source.port, to, PORT, 1, b"who is there?")
        lan.a.interface("eth0").transmit(packet)
        datagram = await receive(receiver)
        assert (datagram.data, datagram.source) == (b"who is there?", source)
        await expect_refusal(sender, datagram.source, count, number, "failed on")
        assert lan.events("sent") == lan.events("refused") == []
