"""The targets of a sender: open sockets, the addresses to send to from them, and the counts."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import attrs

from .._plan.selecting import in_zone, select_interfaces
from .._plan.sender_socket import stand_in
from .._plan.socket_spec import BindAddress, bind_address
from .._values.addresses import Endpoint, family_of, parse_address, without_zone
from .._values.errors import McastError, SocketSetupError
from .._values.interface import ALL_INTERFACES, Interface, InterfaceSelector
from .._values.steps import Steps
from .destinations import Destination, parse_destination
from .outlets import Outlets
from .stand_ins import Outlet, Refusing
from .target_table import NumberedTarget, Unreachable

# How many destinations other than the sender's own groups are remembered with their targets, so
# that an answer to a known peer needs no parsing, and no question for its route. Arbitrary; at the
# bound it starts afresh.
_REMEMBERED_DESTINATIONS = 1_024


_LEFT: Final = (
    "the interface has gone, is down, or is a port of another one; the sender goes on there when "
    "that has changed"
)


@attrs.define
class Tally:
    """The counts of one interface."""

    sent: int = 0
    failed: int = 0
    last_error: SocketSetupError | None = None


# A plain tuple, as one is taken apart for each datagram.
Target: TypeAlias = tuple[Outlet, BindAddress, Tally]


class Targets:
    """The targets that a sender's destinations come to, with the sockets that there are now.

    Attributes:
        everywhere: The targets for every group on every interface.
        only: The target of ``everywhere`` if there is just one, else `None`.
        tallies: The counts of each interface, by its name. An interface that has gone stays here.
    """

    def __init__(self, outlets: Outlets) -> None:
        self.everywhere: tuple[Target, ...] = ()
        self.only: Target | None = None
        self.tallies: dict[str, Tally] = {}
        self._outlets = outlets
        # Two, as an `Endpoint`, which stands for a peer, equals the pair of a group and a port.
        self._remembered: dict[Destination, tuple[Target, ...]] = {}
        self._remembered_peers: dict[Destination, tuple[Target, ...]] = {}
        self._remembered_on: dict[object, tuple[Target, ...]] = {}
        # The interfaces that there were, by name, as they were last.
        self._interfaces: dict[str, Interface] = {}

    def hold(self) -> None:
        """Have each datagram go the longer way, on which it waits while sockets are changed."""
        self.only = None

    def renew(self) -> Steps[None]:
        """Lead to the sockets that there are now, from the last step on."""
        outlets, table = self._outlets.outlets, self._outlets.table
        everywhere: list[Target] = []
        for number, address in table.everywhere():
            interface = table.sockets[number].interface
            self._interfaces[interface.name] = interface
            everywhere.append((outlets[number], address, self._tally(interface.name)))
            yield
        self.everywhere = tuple(everywhere)
        self.forget()

    def forget(self) -> None:
        """Forget which targets destinations come to: routes to peers may be others now."""
        self.only = self.everywhere[0] if len(self.everywhere) == 1 else None
        self._remembered.clear()
        self._remembered_peers.clear()
        self._remembered_on.clear()

    def _with_sockets(self, numbered_targets: Iterable[NumberedTarget]) -> tuple[Target, ...]:
        outlets = self._outlets.outlets
        return tuple(
            (outlets[number], address, self._tally(outlets[number].socket_spec.interface.name))
            for number, address in numbered_targets
        )

    def _tally(self, interface: str) -> Tally:
        return self.tallies.setdefault(interface, Tally())

    def of(
        self, to: Destination | None, interface: InterfaceSelector | None = None
    ) -> tuple[Target, ...]:
        """Return the targets for a destination on one interface, or on all.

        Args:
            to: The destination; `None` for every group.
            interface: The interface; `None` for every interface.

        Raises:
            TypeError: The destination or the interface is none of the kinds that `McastSender.send`
                takes.
            ValueError: As for `McastSender.send`.
        """
        if interface is not None:
            return self._on_interface(to, interface)
        if to is None:
            return self.everywhere
        remembered = self._remembered_peers if isinstance(to, Endpoint) else self._remembered
        known = remembered.get(to) if _is_hashable(to) else None
        if known is not None:
            return known
        table, is_known = self._outlets.table, True
        try:
            answer = table.targets_for(to, self._outlets.route_to)
        except SocketSetupError:
            # The system does not tell its routes just now: the next datagram asks again.
            answer, is_known = table.targets_for(to), False
        except ValueError:
            zone = str(to[0] if isinstance(to, tuple) else to).partition("%")[2]
            left = self._left(lambda known: in_zone(zone, known)[0]) if zone else None
            if left is None:
                raise
            return self._refusals(to, left)
        targets = self._answer(answer)
        if is_known:
            if len(remembered) >= _REMEMBERED_DESTINATIONS:
                remembered.clear()
            remembered[to] = targets
        return targets

    def _on_interface(
        self, to: Destination | None, interface: InterfaceSelector
    ) -> tuple[Target, ...]:
        key = isinstance(to, Endpoint), to, interface
        remembered = self._remembered_on
        known = remembered.get(key) if _is_hashable(key) else None
        if known is not None:
            return known
        try:
            table = self._outlets.table.on_interface(interface)
        except ValueError:
            left = self._left(lambda known: select_interfaces([interface], known)[0].interface)
            if left is None:
                raise
            targets = self._refusals(to, left)
        else:
            targets = self._answer(
                tuple(table.everywhere()) if to is None else table.targets_for(to)
            )
        if len(remembered) >= _REMEMBERED_DESTINATIONS:
            remembered.clear()
        remembered[key] = targets
        return targets

    def _answer(self, answer: tuple[NumberedTarget, ...] | Unreachable) -> tuple[Target, ...]:
        if isinstance(answer, Unreachable):
            return (self._refusal_of(answer),)
        return self._with_sockets(answer)

    def _left(self, choose: Callable[[list[Interface]], Interface]) -> Interface | None:
        """Return an interface that a sender on all interfaces was on, and is not on now.

        Such a one is no wrong argument: between a question that came in there and the answer, any
        interface can go.

        Args:
            choose: Chooses from the interfaces, or raises.
        """
        if self._outlets.request.selectors is not ALL_INTERFACES:
            return None
        names = {socket_spec.interface.name for socket_spec in self._outlets.table.sockets}
        try:
            interface = choose(list(self._interfaces.values()))
        except (McastError, IndexError):
            return None
        return None if interface.name in names else interface

    def _refusals(self, to: Destination | None, interface: Interface) -> tuple[Target, ...]:
        """Return the targets for a destination on an interface that is not there: all refuse."""
        places: Iterable[tuple[str, int]]
        if to is None:
            places = dict.fromkeys(
                (str(address[0]), address[1]) for _, address, _ in self.everywhere
            )
        else:
            address, port = parse_destination(to, self._outlets.table.port)
            places = [(str(without_zone(address)), port)]
        tally, targets = self._tally(interface.name), []
        for host, port in places:
            address = parse_address(host, "to")
            socket_spec = stand_in(interface, family_of(address))
            outlet = Refusing(socket_spec, errno.ENODEV, _LEFT)
            targets.append((outlet, bind_address(address, port, interface.index), tally))
        return tuple(targets)

    def _refusal_of(self, peer: Unreachable) -> Target:
        socket_spec = self._outlets.outlets[peer.number].socket_spec
        outlet = Refusing(socket_spec, peer.errno, peer.reason)
        return outlet, peer.address, self._tally(socket_spec.interface.name)

    def successor_of(self, target: Target, find: Callable[[], tuple[Target, ...]]) -> Target | None:
        """Return the target to send to instead, if a socket was replaced while a datagram waited.

        Args:
            target: The target of which the socket may have been replaced.
            find: Finds the targets anew.

        Returns:
            The target for the same address, on the same interface if there is one. `None` if the
            socket was not replaced, or the destination cannot be reached any more.
        """
        outlet, address, _ = target
        if outlet in self._outlets.outlets:
            return None
        try:
            targets = find()
        except ValueError:
            return None
        alike = [candidate for candidate in targets if candidate[1][:2] == address[:2]]
        name = outlet.socket_spec.interface.name
        nearest = [
            candidate for candidate in alike if candidate[0].socket_spec.interface.name == name
        ]
        successor = next(iter(nearest + alike), None)
        # For a peer that cannot be reached, the same refusal was found again.
        return None if successor is None or successor[0] == outlet else successor


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
