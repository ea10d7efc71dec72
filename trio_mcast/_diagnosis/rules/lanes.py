"""`Lane`: the way of one group between two machines, with the cases that tell of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import attrs

from ..evidence import Evidence
from ..probe.measured import Direction, JoinRefusal, Peer, ProbeCase
from ..probe.plan import FRAGMENTED, FULL, SMALL

_GROUPS = {4: "IpExt.InMcastPkts", 6: "Ip6InMcastPkts"}
_DELIVERED = {4: "Ip.InDelivers", 6: "Ip6InDelivers"}
_RECEIVED = {4: "Ip.InReceives", 6: "Ip6InReceives"}
_FILTERED = "TcpExt.IPReversePathFilter"
_UNICAST_TTL = 64


@attrs.define(slots=False)
class Lane:
    """The way of one group from one interface of the sending machine to the receiving one.

    Attributes:
        peer: All about the other machine.
        direction: ``"there"`` or ``"back"``.
        version: The IP version.
        group: The group.
        interface: The sender's interface.
        cases: The cases of the direction and the version that tell of it.
    """

    peer: Peer
    direction: Direction
    version: int
    group: str
    interface: str
    cases: list[ProbeCase]

    # The ends ------------------------------------------------------------------------------------

    @property
    def other(self) -> str:
        """The other machine, for people."""
        return f"the machine {self.peer.address.rpartition(':')[0].strip('[]')}"

    @property
    def receiver(self) -> str:
        """The machine that receives, for people."""
        return self.other if self.direction == "there" else "this machine"

    @property
    def sender(self) -> str:
        """The machine that sends, for people."""
        return "this machine" if self.direction == "there" else self.other

    # The cases -----------------------------------------------------------------------------------

    def _case(self, to: str, *, size: int = SMALL, ttl: int | None = None) -> ProbeCase | None:
        for case in self.cases:
            if (case.to, case.size, case.purpose) == (to, size, "case") and ttl in (None, case.ttl):
                return case
        return None

    @cached_property
    def unicast(self) -> ProbeCase | None:
        """Small unicast."""
        return self._case("unicast")

    @cached_property
    def large_unicast(self) -> ProbeCase | None:
        """Unicast in fragments."""
        return self._case("unicast", size=FRAGMENTED)

    @cached_property
    def broadcast(self) -> ProbeCase | None:
        """Broadcast; there is none of IPv6."""
        return self._case("broadcast")

    @cached_property
    def local(self) -> ProbeCase | None:
        """The group that every switch floods."""
        return self._case("local")

    @cached_property
    def small(self) -> list[ProbeCase]:
        """Small datagrams of the group, with whatever ttl, that were sent."""
        return [
            case
            for case in self.cases
            if (case.to, case.size, case.purpose) == ("group", SMALL, "case") and case.sent
        ]

    @cached_property
    def near(self) -> ProbeCase | None:
        """Small datagrams of the group, with a ttl of 1."""
        return next((case for case in self.small if case.ttl == 1), None)

    @cached_property
    def full(self) -> ProbeCase | None:
        """Datagrams of the group that just fit into a packet."""
        return self._case("group", size=FULL)

    @cached_property
    def fragmented(self) -> ProbeCase | None:
        """Datagrams of the group in fragments."""
        return self._case("group", size=FRAGMENTED)

    @cached_property
    def best(self) -> ProbeCase | None:
        """The small case of the group of which most came."""
        return max(self.small, key=lambda case: case.got or 0, default=None)

    @property
    def came(self) -> bool:
        """Whether small datagrams of the group came, with whatever ttl."""
        return self.best is not None and self.best.came

    @property
    def failed(self) -> bool:
        """Whether small datagrams of the group were sent, and next to none came."""
        return bool(self.small) and all(case.failed for case in self.small)

    @property
    def routers(self) -> int | None:
        """The routers between the two, by what is missing of the ttl of unicast."""
        if self.unicast is None or not self.unicast.ttls:
            return None
        return _UNICAST_TTL - min(self.unicast.ttls)

    @property
    def refusal(self) -> JoinRefusal | None:
        """The refusal of the receiver to join the group, if there is one."""
        for refusal in self.peer.refusals:
            if (refusal.direction, refusal.group) == (self.direction, self.group):
                return refusal
        return None

    # The counters of the receiver ----------------------------------------------------------------

    def _half(self, case: ProbeCase) -> int:
        return (case.sent + 1) // 2

    @property
    def filtered(self) -> ProbeCase | None:
        """The case of which the reverse path filter of the receiver dropped at least half."""
        for case in self.small:
            if case.failed and case.rise(_FILTERED) >= self._half(case):
                return case
        return None

    @property
    def dropped(self) -> tuple[ProbeCase, str] | None:
        """The case of which the receiver's packet filter dropped at least half, and at which hook.

        What is delivered includes unicast, so a difference is never too large for that.
        """
        groups, delivered = _GROUPS[self.version], _DELIVERED[self.version]
        for case in self.small:
            if case.failed and case.rise(groups) - case.rise(delivered) >= self._half(case):
                return case, "input"
        early = self._dropped_early
        return None if early is None else (early, "prerouting")

    @property
    def _dropped_early(self) -> ProbeCase | None:
        """The case whose packets were received, but not even counted as those of a group.

        Frames of groups that are not joined look the same, and come at their own pace. So all cases
        that failed have to have more of these each second than all that came, and by enough. One
        case against another proves it only if that has twice as many.
        """
        if self.version != 4:
            return None
        failed = [case for case in (*self.small, self.full) if case is not None and case.failed]
        came = [
            case
            for case in (self.unicast, self.broadcast, self.local)
            if case is not None and case.came and case.rises is not None
        ]
        if not self.small or not failed or not came:
            return None
        usual = max(map(self._undelivered, came))
        most, least = max(failed, key=self._undelivered), min(map(self._undelivered, failed))
        surplus = sum((self._undelivered(case) - usual) * case.seconds for case in failed)
        if surplus < sum(map(self._half, failed)):
            return None
        factor = 1.25 if len(failed) > 2 and len(came) > 1 else 2
        return most if least >= factor * usual else None

    def _undelivered(self, case: ProbeCase) -> float:
        """The packets each second that were received and not delivered to this machine."""
        missing = case.rise(_RECEIVED[self.version]) - case.rise(_DELIVERED[self.version])
        return missing / max(case.seconds, 0.01)


def find_lanes(evidence: Evidence) -> Iterator[Lane]:
    """Yield the best lane of each direction and group: that another one is silent is no fault.

    Two machines may have an interface each that is not in the same network as any of the other.
    """
    peer = evidence.peer
    if peer is None or not peer.answered:
        return
    keys = dict.fromkeys(
        (case.direction, case.version, case.destination)
        for case in peer.cases
        if case.to == "group" and case.purpose == "case"
    )
    for direction, version, group in keys:
        of_version = [
            case for case in peer.cases if (case.direction, case.version) == (direction, version)
        ]
        interfaces = dict.fromkeys(
            case.interface for case in of_version if case.destination == group
        )
        lanes = [
            Lane(
                peer,
                direction,
                version,
                group,
                interface,
                [
                    case
                    for case in of_version
                    if case.to == "unicast"
                    or (case.interface == interface and case.to != "group")
                    or (case.interface == interface and case.destination == group)
                ],
            )
            for interface in interfaces
        ]
        yield max(lanes, key=_rank)


def _rank(lane: Lane) -> tuple[int, ...]:
    near, local, broadcast = lane.near, lane.local, lane.broadcast
    return (
        lane.came,
        bool(lane.small),
        near is not None and near.came,
        local is not None and local.came,
        broadcast is not None and broadcast.came,
    )


def summary_of(peer: Peer) -> str:
    """Return how many of the probes of groups came, as the end of a sentence; maybe nothing."""
    if not peer.answered:
        return ""
    counts = []
    for direction, name in (("there", f"to {peer.asked}"), ("back", "back")):
        cases = [one for one in peer.cases if (one.direction, one.to) == (direction, "group")]
        sent = sum(case.sent for case in cases)
        if sent:
            counts.append(f"{sum(case.got or 0 for case in cases)} of {sent} probes came {name}")
    return f", {' and '.join(counts)}" if counts else ""


def probes_came(peer: Peer | None) -> bool:
    """Tell whether probes of a group came to this machine."""
    cases = peer.cases if peer is not None else ()
    return any(case.got for case in cases if (case.direction, case.to) == ("back", "group"))
