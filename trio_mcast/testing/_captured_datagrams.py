"""The UDP datagrams in captured frames, and the reason why a frame has none. Pure."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from .._values.addresses import IPAddress
from ._frames import Packet

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

# The reasons.
UNKNOWN_LINK: Final = "unknown link type"
NOT_IP: Final = "not IP"
NOT_UDP: Final = "not UDP"
FRAGMENT: Final = "fragment"
CUT_SHORT: Final = "cut short"


class _IPHeader(NamedTuple):
    """The fields of an IP header that a virtual network has."""

    source: IPAddress
    destination: IPAddress
    ttl: int
    traffic_class: int


def datagram_of(link_type: int, frame: bytes) -> Packet | str:
    """Return the UDP datagram in a frame, or the reason why there is none to return.

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


def _from_ipv4(packet: bytes) -> Packet | str:
    traffic_class, length, fragment = struct.unpack_from("!xBHxxH", packet)
    ttl, protocol, source, destination = struct.unpack_from("!8xBB2x4s4s", packet)
    if protocol != _UDP:
        return NOT_UDP
    if fragment & 0x3FFF:  # More fragments, or an offset.
        return FRAGMENT
    header = (packet[0] & 0x0F) * 4
    ip = _IPHeader(IPv4Address(source), IPv4Address(destination), ttl, traffic_class)
    return _from_udp(packet[header:length], ip, length - header)


def _from_ipv6(packet: bytes) -> Packet | str:
    first, length, kind, ttl, source, destination = struct.unpack_from("!IHBB16s16s", packet)
    start = 40
    while kind in _EXTENSIONS:
        kind, units = struct.unpack_from("!BB", packet, start)
        start += (units + 1) * 8
    if kind == _FRAGMENT_HEADER:
        (inner,) = struct.unpack_from("!B", packet, start)
        return FRAGMENT if inner in (_UDP, *_EXTENSIONS) else NOT_UDP
    if kind != _UDP:
        return NOT_UDP
    end = 40 + length
    ip = _IPHeader(IPv6Address(source), IPv6Address(destination), ttl, first >> 20 & 0xFF)
    return _from_udp(packet[start:end], ip, end - start)


def _from_udp(segment: bytes, ip: _IPHeader, room: int) -> Packet | str:
    source_port, port, length = struct.unpack_from("!HHH", segment)
    if length < _UDP_HEADER_BYTES or length > min(room, len(segment)):
        return CUT_SHORT
    data = segment[_UDP_HEADER_BYTES:length]
    return Packet(
        ip.source, source_port, ip.destination, port, ip.ttl, data, traffic_class=ip.traffic_class
    )
