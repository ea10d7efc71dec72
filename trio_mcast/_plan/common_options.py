"""Socket options that several kinds of sockets share. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .._platform import options as layout
from .._platform.model import Platform
from .._platform.options import SocketOption
from .._values.addresses import Family
from .wanted import ReceiveRequest, SendRequest

# The receive buffer to ask for unless the user names another. The usual default of Linux, 208 KiB,
# holds some 270 small datagrams, because each is charged with the kernel's bookkeeping.
DEFAULT_RECEIVE_BUFFER_BYTES = 1_048_576


class Wishes(NamedTuple):
    """The part of a request that the options of a receiver's socket follow from."""

    loopback: bool
    receive_ttl: bool
    receive_timestamp: bool
    receive_traffic_class: bool
    receive_buffer_size: int | None
    receive_units: bool

    @classmethod
    def of(cls, request: ReceiveRequest) -> Wishes:
        """Return that part of a request."""
        return cls(
            request.loopback,
            request.receive_ttl,
            request.receive_timestamp,
            request.receive_traffic_class,
            request.receive_buffer_size,
            request.receive_units,
        )


def port_options(platform: Platform, port: str = "the port") -> Iterator[SocketOption]:
    """Yield the options that share a port with other programs, the further ones where needed."""
    for symbol in platform.port_sharing:
        yield layout.option(platform, symbol, 1, f"share {port} with other programs")
    for symbol in platform.other_port_sharing:
        purpose = f"if {port} is in use: share it with programs that have set only this"
        yield layout.other_sharing(platform, symbol, 1, purpose)


def exact_port_options(platform: Platform) -> Iterator[SocketOption]:
    """Yield the options that a group's socket needs after the bind to be given its own datagrams.

    A socket that was bound with SO_REUSEPORT is in a set with those that are bound alike. While it
    has the option, Linux gives a group's datagram that it alone has joined to any of the set, by a
    hash of the addresses: on two interfaces, what comes in on one is given to the socket of the
    other (measured on 6.18, in about half of the runs). So the option is taken back.

    A socket that is given the option after the bind is in no such set. Then a program that has
    only this option can have the port, too, and all are given the group's datagrams (measured). The
    exception: one that is bound to the group without having joined any, and has set
    IP_MULTICAST_ALL=0, gets some that are for this socket.
    """
    for symbol in platform.other_port_sharing:
        purpose = "share the port with programs that come later and set only this"
        yield layout.later_sharing(platform, symbol, purpose)
        purpose = "after that: only what this socket has joined itself"
        yield layout.other_sharing(platform, symbol, 0, purpose)


def sharing_options(family: Family, platform: Platform) -> Iterator[SocketOption]:
    """Yield the options that every socket of a receiver needs to be bound."""
    yield from port_options(platform)
    if family == "ipv6":
        yield ipv6_only(platform)


def arrival_options(
    family: Family, request: Wishes | ReceiveRequest | SendRequest, platform: Platform
) -> Iterator[SocketOption]:
    """Yield the options for what is to be told of each datagram on arrival.

    Raises:
        ValueError: The platform cannot tell.
    """
    if request.receive_ttl:
        yield layout.receive_ttl(platform, family)
    if request.receive_timestamp:
        yield layout.receive_timestamp(platform)
    if request.receive_traffic_class:
        purpose = "deliver the DSCP and ECN bits with each datagram"
        yield layout.family_option(platform, "receive_traffic_class", family, 1, purpose)


def reading_options(
    family: Family, request: Wishes | ReceiveRequest, platform: Platform
) -> Iterator[SocketOption]:
    """Yield the options for reading every socket of a receiver."""
    yield from arrival_options(family, request, platform)
    units = layout.receive_units(platform)
    if units is not None and request.receive_units:
        yield units
    if request.receive_buffer_size is None:
        yield layout.option(platform, "SO_RCVBUF", DEFAULT_RECEIVE_BUFFER_BYTES, "room for bursts")
    else:
        yield layout.receive_buffer(platform, request.receive_buffer_size)


LOOPBACK_PURPOSE = "whether datagrams sent from this machine are delivered on it"


def ipv6_only(platform: Platform) -> SocketOption:
    """Return the option that keeps an IPv6 socket off the IPv4 port."""
    return layout.option(platform, "IPV6_V6ONLY", 1, "leave the IPv4 port alone")
