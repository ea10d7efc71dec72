"""A socket that tells an error once while a group is left: what it has is read all the same."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import pytest
import trio

from tests.lab import Host
from tests.lab.machine import on
from tests.support.traffic import PORT, TIMEOUT_SECONDS, plain_sender
from tests.support.waiting import until
from trio_mcast import Datagram, open_mcast_receiver

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import fast_path

pytestmark = pytest.mark.once


async def test_leaving_reads_on_after_an_error_that_is_told_once(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = fast_path.LinuxSocket.receive
    errors = [errno.ECONNREFUSED]

    def refuse_once(socket: Any, *arguments: Any) -> list[Datagram]:
        if errors:
            number = errors.pop()
            raise OSError(number, os.strerror(number))
        return receive(socket, *arguments)

    with (
        plain_sender(host, "239.1.2.3", "lo") as sender,
        on(host),
        trio.fail_after(TIMEOUT_SECONDS),
    ):
        async with open_mcast_receiver(
            "239.1.2.3", PORT, interfaces="lo", max_buffered=1
        ) as receiver:
            # The first fills the queue, so the others stay in the socket.
            sender.sendto(b"first", ("239.1.2.3", PORT))
            await until(lambda: receiver.statistics().waiting, 1)
            for _ in range(3):
                sender.sendto(b"later", ("239.1.2.3", PORT))
            monkeypatch.setattr(fast_path.LinuxSocket, "receive", refuse_once)
            await receiver.leave("239.1.2.3")
            assert not errors
            counts = receiver.statistics()
            assert (counts.received, counts.waiting, counts.dropped_by_policy) == (4, 1, 3)
