"""The plan of one socket of a sender: bound to the address that it sends from. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from .._platform import options as layout
from .._platform import restrictions
from .._platform.model import Platform
from .._platform.options import SocketOption
from .._values.addresses import Family, IPAddress
from .._values.interface import Interface
from .common_options import (
    DEFAULT_RECEIVE_BUFFER_BYTES,
    LOOPBACK_PURPOSE,
    arrival_options,
    ipv6_only,
    port_options,
)
from .socket_spec import SocketSpec, bind_address, bind_wildcard
from .wanted import SendRequest

# Nobody sends from this port (RFC 863), least of all from this machine's own addresses.
_DISCARD_PORT = 9


def plan_sender_socket(
    interface: Interface,
    local: tuple[Family, IPAddress],
    request: SendRequest,
    platform: Platform,
    *,
    is_shared: bool = False,
) -> SocketSpec:
    """Plan one socket of a sender.

    Args:
        interface: The interface to send on.
        local: The family, and the address to send from.
        request: The request for the sender.
        platform: The platform to plan for.
        is_shared: Whether another interface has the address, too.
    """
    family, address = local
    scope = interface.index if address.is_link_local else 0
    bind = bind_address(address, request.source_port, scope)
    options = list(_sender_options(interface, local, request, platform))
    if request.receive_replies:
        if is_shared:
            options += restrictions.unicast_restriction(
                platform, family, interface.name, interface.index
            )
        options += _reply_options(platform)
        options += arrival_options(family, request, platform)
    peer = None
    shared = request.source_port and not request.receive_replies
    if shared and platform.connected_sends_anywhere:
        peer = (bind[0], _DISCARD_PORT, *bind[2:])
    wide = None
    if request.source_port and not platform.shares_among_users:
        wide = bind_wildcard(family, request.source_port)
        if request.receive_replies:
            told = {each.symbol for each in options}
            telling = restrictions.telling_options(platform, family)
            options += [
                attrs.evolve(each, required=False, if_taken=True)
                for each in telling
                if each.symbol not in told
            ]
    checks = is_shared and request.receive_replies and family not in platform.device_binding
    return SocketSpec(
        family,
        interface,
        None,
        (),
        bind,
        tuple(options),
        checks_interface=checks,
        bind_if_taken=wide,
        peer=peer,
    )


def stand_in(interface: Interface, family: Family) -> SocketSpec:
    """Return what stands for a socket on an interface that has no address to send from.

    It is never opened: bound to no address, it would be given unicast to any address of this
    machine, which other programs on the port wait for, and send from another interface's address.
    """
    return SocketSpec(family, interface, None, (), bind_wildcard(family, 0), ())


def _sender_options(
    interface: Interface,
    local: tuple[Family, IPAddress],
    request: SendRequest,
    platform: Platform,
) -> Iterator[SocketOption]:
    family, address = local
    if request.source_port:
        yield from port_options(platform, "the source port")
    if family == "ipv6":
        yield ipv6_only(platform)
    yield layout.multicast_interface(platform, family, interface.index, address)
    yield layout.family_option(
        platform, "ttl", family, request.ttl, "how many routers a datagram passes, plus one"
    )
    if request.unicast_ttl is not None:
        yield layout.family_option(
            platform, "unicast_ttl", family, request.unicast_ttl, "the ttl of what goes to one peer"
        )
    if not platform.receiver_decides_loopback:
        yield layout.family_option(
            platform, "loopback", family, int(request.loopback), LOOPBACK_PURPOSE
        )
    if request.traffic_class is not None:
        yield layout.family_option(
            platform, "traffic_class", family, request.traffic_class, "the DSCP and ECN bits"
        )
    least, size = platform.least_send_buffer, request.send_buffer_size
    if size is not None and size >= (least or 0):
        yield layout.option(platform, "SO_SNDBUF", size, "room for bursts of datagrams to send")
    elif least is not None:
        yield layout.option(platform, "SO_SNDBUF", least, "room for the largest datagram")


def _reply_options(platform: Platform) -> Iterator[SocketOption]:
    """Yield the further options of a sender's socket that is read for unicast answers to its port.

    A socket that is bound to an address gets nothing but unicast to that address.
    """
    units = layout.receive_units(platform)
    if units is not None:
        yield units
    yield layout.option(
        platform, "SO_RCVBUF", DEFAULT_RECEIVE_BUFFER_BYTES, "room for bursts of replies"
    )
