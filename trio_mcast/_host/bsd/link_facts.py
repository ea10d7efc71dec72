"""Flags, MTU and link address of interfaces on macOS and FreeBSD. Never run on either.

getifaddrs(3) gives, for each interface, an entry of the family AF_LINK: the flags and a
``sockaddr_dl``. The MTU comes from an ioctl. The layout of the list of getifaddrs is the same on
Linux, so walking the list is tested there; the bytes of the BSDs are decoded by `_platform.bsd`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import attrs

from ..._platform import bsd
from ..._values.errors import printable

# The errors that mean that there is no such interface. Any other is a refusal, which says nothing
# of the interface.
INTERFACE_GONE: Final = frozenset({errno.ENODEV, errno.ENXIO})


class InterfaceFacts(NamedTuple):
    """The facts about one interface apart from name, index and addresses."""

    link_address: str | None
    mtu: int
    is_up: bool
    is_loopback: bool
    is_multicast: bool


assert not TYPE_CHECKING or sys.platform != "win32"


class _Ifaddrs(ctypes.Structure):
    """The start of ``struct ifaddrs``; later members are not looked at."""

    _fields_ = (
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("flags", ctypes.c_uint),
        ("address", ctypes.c_void_p),
    )


_FAMILY_BYTES: Final = 2


@attrs.frozen
class Entry:
    """One entry of the list: an address of an interface.

    Attributes:
        name: The interface's name.
        flags: The interface's flags.
        sockaddr: The address, of any family.
    """

    name: str
    flags: int
    sockaddr: bytes


def bsd_sockaddr_bytes(start: bytes) -> int:
    """Return the length of a ``sockaddr``, given its start: the first byte tells."""
    return start[0]


@contextmanager
def _address_list() -> Iterator[int | None]:
    """Yield the address of the list of getifaddrs(3), and free the list in the end."""
    library = ctypes.CDLL(None, use_errno=True)
    first = ctypes.c_void_p()
    if library.getifaddrs(ctypes.byref(first)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    try:
        yield first.value
    finally:
        library.freeifaddrs(first)


def read_entries(sockaddr_bytes: Callable[[bytes], int] = bsd_sockaddr_bytes) -> list[Entry]:
    """Return every address of every interface, as getifaddrs(3) lists them.

    Args:
        sockaddr_bytes: A function from the first two bytes of a ``sockaddr`` to the length.

    Raises:
        OSError: The call was refused.
    """
    entries = []
    with _address_list() as position:
        while position:
            ifaddrs = _Ifaddrs.from_address(position)
            if ifaddrs.address:
                size = sockaddr_bytes(ctypes.string_at(ifaddrs.address, _FAMILY_BYTES))
                raw = ctypes.string_at(ifaddrs.address, size)
                entries.append(Entry(os.fsdecode(ifaddrs.name), ifaddrs.flags, raw))
            position = ifaddrs.next
    return entries


class LinkFacts:
    """The link facts of all interfaces at one moment."""

    def __init__(self, query: socket.socket, entries: list[Entry] | None = None) -> None:
        """Read the facts.

        Args:
            query: Any socket, for the ioctl.
            entries: The addresses of every interface; `None` to ask the system.

        Raises:
            OSError: The call was refused.
        """
        self._query = query
        self._links = {
            entry.name: (entry.flags, bsd.decode_sockaddr_dl(entry.sockaddr))
            for entry in (read_entries() if entries is None else entries)
            if len(entry.sockaddr) >= bsd.LEAST_SOCKADDR_DL_BYTES
            and entry.sockaddr[1] == bsd.AF_LINK
        }

    def read_facts(self, name: str) -> InterfaceFacts:
        """Return the facts of one interface.

        Raises:
            OSError: There is no interface of that name: ENODEV or ENXIO.
        """
        if name not in self._links:
            raise OSError(errno.ENXIO, f"interface {printable(name)} was not there")
        flags, link = self._links[name]
        return InterfaceFacts(
            link_address=link.text,
            mtu=self._read_mtu(name),
            is_up=bool(flags & bsd.IFF_UP),
            is_loopback=bool(flags & bsd.IFF_LOOPBACK),
            is_multicast=bool(flags & bsd.IFF_MULTICAST),
        )

    def _read_mtu(self, name: str) -> int:
        """Return the MTU of an interface; 0 if the system refuses to tell, as a sandbox may."""
        try:
            return bsd.mtu_in(fcntl.ioctl(self._query, bsd.SIOCGIFMTU, bsd.mtu_request(name)))
        except OSError as error:
            if error.errno in INTERFACE_GONE:
                raise
            return 0
