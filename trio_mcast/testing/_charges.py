"""The bytes of a buffer that a datagram takes, and the fragments in which it goes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from .._platform.model import PlatformName
from .._values.addresses import Family

_IP_HEADER: Final[dict[Family, int]] = {"ipv4": 20, "ipv6": 40}
# What stands in each fragment besides: the fragment header of IPv6 (RFC 8200, 4.5).
_FRAGMENT_HEADER: Final[dict[Family, int]] = {"ipv4": 20, "ipv6": 48}
_UDP_HEADER_BYTES: Final = 8

# The memory that Linux takes for a packet, by the bytes after the IP header: it allocates blocks
# of 576, 1,024, 2,048 ... bytes for headers and data, with 256 bytes of description. Measured on
# 6.18, as sk_rmem_alloc and sk_wmem_alloc after one datagram of each size, for mtus from 576 to
# 65,536.
_LIMITS: Final[dict[Family, tuple[int, ...]]] = {
    "ipv4": (205, 653, 1_677, 3_725, 7_821, 16_012),
    "ipv6": (192, 640, 1_664, 3_712, 7_808, 15_999),
}
_CHARGES: Final = (832, 1_280, 2_304, 4_352, 8_448, 16_640)
# What is left in the block of an arriving fragment besides: the room for a link's header.
_SPARE: Final[dict[Family, int]] = {"ipv4": 15, "ipv6": 0}


def parts(family: Family, size: int, mtu: int) -> list[int]:
    """Return the bytes after the IP header of each packet that a datagram is sent in.

    Args:
        family: The datagram's family.
        size: The bytes of the payload.
        mtu: The largest packet of the link.
    """
    length = size + _UDP_HEADER_BYTES
    if length + _IP_HEADER[family] <= mtu:
        return [length]
    # All but the last have a multiple of 8 bytes (RFC 791, 3.2, and RFC 8200, 4.5); for IPv4, the
    # last one of Linux may have some more (measured).
    most = max(mtu - _FRAGMENT_HEADER[family], 8)
    each = most // 8 * 8
    whole, last = divmod(length, each)
    if family == "ipv4" and 0 < last <= most - each:
        whole, last = whole - 1, each + last
    return [each] * whole + ([last] if last else [])


def packet_bytes(family: Family, size: int, mtu: int) -> Iterator[int]:
    """Yield the bytes of each packet that a datagram is sent in, with the IP headers."""
    lengths = parts(family, size, mtu)
    header = _IP_HEADER[family] if len(lengths) == 1 else _FRAGMENT_HEADER[family]
    return (length + header for length in lengths)


@lru_cache(maxsize=1_000)
def linux_charge(family: Family, size: int, mtu: int, *, arrived: bool) -> int:
    """Return the bytes of a buffer that Linux charges for a datagram: for all of its memory.

    Args:
        family: The datagram's family.
        size: The bytes of the payload.
        mtu: The mtu of the interface that it was sent through, which makes the fragments.
        arrived: Whether the datagram was put together from fragments that have arrived: one that
            fits behind the first in its block takes nothing (skb_try_coalesce in
            net/core/skbuff.c). Else it is one that is being sent.
    """
    first, *others = parts(family, size, mtu)
    total = _block(family, first)
    room = 0
    if arrived:
        room = next((limit for limit in _LIMITS[family] if first <= limit), first) - first
        room += _SPARE[family]
    for length in others:
        if length <= room:
            room -= length
        else:
            room = 0  # From here on, the fragments are a list.
            total += _block(family, length)
    return total


def _block(family: Family, length: int) -> int:
    for limit, charge in zip(_LIMITS[family], _CHARGES, strict=True):
        if length <= limit:
            return charge
    # Data that is larger stands in pages of its own (__ip_append_data, SKB_MAX_ALLOC).
    return _CHARGES[0] + length - _UDP_HEADER_BYTES


def buffer_charge(
    platform: PlatformName, family: Family, size: int, mtu: int = 1_500, *, arrived: bool = True
) -> int:
    """Return the bytes of a receive buffer that a datagram takes.

    Linux charges for the memory of the datagram, fragment by fragment: for IPv4 832 bytes for a
    datagram of up to 197, 1,280 up to 645, and 2,304 up to 1,684. Elsewhere the payload and the
    source address count. The arguments are those of `linux_charge`.
    """
    if platform != "linux":
        return size + 28
    return linux_charge(family, size, mtu, arrived=arrived)
