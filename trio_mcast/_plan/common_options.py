"""Socket options that several kinds of sockets share. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from .._platform import options as layout
from .._platform.model import Platform
from .._platform.options import SocketOption
from .._values.addresses import Family
from .wanted import ReceiveRequest

# The receive buffer to ask for unless the user names another. The usual default of Linux, 208 KiB,
# holds some 270 small datagrams, because each is charged with the kernel's bookkeeping.
DEFAULT_RECEIVE_BUFFER_BYTES = 1_048_576


def sharing_options(family: Family, platform: Platform) -> Iterator[SocketOption]:
    """Yield the options that every socket of a receiver needs to be bound."""
    for symbol in platform.port_sharing:
        yield layout.option(platform, symbol, 1, "share the port with other programs")
    if family == "ipv6":
        yield ipv6_only(platform)


def reading_options(
    family: Family, request: ReceiveRequest, platform: Platform
) -> Iterator[SocketOption]:
    """Yield the options for reading every socket of a receiver."""
    if request.receive_ttl:
        yield layout.receive_ttl(platform, family)
    if request.receive_timestamp:
        yield layout.receive_timestamp(platform)
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
