"""`MeshNode`: the part of one machine in a mesh. Sends beacons, and takes those of others."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

import attrs
import trio

from ..._channel.channel import McastChannel
from ..._values.addresses import family_of
from ..._values.datagram import Datagram
from ..._values.errors import McastError, printable
from ..._values.interface import Interface
from .beacon import Beacon, entries_in, parts_of
from .header import Header, Kind
from .mesh import Change, Mesh, Station

# The last beacon is sent so often, since one may get lost. Arbitrary.
_FAREWELLS: Final = 3
_MOST_BYTES: Final = 1_200
_MOST_COMPLAINTS: Final = 64


@attrs.define
class _Own:
    """A station of this machine."""

    station: Station
    sequence: int = 0
    beaconed_at: float = float("-inf")


class MeshNode:
    """The stations of this machine: one on each interface of a channel.

    Args:
        channel: The channel, which receives the group and sends from its port.
        group: The group and port of the mesh.
        name: The name of the machine.
        interval: The seconds between two beacons.
        ttl: The ttl of the beacons, as the channel sends them.
        tell: Called with changes, at least one.
        complain: Called with each reason why beacons cannot be sent, once.
        may_beacon: Given to a guest: asked before each beacon. A guest beacons only when it hears
            one that is none, once for each at most, and not with a larger beacon.
    """

    def __init__(
        self,
        channel: McastChannel,
        group: tuple[str, int],
        *,
        name: str,
        interval: float,
        ttl: int,
        tell: Callable[[Sequence[Change]], None],
        complain: Callable[[str], None],
        may_beacon: Callable[[], bool] | None = None,
    ) -> None:
        self.mesh = Mesh()
        self.refused = 0
        """The datagrams of this kind that were no beacon."""
        self._channel = channel
        self._group = group
        self._name = name
        self._interval = interval
        self._ttl = ttl
        self._tell = tell
        self._complain = complain
        self._may_beacon = may_beacon
        self._own: dict[str, _Own] = {}
        self._complaints: set[str] = set()

    async def run(self) -> None:
        """Send beacons until cancelled, and then the last ones.

        Cancellation:
            The other stations are told, without waiting; a guest just falls silent.
        """
        try:
            while True:
                self._follow_interfaces()
                if self._may_beacon is None:
                    for name in self._own:
                        self._beacon(name, self._interval)
                self._report(self.mesh.look(_now()))
                await trio.sleep(self._interval)
        finally:
            if self._may_beacon is None:
                for name in list(self._own) * _FAREWELLS:
                    self._beacon(name, self._interval, leaves=True)

    def take(self, datagram: Datagram) -> None:
        """Take in a datagram of the kind of beacons."""
        try:
            beacon = Beacon.unpack(datagram.data)
        except ValueError:
            self.refused += 1
            return
        name = datagram.interface.name
        own = self._own.get(name)
        if own is None or datagram.group != self._group[0]:
            return
        run = own.station.run
        self._report(self.mesh.take(beacon, run, datagram.source.host, _now()))
        if self._may_beacon is not None and not (beacon.is_guest or beacon.leaves):
            interval = beacon.interval_ms / 1e3
            # Of several stations, the first in each interval is answered.
            if trio.current_time() - own.beaconed_at > 0.9 * interval and self._may_beacon():
                self._beacon(name, interval, size=len(datagram.data))

    def _follow_interfaces(self) -> None:
        interfaces = {
            membership.interface.name: membership.interface
            for membership in self._channel.memberships
            if (membership.group, membership.state) == (self._group[0], "joined")
        }
        for name, interface in interfaces.items():
            if name not in self._own:
                address = self._address_of(interface)
                run = random.getrandbits(64)
                station = Station(run, self._name, printable(name), address, is_here=True)
                self._own[name] = _Own(station)
                self._report(self.mesh.add_own(station, round(self._interval * 1e9), _now()))
        for name in self._own.keys() - interfaces.keys():
            self._report(self.mesh.remove_own(self._own.pop(name).station.run))

    def _address_of(self, interface: Interface) -> str:
        addresses = interface.addresses(family_of(ip_address(self._group[0])))
        return str(addresses[0]) if addresses else ""

    def _beacon(
        self, name: str, interval: float, *, size: int = _MOST_BYTES, leaves: bool = False
    ) -> None:
        own = self._own[name]
        station, sequence = own.station, own.sequence
        heard = self.mesh.heard_by(station.run)
        beacon = Beacon(
            Header(Kind.MESH_BEACON, station.run, sequence, time.time_ns(), self._ttl),
            station.name,
            station.interface,
            round(interval * 1e3),
            len(heard),
            parts_of(heard, sequence, entries_in(size)),
            leaves,
            self._may_beacon is not None,
        )
        own.sequence += 1
        own.beaconed_at = trio.current_time()
        # Without room, or when the interface has just gone, the next beacon will do; the others see
        # a loss.
        try:
            with suppress(trio.WouldBlock, trio.ClosedResourceError):
                self._channel.send_nowait(beacon.pack(), to=self._group, interface=name)
        except (McastError, ValueError) as error:
            if str(error) not in self._complaints and len(self._complaints) < _MOST_COMPLAINTS:
                self._complaints.add(str(error))
                self._complain(str(error))

    def _report(self, changes: Sequence[Change]) -> None:
        if changes:
            self._tell(changes)


def _now() -> int:
    return round(trio.current_time() * 1e9)
