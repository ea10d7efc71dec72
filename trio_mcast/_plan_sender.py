"""The planner for senders: one socket per interface and address to send from. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import attrs

from ._addresses import Family, Group, IPAddress, family_of, is_link_scoped, without_zone
from ._errors import AmbiguousInterfaceError
from ._interface import (
    Interface,
    InterfaceSelector,
    Selection,
    describe_interfaces,
    is_candidate,
)
from ._plan import (
    DEFAULT_RECEIVE_BUFFER_BYTES,
    FAMILY_LABEL,
    LOOPBACK_PURPOSE,
    SocketSpec,
    bind_address,
    bind_wildcard,
    ipv6_only,
    pair_groups,
)
from ._platform import Platform, SocketOption
from ._platform import _layout as layout

# Nobody sends from this port (RFC 863), least of all from this machine's own addresses.
_DISCARD_PORT = 9

Router: TypeAlias = Callable[[Group], "Interface | None"]


@attrs.frozen
class SenderWishes:
    """What the sockets of a sender have in common."""

    ttl: int = 1
    loopback: bool = True
    traffic_class: int | None = None
    source_address: IPAddress | None = None
    source_port: int = 0
    send_buffer_size: int | None = None
    receive_replies: bool = False


@attrs.frozen
class SenderPlan:
    """The sockets of a sender, and which group goes out through which of them, by position."""

    sockets: tuple[SocketSpec, ...]
    targets: tuple[tuple[Group, int], ...]


def plan_sender(
    groups: Sequence[Group],
    selectors: Sequence[InterfaceSelector] | None,
    wishes: SenderWishes,
    interfaces: Sequence[Interface],
    platform: Platform,
    route: Router = lambda group: None,
) -> SenderPlan:
    """The sockets of a sender: one per interface and address to send from.

    Args:
        groups: The groups to send to.
        selectors: The interfaces to send on; `None` leaves the choice to ``route``.
        wishes: What the sockets have in common.
        interfaces: The interfaces there are.
        platform: The platform to plan for.
        route: The interface to which the system routes a group, or `None` if to none.

    Raises:
        InterfaceNotFoundError: A selector or a zone names no interface, or there is no candidate.
        AmbiguousInterfaceError: There is more than one candidate, or an address is on two.
        ValueError: The groups, interfaces and source address do not go together.
    """
    source = wishes.source_address
    if source is not None and not any(family_of(source) == group.family for group in groups):
        label = FAMILY_LABEL[family_of(source)]
        raise ValueError(f"source_address {source} is {label}, but no group is {label}")
    if selectors is None:
        pairs = [
            pair
            for group in groups
            for pair in pair_groups(
                [group], _default_selectors(group, source, interfaces, route), interfaces
            )
        ]
    else:
        pairs = pair_groups(groups, selectors, interfaces)
    sockets: dict[tuple[str, Family, IPAddress | None], SocketSpec] = {}
    targets = []
    for group, selection in dict.fromkeys(pairs):
        local = _source_for(group, selection, source)
        key = (selection.interface.name, group.family, local)
        if key not in sockets:
            sockets[key] = _plan_sender_socket(selection.interface, key[1:], wishes, platform)
        targets.append((group, list(sockets).index(key)))
    # Two pairs can come to the same: a group named with and without a zone.
    return SenderPlan(tuple(sockets.values()), tuple(dict.fromkeys(targets)))


def _default_selectors(
    group: Group, source: IPAddress | None, interfaces: Sequence[Interface], route: Router
) -> list[InterfaceSelector] | None:
    """The interface for a group where the user names none; `None` if the group's zone names it."""
    if group.zone is not None:
        return None
    if source is not None and family_of(source) == group.family:
        return [source]
    routed = route(group)
    if routed is not None:
        return [routed]
    candidates = [item for item in interfaces if is_candidate(item)]
    if len(candidates) > 1:
        raise AmbiguousInterfaceError(
            f"the system has no route to group {group}, and {len(candidates)} interfaces could "
            f"be meant: {describe_interfaces(candidates)}; name one in interfaces="
        )
    return None


