"""The frames of a virtual network, and the filter of a membership's sources. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from ipaddress import ip_address
from typing import Final, Literal, Protocol, TypeAlias

import attrs

from .._values.addresses import Endpoint, Family, IPAddress, family_of
from ._charges import packet_bytes, parts


@attrs.frozen
class SourceFilter:
    """The wanted sources of a group: only some, or all but some (RFC 3376, RFC 3810)."""

    mode: Literal["include", "exclude"]
    sources: frozenset[IPAddress] = frozenset()

    def allows(self, source: IPAddress) -> bool:
        """Tell whether datagrams of a source are wanted."""
        if not self.sources:
            return self.mode == "exclude"
        return (source in self.sources) is (self.mode == "include")

    def covers(self, other: SourceFilter) -> bool:
        """Tell whether all sources that another filter wants are wanted."""
        if other.mode == "include":
            return all(map(self.allows, other.sources))
        return self.mode == "exclude" and self.sources <= other.sources

    def __str__(self) -> str:
        sources = sorted(self.sources, key=lambda source: source.packed)
        listed = ", ".join(str(source) for source in sources)
        if self.mode == "include":
            return f"only from {listed}" if listed else "from nobody"
        return f"from all but {listed}" if listed else "from any source"


ANY_SOURCE = SourceFilter("exclude")
NO_SOURCE = SourceFilter("include")


def merge_filters(filters: Iterable[SourceFilter]) -> SourceFilter:
    """Return the filter of an interface on behalf of several sockets (RFC 3376, 3.2)."""
    all_filters = list(filters)
    if len(all_filters) == 1:
        return all_filters[0]
    included = frozenset[IPAddress]().union(
        *(source_filter.sources for source_filter in all_filters if source_filter.mode == "include")
    )
    excluding = [
        source_filter.sources for source_filter in all_filters if source_filter.mode == "exclude"
    ]
    if not excluding:
        return SourceFilter("include", included)
    return SourceFilter("exclude", frozenset.intersection(*excluding) - included)


@attrs.frozen(slots=False)
class Packet:
    """A UDP datagram with the fields of the IP header.

    One packet is delivered to many sockets: so what follows from its fields is worked out once.
    """

    source: IPAddress
    source_port: int
    destination: IPAddress
    port: int
    ttl: int
    data: bytes
    traffic_class: int = 0
    mtu: int = 1_500
    """The mtu of the interface that it is sent through: larger datagrams go in fragments."""
    next_hop: IPAddress | None = None
    """The address of the interface that gets unicast, where a trunk leads to that."""

    @cached_property
    def family(self) -> Family:
        """The family of the two addresses."""
        return family_of(self.destination)

    @cached_property
    def is_to_group(self) -> bool:
        """Whether the destination is a group."""
        return self.destination.is_multicast

    @cached_property
    def is_to_all_hosts(self) -> bool:
        """Whether the destination is a group that every host is in without a join."""
        return is_all_hosts(self.destination)

    @cached_property
    def has_reserved_scope(self) -> bool:
        """Whether the destination is in ff00::/16: whoever gets such a packet drops it.

        RFC 4291, 2.7; ip6_rcv_core in net/ipv6/ip6_input.c, ip6_input of XNU and FreeBSD.
        """
        return self.family == "ipv6" and self.is_to_group and not multicast_scope(self.destination)

    @cached_property
    def packed_source(self) -> bytes:
        """The bytes of the source's address."""
        return self.source.packed

    @cached_property
    def packed_destination(self) -> bytes:
        """The bytes of the destination's address."""
        return self.destination.packed

    @cached_property
    def sender(self) -> tuple[str, int]:
        """The source's address and port, as text and number: senders are ordered by these."""
        return str(self.source), self.source_port

    @cached_property
    def source_text(self) -> str:
        """The source as people read it."""
        return str(Endpoint(*self.sender))

    @cached_property
    def destination_text(self) -> str:
        """The destination as people read it."""
        return str(Endpoint(str(self.destination), self.port))


@attrs.frozen
class RefusedDatagram:
    """A datagram that a host's system refused to send: it has no source yet."""

    destination_text: str
    data: bytes
    source_text: None = None


class Reporter(Protocol):
    """An interface that sends reports."""

    number: int


@attrs.frozen
class Report:
    """An IGMPv3 or MLDv2 report with one record: a group, and the wanted sources.

    Attributes:
        group: The group.
        filter: The wanted sources.
        reporter: The interface that has sent the report, where a switch passes it on.
    """

    group: IPAddress
    filter: SourceFilter
    reporter: Reporter | None = None


@attrs.frozen
class Query:
    """A query: asks every interface for reports on all groups, or on one.

    Attributes:
        response_seconds: The time in which each host answers, at a random moment of its own.
        switch: The number of the switch that asks, which stands for its address; 0 for a router.
        group: The group in question; `None` for all.
    """

    response_seconds: float
    switch: int = 0
    group: IPAddress | None = None


Frame: TypeAlias = Packet | Report | Query


# Bytes around each packet on Ethernet: preamble, header, checksum and the gap after it (IEEE 802.3,
# 3.1.1 and 4.4.2); and the least that a frame takes with preamble and gap.
_AROUND_PACKET: Final = 8 + 14 + 4 + 12
_LEAST_ON_WIRE: Final = 8 + 64 + 12

_ALL_HOSTS: Final = frozenset(map(ip_address, ("224.0.0.1", "ff01::1", "ff02::1")))


def fragments(frame: Frame) -> int:
    """Return the number of frames that a frame takes on the wire."""
    if not isinstance(frame, Packet) or len(frame.data) + 48 <= frame.mtu:
        return 1
    return len(parts(frame.family, len(frame.data), frame.mtu))


def wire_bytes(frame: Frame) -> int:
    """Return the bytes that a frame takes on Ethernet, with those of all fragments."""
    if not isinstance(frame, Packet):
        return _LEAST_ON_WIRE
    packets = packet_bytes(frame.family, len(frame.data), frame.mtu)
    return sum(max(length + _AROUND_PACKET, _LEAST_ON_WIRE) for length in packets)


def fits(packet: Packet, mtu: int) -> bool:
    """Tell whether an interface takes in all packets of a datagram."""
    if packet.mtu <= mtu or len(packet.data) + 48 <= mtu:
        return True
    # is_skb_forwardable in net/core/dev.c: four bytes more may be a VLAN tag.
    return max(packet_bytes(packet.family, len(packet.data), packet.mtu)) <= mtu + 4


def is_flooded(group: IPAddress) -> bool:
    """Tell whether switches pass a group to every port, reports or not (RFC 4541, 2.1.2 and 3)."""
    if group.version == 4:
        return group.packed[:3] == b"\xe0\x00\x00"  # 224.0.0.0/24
    return str(group) == "ff02::1"


def is_all_hosts(group: IPAddress) -> bool:
    """Tell whether a group is one that every host is in without a join."""
    return group in _ALL_HOSTS


def multicast_scope(group: IPAddress) -> int:
    """Return the scope of an IPv6 group (RFC 7346); 14, global, for IPv4, which has none."""
    return group.packed[1] & 0x0F if group.version == 6 else 14


def is_routable(group: IPAddress) -> bool:
    """Tell whether a router may forward a group at all."""
    if group.version == 4:
        return not is_flooded(group)
    return multicast_scope(group) > 2
