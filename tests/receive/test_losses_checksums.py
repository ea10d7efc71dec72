"""Datagrams with a wrong checksum: who counts them."""

from __future__ import annotations

import sys

import pytest
import trio

from tests.lab import Host
from tests.lab.fixtures import TwoHosts
from tests.support.forged_frames import forged, forger
from tests.support.traffic import FAMILIES, PORT, Family, address_of, group_of, receiver_on

pytestmark = pytest.mark.once

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

WRONG, RIGHT = 100, 3

# CHECKSUM_BREAK in Linux's include/linux/skbuff.h, without the header of UDP: the checksum of
# larger datagrams is looked at when they are read, by when they belong to a socket.
_SHORT = 76 - 8


def wrong_checksums(host: Host, family: Family) -> int:
    """Return UdpInCsumErrors, or Udp6InCsumErrors, of a host."""
    if family == "ipv6":
        lines = [line.split() for line in host.read("/proc/net/snmp6").splitlines()]
        return int(dict(lines)["Udp6InCsumErrors"])
    names, values = (
        line.split() for line in host.read("/proc/net/snmp").splitlines() if line.startswith("Udp:")
    )
    return int(dict(zip(names, values, strict=True))["InCsumErrors"])


@FAMILIES
@pytest.mark.parametrize("max_buffered", [16, 1_024])
@pytest.mark.parametrize("size", [0, 10, _SHORT, _SHORT + 1, 500])
async def test_datagrams_with_a_wrong_checksum_are_counted_by_the_system(
    two_hosts: TwoHosts, family: Family, size: int, max_buffered: int
) -> None:
    """Short ones are in none of a receiver's counts, longer ones among the kernel's drops."""
    a, b, group = two_hosts.a, two_hosts.b, group_of(family)
    source = address_of(family, 2)
    before = wrong_checksums(a, family)
    async with receiver_on(two_hosts, a, group, max_buffered=max_buffered) as receiver:
        with forger(b) as sock:
            for _ in range(WRONG):
                sock.send(forged(source, 4000, group, PORT, bytes(size), wrong=True))
            for _ in range(RIGHT):
                sock.send(forged(source, 4000, group, PORT, bytes(size)))
        with trio.fail_after(5):
            for _ in range(RIGHT):
                await receiver.receive()
        statistics = receiver.statistics()
        assert statistics.received == statistics.delivered == RIGHT
        assert wrong_checksums(a, family) - before == WRONG
        assert statistics.dropped_by_kernel == (WRONG if size > _SHORT else 0)
        assert statistics.rejected == 0
