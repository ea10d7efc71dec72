"""The groups that are joined on this machine's interfaces, with their sources: tables of Linux.

They tell the groups of all programs of the network namespace, to any user. They do not tell whose
program has joined one; a socket that is bound to the group is a hint, see `gather.ports`.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

import attrs

from ..._host.protocols import Host
from ..._values.addresses import Family
from ..._values.errors import printable
from ..._values.interface import Interface
from ..evidence import JoinedGroup
from .counters import NET


class SourceFilter(NamedTuple):
    """One source of a group, and how many memberships name it.

    Attributes:
        interface: The interface.
        group: The group.
        source: The source.
        included: The number of memberships that want only such sources.
        excluded: The number of memberships that want all but such sources.
    """

    interface: str
    group: str
    source: str
    included: int
    excluded: int


def read_joined() -> list[JoinedGroup]:
    """Return every group that is joined, with the sources that memberships want or do not want.

    Raises:
        OSError: There is no such file.
    """
    joined = [*parse_igmp(_decoded(NET / "igmp"))]
    joined += parse_igmp6(_text_of(NET / "igmp6"))
    filters = [*parse_mcfilter(_text_of(NET / "mcfilter"))]
    filters += parse_mcfilter(_text_of(NET / "mcfilter6"))
    return list(_with_sources(joined, filters))


def read_joined_of(host: Host, interfaces: Sequence[Interface]) -> list[JoinedGroup]:
    """Return every group that is joined on a host, as far as the host tells.

    Raises:
        OSError: The host does not tell.
    """
    names = {interface.index: str(interface) for interface in interfaces}
    joined = []
    families: tuple[Family, ...] = ("ipv4", "ipv6")
    for family in families:
        memberships = host.kernel_memberships(family, interfaces)
        if memberships is None:
            raise FileNotFoundError("this system does not tell what is joined")
        for part in memberships:
            joined += [
                JoinedGroup(names[index], str(ip_address(group)))
                for index, group in part
                if index in names
            ]
    return joined


def _text_of(path: Path) -> str:
    """Return the text of a file; nothing if a kernel without IPv6, or an old one, has none."""
    try:
        return _decoded(path)
    except OSError:
        return ""


def _decoded(path: Path) -> str:
    """Return the text of a file, with the names of interfaces as they can be printed."""
    return printable(os.fsdecode(path.read_bytes()))


def parse_igmp(text: str) -> Iterator[JoinedGroup]:
    """Yield the lines of /proc/net/igmp: one for an interface, then one for each group."""
    interface = querier = ""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if not line.startswith("\t"):
            interface, querier = fields[1].rstrip(":"), fields[-1]
        elif len(fields) >= 2:
            group = IPv4Address(int(fields[0], 16).to_bytes(4, sys.byteorder))
            yield JoinedGroup(interface, str(group), int(fields[1]), querier)


def parse_igmp6(text: str) -> Iterator[JoinedGroup]:
    """Yield the lines of /proc/net/igmp6."""
    for line in text.splitlines():
        _index, interface, group, users, *_ = line.split()
        yield JoinedGroup(interface, str(IPv6Address(int(group, 16))), int(users))


def parse_mcfilter(text: str) -> Iterator[SourceFilter]:
    """Yield the lines of /proc/net/mcfilter or mcfilter6."""
    for line in text.splitlines()[1:]:
        _index, interface, group, source, included, excluded = line.split()
        # Of IPv4 as 0xef010203, of IPv6 as 32 digits: both in network byte order.
        kind = IPv4Address if group.startswith("0x") else IPv6Address
        group, source = (str(kind(int(digits, 16))) for digits in (group, source))
        yield SourceFilter(interface, group, source, int(included), int(excluded))


def _with_sources(joined: list[JoinedGroup], filters: list[SourceFilter]) -> Iterator[JoinedGroup]:
    by_group: dict[tuple[str, str], list[SourceFilter]] = defaultdict(list)
    for one in filters:
        by_group[one.interface, one.group].append(one)
    for membership in joined:
        named = by_group.get((membership.interface, membership.group), ())
        yield attrs.evolve(
            membership,
            included=tuple(one.source for one in named if one.included),
            excluded=tuple(one.source for one in named if one.excluded),
        )
