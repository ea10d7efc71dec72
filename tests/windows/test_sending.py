"""Sending on Windows."""

from __future__ import annotations

import pytest
import trio

from trio_mcast import list_interfaces, open_mcast_sender

from .conftest import Peer

PORT = 5_000
GROUPS = {"ipv4": "239.1.2.5", "ipv6": "ff15::1:2:5"}
EITHER_FAMILY = pytest.mark.parametrize("family", GROUPS)


@EITHER_FAMILY
async def test_datagram_arrives_with_the_ttl_and_from_the_interfaces_address(
    family: str, peer: Peer
) -> None:
    group = GROUPS[family]
    number = peer.ask("open", group=group, port=PORT)
    async with open_mcast_sender(group, PORT, interfaces=peer.interface, ttl=9) as sender:
        await sender.send(b"hello")
        (source,) = sender.local_endpoints
    assert peer.ask("take", number=number, count=1) == [["hello", source.host, source.port, 9]]
    peer.ask("close", number=number)


@EITHER_FAMILY
async def test_batch_arrives_in_order(family: str, peer: Peer) -> None:
    group = GROUPS[family]
    number = peer.ask("open", group=group, port=PORT)
    sent = [str(item) for item in range(100)]
    async with open_mcast_sender(group, PORT, interfaces=peer.interface) as sender:
        await sender.send_batch([item.encode() for item in sent])
        assert sender.statistics().sent == len(sent)
    assert [item[0] for item in peer.ask("take", number=number, count=len(sent))] == sent
    peer.ask("close", number=number)


@EITHER_FAMILY
async def test_replies_come_to_the_sender(family: str, peer: Peer) -> None:
    async with open_mcast_sender(
        GROUPS[family], PORT, interfaces=peer.interface, receive_replies=True
    ) as sender:
        (own,) = sender.local_endpoints
        port = peer.ask("send", to=own, data=["answer"])
        with trio.fail_after(10):
            reply = await sender.replies.receive()
    assert reply.data == b"answer"
    assert reply.group is None
    assert reply.source == (peer.address(family), port)


async def test_reply_that_nobody_takes_leaves_the_sender_as_it_was(peer: Peer) -> None:
    # The peer says "port unreachable", for which Windows would make the next read fail.
    async with open_mcast_sender(
        "239.1.2.5", PORT, interfaces=peer.interface, receive_replies=True
    ) as sender:
        await sender.send(b"nobody is there", to=(peer.ipv4, 9))
        (own,) = sender.local_endpoints
        peer.ask("send", to=own, data=["answer"])
        with trio.fail_after(10):
            assert (await sender.replies.receive()).data == b"answer"
        replies = sender.statistics().replies
        assert replies is not None
        assert replies.sockets_failed == 0


async def test_sending_over_the_loopback_interface_to_nobody_is_no_error() -> None:
    (loopback,) = (item for item in list_interfaces() if item.is_loopback)
    async with open_mcast_sender("239.1.2.6", PORT, interfaces=loopback) as sender:
        await sender.send(b"hello")
        await sender.send_batch([b"hello", b"again"])
        assert sender.statistics().sent == 3
        assert sender.statistics().failed == 0
