"""The decoders: from the bytes of a socket option to a request, by each platform's tables. Pure.

The opposite of ``trio_mcast._platform._layout``, written separately: bytes in a wrong layout are
refused as the system would refuse them, or mean something else, as they would on that system.
"""

from __future__ import annotations

import errno
import os
import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from .._platform.model import Platform
from .._values.addresses import SOCKADDR_IN6_BYTES, SOCKADDR_IN_BYTES, Family, IPAddress

# Other constants than options in `Platform.constants`: levels, and types of ancillary data.
_NO_OPTIONS = ("SOL_", "IPPROTO_", "SCM_")


def refuse(number: int) -> OSError:
    """Return the error with which a system refuses a call.

    The number is the one that the running Python's `errno` has for the error's name. So a program
    that compares with ``errno.EADDRINUSE`` works alike on each of the virtual platforms.
    """
    return OSError(number, os.strerror(number))


# There are fewer options, on all platforms together.
@lru_cache(maxsize=512)
def option_symbol(platform: Platform, family: Family, level: int, number: int) -> str:
    """Return the C name of an option.

    Raises:
        OSError: ENOPROTOOPT: there is no such option on such a socket.
    """
    for symbol, value in platform.constants.items():
        if value != number or symbol.startswith(_NO_OPTIONS):
            continue
        if symbol.startswith("IPV6_") and family == "ipv4":
            continue
        if platform.level(symbol, family) == level:
            return symbol
    raise refuse(errno.ENOPROTOOPT)


def as_int(value: int | bytes) -> int:
    """Return the value of an option that is a C int, or one byte.

    Raises:
        OSError: EINVAL: the value is too short.
    """
    if isinstance(value, int):
        return value
    if len(value) == 1:
        return value[0]
    if len(value) < 4:
        raise refuse(errno.EINVAL)
    return int(struct.unpack_from("=i", value)[0])


def device_name(value: int | bytes) -> str:
    """Return the name in SO_BINDTODEVICE; empty for none."""
    raw = value if isinstance(value, bytes) else struct.pack("=i", value)
    return os.fsdecode(raw.partition(b"\0")[0])


def multicast_interface(platform: Platform, value: int | bytes) -> tuple[int, IPv4Address | None]:
    """Return the interface in IP_MULTICAST_IF: an index, or 0 and an address, or 0 and `None`.

    Raises:
        OSError: The value is too short.
    """
    raw = value if isinstance(value, bytes) else struct.pack("=i", value)
    if platform.takes_mreqn and len(raw) >= 12:
        _group, address, index = struct.unpack_from("=4s4si", raw)
    elif platform.name == "linux" and len(raw) >= 8:
        _group, address = struct.unpack_from("=4s4s", raw)
        index = 0
    elif len(raw) >= 4:
        address, index = raw[:4], 0
        if not platform.takes_mreqn and raw[0] == 0:
            # Windows: an address of 0.0.0.0/8 is an index in network order.
            address, index = bytes(4), int.from_bytes(raw[:4], "big")
    else:
        raise refuse(errno.EINVAL)
    return index, IPv4Address(address) if any(address) else None


# On each host, the same groups are joined. The number is arbitrary.
@lru_cache(maxsize=1_024)
def group_request(platform: Platform, family: Family, value: int | bytes) -> tuple[int, IPAddress]:
    """Return the interface's index and the group in a ``struct group_req``.

    Raises:
        OSError: The value has the layout of another system, or does not hold a group.
    """
    layout = platform.group_request
    raw = _structure(value, layout.group_req_size)
    (index,) = struct.unpack_from("=I", raw)
    return index, _group(platform, family, raw, layout.group_offset)


def group_source_request(
    platform: Platform, family: Family, value: int | bytes
) -> tuple[int, IPAddress, IPAddress]:
    """Return the interface's index, the group and the source in a ``struct group_source_req``.

    Raises:
        OSError: The value has the layout of another system, or does not hold a group and a source.
    """
    layout = platform.group_request
    raw = _structure(value, layout.group_source_req_size)
    (index,) = struct.unpack_from("=I", raw)
    group = _group(platform, family, raw, layout.group_offset)
    return index, group, _sockaddr(platform, family, raw, layout.source_offset)


def older_request(
    platform: Platform, family: Family, value: int | bytes, *, with_source: bool
) -> tuple[int, IPv4Address | None, IPAddress, IPAddress | None]:
    """Decode an ``ip_mreq``, ``ip_mreqn``, ``ip_mreq_source`` (not Linux's) or ``ipv6_mreq``.

    Returns:
        The interface's index or 0, the interface's address or `None`, the group, and the source or
        `None`.

    Raises:
        OSError: The value is too short, or the group is none.
    """
    source: IPAddress | None = None
    interface: IPv4Address | None = None
    index = 0
    if family == "ipv6":
        raw = _structure(value, 20)
        group: IPAddress = IPv6Address(raw[:16])
        (index,) = struct.unpack_from("=I", raw, 16)
    elif with_source:
        raw = _structure(value, 12)
        group, source = IPv4Address(raw[:4]), IPv4Address(raw[4:8])
        interface = IPv4Address(raw[8:12])
    else:
        raw = _structure(value, 8)
        group, interface = IPv4Address(raw[:4]), IPv4Address(raw[4:8])
        if platform.takes_mreqn and len(raw) >= 12:
            (index,) = struct.unpack_from("=i", raw, 8)
    if not group.is_multicast:
        raise refuse(errno.EINVAL)
    return index, interface, group, source


def _structure(value: int | bytes, size: int) -> bytes:
    if isinstance(value, int) or len(value) < size:
        raise refuse(errno.EINVAL)
    return value


def _group(platform: Platform, family: Family, raw: bytes, offset: int) -> IPAddress:
    group = _sockaddr(platform, family, raw, offset)
    if not group.is_multicast:
        raise refuse(errno.EINVAL)
    return group


def _sockaddr(platform: Platform, family: Family, raw: bytes, offset: int) -> IPAddress:
    layout = platform.sockaddr
    size = SOCKADDR_IN_BYTES if family == "ipv4" else SOCKADDR_IN6_BYTES
    number: int = raw[offset + 1]
    if layout.has_length:
        # in_mcast.c and in6_mcast.c of XNU and FreeBSD compare the length, too.
        if raw[offset] != size:
            raise refuse(errno.EINVAL)
    else:
        (number,) = struct.unpack_from("=H", raw, offset)
    if number != layout.number(family):
        # ipv6_mcast_join_leave in Linux's net/ipv6/ipv6_sockglue.c answers otherwise than IPv4's.
        linux6 = platform.name == "linux" and family == "ipv6"
        raise refuse(errno.EADDRNOTAVAIL if linux6 else errno.EINVAL)
    if family == "ipv4":
        return IPv4Address(raw[offset + 4 : offset + 8])
    return IPv6Address(raw[offset + 8 : offset + 24])
