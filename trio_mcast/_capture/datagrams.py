"""The UDP datagrams in captured frames, and the reason why a frame has none. Pure."""

from __future__ import annotations

import struct
from collections import OrderedDict
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

import attrs

from .._values.addresses import IPAddress

# The links of which the network layer is found, by the numbers of the tcpdump project's list.
_NULL, _ETHERNET, _LOOP, _LINUX_SLL, _LINUX_SLL2 = 0, 1, 108, 113, 276
_RAW_IP = (12, 14, 101, 228, 229)

_ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x0800, 0x86DD
_VLAN_TAGS = (0x8100, 0x88A8, 0x9100)
_UDP = 17
_UDP_HEADER_BYTES = 8

# The extension headers of IPv6 (RFC 8200): hop-by-hop, routing, destination options, mobility.
_EXTENSIONS = (0, 43, 60, 135)
_FRAGMENT_HEADER = 44

# The datagrams of which fragments are kept. Arbitrary; of 65,507 bytes each, it is 64 MiB.
_MOST_INCOMPLETE = 1_024

# The reasons.
UNKNOWN_LINK: Final = "unknown link type"
NOT_IP: Final = "not IP"
NOT_UDP: Final = "not UDP"
FRAGMENT: Final = "fragment"
CUT_SHORT: Final = "cut short"


@attrs.frozen
class CapturedDatagram:
    """A UDP datagram of a capture, with the fields of its IP header."""

    source: IPAddress
    source_port: int
    destination: IPAddress
    port: int
    ttl: int
    data: bytes
    traffic_class: int


class _IPHeader(NamedTuple):
    """The fields of an IP header that tell the way of a datagram."""

    source: IPAddress
    destination: IPAddress
    ttl: int
    traffic_class: int


@attrs.frozen
class Fragment:
    """A fragment of a UDP datagram that was larger than the MTU.

    Attributes:
        key: The datagram of which it is a part: addresses and identification.
        offset: The place of the data in the datagram, in bytes.
        more: Whether other fragments follow.
        data: The part of the UDP header and payload, as far as it was captured.
        is_whole: Whether all of the data was captured.
        ip: The fields of the IP header.
        first_header: The protocol at the start of the data; other than UDP if IPv6 extension
            headers stand before it.
    """

    key: tuple[IPAddress, IPAddress, int]
    offset: int
    more: bool
    data: bytes
    is_whole: bool
    ip: _IPHeader
    first_header: int = _UDP


def datagram_of(link_type: int, frame: bytes) -> CapturedDatagram | str:
    """Return the UDP datagram in a frame, or the reason why there is none to return.

    Args:
        link_type: The kind of link.
        frame: The frame, as far as it was captured.
    """
    content = content_of(link_type, frame)
    return FRAGMENT if isinstance(content, Fragment) else content


def content_of(link_type: int, frame: bytes) -> CapturedDatagram | Fragment | str:
    """Return the UDP datagram in a frame, or a fragment of one, or why there is none to return.

    Args:
        link_type: The kind of link.
        frame: The frame, as far as it was captured.
    """
    try:
        start = _start_of_ip(link_type, frame)
        if isinstance(start, str):
            return start
        version = frame[start] >> 4
        if version == 4:
            return _from_ipv4(frame[start:])
        return _from_ipv6(frame[start:]) if version == 6 else NOT_IP
    except (struct.error, IndexError):
        return CUT_SHORT


def _start_of_ip(link_type: int, frame: bytes) -> int | str:
    """Return where the network layer begins, or the reason why it cannot be found."""
    if link_type in _RAW_IP:
        return 0
    if link_type in (_NULL, _LOOP):
        return 4  # The family, whose number differs between systems: the IP version tells.
    if link_type == _ETHERNET:
        type_at, start = 12, 14
    elif link_type == _LINUX_SLL:
        type_at, start = 14, 16
    elif link_type == _LINUX_SLL2:
        type_at, start = 0, 20
    else:
        return UNKNOWN_LINK
    (ethertype,) = struct.unpack_from("!H", frame, type_at)
    while ethertype in _VLAN_TAGS:
        (ethertype,) = struct.unpack_from("!H", frame, start + 2)
        start += 4
    return start if ethertype in (_ETHERTYPE_IPV4, _ETHERTYPE_IPV6) else NOT_IP


