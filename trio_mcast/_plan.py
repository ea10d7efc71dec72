"""The planner: from what is wanted, the interfaces and a platform to the sockets to open. Pure.

Nothing here asks the operating system anything: the interfaces and the platform are arguments, so
the plan for any platform can be made, and tested, on any machine.

Decision: one socket = one (interface, group)
=============================================

A socket can hold many memberships, and the usual way is one socket bound to the wildcard address
with all of them. Then the kernel hands over every group that the socket *or anyone else on the
machine* joined (Linux, by default), from every interface, takes unicast away from other programs on
the port, and stops at 20 memberships. Which group and interface a datagram belongs to has to be
asked for, per datagram, as ancillary data.

Here each membership has a socket of its own, bound to the group's address where the system allows
that, and joined on one interface. Group and interface of a datagram are then known from the socket
it came from. Measured on Linux 6.18: no duplicates, no unicast taken away, no limit but file
descriptors, and a cost per datagram that is the same with 1 and with 4,000 memberships, because the
kernel finds sockets by a hash over address and port.

Decision: join first, bind last
===============================

The order in every textbook is bind, then join. Between the two steps lies a window: a socket that
has joined "everybody but 10.0.0.9" takes two calls, join and block, and when it is bound already it
gets the datagrams of 10.0.0.9 between them; a macOS IPv6 socket without a membership gets every
group on the port. An unbound socket gets nothing at all. So the sockets join first and are bound
last, and what they get is exact from the first datagram on. Measured on Linux 6.18, two processes
flooding a group over the loopback interface, and 20,000 sockets opened in turn that exclude them:
bound first, 14,831 of the sockets got a datagram of the excluded source; bound last, none.
Windows wants the bind first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import attrs

from ._addresses import (
    Family,
    Group,
    IPAddress,
    family_of,
)
from ._errors import printable
from ._interface import (
    Interface,
    InterfaceSelector,
    Selection,
    by_zone,
    select_interfaces,
)
from ._platform import Platform, SocketOption
from ._platform import _layout as layout

BindAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]

# What a receiver asks for if not told otherwise. The usual default of Linux, 208 KiB, holds some
# 270 small datagrams, because each is charged with the kernel's bookkeeping for it.
DEFAULT_RECEIVE_BUFFER_BYTES = 1_048_576

FAMILY_LABEL: dict[Family, str] = {"ipv4": "IPv4", "ipv6": "IPv6"}


@attrs.frozen
class SocketSpec:
    """One socket to open: what it is for, where it is bound, and every option in order.

    Attributes:
        family: ``"ipv4"`` or ``"ipv6"``.
        interface: The one interface that it serves.
        group: The group that it receives, as text; `None` for one that receives unicast only (see
            ``accepts_unicast``), and for a sender's, which receives replies if at all.
        sources: The only sources that it receives, as text; empty for any source.
        bind: What it is bound to: host and port, and for IPv6 also flow information and scope.
        options: Its options in the order in which they are set, around the bind.
        rejected_sources: Excluded sources, as text, that the system does not filter itself: their
            datagrams are discarded after reading and counted as rejected.
        own_addresses: This machine's addresses, where its own datagrams are not wanted and the
            system does not filter them: the same happens to their datagrams.
        accepts_unicast: Whether it receives unicast to the address that it is bound to, delivered
            with a group of `None`. Without a ``group``, that is all that it receives. With one, as
            on Windows, it takes what is sent to that address besides: there the system gives each
            unicast datagram to any of the sockets that are bound alike. Either way it has the
            ``sources``, ``rejected_sources`` and ``own_addresses`` for unicast too, which the
            system does not filter. Where its options ask for the address that each datagram was
            sent to, what was sent to neither, such as a broadcast, is discarded and counted as
            rejected; where they do not, the system gives it nothing else.
        peer: What it is connected to when all else is done, in the form of ``bind``; `None` for
            nothing. A connected socket is given only what its peer sends: this keeps a sender's
            socket from being given unicast that others on the port are waiting for.
    """

    family: Family
    interface: Interface
    group: str | None
    sources: tuple[str, ...]
    bind: BindAddress
    options: tuple[SocketOption, ...]
    rejected_sources: frozenset[str] = frozenset()
    own_addresses: frozenset[str] = frozenset()
    accepts_unicast: bool = False
    peer: BindAddress | None = None


@attrs.frozen
class MembershipPlan:
    """One membership: a group on an interface, and the sockets that it takes.

    Without a group it stands for unicast to the interface's own addresses.
    """

    group: str | None
    interface: Interface
    sources: tuple[str, ...]
    excluded_sources: tuple[str, ...]
    sockets: tuple[SocketSpec, ...]


@attrs.frozen
class ReceiverWishes:
    """What the sockets of a receiver have in common."""

    port: int
    sources: tuple[IPAddress, ...] | None = None
    excluded_sources: tuple[IPAddress, ...] | None = None
    accept_unicast: bool = False
    loopback: bool = True
    receive_ttl: bool = False
    receive_timestamp: bool = False
    receive_buffer_size: int | None = None
    receive_units: bool = True


# Which groups on which interfaces --------------------------------------------------------------


def pair_groups(
    groups: Sequence[Group],
    selectors: Sequence[InterfaceSelector] | None,
    interfaces: Sequence[Interface],
) -> list[tuple[Group, Selection]]:
    """Every wanted pair of a group (without its zone) and an interface, each once.

    Raises:
        InterfaceNotFoundError: A selector or a zone names no interface.
        AmbiguousInterfaceError: An address is on two interfaces.
        ValueError: A group and the interfaces do not go together.
    """
    selections: tuple[Selection, ...] = ()
    if selectors is not None or any(group.zone is None for group in groups):
        selections = select_interfaces(selectors, interfaces)
    pairs: dict[tuple[IPAddress, str], tuple[Group, Selection]] = {}
    for group in groups:
        for selection in _selections_for(group, selections, selectors is not None, interfaces):
            pairs.setdefault(
                (group.address, selection.interface.name), (Group(group.address), selection)
            )
    for selection in selections:
        if not any(selection.serves(group.family) for group in groups):
            assert selection.address is not None
            label = FAMILY_LABEL[family_of(selection.address)]
            raise ValueError(
                f"interfaces names the {label} address {selection.address}, but no group is "
                f"{label}: name the interface instead ({selection.interface.name!r})"
            )
    return list(pairs.values())


def _selections_for(
    group: Group, selections: Sequence[Selection], explicit: bool, interfaces: Sequence[Interface]
) -> list[Selection]:
    if group.zone is not None:
        zone = by_zone(group.zone, interfaces)
        if not explicit:
            return [Selection(zone)]
        named = [item for item in selections if item.interface == zone]
        if not named:
            chosen = ", ".join(str(item.interface) for item in selections)
            raise ValueError(
                f"group {printable(str(group))} names interface {zone}, which interfaces leaves "
                f"out ({chosen})"
            )
        selections = named
    serving = [item for item in selections if item.serves(group.family)]
    if not serving:
        label = FAMILY_LABEL[group.family]
        addresses = ", ".join(str(item.address) for item in selections)
        raise ValueError(
            f"group {printable(str(group))} is {label}, but interfaces names only addresses that "
            f"are not ({addresses}): name the interface itself, or its {label} address"
        )
    return serving


def check_source_families(
    groups: Iterable[Group], sources: Sequence[IPAddress] | None, what: str
) -> None:
    """Each source has a group of its family; with ``sources``, each group has a source of its own.

    Raises:
        ValueError: They do not.
    """
    if sources is None:
        return
    group_families = {group.family: group for group in groups}
    for source in sources:
        if family_of(source) not in group_families:
            label = FAMILY_LABEL[family_of(source)]
            raise ValueError(f"{what}: {source} is {label}, but no group is {label}")
    if what == "sources":
        for family, group in group_families.items():
            if not any(family_of(source) == family for source in sources):
                shown = printable(str(group))
                raise ValueError(
                    f"sources has no {FAMILY_LABEL[family]} address, so group {shown} could "
                    "receive nothing: add one, or receive that group separately"
                )


# Receivers -------------------------------------------------------------------------------------


def all_addresses(interfaces: Iterable[Interface]) -> frozenset[str]:
    """This machine's addresses, as text."""
    return frozenset(
        str(address)
        for item in interfaces
        for family in FAMILY_LABEL
        for address in item.addresses(family)
    )


