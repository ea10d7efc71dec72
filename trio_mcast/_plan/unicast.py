"""The planner for the unicast that a receiver accepts: one socket per interface and address. Pure.

Decision: a socket of its own for each address
==============================================

A socket that is bound to an address gets unicast to that address and nothing else, whichever other
programs there are on the port. A socket bound to the wildcard address would get all unicast of the
machine or none. docs/design.rst has what was measured of both, as a table, and what follows for
each platform.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from .._platform import restrictions
from .._platform.model import Platform
from .._platform.options import SocketOption
from .._values.addresses import Family, IPAddress, family_of
from .._values.interface import Interface, iterate_addresses, own_addresses_on
from .common_options import reading_options, sharing_options
from .selecting import Selection
from .socket_spec import MembershipPlan, SocketSpec, bind_address
from .wanted import ReceiveRequest


def plan_unicast(
    pairs: Iterable[tuple[Family, Selection]],
    request: ReceiveRequest,
    excluded_sources: tuple[IPAddress, ...],
    on_any_link: frozenset[str],
    shared: frozenset[IPAddress],
    platform: Platform,
) -> Iterator[MembershipPlan | None]:
    """Plan the sockets of a receiver for unicast: a membership for each interface.

    There may be thousands of sockets in one, so that there is a `None` after each.

    A membership has a socket for each port and address of its interface, in the families that are
    wanted there. Without an address there is no membership.

    Args:
        pairs: The families that are wanted, each with an interface.
        request: The request for the receiver.
        excluded_sources: The sources to leave out, of either family.
        on_any_link: This machine's addresses, as `addresses_on_any_link` has them.
        shared: The addresses that more than one interface has.
        platform: The platform to plan for.
    """
    families: dict[str, dict[Family, Interface]] = {}
    for family, selection in pairs:
        interface = selection.interface
        families.setdefault(interface.name, {}).setdefault(family, interface)
    for by_family in families.values():
        sockets: list[SocketSpec] = []
        for family, interface in by_family.items():
            for socket_spec in _plan_sockets(
                interface, family, request, excluded_sources, on_any_link, shared, platform
            ):
                sockets.append(socket_spec)
                yield None
        if sockets:
            yield MembershipPlan(
                None,
                sockets[0].interface,
                _texts(request.sources, by_family),
                _texts(excluded_sources, by_family),
                tuple(sockets),
            )


def _texts(sources: Iterable[IPAddress] | None, families: Iterable[Family]) -> tuple[str, ...]:
    return tuple(str(source) for source in sources or () if family_of(source) in families)


def _plan_sockets(
    interface: Interface,
    family: Family,
    request: ReceiveRequest,
    excluded_sources: Iterable[IPAddress],
    on_any_link: frozenset[str],
    shared: Collection[IPAddress],
    platform: Platform,
) -> Iterator[SocketSpec]:
    """Yield the sockets for the addresses of an interface: one for each address and port.

    There may be thousands of addresses, so that all that they share is made once.
    """
    own_addresses: frozenset[str] = frozenset()
    if not request.loopback and not interface.is_loopback:
        own_addresses = own_addresses_on(interface, on_any_link)
    sources = _texts(request.sources, [family])
    excluded = frozenset(_texts(excluded_sources, [family]))
    options = {
        is_shared: tuple(_options(interface, family, request, platform, is_shared=is_shared))
        for is_shared in (False, True)
    }
    planned: set[int] = set()
    for address in iterate_addresses(interface, family):
        if int(address) in planned:
            continue
        planned.add(int(address))
        is_shared = bool(shared) and address in shared
        for port in request.ports:
            yield SocketSpec(
                family,
                interface,
                None,
                sources,
                bind_address(address, port, interface.index if address.is_link_local else 0),
                options[is_shared],
                excluded,
                own_addresses,
                accepts_unicast=True,
                checks_interface=is_shared and family not in platform.device_binding,
            )


def _options(
    interface: Interface,
    family: Family,
    request: ReceiveRequest,
    platform: Platform,
    *,
    is_shared: bool,
) -> Iterator[SocketOption]:
    yield from sharing_options(family, platform)
    early = restrictions.early_bind(platform, family)
    if early is not None:
        yield early
    only = list(restrictions.unicast_only(platform, family))
    yield from only
    if is_shared:
        told = {option.symbol for option in only}
        for option in restrictions.unicast_restriction(
            platform, family, interface.name, interface.index
        ):
            if option.symbol not in told:
                yield option
    yield from reading_options(family, request, platform)
