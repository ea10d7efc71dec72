"""A child that was forked keeps the sockets open: the groups are left all the same."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from tests.lab import Host
from tests.lab.fixtures import TwoHosts
from tests.lab.machine import on
from tests.support.traffic import FAMILIES, PORT, Family, group_of
from trio_mcast import open_mcast_receiver

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

SSM: dict[Family, tuple[str, list[str]]] = {
    "ipv4": ("232.1.2.1", [f"10.0.9.{number}" for number in range(1, 13)]),
    "ipv6": ("ff35::8000:1", [f"fd00:9::{number:x}" for number in range(1, 67)]),
}

# The child does nothing but wait and end, so the threads of the lab are not missed there.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@contextmanager
def forked() -> Iterator[None]:
    """Have a child of this process live for the length of the block."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        os.read(read_end, 1)  # Returns when the parent closes the other end, or ends.
        os._exit(0)
    try:
        yield
    finally:
        os.close(write_end)
        os.close(read_end)
        os.waitpid(child, 0)


def joined(host: Host, family: Family) -> set[str]:
    """Return what the kernel has joined on eth0, as written in ``/proc/net``."""
    if family == "ipv6":
        lines = host.read("/proc/net/igmp6").splitlines()
        return {line.split()[2] for line in lines if line.split()[1] == "eth0"}
    groups, interface = set(), ""
    for line in host.read("/proc/net/igmp").splitlines()[1:]:
        if line.startswith("\t"):
            if interface == "eth0":
                groups.add(line.split()[0])
        else:
            interface = line.split()[1]
    return groups


@FAMILIES
@pytest.mark.parametrize("leave_first", [True, False])
async def test_leaving_and_closing_leave_the_groups_while_a_child_has_the_sockets(
    two_hosts: TwoHosts, family: Family, leave_first: bool
) -> None:
    host, groups = two_hosts.a, [group_of(family, 1), group_of(family, 2)]
    before = joined(host, family)
    with on(host):
        async with open_mcast_receiver(groups, PORT, interfaces="eth0") as receiver:
            assert len(joined(host, family) - before) == 2
            with forked():
                if leave_first:
                    await receiver.leave(groups[0])
                    assert len(joined(host, family) - before) == 1
                    await receiver.leave(groups[1])
                else:
                    receiver.close()
                assert joined(host, family) == before


@FAMILIES
async def test_closing_leaves_every_source_while_a_child_has_the_sockets(
    two_hosts: TwoHosts, family: Family
) -> None:
    """There are more sources than one socket takes, so there are two sockets."""
    host, (group, sources) = two_hosts.a, SSM[family]
    before = joined(host, family)
    with on(host):
        async with open_mcast_receiver(group, PORT, interfaces="eth0", sources=sources) as receiver:
            assert len(joined(host, family) - before) == 1
            with forked():
                receiver.close()
                assert joined(host, family) == before


@FAMILIES
async def test_leaving_a_group_with_blocked_sources_while_a_child_has_the_socket(
    two_hosts: TwoHosts, family: Family
) -> None:
    host, group = two_hosts.a, group_of(family)
    before = joined(host, family)
    with on(host):
        async with open_mcast_receiver(group, PORT, interfaces="eth0") as receiver:
            await receiver.block_source(SSM[family][1][0])
            with forked():
                await receiver.leave(group)
                assert joined(host, family) == before


@FAMILIES
async def test_an_interface_that_has_gone_does_not_disturb_closing(
    two_hosts: TwoHosts, family: Family
) -> None:
    host = two_hosts.a
    with on(host):
        async with open_mcast_receiver(
            group_of(family), PORT, interfaces="eth0", follow_interfaces=False
        ) as receiver:
            host.unplug("eth0")
            receiver.close()
            with pytest.raises(trio.ClosedResourceError):
                await receiver.receive()
