"""Checks of sending, of channels, and of what is known of interfaces."""

from __future__ import annotations

import sys
from contextlib import suppress

import trio

from tests.platform.place import SILENCE_SECONDS, LeftOut, Place, arrival, check, same, silence
from trio_mcast import (
    default_interface,
    find_interfaces,
    list_interfaces,
    open_mcast_channel,
    open_mcast_receiver,
    open_mcast_sender,
    watch_interfaces,
)


@check("a program without the library receives, from the sender's address")
async def plain_receiver(place: Place) -> None:
    port = place.port()
    with place.plain_receiver(port) as plain:
        async with open_mcast_sender(place.group, port, interfaces=place.interface) as sender:
            await sender.send(b"hello")
            (endpoint,) = sender.local_endpoints
            data, source = await trio.to_thread.run_sync(plain.recvfrom, 100)
    same((data, source[:2]), (b"hello", (endpoint.host.partition("%")[0], endpoint.port)))


@check("replies come to the sender")
async def replies(place: Place) -> None:
    port, where = place.port(), place.interface
    with place.plain_receiver(port) as plain:
        async with open_mcast_sender(
            place.group, port, interfaces=where, receive_replies=True
        ) as sender:
            await sender.send(b"who is there?")
            _, source = await trio.to_thread.run_sync(plain.recvfrom, 100)
            with place.plain_sender() as answering:
                answering.sendto(b"me", source)
                address = answering.getsockname()[:2]
                reply = await arrival(sender.replies)
    same((reply.data, reply.source, reply.group), (b"me", address, None))


@check("a sender with loopback=False is not heard on its own machine")
async def sender_loopback(place: Place) -> None:
    if sys.platform == "win32":
        raise LeftOut("on Windows it is the receiver that has the choice")
    port, where = place.port(), place.wire()
    async with (
        open_mcast_receiver(place.group, port, interfaces=where) as receiver,
        open_mcast_sender(place.group, port, interfaces=where, loopback=False) as quiet,
        open_mcast_sender(place.group, port, interfaces=where) as sender,
    ):
        await quiet.send(b"quiet")
        await sender.send(b"hello")
        same((await arrival(receiver)).data, b"hello")
        await silence(receiver)


@check("sending to nobody is no error")
async def nobody(place: Place) -> None:
    async with open_mcast_sender(place.group, place.port(), interfaces=place.interface) as sender:
        await sender.send(b"hello")
        await sender.send_batch([b"hello", b"again"])
        statistics = sender.statistics()
    same((statistics.sent, statistics.failed), (3, 0))


@check("a channel answers from the port that was asked, and does not hear itself")
async def channel(place: Place) -> None:
    port, where = place.port(), place.interface
    async with (
        open_mcast_channel(place.group, port, interfaces=where) as answering,
        open_mcast_sender(place.group, port, interfaces=where, receive_replies=True) as asking,
    ):
        await asking.send(b"who is there?")
        question = await arrival(answering)
        same(question.data, b"who is there?")
        await answering.answer(question, b"me")
        reply = await arrival(asking.replies)
        same((reply.data, reply.source.port), (b"me", port))
        await answering.send(b"I am here")
        await silence(answering)


@check("every interface is found by its name and its index, and has its facts")
async def interfaces(place: Place) -> None:
    for interface in list_interfaces():
        assert interface.name, "no name"
        same(find_interfaces(interface.name), [interface])
        same(find_interfaces(interface.index), [interface])
    assert place.interface.is_up, "the interface is down"
    assert place.interface.mtu >= 1_280, f"its mtu is {place.interface.mtu}"
    default = default_interface(place.group)
    assert default is None or default in list_interfaces(), f"{default} is not listed"


@check("interfaces are watched, and watching ends", "ipv4")
async def watching(place: Place) -> None:
    async with watch_interfaces() as changes:
        with trio.move_on_after(SILENCE_SECONDS):
            change = await changes.receive()
            raise AssertionError(f"nothing has changed, but {change} was told")
        await changes.aclose()
        with suppress(trio.ClosedResourceError):
            await changes.receive()
            raise AssertionError("what is closed can be waited for")
