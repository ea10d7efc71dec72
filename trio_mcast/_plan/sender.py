"""The planner for senders: one socket per interface and address to send from. Pure."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import attrs

from .._platform import options as layout
from .._platform.model import Platform
from .._platform.options import SocketOption
from .._values.addresses import (
    FAMILY_LABEL,
    Family,
    Group,
    IPAddress,
    family_of,
    is_link_scoped,
    parse_address,
    without_zone,
)
from .._values.errors import AmbiguousInterfaceError, InterfaceNotFoundError
from .._values.interface import Interface, describe_interfaces
from .common_options import DEFAULT_RECEIVE_BUFFER_BYTES, LOOPBACK_PURPOSE, ipv6_only
from .pairs import pair_groups
from .selecting import Selection, by_zone, is_candidate, select_interfaces
from .socket_spec import SocketSpec, bind_address, bind_wildcard
from .wanted import SendRequest

# Nobody sends from this port (RFC 863), least of all from this machine's own addresses.
_DISCARD_PORT = 9

Router: TypeAlias = Callable[[Group], "Interface | None"]
# What tells the sockets of a sender apart: an interface's name, a family, an address to send from.
SocketKey: TypeAlias = tuple[str, Family, "IPAddress | None"]


@attrs.frozen
class SenderWant:
    """A group, and where a sender is to send it: looked for whenever the interfaces change.

    Interfaces are known by name here: the index of one that was removed and made again is another.

    Attributes:
        group: The group, without its zone.
        interface: The name of the interface. `None`: the one that has ``address`` or, without one,
            the one to which the system routes the group.
        address: An address that the interface must have, and that datagrams come from.
    """

    group: Group
    interface: str | None = None
    address: IPAddress | None = None


@attrs.frozen
class Absence:
    """Why a group cannot be sent where it is wanted, now that interfaces have changed."""

    errno: int
    reason: str


@attrs.frozen
class SenderPlan:
    """The sockets of a sender, and which of its wants goes out through which, by position."""

    sockets: tuple[SocketSpec, ...]
    wants: tuple[tuple[SenderWant, int], ...]

    @property
    def targets(self) -> tuple[tuple[Group, int], ...]:
        """Which group goes out through which socket, each pair once.

        Two wants can come to the same: a group named with and without a zone.
        """
        return tuple(dict.fromkeys((want.group, number) for want, number in self.wants))


def plan_sender(
    request: SendRequest,
    interfaces: Sequence[Interface],
    platform: Platform,
    route: Router = lambda group: None,
) -> SenderPlan:
    """The sockets of a sender: one per interface and address to send from.

    Args:
        request: What is wanted.
        interfaces: The interfaces there are.
        platform: The platform to plan for.
        route: The interface to which the system routes a group, or `None` if to none.

    Raises:
        InterfaceNotFoundError: A selector or a zone names no interface, or there is no candidate.
        AmbiguousInterfaceError: There is more than one candidate, or an address is on two.
        ValueError: The groups, interfaces and source address do not go together.
    """
    source = request.source_address
    places: dict[SenderWant, Selection] = {}
    if request.selectors is None:
        for want in [_default_want(group, source, interfaces) for group in request.groups]:
            places[want] = _find(want, interfaces, route)
    else:
        pairing = pair_groups(request.groups, request.selectors, interfaces)
        pairing.check_complete()
        for group, selection in pairing.pairs:
            places[_selected_want(group, selection)] = selection
    sockets: dict[SocketKey, SocketSpec] = {}
    wants = []
    for want, place in places.items():
        key = (place.interface.name, want.group.family, _source_for(want.group, place, source))
        if key not in sockets:
            sockets[key] = _plan_sender_socket(place.interface, key[1:], request, platform)
        wants.append((want, list(sockets).index(key)))
    return SenderPlan(tuple(sockets.values()), tuple(wants))


def replan_sender(
    wants: Sequence[tuple[SenderWant, SocketSpec, bool]],
    request: SendRequest,
    interfaces: Sequence[Interface],
    platform: Platform,
    route: Router,
) -> tuple[SocketSpec | Absence, ...]:
    """What the sockets of a sender should be, now that the interfaces have changed.

    What need not change does not: an address is kept as long as the interface has it and it fits,
    even if it is no longer the first.

    Args:
        wants: Each want, the plan of the last socket that it had, and whether that is open.
        request: As for `plan_sender`.
        interfaces: As for `plan_sender`.
        platform: As for `plan_sender`.
        route: As for `plan_sender`.
    """
    made: dict[SocketKey, SocketSpec] = {}
    planned: list[SocketSpec | Absence] = []
    for want, last, is_open in wants:
        bound = without_zone(parse_address(last.bind[0], "address"))
        try:
            place = _find(want, interfaces, route, last.interface)
            if is_open and not place.interface.is_up and _is_same(place.interface, last.interface):
                # Nothing can be sent there, and some of its addresses go with being up. Mostly it
                # comes back as it was, and then its socket is right again at once.
                local = None if bound.is_unspecified else bound
            else:
                local = _source_for(want.group, place, request.source_address, bound)
        except (InterfaceNotFoundError, AmbiguousInterfaceError, ValueError) as error:
            planned.append(_absence(want, error))
            continue
        if local is None and not bound.is_unspecified:
            # Without an address of its own, its datagrams would come from another interface's.
            label = FAMILY_LABEL[want.group.family]
            reason = f"interface {place.interface} has no {label} address now"
            planned.append(Absence(errno.EADDRNOTAVAIL, reason))
            continue
        key = (place.interface.name, want.group.family, local)
        if key not in made:
            made[key] = _plan_sender_socket(place.interface, key[1:], request, platform)
        planned.append(made[key])
    return tuple(planned)


def _is_same(one: Interface, other: Interface) -> bool:
    return (one.name, one.index) == (other.name, other.index)


def _absence(want: SenderWant, error: Exception) -> Absence:
    if isinstance(error, AmbiguousInterfaceError):
        return Absence(errno.ENETUNREACH, str(error))
    named = want.interface is not None or want.address is None
    if isinstance(error, InterfaceNotFoundError) and named:
        return Absence(errno.ENODEV, str(error))
    return Absence(errno.EADDRNOTAVAIL, str(error))


def _default_want(
    group: Group, source: IPAddress | None, interfaces: Sequence[Interface]
) -> SenderWant:
    """Where the user names no interface: the zone does, or the source address, or the route."""
    bare = Group(group.address)
    if group.zone is not None:
        return SenderWant(bare, by_zone(group.zone, interfaces).name)
    if source is not None and family_of(source) == group.family:
        return SenderWant(bare, None, source)
    return SenderWant(bare)


def _selected_want(group: Group, selection: Selection) -> SenderWant:
    address = selection.address
    if address is None or address.is_link_local:
        return SenderWant(group, selection.interface.name, address)
    return SenderWant(group, None, address)  # It may move to another interface.


def _find(
    want: SenderWant,
    interfaces: Sequence[Interface],
    route: Router,
    last: Interface | None = None,
) -> Selection:
    """The interface for a want.

    Args:
        want: What is wanted.
        interfaces: The interfaces there are.
        route: The interface to which the system routes a group.
        last: Where it was before, if it was anywhere: it stays there where anything else would be
            as good.

    Raises:
        InterfaceNotFoundError: There is none.
        AmbiguousInterfaceError: There are several.
    """
    if want.interface is not None:
        (selection,) = select_interfaces([want.interface], interfaces)
        return Selection(selection.interface, want.address)
    here = [item for item in interfaces if last is not None and item.name == last.name]
    if want.address is not None:
        if here and without_zone(want.address) in here[0].addresses(want.group.family):
            interfaces = here
        return select_interfaces([want.address], interfaces)[0]
    routed = route(want.group)
    if routed is not None:
        return Selection(routed)
    candidates = [item for item in interfaces if is_candidate(item)]
    if len(candidates) != 1 and here:
        return Selection(here[0])
    if len(candidates) > 1:
        raise AmbiguousInterfaceError(
            f"the system has no route to group {want.group}, and {len(candidates)} interfaces "
            f"could be meant: {describe_interfaces(candidates)}; name one in interfaces="
        )
    return select_interfaces(None, interfaces)[0]


def _source_for(
    group: Group,
    selection: Selection,
    source_address: IPAddress | None,
    last: IPAddress | None = None,
) -> IPAddress | None:
    """The address that a sender's datagrams to a group come from; `None` if the interface has none.

    It is chosen here, not by the system: left to itself Linux may send with another interface's
    address, over the loopback interface even with 0.0.0.0 (measured on 6.18). An IPv6 group of
    link-local scope gets a link-local source and a wider one a wider source, as RFC 6724 has it.
    The ``last`` one is kept if it is still there and fits as well as any.
    """
    own = selection.interface.addresses(group.family)
    if source_address is not None and family_of(source_address) == group.family:
        bare = without_zone(source_address)
        if bare not in own:
            there = ", ".join(str(item) for item in own) or "none of this family"
            raise ValueError(
                f"source_address {source_address} is not an address of interface "
                f"{selection.interface} (its addresses: {there})"
            )
        return bare
    if selection.address is not None:
        if selection.address not in own:
            raise ValueError(
                f"interface {selection.interface} does not have the address {selection.address} now"
            )
        return selection.address
    if group.family == "ipv6":
        fitting = [item for item in own if item.is_link_local == is_link_scoped(group.address)]
        own = tuple(fitting) or own
    return last if last in own else next(iter(own), None)


def _plan_sender_socket(
    interface: Interface,
    local: tuple[Family, IPAddress | None],
    request: SendRequest,
    platform: Platform,
) -> SocketSpec:
    family, address = local
    if address is None:
        bind = bind_wildcard(family, request.source_port)
    else:
        scope = interface.index if address.is_link_local else 0
        bind = bind_address(address, request.source_port, scope)
    options = list(_sender_options(interface, local, request, platform))
    if request.receive_replies:
        restricted = address is None
        options += _reply_options(interface, family, platform, restricted=restricted)
    peer = None
    shared = request.source_port and not request.receive_replies
    if shared and address is not None and platform.connected_sends_anywhere:
        peer = (bind[0], _DISCARD_PORT, *bind[2:])
    return SocketSpec(family, interface, None, (), bind, tuple(options), peer=peer)


def _sender_options(
    interface: Interface,
    local: tuple[Family, IPAddress | None],
    request: SendRequest,
    platform: Platform,
) -> Iterator[SocketOption]:
    family, address = local
    if request.source_port:
        for symbol in platform.port_sharing:
            yield layout.option(platform, symbol, 1, "share the source port with other programs")
    if family == "ipv6":
        yield ipv6_only(platform)
    yield layout.multicast_interface(platform, family, interface.index, address)
    yield layout.family_option(
        platform, "ttl", family, request.ttl, "how many routers a datagram passes, plus one"
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
