"""The state of a mesh: who hears whom, as one machine learns it from beacons. Pure.

Time is an argument of each call, in nanoseconds of any clock that does not go back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

import attrs

from .beacon import Beacon, Heard

MOST_STATIONS: Final = 256
"""The stations that are known at a time. Arbitrary; whoever forges beacons fills no memory."""

# The beacons in a row that may stay away until a station counts as silent. Arbitrary: at a loss of
# one in three, that is once in 243 beacons.
_SILENT_AFTER: Final = 5
# The last beacons from which a loss is told.
_WINDOW: Final = 64
# The time for which a station that has left is still shown. Arbitrary.
_REMEMBERED_NS: Final = 300 * 10**9
# The percentage points by which a loss has to change until it is told again. Arbitrary.
_LOSS_STEP: Final = 10

Event: TypeAlias = Literal["came", "left", "silent", "hears", "misses", "loss"]


@attrs.frozen
class Station:
    """One interface of one machine that takes part in the mesh."""

    run: int
    """The random number of the station."""
    name: str
    """The name of the machine; empty if only others hear the station."""
    interface: str
    """The name of the interface."""
    address: str
    """The address from which the beacons come."""
    is_here: bool = False
    """Whether the station is of this machine's own run."""

    def __str__(self) -> str:
        return f"{self.name}:{self.interface}" if self.name else f"?{self.run:016x}"[:5]


@attrs.frozen
class Change:
    """A change in a mesh."""

    event: Event
    """The kind: a station ``"came"``, ``"left"`` with a last beacon, or fell ``"silent"``; it
    ``"hears"`` another, or ``"misses"`` it from now on, or the ``"loss"`` is another.
    """
    who: Station
    """The station that came, left, or hears."""
    whom: Station | None = None
    """The station that is heard; `None` for an event of one station."""
    loss: float | None = None
    """The share of the beacons that did not come, from 0 to 1; `None` where none is told."""


@attrs.frozen
class Cell:
    """A field of the matrix: whether one station hears another."""

    hears: bool
    """Whether it does now; else it did once."""
    expected: int
    """The beacons that were to come, of the last ones."""
    lost: int
    """The number of these that have not come."""

    @property
    def loss(self) -> float:
        """The share that has not come, from 0 to 1."""
        return self.lost / self.expected if self.expected else 0.0


@attrs.frozen
class Row:
    """A row of the matrix: a station, and whom it hears."""

    station: Station
    """The station that hears."""
    state: Literal["here", "there", "left", "silent", "unheard"]
    """``"here"`` on this machine, ``"there"`` elsewhere, ``"left"``, ``"silent"``; ``"unheard"``
    if others hear the station and this machine does not.
    """
    cells: tuple[Cell | None, ...]
    """The field of each station in the order of the rows; `None` where it never heard one."""


@attrs.define
class _Pair:
    """One station hearing another."""

    expected: int
    lost: int
    heard_at: int
    hears: bool = True
    told: float | None = None


@attrs.define
class _Reception:
    """The last beacons of a station as one of the own stations gets them."""

    sequence: int
    came: int = 1
    expected: int = 1

    def take(self, sequence: int) -> None:
        """Note that the beacon with this number has come."""
        ahead = sequence - self.sequence
        if ahead > 0:
            kept = min(ahead, _WINDOW)
            self.came = (self.came << kept | 1) & (1 << _WINDOW) - 1
            self.expected = min(self.expected + ahead, _WINDOW)
            self.sequence = sequence
        elif -ahead < self.expected:
            self.came |= 1 << -ahead

    @property
    def lost(self) -> int:
        """The number of the last beacons that have not come."""
        return self.expected - self.came.bit_count()


@attrs.define
class _Known:
    """All that is known of one station."""

    station: Station
    interval_ns: int
    heard_at: int
    state: Literal["here", "there", "left", "silent"]
    pairs: dict[int, _Pair] = attrs.field(factory=dict)
    receptions: dict[int, _Reception] = attrs.field(factory=dict)
    # How many it hears, and of how many each of its beacons tells.
    hears: int = 0
    tells: int = 1


