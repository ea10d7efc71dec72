"""Comparing memberships with the groups that the system says are joined.

A membership can end without any message. One case: another program closes a socket whose membership
had ended before. Linux counts the sockets of a group on an interface, takes one off for that socket
too, and so ends what was joined since (measured on 6.18).

The system's list is of all programs, so a group that another program has joined too is found there
in any case. While it has, our socket is given the datagrams too; once it leaves, the next look
finds the group missing.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Final

from .._host.protocols import Host, KernelMembership
from .._values.addresses import Family
from .._values.interface import Interface
from .membership import LiveMembership
from .membership_sockets import AT_ONCE

_NUMBERS: Final[Mapping[Family, int]] = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}

# While groups are joined and left, one that stands can be passed over. It is not passed over twice,
# or joined again in vain.
_READINGS: Final = 2


async def find_unlisted(
    host: Host,
    memberships: Iterable[LiveMembership],
    interfaces: Sequence[Interface],
    give_way: Callable[[], Awaitable[None]],
) -> list[LiveMembership]:
    """Return the memberships that the system does not have, although their sockets are open.

    Args:
        host: The machine.
        memberships: The memberships to look for.
        interfaces: The interfaces, as just listed.
        give_way: Called now and then, to let other tasks run.
    """
    unlisted: list[LiveMembership] = []
    by_family: dict[Family, dict[KernelMembership, LiveMembership]] = {}
    for number, membership in enumerate(memberships):
        group = membership.plan.group
        if group is not None and membership.sockets:
            family = membership.sockets[0].socket_spec.family
            key = membership.plan.interface.index, socket.inet_pton(_NUMBERS[family], group)
            by_family.setdefault(family, {})[key] = membership
        if number % AT_ONCE == 0:
            await give_way()
    for family, missing in by_family.items():
        indexes = {index for index, _ in missing}
        of_these = [interface for interface in interfaces if interface.index in indexes]
        for _ in range(_READINGS):
            if missing and not await _take_off(host, family, of_these, missing, give_way):
                missing.clear()
        unlisted += missing.values()
    return unlisted


async def _take_off(
    host: Host,
    family: Family,
    interfaces: Sequence[Interface],
    missing: dict[KernelMembership, LiveMembership],
    give_way: Callable[[], Awaitable[None]],
) -> bool:
    """Take what the system lists off what is missing; return whether it lists anything."""
    listed, tells = host.kernel_memberships(family, interfaces), False
    if listed is not None:
        with closing(listed):
            for part in listed:
                for membership in part:
                    tells = True
                    missing.pop(membership, None)
                await give_way()
    return tells
