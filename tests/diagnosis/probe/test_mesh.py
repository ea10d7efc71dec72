"""Who hears whom: the state that each machine of a mesh makes of the beacons it gets."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from trio_mcast._diagnosis.probe.beacon import Beacon, Heard, parts_of
from trio_mcast._diagnosis.probe.header import Header, Kind
from trio_mcast._diagnosis.probe.mesh import MOST_STATIONS, Cell, Change, Mesh, Row, Station

pytestmark = pytest.mark.once

SECOND = 10**9


def beacon(
    run: int, sequence: int = 0, *heard: Heard, name: str = "", hears: int | None = None
) -> Beacon:
    header = Header(Kind.MESH_BEACON, run, sequence)
    count = len(heard) if hears is None else hears
    return Beacon(header, name or f"m{run}", "eth0", 1_000, count, heard)


class Machine:
    """A machine of a simulated mesh, with one station."""

    def __init__(self, run: int) -> None:
        self.run, self.sequence = run, 0
        self.station = Station(run, f"m{run}", "eth0", f"10.0.0.{run}", is_here=True)
        self.mesh = Mesh()
        self.changes = self.mesh.add_own(self.station, SECOND, 0)

    def beacon(self) -> Beacon:
        heard = self.mesh.heard_by(self.run)
        sent = beacon(self.run, self.sequence, *parts_of(heard, self.sequence), hears=len(heard))
        self.sequence += 1
        return Beacon.unpack(sent.pack())

    def row(self, run: int) -> Row:
        return next(row for row in self.mesh.rows() if row.station.run == run)

    def cell(self, hearer: int, heard: int) -> Cell | None:
        runs = [row.station.run for row in self.mesh.rows()]
        return self.row(hearer).cells[runs.index(heard)]

    def told(self) -> list[str]:
        texts = [
            f"{change.event} {change.who}" + (f" {change.whom}" if change.whom else "")
            for change in self.changes
        ]
        self.changes.clear()
        return texts


def run(
    machines: list[Machine],
    seconds: range,
    passes: Callable[[int, int, int], bool] = lambda sender, hearer, second: True,
) -> None:
    """Have each machine send a beacon in each second; tell what passes by sender, hearer, time."""
    for second in seconds:
        now = second * SECOND
        for sender in machines:
            data = sender.beacon()
            for hearer in machines:
                if passes(sender.run, hearer.run, second):
                    address = sender.station.address
                    hearer.changes += hearer.mesh.take(data, hearer.run, address, now)
        for machine in machines:
            machine.changes += machine.mesh.look(now)


def test_matrix_fills_as_stations_come() -> None:
    one, two, three = (Machine(number) for number in (1, 2, 3))
    run([one, two], range(3))
    assert one.told() == [
        "came m1:eth0",
        "came m2:eth0",
        "hears m1:eth0 m2:eth0",
        "hears m2:eth0 m1:eth0",
    ]
    run([one, two, three], range(3, 6))
    rows = one.mesh.rows()
    assert [(str(row.station), row.state) for row in rows] == [
        ("m1:eth0", "here"),
        ("m2:eth0", "there"),
        ("m3:eth0", "there"),
    ]
    assert [[cell is not None and cell.hears for cell in row.cells] for row in rows] == [
        [False, True, True],
        [True, False, True],
        [True, True, False],
    ]
    assert one.cell(1, 2) == Cell(True, 6, 0)
    assert set(one.told()) == {
        "came m3:eth0",
        *(f"hears m{a}:eth0 m{b}:eth0" for a, b in ((1, 3), (2, 3), (3, 1), (3, 2))),
    }


def test_loss_is_that_of_each_pair_and_direction() -> None:
    one, two = Machine(1), Machine(2)
    # Every fourth beacon of machine 2 is lost on its way to machine 1.
    run([one, two], range(80), lambda sender, hearer, second: sender != 2 or second % 4 != 1)
    for machine in (one, two):
        assert machine.cell(1, 2) == Cell(True, 64, 16)
        assert machine.cell(2, 1) == Cell(True, 64, 0)
        cell = machine.cell(1, 2)
        assert cell is not None
        assert cell.loss == 0.25
    losses = [change for change in one.changes if change.event == "loss"]
    # Told when it begins and when it has changed by much, and not with each beacon.
    assert 1 <= len(losses) <= 4


def test_one_way_hearing_is_seen_at_both_ends() -> None:
    one, two, three = (Machine(number) for number in (1, 2, 3))
    run([one, two, three], range(6), lambda sender, hearer, _: (sender, hearer) != (1, 2))
    assert one.cell(2, 1) is None
    assert one.cell(1, 2) == Cell(True, 6, 0)
    # Machine 2 learns of machine 1 from machine 3.
    row = two.row(1)
    assert row.state == "unheard"
    assert row.station.name == ""
    assert str(row.station) == "?0000"
    assert two.cell(3, 1) == Cell(True, 6, 0)
    assert two.cell(2, 1) is None


def test_station_that_leaves_is_noticed_at_once() -> None:
    one, two = Machine(1), Machine(2)
    run([one, two], range(3))
    one.told()
    last = attrs.evolve(two.beacon(), leaves=True)
    assert [change.event for change in one.mesh.take(last, 1, "10.0.0.2", 3 * SECOND)] == ["left"]
    assert one.row(2).state == "left"
    assert one.mesh.heard_by(1) == []
    # Its fields stay.
    assert one.cell(2, 1) == Cell(True, 3, 0)
    # It says so more than once.
    assert one.mesh.take(last, 1, "10.0.0.2", 3 * SECOND) == []
    assert one.mesh.take(attrs.evolve(beacon(9), leaves=True), 1, "10.0.0.9", 0) == []


def test_station_that_falls_silent_is_noticed_and_comes_back() -> None:
    one, two = Machine(1), Machine(2)
    run([one, two], range(3))
    one.told()
    run([one], range(3, 8))
    assert one.told() == []
    run([one], range(8, 9))
    assert one.told() == ["silent m2:eth0"]
    assert one.row(2).state == "silent"
    run([one, two], range(9, 10))
    assert one.told()[0] == "came m2:eth0"
    assert one.row(2).state == "there"


def test_hearing_that_ends_is_noticed_while_the_station_is_there() -> None:
    one, two, three = (Machine(number) for number in (1, 2, 3))
    run([one, two, three], range(3))
    one.told()
    run([one, two, three], range(3, 12), lambda sender, hearer, _: (sender, hearer) != (2, 3))
    # Machine 3 has taken machine 2 for silent; the others tell that it is there.
    assert one.told() == ["misses m3:eth0 m2:eth0"]
    cell = one.cell(3, 2)
    assert cell is not None
    assert not cell.hears
    assert three.told()[-1] == "silent m2:eth0"


def test_station_that_is_started_again_takes_its_place() -> None:
    one, two = Machine(1), Machine(2)
    run([one, two], range(3))
    one.mesh.take(attrs.evolve(two.beacon(), leaves=True), 1, "10.0.0.2", 3 * SECOND)
    one.mesh.take(beacon(22, name="m2"), 1, "10.0.0.2", 4 * SECOND)
    assert [row.station.run for row in one.mesh.rows()] == [1, 22]


def test_station_that_has_left_is_forgotten_in_time() -> None:
    one, two = Machine(1), Machine(2)
    run([one, two], range(3))
    assert [change.event for change in one.mesh.look(60 * SECOND)] == ["silent"]
    assert len(one.mesh.rows()) == 2
    one.mesh.look(303 * SECOND)
    assert len(one.mesh.rows()) == 1


def test_own_stations_hear_each_other_on_one_network() -> None:
    mesh = Mesh()
    for number in (1, 2):
        station = Station(number, "here", f"eth{number}", f"10.0.0.{number}", is_here=True)
        mesh.add_own(station, SECOND, 0)
    assert mesh.take(beacon(1), 1, "10.0.0.1", 0) == []
    (change,) = mesh.take(beacon(1), 2, "10.0.0.1", 0)
    assert (change.event, str(change.who), str(change.whom)) == ("hears", "here:eth2", "here:eth1")
    assert mesh.heard_by(2) == [Heard(1, 1, 0)]
    assert mesh.heard_by(1) == []


def test_own_station_whose_interface_goes_has_left() -> None:
    one, two = Machine(1), Machine(2)
    run([one, two], range(3))
    assert one.mesh.remove_own(1) == [Change("left", one.station)]
    assert one.row(1).state == "left"


def test_more_stations_than_fit_into_a_beacon_are_told_of_in_turn() -> None:
    one, two = Machine(1), Machine(2)
    for number in range(100, 250):
        two.mesh.take(beacon(number), 2, "10.0.0.9", 0)
    run([one, two], range(1, 2))
    assert sum(cell is not None for cell in one.row(2).cells) == 80
    run([one, two], range(2, 3))
    # 150 others and machine 1.
    assert sum(cell is not None for cell in one.row(2).cells) == 151
    # Those that a beacon does not mention are not taken for missed.
    run([one, two], range(3, 5))
    assert "misses" not in {change.event for change in one.changes}


def test_forged_beacons_fill_no_memory() -> None:
    one = Machine(1)
    for number in range(2, 1_000):
        heard = [Heard(number * 1_000 + other, 1, 0) for other in range(80)]
        one.mesh.take(beacon(number, 0, *heard), 1, "10.0.0.9", 0)
    assert len(one.mesh.rows()) == MOST_STATIONS
    assert one.mesh.refused == 998 - (MOST_STATIONS - 1)
    for turn in range(20):
        heard = [Heard(10**6 + turn * 100 + other, 1, 0) for other in range(80)]
        one.mesh.take(beacon(2, turn, *heard, hears=1_000), 1, "10.0.0.9", 0)
    assert len(one.mesh._known[2].pairs) == MOST_STATIONS
    # Whoever has left makes room for others.
    one.mesh.take(attrs.evolve(beacon(2, 1), leaves=True), 1, "10.0.0.9", 0)
    assert [change.event for change in one.mesh.take(beacon(5_000), 1, "10.0.0.8", 0)][:1] == [
        "came"
    ]
    assert len(one.mesh.rows()) == MOST_STATIONS


def test_what_others_once_heard_is_forgotten_in_time() -> None:
    one, two = Machine(1), Machine(2)
    run([one, two], range(2))
    one.mesh.take(beacon(2, 9, Heard(77, 1, 0)), 1, "10.0.0.2", 2 * SECOND)
    run([one, two], range(3, 5))
    assert one.row(77).state == "unheard"
    for second in range(5, 310):
        run([one, two], range(second, second + 1))
    assert 77 not in {row.station.run for row in one.mesh.rows()}


def test_late_and_repeated_beacons_are_no_losses() -> None:
    one = Machine(1)
    for sequence in (0, 2, 1, 1, 5, 4, 3):
        one.mesh.take(beacon(2, sequence), 1, "10.0.0.2", 0)
    assert one.cell(1, 2) == Cell(True, 6, 0)
    one.mesh.take(beacon(2, 2**64 - 1), 1, "10.0.0.2", 0)
    assert one.cell(1, 2) == Cell(True, 64, 63)
