"""The receive buffer: the size asked for and granted, and the first drop, which is logged."""

from __future__ import annotations

import sys

import pytest

from tests.lab import Host
from tests.lab.machine import on
from tests.support.privileges import CAP_NET_ADMIN, has_capability, without_capability
from tests.support.traffic import PORT
from trio_mcast import open_mcast_receiver

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

GROUP = "239.1.2.3"


async def test_statistics_tell_the_buffers_asked_and_granted(host: Host) -> None:
    limit = int(host.read("/proc/sys/net/core/rmem_max")) if _has_rmem_max(host) else None
    with on(host):
        async with open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver:
            statistics = receiver.statistics()
            assert statistics.receive_buffer_asked == 1_048_576
            default = statistics.receive_buffer_granted
            assert limit is None or default == min(limit, 1_048_576)
        with without_capability(CAP_NET_ADMIN):
            opening = open_mcast_receiver(GROUP, PORT, interfaces="lo", receive_buffer_size=2**29)
            async with opening as receiver:
                statistics = receiver.statistics()
                assert statistics.receive_buffer_asked == 2**29
                assert 0 < statistics.receive_buffer_granted < 2**29
                assert limit is None or statistics.receive_buffer_granted == limit


async def test_program_with_the_privilege_is_granted_the_size_that_it_names(host: Host) -> None:
    if not has_capability(CAP_NET_ADMIN):
        pytest.skip("this needs CAP_NET_ADMIN")
    with on(host):
        async with open_mcast_receiver(
            [GROUP, "ff05::1:2"], PORT, interfaces="lo", receive_buffer_size=2**29
        ) as receiver:
            assert receiver.statistics().receive_buffer_granted == 2**29


def _has_rmem_max(host: Host) -> bool:
    # Shown inside a network namespace only by some kernels.
    try:
        host.read("/proc/sys/net/core/rmem_max")
    except OSError:
        return False
    return True
