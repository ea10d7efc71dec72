"""Replies to a sender: what is given, and what is kept out."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.lab import Host, Switch
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.lab.machine import on
from tests.support.askers import GROUP, answer_all, counted, reply_to, wait_until_counted
from tests.support.needs import needs_program
from tests.support.traffic import (
    FAMILIES,
    PORT,
    TIMEOUT_SECONDS,
    Family,
    await_payload,
    group_of,
    member,
    receiver_on,
    sender_on,
)
from trio_mcast import Datagram, DatagramReceiver, Endpoint, McastSender, open_mcast_sender

# One for each way in which the sender's address is chosen.
QUESTION_GROUPS = pytest.mark.parametrize("group", [GROUP, "ff05::123", "ff02::123"])


# What is given ---------------------------------------------------------------------------------


@QUESTION_GROUPS
async def test_answer_to_the_source_of_a_question_comes_back(
    group: str, two_hosts: TwoHosts
) -> None:
    a, b = two_hosts.a, two_hosts.b
    async with (
        receiver_on(two_hosts, b, group, interfaces="eth0") as listener,
        sender_on(b, group, interfaces="eth0") as responder,
        sender_on(a, group, interfaces="eth0", receive_replies=True) as asker,
    ):
        with trio.fail_after(TIMEOUT_SECONDS):
            await asker.send(b"who is there?")
            question = await listener.receive()
            await responder.send(b"I am", to=question.source)
            reply = await asker.replies.receive()
        assert question.source == asker.local_endpoints[0]
        assert reply == Datagram(
            b"I am",
            responder.local_endpoints[0],
            None,
            asker.interfaces[0],
            destination=asker.local_endpoints[0],
        )
        if group.startswith("ff02"):
            assert reply.source.host == f"{b.link_local('eth0')}%eth0"


@FAMILIES
async def test_answers_in_one_go_come_whole_and_in_order(
    family: Family, two_hosts: TwoHosts
) -> None:
    group = group_of(family)
    answers = [b"%04d" % number for number in range(500)]
    async with (
        sender_on(two_hosts.b, group, interfaces="eth0") as responder,
        sender_on(two_hosts.a, group, interfaces="eth0", receive_replies=True) as asker,
    ):
        with trio.fail_after(TIMEOUT_SECONDS):
            await responder.send_batch(answers, to=asker.local_endpoints[0])
            got: list[bytes] = []
            async for batch in asker.replies.batches():
                got += [item.data for item in batch]
                if len(got) == len(answers):
                    break
        assert got == answers


async def test_each_reply_tells_its_interface_and_zone(two_lans: TwoLans) -> None:
    a, b = two_lans.a, two_lans.b
    both = ["eth0", "eth1"]
    async with (
        sender_on(a, "ff02::123", interfaces=both, receive_replies=True) as asker,
        sender_on(b, "ff02::123", interfaces=both) as responder,
    ):
        # Both hosts call the interfaces alike, so the zones of one serve the other.
        for endpoint in asker.local_endpoints:
            await responder.send(b"hello", to=endpoint)
        replies = [await reply_to(asker) for _ in both]
        expected = set(zip(responder.local_endpoints, both, strict=True))
    assert {(item.source, item.interface.name) for item in replies} == expected
    assert {item.source.host.partition("%")[2] for item in replies} == set(both)


async def test_reply_that_came_over_another_link_has_the_zone_of_that_link(
    two_lans: TwoLans,
) -> None:
    a, b = two_lans.a, two_lans.b
    # A neighbour on the second LAN reaches a's address of the first one by its link-local address.
    b.run("ip", "route", "replace", "fd00:1::1", "via", a.link_local("eth1"), "dev", "eth1")
    async with sender_on(a, "ff05::123", interfaces="eth0", receive_replies=True) as asker:
        with b.inside():
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            sock.bind((b.link_local("eth1"), 0, 0, b.index("eth1")))
        with sock:
            sock.sendto(b"hello", asker.local_endpoints[0])
            port = sock.getsockname()[1]
        reply = await reply_to(asker)
    assert reply.interface.name == "eth0"
    assert reply.source == Endpoint(f"{b.link_local('eth1')}%{a.index('eth1')}", port)


@QUESTION_GROUPS
async def test_program_on_the_same_machine_can_answer(group: str, two_hosts: TwoHosts) -> None:
    a = two_hosts.a
    async with (
        receiver_on(two_hosts, a, group, interfaces="eth0") as listener,
        sender_on(a, group, interfaces="eth0") as responder,
        sender_on(a, group, interfaces="eth0", receive_replies=True) as asker,
    ):
        with trio.fail_after(TIMEOUT_SECONDS):
            await asker.send(b"?")
            await responder.send(b"!", to=(await listener.receive()).source)
        reply = await reply_to(asker)
    assert (reply.source, reply.interface.name) == (responder.local_endpoints[0], "eth0")


async def test_replies_can_be_had_in_every_way_of_a_receiver(
    host: Host, asker: McastSender
) -> None:
    answer_all(host, asker, [b"%d" % number for number in range(8)])
    await wait_until_counted(asker, lambda seen: seen.received == 8)
    replies = asker.replies
    assert replies is asker.replies
    assert isinstance(replies, DatagramReceiver)
    assert isinstance(replies, trio.abc.ReceiveChannel)
    with trio.fail_after(TIMEOUT_SECONDS):
        with trio.testing.assert_checkpoints():
            got = [(await replies.receive()).data]
        got.append(replies.receive_nowait().data)
        async for reply in replies:
            got.append(reply.data)
            break
        got += [item.data for item in await replies.receive_batch(2)]
        while len(got) < 8:
            got += [item.data for item in await anext(replies.batches())]
    assert got == [b"%d" % number for number in range(8)]
    with pytest.raises(trio.WouldBlock):
        replies.receive_nowait()


async def test_cancelled_receive_takes_no_reply(host: Host, asker: McastSender) -> None:
    answer_all(host, asker, [b"first", b"second"])
    await wait_until_counted(asker, lambda seen: seen.received == 2)
    with trio.CancelScope() as scope:
        scope.cancel()
        await asker.replies.receive()
    assert scope.cancelled_caught
    assert (await reply_to(asker)).data == b"first"


# What is kept out ------------------------------------------------------------------------------


async def test_replies_are_an_error_unless_asked_for(host: Host) -> None:
    with on(host):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo") as sender:
            with pytest.raises(RuntimeError, match="open the sender with receive_replies=True"):
                _ = sender.replies
            assert sender.statistics().replies is None


@FAMILIES
async def test_group_on_the_senders_port_is_no_reply(family: Family, two_hosts: TwoHosts) -> None:
    a, b, group = two_hosts.a, two_hosts.b, group_of(family)
    options = {"interfaces": "eth0", "source_port": PORT, "receive_replies": True}
    async with sender_on(a, group, **options) as asker, sender_on(b, group) as other:
        with member(a, group, "eth0") as listening:
            await two_hosts.lan.wait_for_async(
                lambda seen: any((item.group, item.host) == (group, "a") for item in seen)
            )
            await other.send(b"to the group")
            await trio.to_thread.run_sync(await_payload, listening, b"to the group")
        await other.send(b"to the sender", to=asker.local_endpoints[0])
        assert (await reply_to(asker)).data == b"to the sender"
        assert counted(asker).received == 1


async def _subscribed(switch: Switch, group: str) -> None:
    await switch.wait_for_async(lambda seen: any(item.group == group for item in seen))


# A responder that somebody else wrote ----------------------------------------------------------

SEARCH = (
    b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"
    b'MAN: "ssdp:discover"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n'
)
EXPECTED_TARGETS = {
    "upnp:rootdevice",
    "urn:schemas-upnp-org:device:MediaServer:1",
    "urn:schemas-upnp-org:service:ContentDirectory:1",
    "urn:schemas-upnp-org:service:ConnectionManager:1",
}


def headers_of(response: bytes) -> dict[str, str]:
    status, *lines = response.decode("ascii").split("\r\n")
    assert status == "HTTP/1.1 200 OK"
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().upper(): value.strip() for name, _, value in pairs}


@needs_program("minidlnad")
async def test_media_server_answers_a_search(two_hosts: TwoHosts, tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    config = tmp_path / "minidlna.conf"
    config.write_text(
        f"network_interface=eth0\nmedia_dir={tmp_path}/media\ndb_dir={tmp_path}/db\n"
        f"log_dir={tmp_path}\nfriendly_name=lab\ninotify=no\n"
    )
    command = ("minidlnad", "-S", "-f", str(config), "-P", str(tmp_path / "pid"))
    group, port = "239.255.255.250", 1900
    with two_hosts.b.popen(*command, stderr=subprocess.DEVNULL):
        await _subscribed(two_hosts.lan, group)
        with on(two_hosts.a), trio.fail_after(20):
            async with open_mcast_sender(
                group, port, interfaces="eth0", receive_replies=True
            ) as asker:
                await asker.send(SEARCH)
                missing, replies = set(EXPECTED_TARGETS), []
                while missing:
                    replies.append(await asker.replies.receive())
                    missing.discard(headers_of(replies[-1].data)["ST"])
    assert {item.source for item in replies} == {Endpoint("10.0.1.2", port)}
    assert {(item.group, item.interface.name) for item in replies} == {(None, "eth0")}
    for reply in replies:
        headers = headers_of(reply.data)
        assert headers["USN"].startswith("uuid:")
        assert headers["USN"].endswith(headers["ST"])
        assert headers["LOCATION"].startswith("http://10.0.1.2:8200/")
