"""Senders that receive replies, here called askers, and other programs that answer them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import trio

from tests.lab import Host
from tests.lab.machine import on
from tests.support.traffic import PORT, TIMEOUT_SECONDS, plain_socket
from trio_mcast import Datagram, McastSender, ReceiverStatistics, open_mcast_sender

GROUP = "239.1.2.3"


@pytest.fixture
async def asker(host: Host) -> AsyncIterator[McastSender]:
    """Give an asker on the loopback interface of a host."""
    with on(host):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo", receive_replies=True) as sender:
            yield sender


def answer_all(host: Host, asker: McastSender, payloads: list[bytes]) -> None:
    """Have another program answer to each of the asker's sockets, without letting any task run."""
    for endpoint in asker.local_endpoints:
        with plain_socket(host, "ipv6" if ":" in endpoint.host else "ipv4") as sock:
            for payload in payloads:
                sock.sendto(payload, endpoint)


def counted(asker: McastSender) -> ReceiverStatistics:
    """Return the statistics of the asker's replies."""
    statistics = asker.statistics().replies
    assert statistics is not None
    return statistics


async def reply_to(asker: McastSender) -> Datagram:
    with trio.fail_after(TIMEOUT_SECONDS):
        return await asker.replies.receive()


async def wait_until_counted(
    asker: McastSender, satisfied: Callable[[ReceiverStatistics], bool]
) -> None:
    with trio.fail_after(TIMEOUT_SECONDS):
        while not satisfied(counted(asker)):
            await trio.lowlevel.checkpoint()
