"""Replies to a sender: what is lost and counted, what fails, and what closing does."""

from __future__ import annotations

import errno
import logging
from typing import Any

import pytest
import trio
import trio.testing

from tests.lab import Host
from tests.lab.machine import on
from tests.support.askers import GROUP, answer_all, counted, reply_to, wait_until_counted
from tests.support.traffic import PORT, TIMEOUT_SECONDS
from tests.support.ways_to_receive import EVERY_CALL, Call
from trio_mcast import Datagram, McastSender, open_mcast_sender
from trio_mcast._host.portable_socket import PosixSocket
from trio_mcast._host.protocols import McastSocket
from trio_mcast._plan.socket_spec import BindAddress

# Counting and failing --------------------------------------------------------------------------


async def test_every_reply_is_delivered_or_counted(host: Host, asker: McastSender) -> None:
    sent = 20_000
    answer_all(host, asker, [b"%d" % number for number in range(sent)])
    await wait_until_counted(asker, lambda seen: seen.waiting >= 1_024)
    assert counted(asker).waiting < 1_024 + 128, "one unit may exceed the bound"
    numbers: list[int] = []
    with trio.fail_after(TIMEOUT_SECONDS):
        while counted(asker).dropped_by_kernel != sent - len(numbers):
            numbers += [int(item.data) for item in await asker.replies.receive_batch()]
    statistics = counted(asker)
    assert statistics.dropped_by_kernel
    assert statistics.received == statistics.delivered == len(numbers)
    assert statistics.receive_buffer_asked == 1_048_576
    assert numbers == sorted(set(numbers))
    await asker.aclose()
    assert counted(asker) == statistics


async def test_socket_that_cannot_be_read_can_still_be_sent_from(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    groups = [GROUP, "ff02::123"]
    with on(host), caplog.at_level(logging.WARNING, "trio_mcast"):
        async with open_mcast_sender(groups, PORT, interfaces="lo", receive_replies=True) as asker:
            broken, _ = asker._outlets.open_sockets
            receive = type(broken).receive

            def refuse(self: McastSocket, *arguments: Any) -> list[Datagram]:
                if self is broken:
                    raise OSError(errno.ENETDOWN, "Network is down")
                return receive(self, *arguments)

            monkeypatch.setattr(type(broken), "receive", refuse)
            answer_all(host, asker, [b"one", b"two"])
            assert [(await reply_to(asker)).data for _ in range(2)] == [b"one", b"two"]
            await wait_until_counted(asker, lambda seen: seen.sockets_failed == 1)
            await asker.send(b"?", to=GROUP)
            await trio.testing.wait_all_tasks_blocked()
            assert asker.statistics().sent == 1
            assert (counted(asker).received, counted(asker).sockets_failed) == (2, 1)
    assert len(caplog.records) == 1
    assert "lo" in caplog.text
    assert "Network is down" in caplog.text


# Closing ---------------------------------------------------------------------------------------


@EVERY_CALL
async def test_replies_are_closed_with_the_sender(
    call: Call, host: Host, asker: McastSender
) -> None:
    answer_all(host, asker, [b"1"])
    await wait_until_counted(asker, lambda seen: seen.received == 1)
    await asker.aclose()
    with pytest.raises(trio.ClosedResourceError, match="this sender, or its replies, was closed"):
        await call(asker.replies)
    assert counted(asker).waiting == 1


@pytest.mark.parametrize("what", ["sender", "replies"])
async def test_closing_wakes_those_who_wait_for_replies(what: str, asker: McastSender) -> None:
    async def wait_for_the_end() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await asker.replies.receive()

    with trio.fail_after(TIMEOUT_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_the_end)
            await trio.testing.wait_all_tasks_blocked()
            await (asker if what == "sender" else asker.replies).aclose()


async def test_sender_goes_on_when_its_replies_are_closed(host: Host, asker: McastSender) -> None:
    with trio.testing.assert_checkpoints():
        await asker.replies.aclose()
    await asker.replies.aclose()
    answer_all(host, asker, [b"too late"])
    await asker.send(b"?")
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(trio.ClosedResourceError):
        asker.replies.receive_nowait()
    assert (asker.statistics().sent, counted(asker).received) == (1, 0)


async def test_closing_replies_does_not_disturb_who_waits_to_send(
    asker: McastSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_send, full = PosixSocket.send, True

    def send(self: PosixSocket, data: bytes, address: BindAddress) -> None:
        if full:
            raise BlockingIOError
        real_send(self, data, address)

    async def wait_writable(self: PosixSocket) -> None:
        waiting.set()
        await closed.wait()
        raise trio.ClosedResourceError("as notify_closing has it")

    waiting, closed = trio.Event(), trio.Event()
    monkeypatch.setattr(PosixSocket, "send", send)
    monkeypatch.setattr(PosixSocket, "wait_writable", wait_writable)
    with trio.fail_after(TIMEOUT_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asker.send, b"x")
            await waiting.wait()
            await asker.replies.aclose()
            full = False
            closed.set()
    assert asker.statistics().sent == 1