def plan_membership(
    group: Group,
    selection: Selection,
    wishes: ReceiverWishes,
    own_addresses: frozenset[str],
    platform: Platform,
) -> MembershipPlan:
    """The sockets of a receiver for one group on one interface.

    Args:
        group: The group, without a zone.
        selection: The interface.
        wishes: What the sockets have in common.
        own_addresses: All of this machine's addresses, as text.
        platform: The platform to plan for.
    """
    interface, family = selection.interface, group.family
    sources = [item for item in wishes.sources or () if family_of(item) == family]
    excluded = [item for item in wishes.excluded_sources or () if family_of(item) == family]
    limit = platform.source_limit.get(family) or max(len(sources), len(excluded), 1)
    common = tuple(_receiver_options(interface, family, wishes, platform))
    local = selection.address or next(iter(interface.addresses(family)), None)
    # Bound to an address instead of the group, it is given unicast to that address: filtered here.
    unicast = wishes.accept_unicast and not platform.binds_to_group and local is not None
    blocked = excluded[:limit] if platform.blocks_sources else []
    left_to_system = len(blocked) if platform.filters_blocked and not unicast else 0
    rejected = frozenset(str(item) for item in excluded[left_to_system:])
    system_decides = platform.receiver_decides_loopback and not unicast
    if wishes.loopback or system_decides or interface.is_loopback:
        own_addresses = frozenset()
    sockets = []
    # Sources beyond what one socket takes go to further sockets: their filters share no source, so
    # each datagram still comes once. Exclusions cannot be spread like that (each socket would get
    # what the others exclude): what the system does not filter is rejected after reading.
    for chunk in [sources[i : i + limit] for i in range(0, len(sources), limit)] or [[]]:
        joins = _joins(group.address, interface, local, (chunk, blocked), platform)
        options = (*common, *joins)
        sockets.append(
            SocketSpec(
                family,
                interface,
                str(group.address),
                tuple(str(item) for item in chunk),
                _receiver_bind(group.address, interface, local, wishes.port, platform),
                options,
                rejected,
                own_addresses,
                unicast,
            )
        )
    return MembershipPlan(
        str(group.address),
        interface,
        tuple(str(item) for item in sources),
        tuple(str(item) for item in excluded),
        tuple(sockets),
    )


