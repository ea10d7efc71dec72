"""Trio is refused the watching of a descriptor (epoll_ctl): reading and watching go on."""

from __future__ import annotations

import errno
import logging
import os
import sys

import attrs
import pytest
import trio

from tests.lab import Host
from tests.lab.machine import on
from tests.support.traffic import PORT, TIMEOUT_SECONDS, plain_sender
from tests.support.waiting import wait_for
from trio_mcast import SocketSetupError, open_mcast_receiver, watch_interfaces

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)


@attrs.define
class Refusal:
    """Whether waiting is refused, and how often it was."""

    refuses: bool = False
    count: int = 0


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch) -> Refusal:
    """Have Trio refuse to wait until a descriptor can be read, when told to."""
    refusal, wait_readable = Refusal(), trio.lowlevel.wait_readable

    async def wait(descriptor: int) -> None:
        if refusal.refuses:
            refusal.count += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await wait_readable(descriptor)

    monkeypatch.setattr(trio.lowlevel, "wait_readable", wait)
    return refusal


async def test_receiver_looks_instead(
    host: Host, refusal: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "trio_mcast")
    with plain_sender(host, "239.1.2.3", "lo") as sender, on(host):
        async with open_mcast_receiver("239.1.2.3", PORT, interfaces="lo") as receiver:
            refusal.refuses = True
            with trio.fail_after(TIMEOUT_SECONDS):
                for number in range(3):
                    sender.sendto(b"%d" % number, ("239.1.2.3", PORT))
                    assert (await receiver.receive()).data == b"%d" % number
                    await wait_for(lambda: refusal.count > 2, "some refusals")
                    refusal.count = 0
                refusal.refuses = False
                sender.sendto(b"again", ("239.1.2.3", PORT))
                assert (await receiver.receive()).data == b"again"
            assert receiver.statistics().received == 4
    warnings = [
        record.getMessage() for record in caplog.records if "tell when datagrams" in record.msg
    ]
    assert len(warnings) == 1
    assert "interface lo" in warnings[0]
    assert "max_user_watches" in warnings[0]


async def test_watching_interfaces_tells_so_and_goes_on(host: Host, refusal: Refusal) -> None:
    with on(host):
        async with watch_interfaces() as changes:
            refusal.refuses = True
            with pytest.raises(SocketSetupError, match="watch interfaces") as caught:
                await changes.receive()
            assert caught.value.errno == errno.ENOSPC
            refusal.refuses = False
            host.run("ip", "link", "add", "x0", "type", "bridge")
            with trio.fail_after(TIMEOUT_SECONDS):
                assert (await changes.receive()).interface.name == "x0"
