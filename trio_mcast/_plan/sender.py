"""The planner for senders: one socket per interface and address to send from. Pure."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, TypeAlias

import attrs

from .._platform.model import Platform
from .._values.addresses import (
    Family,
    Group,
    IPAddress,
    family_of,
    parse_address,
    without_zone,
)
from .._values.errors import AmbiguousInterfaceError, InterfaceNotFoundError, SocketSetupError
from .._values.interface import (
    Interface,
    describe_addresses,
    describe_interfaces,
    has_address,
    shared_addresses,
)
from .._values.steps import Steps, at_once
from .route import RouteAnswer, RouteRefusal
from .selecting import (
    Directory,
    Selection,
    by_zone,
    is_candidate,
    is_port,
    select_interfaces,
)
from .sender_socket import plan_sender_socket, stand_in
from .sender_wants import SenderWant, sender_wants
from .socket_spec import SocketSpec
from .source_address import Choices, PrefersTemporary, always, choose_in_steps, describe_lack
from .wanted import SendRequest

# Asks the system for the way of datagrams to a group or a peer.
RouteLookup: TypeAlias = Callable[[IPAddress], RouteAnswer]
# What tells the sockets of a sender apart: an interface's name, a family, an address to send from.
SocketKey: TypeAlias = tuple[str, Family, IPAddress]


@attrs.frozen
class Absence:
    """Why a group cannot be sent where it is wanted, as the interfaces are now."""

    errno: int
    reason: str


class _RouteRefusesError(Exception):
    """A route or rule of the system refuses a group for which no interface was named."""

    def __init__(self, refusal: RouteRefusal, group: Group) -> None:
        super().__init__(
            f"a route or rule of this machine refuses it ({refusal.kind}): change that, or name "
            "the interface to send on in interfaces=, which asks no route"
        )
        self.errno = refusal.errno
        self._group = group

    def for_users(self) -> SocketSetupError:
        """Return the error of a sender that cannot be opened because of it."""
        reason = f"route failed for group {self._group}: {self}"
        return SocketSetupError(self.errno, reason, step="route", group=str(self._group))


class SourceMissingError(ValueError):
    """The interface does not have the address that was named to send from."""


# What may be missing at opening, and come later.
_MISSING: Final = (
    InterfaceNotFoundError,
    AmbiguousInterfaceError,
    SourceMissingError,
    _RouteRefusesError,
)


@attrs.frozen
class SenderPlan:
    """The sockets of a sender, and the socket that each want is fulfilled by.

    Attributes:
        sockets: The sockets. The number of a socket is its position here.
        wants: The wants, each with the number of its socket.
        absent: The wants for which there can be no socket now, each with what stands for one.
    """

    sockets: tuple[SocketSpec, ...]
    wants: tuple[tuple[SenderWant, int], ...]
    absent: tuple[tuple[SenderWant, SocketSpec, Absence], ...] = ()

    @property
    def numbered_groups(self) -> tuple[tuple[Group, int], ...]:
        """Each group with the number of a socket that it goes out through, each pair once.

        Two wants can come to the same: a group named with and without a zone.
        """
        return tuple(dict.fromkeys((want.group, number) for want, number in self.wants))


def plan_sender(
    request: SendRequest,
    interfaces: Sequence[Interface],
    platform: Platform,
    look_up_route: RouteLookup = lambda address: None,
) -> SenderPlan:
    """Plan the sockets of a sender: all at once; see `plan_in_steps`."""
    return at_once(plan_in_steps(request, interfaces, platform, look_up_route))


def plan_in_steps(
    request: SendRequest,
    interfaces: Sequence[Interface],
    platform: Platform,
    look_up_route: RouteLookup,
    prefers_temporary: PrefersTemporary = always,
) -> Steps[SenderPlan]:
    """Plan the sockets of a sender: one per interface and address to send from.

    Where something may be missing, all that is missing is told as absent instead of raised.

    Args:
        request: The request for the sender.
        interfaces: The interfaces there are.
        platform: The platform to plan for.
        look_up_route: The question to the system for the way of datagrams to a group.
        prefers_temporary: The question to the system whether temporary addresses are better.

    Raises:
        InterfaceNotFoundError: A selector or a zone names no interface, or there is no candidate.
        AmbiguousInterfaceError: There is more than one candidate, or an address is on two.
        SocketSetupError: A route or rule refuses a group for which no interface is named.
        ValueError: The groups, interfaces and source address do not go together, or the platform
            cannot keep a ttl of 0.
    """
    interfaces = Directory.of(interfaces)
    sockets: dict[SocketKey, SocketSpec] = {}
    numbers: dict[SocketKey, int] = {}
    shared: Collection[IPAddress] = ()
    if request.receive_replies:
        shared = yield from shared_addresses(interfaces)
    places = yield from sender_wants(request, interfaces)
    choices = Choices(prefers_temporary)
    wants, absent = [], []
    for want, known in places.items():
        yield
        group = want.group
        interface = known.interface if isinstance(known, Selection) else known
        try:
            selection = (
                known
                if isinstance(known, Selection)
                else _select_for(want, interfaces, look_up_route)
            )
            interface = selection.interface
            _check_ttl(request.ttl, interface, platform)
            local = yield from _source_for(group, selection, request.source_address, choices)
        except _MISSING as error:
            if not request.allow_missing:
                raise (
                    error.for_users() if isinstance(error, _RouteRefusesError) else error
                ) from None
            absent.append((want, stand_in(interface, group.family), _absence(want, error)))
            continue
        if local is None:
            absence = _lack(interface, group.family)
            absent.append((want, stand_in(interface, group.family), absence))
            continue
        key = (interface.name, group.family, local)
        if key not in sockets:
            sockets[key] = plan_sender_socket(
                interface, key[1:], request, platform, is_shared=local in shared
            )
        wants.append((want, numbers.setdefault(key, len(numbers))))
    return SenderPlan(tuple(sockets.values()), tuple(wants), tuple(absent))


def _lack(interface: Interface, family: Family) -> Absence:
    return Absence(errno.EADDRNOTAVAIL, describe_lack(interface, family))


def replan_sender(
    wants: Iterable[tuple[SenderWant, SocketSpec, bool]],
    request: SendRequest,
    interfaces: Sequence[Interface],
    platform: Platform,
    look_up_route: RouteLookup,
    prefers_temporary: PrefersTemporary = always,
) -> Steps[list[SocketSpec | Absence]]:
    """Plan the sockets of a sender anew, now that the interfaces have changed.

    Nothing changes without need: an address is kept as long as the interface has it and it fits,
    even if it is no longer the first (a new IPv6 address becomes the first on Linux).

    Args:
        wants: Each want, the plan of its last socket, and whether that socket is open.
        request: As for `plan_in_steps`.
        interfaces: As for `plan_in_steps`.
        platform: As for `plan_in_steps`.
        look_up_route: As for `plan_in_steps`.
        prefers_temporary: As for `plan_in_steps`.

    Returns:
        For each want the plan of its socket, or why there can be none.
    """
    interfaces = Directory.of(interfaces)
    sockets: dict[SocketKey, SocketSpec] = {}
    shared: Collection[IPAddress] = ()
    if request.receive_replies:
        shared = yield from shared_addresses(interfaces)
    choices = Choices(prefers_temporary)
    planned: list[SocketSpec | Absence] = []
    for want, last, is_open in wants:
        yield
        bound = without_zone(parse_address(last.bind[0], "address"))
        try:
            selection = _select_for(want, interfaces, look_up_route, last.interface)
            interface = selection.interface
            _check_ttl(request.ttl, interface, platform)
            if is_open and not interface.is_up and _is_same(interface, last.interface):
                # Nothing can be sent on an interface that is down, and some of its addresses are
                # gone until it is up. Mostly it comes back as it was, and then the socket is right
                # again at once.
                local: IPAddress | None = bound
            else:
                local = yield from _source_for(
                    want.group, selection, request.source_address, choices, bound
                )
        except (*_MISSING, ValueError) as error:
            planned.append(_absence(want, error))
            continue
        if local is None:
            planned.append(_lack(interface, want.group.family))
            continue
        key = (interface.name, want.group.family, local)
        if key not in sockets:
            sockets[key] = plan_sender_socket(
                interface, key[1:], request, platform, is_shared=local in shared
            )
        planned.append(sockets[key])
    return planned


def _check_ttl(ttl: int, interface: Interface, platform: Platform) -> None:
    """Raise `ValueError` where a ttl of 0 would not keep datagrams on this machine."""
    if ttl == 0 and not platform.keeps_ttl_zero and not interface.is_loopback:
        raise ValueError(
            f"ttl=0 does not keep datagrams on this machine on interface {interface}: "
            f"{platform.name} lets those out whose group no program here has joined; send on the "
            "loopback interface, or with ttl=1, which stays in the local network"
        )


def _is_same(one: Interface, other: Interface) -> bool:
    return (one.name, one.index) == (other.name, other.index)


def _absence(want: SenderWant, error: Exception) -> Absence:
    if isinstance(error, _RouteRefusesError):
        return Absence(error.errno, str(error))
    if isinstance(error, AmbiguousInterfaceError):
        return Absence(errno.ENETUNREACH, str(error))
    named = want.interface is not None or want.address is None
    if isinstance(error, InterfaceNotFoundError) and named:
        return Absence(errno.ENODEV, str(error))
    return Absence(errno.EADDRNOTAVAIL, str(error))


def _select_for(
    want: SenderWant,
    interfaces: Directory,
    look_up_route: RouteLookup,
    last: Interface | None = None,
) -> Selection:
    """Select the interface for a want.

    Args:
        want: The want.
        interfaces: The interfaces there are.
        look_up_route: The question to the system for the way of datagrams to a group.
        last: The interface that the group was sent on before, if any: it is selected again unless
            another one is better.

    Raises:
        InterfaceNotFoundError: There is no interface for the want.
        AmbiguousInterfaceError: There are several.
        _RouteRefusesError: The system's routes or rules refuse the group.
    """
    if want.zone is not None:
        return Selection(by_zone(want.zone, interfaces))
    if want.interface is not None:
        (selection,) = select_interfaces([want.interface], interfaces)
        return Selection(selection.interface, want.address)
    again = None if last is None else interfaces.by_name.get(last.name)
    if again is not None and again.name != getattr(last, "name", None):
        again = None  # It is another one that is also called so.
    stays = again is not None and not is_port(again)
    if want.address is not None:
        if again is not None and again in interfaces.having(want.address):
            return Selection(again, want.address)
        return select_interfaces([want.address], interfaces)[0]
    route = look_up_route(want.group.address)
    if isinstance(route, RouteRefusal):
        raise _RouteRefusesError(route, want.group)
    if route is not None and route.interface is not None:
        return Selection(route.interface, source=route.source)
    candidates = [interface for interface in interfaces if is_candidate(interface)]
    if len(candidates) != 1 and stays and again is not None:
        return Selection(again)
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
    choices: Choices,
    last: IPAddress | None = None,
) -> Steps[IPAddress | None]:
    """Return the address to send from to a group; `None` if the interface has none.

    The ``last`` address is kept if it is still there and fits as well as any.
    """
    interface = selection.interface
    if source_address is not None and family_of(source_address) == group.family:
        bare = without_zone(source_address)
        if not has_address(interface, bare):
            addresses = describe_addresses(interface.addresses(group.family))
            listed = addresses or "none of this family"
            raise SourceMissingError(
                f"source_address {source_address} is not an address of interface "
                f"{interface} (its addresses: {listed})"
            )
        return bare
    if selection.address is not None:
        if not has_address(interface, selection.address):
            raise SourceMissingError(
                f"interface {interface} does not have the address {selection.address} now"
            )
        return selection.address
    if selection.source is not None:
        return selection.source
    return (yield from choose_in_steps(interface, group, last, choices))
