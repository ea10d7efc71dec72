"""The groups that are joined on the interfaces of Linux, as files in /proc list them.

The files are those of the thread's network namespace. The kernel writes some hundred lines for each
read, and begins each by counting from the first line: 4,000 groups take it some 10 ms. So the files
are read in parts. What is joined or left meanwhile may move another line past the reader.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from io import FileIO
from typing import TYPE_CHECKING, Final, TypeAlias

from ..._values.addresses import Family
from ..protocols import KernelMembership, KernelMemberships

assert not TYPE_CHECKING or sys.platform == "linux"

_PATHS: Final[Mapping[Family, str]] = {
    "ipv4": "/proc/thread-self/net/igmp",
    "ipv6": "/proc/thread-self/net/igmp6",
}
_READ_BYTES: Final = 65_536

# igmp6_mc_seq_show in net/ipv6/mcast.c: the index, the name, which has no white space, the group.
_IPV6_LINE: Final = re.compile(rb"^(\d+) +\S+ +([0-9a-f]{32}) ", re.MULTILINE)
# igmp_mc_seq_show in net/ipv4/igmp.c: a line with the index and name, then one for each group: the
# number that the bytes of the address make in this machine's order.
_IPV4_LINE: Final = re.compile(rb"^(?:(\d+)\t|\t+([0-9A-F]{8}) )", re.MULTILINE)

_Parser: TypeAlias = "Callable[[bytes], Iterator[KernelMembership]]"


def read_memberships(family: Family) -> KernelMemberships | None:
    """Return the groups that are joined on any interface, in parts; `None` without the file."""
    try:
        file = FileIO(_PATHS[family])
    except OSError:
        return None
    return _read(file, _Ipv4Parser() if family == "ipv4" else _parse_ipv6)


def _read(file: FileIO, parse: _Parser) -> KernelMemberships:
    with file:
        begun = b""
        while part := file.read(_READ_BYTES):
            lines, newline, begun = (begun + part).rpartition(b"\n")
            yield list(parse(lines + newline))


def _parse_ipv6(lines: bytes) -> Iterator[KernelMembership]:
    for index, group in _IPV6_LINE.findall(lines):
        yield int(index), bytes.fromhex(group.decode())


class _Ipv4Parser:
    """Takes the lines apart, and remembers the interface from one part to the next."""

    def __init__(self) -> None:
        self._index = 0

    def __call__(self, lines: bytes) -> Iterator[KernelMembership]:
        for index, group in _IPV4_LINE.findall(lines):
            if index:
                self._index = int(index)
            else:
                yield self._index, int(group, 16).to_bytes(4, sys.byteorder)