def _joins(
    group: IPAddress,
    interface: Interface,
    local: IPAddress | None,
    filters: tuple[Sequence[IPAddress], Sequence[IPAddress]],
    platform: Platform,
) -> Iterator[SocketOption]:
    included, excluded = filters
    for source in included:
        yield layout.join_source(platform, interface.index, group, source, local)
    if not included:
        yield layout.join_group(platform, interface.index, group, local)
    for source in excluded:
        block = layout.block_source(platform, interface.index, group, source, local)
        # Where it filters nothing, the socket is right without it.
        yield attrs.evolve(block, required=platform.filters_blocked)


def _receiver_bind(
    group: IPAddress,
    interface: Interface,
    local: IPAddress | None,
    port: int,
    platform: Platform,
) -> BindAddress:
    if platform.binds_to_group:
        return bind_address(group, port, interface.index)
    if local is None:
        return bind_wildcard(family_of(group), port)
    return bind_address(local, port, interface.index if local.is_link_local else 0)


def bind_address(address: IPAddress, port: int, scope_id: int) -> BindAddress:
    """The address tuple for a bind; IPv6 has flow information and a scope as well."""
    if family_of(address) == "ipv4":
        return (str(address), port)
    return (str(address), port, 0, scope_id)


def bind_wildcard(family: Family, port: int) -> BindAddress:
    return ("0.0.0.0", port) if family == "ipv4" else ("::", port, 0, 0)


def _receiver_options(
    interface: Interface, family: Family, wishes: ReceiverWishes, platform: Platform
) -> Iterator[SocketOption]:
    yield from sharing_options(family, platform)
    exact = platform.exact_groups.get(family)
    if exact is not None:
        yield layout.exact_groups(platform, exact)
    restriction = layout.interface_restriction(platform, family, interface.name, interface.index)
    if restriction is not None:
        yield restriction
    if platform.receiver_decides_loopback:
        yield layout.family_option(
            platform,
            "loopback",
            family,
            # The loopback interface always delivers.
            int(wishes.loopback or interface.is_loopback),
            LOOPBACK_PURPOSE,
        )
    if not platform.binds_to_group:
        symbol = "IP_PKTINFO" if family == "ipv4" else "IPV6_PKTINFO"
        yield layout.option(platform, symbol, 1, "tell the group's datagrams from unicast")
    yield from reading_options(family, wishes, platform)


def sharing_options(family: Family, platform: Platform) -> Iterator[SocketOption]:
    """What every socket of a receiver needs to be bound."""
    for symbol in platform.port_sharing:
        yield layout.option(platform, symbol, 1, "share the port with other programs")
    if family == "ipv6":
        yield ipv6_only(platform)


def reading_options(
    family: Family, wishes: ReceiverWishes, platform: Platform
) -> Iterator[SocketOption]:
    """How every socket of a receiver is read."""
    if wishes.receive_ttl:
        yield layout.receive_ttl(platform, family)
    if wishes.receive_timestamp:
        yield layout.receive_timestamp(platform)
    units = layout.receive_units(platform)
    if units is not None and wishes.receive_units:
        yield units
    size = wishes.receive_buffer_size or DEFAULT_RECEIVE_BUFFER_BYTES
    yield layout.option(platform, "SO_RCVBUF", size, "room for bursts")


LOOPBACK_PURPOSE = "whether datagrams sent from this machine are delivered on it"


def ipv6_only(platform: Platform) -> SocketOption:
    return layout.option(platform, "IPV6_V6ONLY", 1, "leave the IPv4 port alone")
