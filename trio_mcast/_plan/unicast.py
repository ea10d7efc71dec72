"""The planner for the unicast that a receiver accepts: one socket per interface and address. Pure.

Decision: a socket of its own for each address
==============================================

The usual way to have groups and unicast is one socket, bound to the wildcard address. It is given
unicast to every address of the machine, or to none: of all sockets that are bound to the wildcard
address, Linux takes the one that was bound last (measured on 6.18). So it takes datagrams away from
another program that nobody here has asked for, which are then thrown away; and it gets nothing at
all if the other program is started later.

A socket that is bound to an address gets unicast to that address and nothing else, whichever other
programs there are on the port, on whatever interface it arrives, and from this machine too. The
sockets of the groups stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .._platform import options as layout
from .._platform.model import Platform
from .._platform.options import SocketOption
from .._values.addresses import Family, Group, IPAddress, family_of
from .._values.interface import Interface, all_addresses
from .common_options import reading_options, sharing_options
from .selecting import Selection
from .socket_spec import MembershipPlan, SocketSpec, bind_address
from .wanted import ReceiveRequest


def plan_unicast(
    pairs: Iterable[tuple[Group, Selection]],
    request: ReceiveRequest,
    excluded_sources: tuple[IPAddress, ...],
    interfaces: Sequence[Interface],
    platform: Platform,
) -> tuple[MembershipPlan, ...]:
    """The sockets of a receiver for unicast, by membership: one for each interface of its groups.

    An interface's addresses are those of the families of its groups; one that has none has no
    membership here.
    """
    families: dict[str, dict[Family, Interface]] = {}
    for group, selection in pairs:
        interface = selection.interface
        families.setdefault(interface.name, {}).setdefault(group.family, interface)
    own = all_addresses(interfaces) if not request.loopback else frozenset()
    plans = []
    for by_family in families.values():
        sockets = tuple(
            _plan_socket(interface, address, request, excluded_sources, own, platform)
            for family, interface in by_family.items()
            for address in dict.fromkeys(interface.addresses(family))
        )
        if sockets:
            plans.append(
                MembershipPlan(
                    None,
                    sockets[0].interface,
                    _texts(request.sources, by_family),
                    _texts(excluded_sources, by_family),
                    sockets,
                )
            )
    return tuple(plans)


def _texts(sources: Iterable[IPAddress] | None, families: Iterable[Family]) -> tuple[str, ...]:
    return tuple(str(item) for item in sources or () if family_of(item) in families)


def _plan_socket(
    interface: Interface,
    address: IPAddress,
    request: ReceiveRequest,
    excluded_sources: Iterable[IPAddress],
    own_addresses: frozenset[str],
    platform: Platform,
) -> SocketSpec:
    family = family_of(address)
    return SocketSpec(
        family,
        interface,
        None,
        _texts(request.sources, [family]),
        bind_address(address, request.port, interface.index if address.is_link_local else 0),
        tuple(_options(family, request, platform)),
        frozenset(_texts(excluded_sources, [family])),
        frozenset() if interface.is_loopback else own_addresses,
        accepts_unicast=True,
    )


def _options(family: Family, request: ReceiveRequest, platform: Platform) -> Iterator[SocketOption]:
    yield from sharing_options(family, platform)
    early = layout.early_bind(platform, family)
    if early is not None:
        yield early
    yield from layout.unicast_only(platform, family)
    yield from reading_options(family, request, platform)
