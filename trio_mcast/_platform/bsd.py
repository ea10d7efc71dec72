"""Decoders of interface data and route messages of macOS and FreeBSD. Pure.

Both systems come from 4.4BSD and agree in everything below, except where a comment says otherwise.
Numbers and layouts are those of XNU's and FreeBSD's net/if.h, net/if_dl.h, net/route.h and
sys/ioccom.h. Never run on either.
"""

from __future__ import annotations

import os
import struct
from ipaddress import IPv6Address
from typing import Final

import attrs

from .._values.addresses import IPAddress, encode_sockaddr
from .model import Platform, PlatformName

AF_ROUTE: Final = 17
AF_LINK: Final = 18

IFF_UP: Final = 0x1
IFF_LOOPBACK: Final = 0x8
IFF_MULTICAST: Final = 0x8000

# struct ifreq: a name of 16 bytes and a union of 16, of which an int is read.
_IFREQ: Final = struct.Struct("=16si12x")

# _IOWR('i', 51, struct ifreq): the request goes both ways (IOC_INOUT), then the argument's size, a
# letter and a number.
_IOC_INOUT: Final = 0xC0000000
SIOCGIFMTU: Final = _IOC_INOUT | _IFREQ.size << 16 | ord("i") << 8 | 51

# struct sockaddr_dl: length, family, index, type, and the lengths of the name and of the address,
# which follow each other from the eighth byte on.
_SOCKADDR_DL: Final = struct.Struct("=BBHBBBB")
LEAST_SOCKADDR_DL_BYTES: Final = _SOCKADDR_DL.size

# A link address that is written as six bytes of hex: Ethernet's and those of its relatives.
_ETHERNET_BYTES: Final = 6

_RTM_NEWADDR: Final = 0xC
_RTM_DELADDR: Final = 0xD
_RTM_IFINFO: Final = 0xE
_CHANGES: Final = frozenset({_RTM_NEWADDR, _RTM_DELADDR, _RTM_IFINFO})
# FreeBSD only. macOS uses the number for something else, and does not announce a departure.
_RTM_IFANNOUNCE: Final = 0x11
_IFAN_DEPARTURE: Final = 1

# The start of every message, with the number of the message's type; and struct if_announcemsghdr:
# then an index, a name of 16 bytes, and the kind of the change.
_MESSAGE_TYPE: Final = struct.Struct("=3xB")
_ANNOUNCEMENT: Final = struct.Struct("=4xH16xH")

# struct rt_msghdr up to the error: length, version, type, index, flags, the kinds of addresses that
# follow, process, sequence, error. What comes then is the route's measures, which a question leaves
# empty; FreeBSD has longs there.
_ROUTE: Final = struct.Struct("=HBBHxxIIiii")
_ROUTE_BYTES: Final[dict[PlatformName, int]] = {
    "darwin": _ROUTE.size + 64,
    "freebsd": struct.calcsize(f"@{_ROUTE.size + 4}x15L"),
}
_RTM_VERSION: Final = 5
# The number by which an answer is known; arbitrary.
ROUTE_SEQUENCE: Final = 1
_RTM_GET: Final = 0x4
_RTA_DST: Final = 0x1
_REFUSALS: Final = {0x8: "reject", 0x1000: "blackhole"}  # RTF_REJECT, RTF_BLACKHOLE

# The bytes of a message that are looked at.
MESSAGE_BYTES: Final = _ANNOUNCEMENT.size


@attrs.frozen
class LinkAddress:
    """The fields of a ``sockaddr_dl``; index 0 and empty bytes mean that a field is not there."""

    index: int
    name: bytes
    address: bytes

    @property
    def text(self) -> str | None:
        """The address as in ``"02:00:00:00:00:01"``; `None` if not of that kind."""
        return self.address.hex(":") if len(self.address) == _ETHERNET_BYTES else None


def decode_sockaddr_dl(raw: bytes) -> LinkAddress:
    """Decode a ``sockaddr_dl``; a field that was cut off counts as not there.

    Raises:
        struct.error: The structure is too short for any field.
    """
    _length, _family, index, _kind, name_bytes, address_bytes, _ = _SOCKADDR_DL.unpack_from(raw)
    start = _SOCKADDR_DL.size
    name = raw[start : start + name_bytes]
    address = raw[start + name_bytes : start + name_bytes + address_bytes]
    return LinkAddress(index, name, address)


def mtu_request(name: str) -> bytes:
    """Return the argument of SIOCGIFMTU, a ``struct ifreq``."""
    return _IFREQ.pack(os.fsencode(name), 0)


def mtu_in(answer: bytes) -> int:
    """Return the MTU in the answer of SIOCGIFMTU."""
    return int(_IFREQ.unpack(answer)[1])


def without_embedded_scope(address: IPv6Address) -> IPv6Address:
    """Return an interface's IPv6 address as other hosts know the address.

    The kernels keep a link-local address with the interface's index in the third and fourth byte,
    where RFC 4291 has zeros, and some calls return the address in that form.
    """
    if not address.is_link_local:
        return address
    return IPv6Address(address.packed[:2] + bytes(2) + address.packed[4:])


def route_question(platform: Platform, address: IPAddress) -> bytes:
    """Return the message that asks a routing socket for the route to an address."""
    destination = encode_sockaddr(platform.sockaddr, address)
    size = _ROUTE_BYTES[platform.name]
    header = _ROUTE.pack(
        size + len(destination), _RTM_VERSION, _RTM_GET, 0, 0, _RTA_DST, 0, ROUTE_SEQUENCE, 0
    )
    return header.ljust(size, bytes(1)) + destination


def route_refusal(message: bytes, process: int) -> str | None:
    """Return how a route refuses what is sent there: ``"reject"``, ``"blackhole"``, or ``""``.

    Args:
        message: A message of a routing socket.
        process: The number of the process that has asked.

    Returns:
        `None` if the message is no answer to the question of the process.
    """
    if len(message) < _ROUTE.size:
        return None
    _size, _version, kind, _index, flags, _, asker, sequence, _error = _ROUTE.unpack_from(message)
    if (kind, asker, sequence) != (_RTM_GET, process, ROUTE_SEQUENCE):
        return None
    return next((name for flag, name in _REFUSALS.items() if flags & flag), "")


def removed_interfaces(message: bytes, *, announces: bool) -> frozenset[int] | None:
    """Return what a message of a routing socket says of interfaces.

    Args:
        message: The first `MESSAGE_BYTES` of the message, or all.
        announces: Whether the system tells of departures (FreeBSD).

    Returns:
        `None` for a message about routes. Else interfaces may have changed: the indexes of the
        removed ones, where the message tells of a removal.
    """
    if len(message) < _MESSAGE_TYPE.size:
        return None
    (kind,) = _MESSAGE_TYPE.unpack_from(message)
    if announces and kind == _RTM_IFANNOUNCE:
        if len(message) < _ANNOUNCEMENT.size:
            return frozenset()
        index, what = _ANNOUNCEMENT.unpack_from(message)
        return frozenset({index}) if what == _IFAN_DEPARTURE else frozenset()
    return frozenset() if kind in _CHANGES else None