def _from_ipv4(packet: bytes) -> CapturedDatagram | Fragment | str:
    traffic_class, length, identification, fragment = struct.unpack_from("!xBHHH", packet)
    ttl, protocol, source, destination = struct.unpack_from("!8xBB2x4s4s", packet)
    if protocol != _UDP:
        return NOT_UDP
    header = (packet[0] & 0x0F) * 4
    ip = _IPHeader(IPv4Address(source), IPv4Address(destination), ttl, traffic_class)
    data = packet[header:length]
    if fragment & 0x3FFF:  # More fragments, or an offset.
        key = (ip.source, ip.destination, identification)
        more, offset = bool(fragment & 0x2000), (fragment & 0x1FFF) * 8
        return Fragment(key, offset, more, data, len(data) == length - header, ip)
    return _from_udp(data, ip, length - header)


def _from_ipv6(packet: bytes) -> CapturedDatagram | Fragment | str:
    first, length, kind, ttl, source, destination = struct.unpack_from("!IHBB16s16s", packet)
    ip = _IPHeader(IPv6Address(source), IPv6Address(destination), ttl, first >> 20 & 0xFF)
    end = 40 + length
    kind, start = _skip_extensions(packet, kind, 40)
    if kind == _FRAGMENT_HEADER:
        inner, place, identification = struct.unpack_from("!BxHI", packet, start)
        if inner not in (_UDP, *_EXTENSIONS):
            return NOT_UDP
        data = packet[start + 8 : end]
        key = (ip.source, ip.destination, identification)
        whole = len(data) == end - start - 8
        return Fragment(key, place & 0xFFF8, bool(place & 1), data, whole, ip, inner)
    if kind != _UDP:
        return NOT_UDP
    return _from_udp(packet[start:end], ip, end - start)


def _skip_extensions(packet: bytes, kind: int, start: int) -> tuple[int, int]:
    """Return the first header that is no extension of IPv6 or a fragment's, and its place."""
    while kind in _EXTENSIONS:
        kind, units = struct.unpack_from("!BB", packet, start)
        start += (units + 1) * 8
    return kind, start


def _from_udp(segment: bytes, ip: _IPHeader, room: int) -> CapturedDatagram | str:
    source_port, port, length = struct.unpack_from("!HHH", segment)
    if length < _UDP_HEADER_BYTES or length > min(room, len(segment)):
        return CUT_SHORT
    data = segment[_UDP_HEADER_BYTES:length]
    return CapturedDatagram(
        ip.source, source_port, ip.destination, port, ip.ttl, data, ip.traffic_class
    )


class Reassembly:
    """The fragments of datagrams, until each datagram is whole; memory stays bounded."""

    def __init__(self) -> None:
        self._parts: OrderedDict[tuple[IPAddress, IPAddress, int], dict[int, Fragment]]
        self._parts = OrderedDict()
        self._given_up = 0

    @property
    def incomplete(self) -> int:
        """The number of fragments that belong to no whole datagram."""
        return self._given_up + sum(map(len, self._parts.values()))

    def add(self, fragment: Fragment) -> CapturedDatagram | str | None:
        """Return the datagram that a fragment completes.

        Returns:
            The datagram; `None` if others of its fragments are missing yet; the reason if there is
            no UDP datagram in it.
        """
        if not fragment.is_whole:
            self._given_up += 1
            return None
        parts = self._parts.setdefault(fragment.key, {})
        parts[fragment.offset] = fragment
        whole = _join(parts)
        if whole is None:
            while len(self._parts) > _MOST_INCOMPLETE:
                self._given_up += len(self._parts.popitem(last=False)[1])
            return None
        del self._parts[fragment.key]
        try:
            kind, start = _skip_extensions(whole, parts[0].first_header, 0)
            if kind != _UDP:
                return NOT_UDP
            return _from_udp(whole[start:], parts[0].ip, len(whole) - start)
        except (struct.error, IndexError):
            return CUT_SHORT


def _join(parts: dict[int, Fragment]) -> bytes | None:
    """Return the data of fragments, if they are all of a datagram and lie end to end."""
    end = 0
    for offset in sorted(parts):
        if offset != end:
            return None
        end += len(parts[offset].data)
    if parts[max(parts)].more:
        return None
    return b"".join(parts[offset].data for offset in sorted(parts))
