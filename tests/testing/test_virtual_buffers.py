"""What fits into a receive buffer of a virtual host, and what is counted of the rest."""

from __future__ import annotations

import pytest
from trio.testing import wait_all_tasks_blocked

from ..support.virtual_hosts import (
    GROUP4,
    PLATFORMS,
    PORT,
    joining,
    open_plain,
    option,
    payloads,
    receiving,
    sending,
    two_on_lan,
)

pytestmark = pytest.mark.once

EVERY_PLATFORM = pytest.mark.parametrize("platform", PLATFORMS)


@EVERY_PLATFORM
async def test_receive_buffer_overflows_and_counts(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        small = option(lan.b, "SO_RCVBUF", 4_000, "ipv4")
        sock = open_plain(lan.b, "0.0.0.0", small, joining(lan.b, 2, GROUP4))
        sender = open_plain(lan.a, "10.0.0.1", port=0)
        assert sender.send_batch([b"%03d" % n for n in range(200)], 0, (GROUP4, PORT)) == 200
        found = payloads(sock)
        # Linux: 832 bytes each in a buffer of 8,000.
        expected = 9 if platform == "linux" else 4_000 // 31
        assert found == [b"%03d" % n for n in range(expected)]
        lost = 200 - expected
        assert sock.dropped() == (lost if platform == "linux" else None)
        reasons = [item.reason for item in lan.network.trace if item.what == "dropped"]
        assert reasons == ["the socket's receive buffer is full"] * lost


@pytest.mark.parametrize(
    ("buffer", "size", "fit"),
    # As measured on Linux 6.18, sent over a veth pair.
    [
        (1, 1, 2),
        (1, 200, 1),
        (1, 20_000, 1),
        (4_000, 150, 9),
        (4_000, 640, 6),
        (4_000, 700, 3),
        (4_000, 5_000, 1),
        (50_000, 1_400, 43),
        (50_000, 5_000, 12),
        (50_000, 20_000, 3),
    ],
)
async def test_receive_buffer_of_linux_holds_so_many(buffer: int, size: int, fit: int) -> None:
    async with two_on_lan() as lan:
        asked = option(lan.b, "SO_RCVBUF", buffer, "ipv4")
        sock = open_plain(lan.b, "0.0.0.0", asked, joining(lan.b, 2, GROUP4))
        sender = open_plain(lan.a, "10.0.0.1", port=0)
        sender.send_batch([bytes(size)] * 60, 0, (GROUP4, PORT))
        assert len(payloads(sock)) == fit
        assert sock.dropped() == 60 - fit


async def test_statistics_have_what_the_kernel_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        two_on_lan() as lan,
        receiving(lan.b, max_buffered=1, receive_buffer_size=2_000) as receiver,
        sending(lan.a, interfaces="eth0") as sender,
    ):
        await sender.send_batch([b"x"] * 100)
        await wait_all_tasks_blocked()
        got = 0
        while receiver.statistics().waiting:
            await receiver.receive()
            await wait_all_tasks_blocked()
            got += 1
        dropped = receiver.statistics().dropped_by_kernel
        assert dropped is not None
        assert dropped > 0
        assert got + dropped == 100
        assert len([it for it in caplog.messages if "the system has dropped" in it]) == 1
