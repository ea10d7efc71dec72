"""The differences between operating systems, as one frozen value per system. Pure.

A symbol that is missing from a table's ``constants`` means "not on this OS".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs

from .._values.addresses import Family, SockaddrFormat

PlatformName: TypeAlias = Literal["linux", "darwin", "freebsd", "windows"]


@attrs.frozen
class GroupRequestLayout:
    """Sizes and offsets of ``struct group_req`` and ``struct group_source_req`` (RFC 3678).

    Both begin with the interface's index in four bytes.
    """

    group_req_size: int
    group_source_req_size: int
    group_offset: int
    source_offset: int


# 64-bit Linux, FreeBSD and Windows align the sockaddr_storage to 8; 32-bit Linux to 4; and macOS
# packs the structures to 4 in 64-bit programs too (#pragma pack(4) in its netinet/in.h).
ALIGNED_TO_8 = GroupRequestLayout(136, 264, 8, 136)
PACKED_TO_4 = GroupRequestLayout(132, 260, 4, 132)

# For the systems on which SO_SNDBUF limits the size of a datagram: 65,535 bytes, and room for
# ancillary data, which counts on those systems as well. Beyond that the number is arbitrary.
LARGEST_DATAGRAM_FITS = 73_728


@attrs.frozen
class Timestamps:
    """The request for the kernel's arrival time, and the form of the answer.

    Attributes:
        option: The option that asks for the time.
        layout: The `struct` format of the two fields, seconds and a fraction.
        fraction_ns: Nanoseconds in one unit of the fraction.
        control: The type of the ancillary data that carry the time, if not that of the option.
    """

    option: str
    layout: str
    fraction_ns: int
    control: str = ""

    @property
    def kind(self) -> str:
        """The symbol of the ancillary data: on Linux that of the option."""
        return self.control or self.option


@attrs.frozen(eq=False)
class Platform:
    """One operating system, as far as multicast sockets are concerned.

    A platform is equal to itself only, so that what follows from it can be kept for it.

    Attributes:
        name: The system's name.
        constants: Option numbers and the like by C name.
        sockaddr: The format of socket addresses.
        group_request: The layout of the arguments of the MCAST_* options.
        port_sharing: The options that let several sockets have one port.
        other_port_sharing: The options that do so too, and that other programs may have set alone.
            The system shares datagrams out among the sockets that have set them.
        exact_groups: By family, the option that must be 0 for a socket to get only the groups that
            this socket has joined; a family that is missing needs no option.
        interface_restriction: By family, the option that keeps a socket to one interface, where
            the membership alone does not.
        restriction_fallback: By family, the option to set where the restriction is refused: it asks
            for the interface of arrival.
        device_binding: By family, the option that binds a socket to an interface for all it gets.
        packet_info: By family, the options with which each datagram tells the destination address
            and the interface of arrival.
        packet_info_index: By family, the offset of the interface's index in the structure that
            IP_PKTINFO and IPV6_PKTINFO deliver.
        groups_leak: By family, the option that must be 1 for a socket without any membership not
            to be given every group on the port, also if the socket is bound to an address of this
            machine; a family that is missing needs none for a socket that is bound to an address.
        packet_info_destination: By family, the offset of the destination address in that structure.
        binds_to_group: Whether a socket can be bound to a group's address.
        joins_before_bind: Whether a socket can join before it is bound; then no datagram can slip
            in between the steps.
        receiver_decides_loopback: Whether IP_MULTICAST_LOOP counts on the receiving socket.
        takes_mreqn: Whether IP_MULTICAST_IF and IP_ADD_MEMBERSHIP take a ``struct ip_mreqn``, which
            has the interface's index; else they take the index in network byte order and an
            address.
        join_fallback: Whether joins have an older option to fall back to.
        connected_sends_anywhere: Whether a socket that is connected can send to others than the
            peer.
        keeps_ttl_zero: Whether a datagram to a group with a ttl of 0 never leaves this machine.
        source_limit: By family, how many sources one socket takes; a missing one has no limit.
        blocks_sources: Whether MCAST_BLOCK_SOURCE is to be set for a source that is left out.
        filters_blocked: Whether a socket is then given nothing of that source. Where it is, all the
            same, the option tells the network who is not wanted, and no more.
        least_send_buffer: The least SO_SNDBUF with which the largest datagram can be sent; `None`
            where the buffer's size does not limit a datagram's size.
        announces_departures: Whether whoever watches interfaces is told which have gone.
        doubles_buffers: Whether SO_RCVBUF and SO_SNDBUF read back as twice what was granted.
        ttl_control: By family, the ancillary data type that carries a datagram's ttl.
        traffic_class_control: By family, the ancillary data type that carries the traffic class.
        joins_without_address: Whether a group can be joined on an interface that has no address of
            the group's family.
        has_filters: Whether a socket is given only what it has joined, and from the sources that it
            has chosen. Where it is not, the options for that may be accepted all the same.
        delivers_anywhere: Groups that a socket is given from every interface and every source,
            whatever it has joined.
        passing_join_errors: By family, the errors with which a join may be refused although nothing
            is wrong, and succeed a little later.
        shares_among_users: Whether a port at an address of this machine can be shared with another
            user's programs, if they agree.
        timestamps: The requests for arrival times, each for where those before are refused; empty
            where there are none.
    """

    name: PlatformName
    constants: Mapping[str, int]
    sockaddr: SockaddrFormat
    group_request: GroupRequestLayout
    port_sharing: tuple[str, ...]
    other_port_sharing: tuple[str, ...]
    exact_groups: Mapping[Family, str]
    interface_restriction: Mapping[Family, str]
    restriction_fallback: Mapping[Family, str]
    device_binding: Mapping[Family, str]
    packet_info: Mapping[Family, tuple[str, ...]]
    packet_info_index: Mapping[Family, int]
    groups_leak: Mapping[Family, str]
    packet_info_destination: Mapping[Family, int]
    binds_to_group: bool
    joins_before_bind: bool
    receiver_decides_loopback: bool
    takes_mreqn: bool
    join_fallback: bool
    connected_sends_anywhere: bool
    keeps_ttl_zero: bool
    source_limit: Mapping[Family, int]
    blocks_sources: bool
    filters_blocked: bool
    least_send_buffer: int | None
    announces_departures: bool
    doubles_buffers: bool
    ttl_control: Mapping[Family, str]
    traffic_class_control: Mapping[Family, str]
    timestamps: tuple[Timestamps, ...]
    shares_among_users: bool = True
    joins_without_address: bool = True
    has_filters: bool = True
    delivers_anywhere: frozenset[str] = frozenset()
    passing_join_errors: Mapping[Family, frozenset[int]] = attrs.field(factory=dict)

    def level(self, symbol: str, family: Family) -> int:
        """Return the level at which an option is set: the prefix of the symbol tells."""
        if symbol.startswith("SO_"):
            return self.constants["SOL_SOCKET"]
        if symbol.startswith("UDP_"):
            return self.constants["IPPROTO_UDP"]
        if symbol.startswith("IPV6_") or (symbol.startswith("MCAST_") and family == "ipv6"):
            return self.constants["IPPROTO_IPV6"]
        return self.constants["IPPROTO_IP"]