class Mesh:
    """The stations of a mesh, and who hears whom."""

    def __init__(self) -> None:
        """Know nobody."""
        self._known: dict[int, _Known] = {}
        self.refused = 0
        """The number of beacons of stations for which there was no room."""

    def add_own(self, station: Station, interval_ns: int, now: int) -> list[Change]:
        """Add a station of this machine, which beacons at an interval."""
        self._known[station.run] = _Known(station, interval_ns, now, "here")
        return [Change("came", station)]

    def remove_own(self, run: int) -> list[Change]:
        """Note that a station of this machine beacons no more."""
        known = self._known[run]
        known.state = "left"
        return [Change("left", known.station)]

    def heard_by(self, run: int) -> list[Heard]:
        """Return whom a station of this machine hears, for its next beacons."""
        return [
            Heard(heard, pair.expected, pair.lost)
            for heard, pair in self._known[run].pairs.items()
            if pair.hears
        ]

    def take(self, beacon: Beacon, hearer: int, address: str, now: int) -> list[Change]:
        """Take in a beacon.

        Args:
            beacon: The beacon.
            hearer: The run of this machine's station that got it.
            address: The address that it came from.
            now: The time.

        Returns:
            The changes.
        """
        run = beacon.header.run
        if run == hearer:
            return []
        known = self._known.get(run)
        if known is not None and known.state == "here":
            return list(self._note_reception(self._known[hearer], known, beacon, now))
        changes: list[Change] = []
        if known is None or known.state != "there":
            if beacon.leaves:
                return []
            if known is None and (known := self._welcome(beacon, address, now)) is None:
                self.refused += 1
                return []
            known.state = "there"
            changes.append(Change("came", known.station))
        known.heard_at = now
        known.interval_ns = beacon.interval_ms * 1_000_000
        changes += self._note_reception(self._known[hearer], known, beacon, now)
        changes += self._note_told(known, beacon, now)
        if beacon.leaves:
            changes += self._part("left", known)
        return changes

    def look(self, now: int) -> list[Change]:
        """Notice who has fallen silent, and forget who has been away for long."""
        changes: list[Change] = []
        for known in list(self._known.values()):
            silence = now - known.heard_at
            if known.state == "there" and silence > _SILENT_AFTER * known.interval_ns:
                changes += self._part("silent", known)
            elif known.state in ("left", "silent") and silence > _REMEMBERED_NS:
                self._forget(known.station.run)
        for known in self._known.values():
            if known.state in ("here", "there"):
                changes += self._look_at_pairs(known, now)
        return changes

    def rows(self) -> list[Row]:
        """Return the matrix: the own stations first, then the others as they came."""
        known = sorted(self._known.values(), key=lambda one: one.state != "here")
        runs = [one.station.run for one in known]
        unheard = dict.fromkeys(run for one in known for run in one.pairs if run not in self._known)
        runs += list(unheard)[: MOST_STATIONS - len(runs)]
        rows = [Row(one.station, one.state, _cells(one, runs)) for one in known]
        nothing = (None,) * len(runs)
        return rows + [
            Row(Station(run, "", "", ""), "unheard", nothing) for run in runs[len(known) :]
        ]

    def _welcome(self, beacon: Beacon, address: str, now: int) -> _Known | None:
        """Note a new station, in the place of what it was before; `None` if there is no room."""
        station = Station(beacon.header.run, beacon.name, beacon.interface, address)
        place = beacon.name, beacon.interface, address
        for one in list(self._known.values()):
            other = one.station
            if one.state in ("left", "silent") and place == (
                other.name,
                other.interface,
                other.address,
            ):
                self._forget(other.run)
        if not self._make_room():
            return None
        known = _Known(station, beacon.interval_ms * 1_000_000, now, "there")
        self._known[station.run] = known
        return known

    def _make_room(self) -> bool:
        """Forget a station that has left, if there is no room for another; tell if there is."""
        if len(self._known) < MOST_STATIONS:
            return True
        for run, one in self._known.items():
            if one.state in ("left", "silent"):
                self._forget(run)
                return True
        return False

    def _forget(self, run: int) -> None:
        del self._known[run]
        for one in self._known.values():
            one.pairs.pop(run, None)
            one.receptions.pop(run, None)

    def _part(self, event: Literal["left", "silent"], known: _Known) -> Iterator[Change]:
        """Note that a station is not there any more; its fields stay as they were."""
        known.state = event
        for one in self._known.values():
            if one.state == "here" and known.station.run in one.pairs:
                one.pairs[known.station.run].hears = False
        yield Change(event, known.station)

    def _note_reception(
        self, hearer: _Known, known: _Known, beacon: Beacon, now: int
    ) -> Iterator[Change]:
        """Note that an own station got a beacon."""
        run, sequence = known.station.run, beacon.header.sequence
        reception = hearer.receptions.get(run)
        if reception is None:
            reception = hearer.receptions[run] = _Reception(sequence)
        else:
            reception.take(sequence)
        heard = Heard(run, reception.expected, reception.lost)
        yield from self._note_pair(hearer, heard, now)

    def _note_told(self, known: _Known, beacon: Beacon, now: int) -> Iterator[Change]:
        """Note whom a station says that it hears."""
        known.hears, known.tells = beacon.hears, max(1, len(beacon.heard))
        for heard in beacon.heard:
            if heard.run in known.pairs or len(known.pairs) < MOST_STATIONS:
                yield from self._note_pair(known, heard, now)
        if len(beacon.heard) == beacon.hears:
            told = {heard.run for heard in beacon.heard}
            for run in known.pairs.keys() - told:
                yield from self._miss(known, run)

    def _note_pair(self, hearer: _Known, heard: Heard, now: int) -> Iterator[Change]:
        pair = hearer.pairs.get(heard.run)
        is_new = pair is None or not pair.hears
        if pair is None:
            pair = hearer.pairs[heard.run] = _Pair(heard.expected, heard.lost, now)
        pair.expected, pair.lost, pair.heard_at = heard.expected, heard.lost, now
        pair.hears = True
        loss = heard.lost / heard.expected if heard.expected else 0.0
        whom = self._station(heard.run)
        if is_new:
            pair.told = loss
            yield Change("hears", hearer.station, whom, loss)
        elif pair.told is None or _is_worth_telling(pair.told, loss):
            pair.told = loss
            yield Change("loss", hearer.station, whom, loss)

    def _look_at_pairs(self, hearer: _Known, now: int) -> Iterator[Change]:
        """Notice whom a station hears no more."""
        for run, pair in list(hearer.pairs.items()):
            if hearer.state == "here":
                interval = self._known[run].interval_ns
            else:
                # Whoever hears many tells of each only now and then.
                interval = hearer.interval_ns * max(1, -(-hearer.hears // hearer.tells))
            silence = now - pair.heard_at
            if silence > _SILENT_AFTER * interval:
                yield from self._miss(hearer, run)
                if silence > _REMEMBERED_NS and run not in self._known:
                    del hearer.pairs[run]

    def _miss(self, hearer: _Known, run: int) -> Iterator[Change]:
        pair = hearer.pairs[run]
        if not pair.hears:
            return
        pair.hears = False
        whom = self._known.get(run)
        # Of one that has left, nobody is told to miss it: that goes without saying.
        if whom is not None and whom.state in ("here", "there"):
            yield Change("misses", hearer.station, whom.station)

    def _station(self, run: int) -> Station:
        known = self._known.get(run)
        return Station(run, "", "", "") if known is None else known.station


def _cells(known: _Known, runs: Sequence[int]) -> tuple[Cell | None, ...]:
    pairs = [known.pairs.get(run) for run in runs]
    return tuple(
        None if pair is None else Cell(pair.hears, pair.expected, pair.lost) for pair in pairs
    )


def _is_worth_telling(told: float, loss: float) -> bool:
    """Tell whether a loss began, ended, or changed by much."""
    return (told == 0) != (loss == 0) or abs(loss - told) * 100 >= _LOSS_STEP