def _source_for(
    group: Group, selection: Selection, source_address: IPAddress | None
) -> IPAddress | None:
    """The address that a sender's datagrams to a group come from; `None` if the interface has none.

    It is chosen here, not by the system: left to itself Linux may send with another interface's
    address, over the loopback interface even with 0.0.0.0 (measured on 6.18). An IPv6 group of
    link-local scope gets a link-local source and a wider one a wider source, as RFC 6724 has it.
    """
    own = selection.interface.addresses(group.family)
    if source_address is not None and family_of(source_address) == group.family:
        bare = without_zone(source_address)
        if bare not in own:
            there = ", ".join(str(item) for item in own) or "none of this family"
            raise ValueError(
                f"source_address {source_address} is not an address of interface "
                f"{selection.interface.name} (its addresses: {there})"
            )
        return bare
    if selection.address is not None:
        return selection.address
    if group.family == "ipv6":
        wanted = [item for item in own if item.is_link_local == is_link_scoped(group.address)]
        own = (*wanted, *own)
    return next(iter(own), None)


def _plan_sender_socket(
    interface: Interface,
    local: tuple[Family, IPAddress | None],
    wishes: SenderWishes,
    platform: Platform,
) -> SocketSpec:
    family, address = local
    if address is None:
        bind = bind_wildcard(family, wishes.source_port)
    else:
        scope = interface.index if address.is_link_local else 0
        bind = bind_address(address, wishes.source_port, scope)
    options = list(_sender_options(interface, local, wishes, platform))
    if wishes.receive_replies:
        restricted = address is None
        options += _reply_options(interface, family, platform, restricted=restricted)
    peer = None
    shared = wishes.source_port and not wishes.receive_replies
    if shared and address is not None and platform.connected_sends_anywhere:
        peer = (bind[0], _DISCARD_PORT, *bind[2:])
    return SocketSpec(family, interface, None, (), bind, tuple(options), peer=peer)


def _sender_options(
    interface: Interface,
    local: tuple[Family, IPAddress | None],
    wishes: SenderWishes,
    platform: Platform,
) -> Iterator[SocketOption]:
    family, address = local
    if wishes.source_port:
        for symbol in platform.port_sharing:
            yield layout.option(platform, symbol, 1, "share the source port with other programs")
    if family == "ipv6":
        yield ipv6_only(platform)
    yield layout.multicast_interface(platform, family, interface.index, address)
    yield layout.family_option(
        platform, "ttl", family, wishes.ttl, "how many routers a datagram passes, plus one"
    )
    if not platform.receiver_decides_loopback:
        yield layout.family_option(
            platform, "loopback", family, int(wishes.loopback), LOOPBACK_PURPOSE
        )
    if wishes.traffic_class is not None:
        yield layout.family_option(
            platform, "traffic_class", family, wishes.traffic_class, "the DSCP and ECN bits"
        )
    least, size = platform.least_send_buffer, wishes.send_buffer_size
    if size is not None and size >= (least or 0):
        yield layout.option(platform, "SO_SNDBUF", size, "room for bursts of datagrams to send")
    elif least is not None:
        yield layout.option(platform, "SO_SNDBUF", least, "room for the largest datagram")


def _reply_options(
    interface: Interface, family: Family, platform: Platform, *, restricted: bool
) -> Iterator[SocketOption]:
    """What a sender's socket needs besides, to be read for unicast answers to its port.

    Bound to an address, it gets nothing but unicast to that address. Bound to none, because the
    interface has none, it would get unicast to any address of this machine, on any interface, and
    the groups that other programs have joined: that is what ``restricted`` keeps out. Broadcasts
    stay: to an interface without an address, an answer can hardly come in any other way.
    """
    if restricted:
        yield from layout.unicast_restriction(platform, family, interface.name)
    units = layout.receive_units(platform)
    if units is not None:
        yield units
    yield layout.option(
        platform, "SO_RCVBUF", DEFAULT_RECEIVE_BUFFER_BYTES, "room for bursts of replies"
    )
