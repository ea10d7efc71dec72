"""The forwarding of a virtual switch: which of its ports get a frame, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from .._values.addresses import IPAddress
from ._core import Core
from ._drops import DropRule
from ._frames import Frame, Packet, Query, Report, Reporter, is_flooded
from ._impairment import IMPAIRMENTS, check_impairment
from ._interface import VirtualInterface
from ._querier import Querier
from ._snooping import MembershipTable, SnoopingTimes
from ._switch_capture import SwitchCapture
from ._switch_paths import SwitchPaths
from ._switch_ports import Port, SwitchPorts, reached_at
from ._trace import EventKind
from ._trunk import JoinedSwitch, TrunkEnd


class SwitchForwarding(SwitchPorts):
    """The part of a `VirtualSwitch` that passes frames on from port to port."""

    CHANGEABLE = frozenset(IMPAIRMENTS)

    loss: float
    """The probability with which a frame is lost on its way to a receiver, 0 to 1."""
    delay: float
    """How long a frame is under way, in seconds."""
    jitter: float
    """Up to so many seconds more, evenly distributed. Frames keep their order."""
    duplicate: float
    """The probability with which a frame arrives twice."""
    reorder: float
    """The probability with which a frame is held back, so that later frames overtake."""
    reorder_delay: float
    """How long such a frame is held back, in seconds."""

    def __init__(
        self,
        core: Core,
        name: str,
        *,
        impairments: dict[str, float],
        snooping: bool,
        querier: bool,
        times: SnoopingTimes,
    ) -> None:
        super().__init__(core, name)
        for key in IMPAIRMENTS:
            setattr(self, key, impairments[key])
        self._table = MembershipTable(core, name, times, str, self._ask_about) if snooping else None
        self._paths = SwitchPaths(core, name, self, self._arrive, self._lose)
        self._captures: dict[SwitchCapture, None] = {}
        self._drop_rules: dict[DropRule, None] = {}
        self._querier = Querier(core, times, self._query, is_enabled=querier) if snooping else None

    def __setattr__(self, name: str, value: object) -> None:
        if name in IMPAIRMENTS:
            check_impairment(name, value)
        super().__setattr__(name, value)

    def joined(self, but: TrunkEnd | None = None) -> Iterator[JoinedSwitch]:
        """Yield the switch and all that trunks lead to, except behind one trunk."""
        yield self
        for end in self._trunks:
            if end is not but:
                yield from end.owner.joined(end.twin)

    def check_address(self, address: IPAddress, name: str) -> None:
        """Raise ValueError if another interface on this switch, or a joined one, has an address."""
        for switch in self.joined():
            holder = switch.holder_of(address)
            if holder is not None and str(holder) != name:
                raise ValueError(
                    f"{address} is on {holder} already, which is on {switch.name}, too"
                    if switch is self
                    else f"{address} is on {holder} already, on {switch.name}, which {self.name} "
                    "is joined with"
                )

    def forget_port(self, port: Port) -> None:
        """Forget all reports that have come from a port."""
        if self._table is not None:
            self._table.forget_port(port)

    def ask(self) -> None:
        """Ask for reports, if this switch is the querier."""
        if self._querier is not None:
            self._querier.ask_now()

    def hears_reports(self, source: Port | None) -> bool:
        """Tell whether this switch, or anybody else, takes notice of a report from a port."""
        return (
            self._table is not None
            or bool(self._routers)
            or any(end.hears_reports for end in self._trunks if end is not source)
        )

    def take(self, end: TrunkEnd, frame: Frame) -> None:
        """Take a frame from a trunk."""
        querier = self._querier
        if querier is not None and isinstance(frame, Query) and querier.hear(frame):
            end.router_until = querier.present_until
        self.carry(end, frame, frame.next_hop if isinstance(frame, Packet) else None)

    def carry(
        self, interface: Port | None, frame: Frame, next_hop: IPAddress | None = None
    ) -> None:
        """Pass a frame on to every port that is to get the frame."""
        if isinstance(frame, Report):
            if self.hears_reports(interface):
                self._send(interface, [None], frame)
            return
        if isinstance(frame, Packet):
            for capture in self._captures:
                capture.write(interface, frame)
        ports: list[Port] = [port for port in self._ports if port is not interface]
        if self._trunks:
            ports += [end for end in self._trunks if end is not interface]
        if next_hop is not None:
            ports = reached_at(ports, next_hop)
            assert isinstance(frame, Packet)
            if not ports:
                self._drop(interface, frame, f"nobody here has the address {next_hop}")
            elif isinstance(ports[0], TrunkEnd):
                frame = attrs.evolve(frame, next_hop=next_hop)
        wanting = self._wanting(ports, frame)
        self._send(interface, wanting, frame)
        if ports and not wanting:
            self._drop(interface, frame, "nobody has reported to want it")

    def play(self, packet: Packet) -> None:
        """Pass on a datagram of a capture, which comes from none of the ports."""
        self._record("sent", self.name, packet, f"replayed, ttl {packet.ttl}")
        is_to_group = packet.destination.is_multicast
        self.carry(None, packet, None if is_to_group else packet.destination)

    def _wanting(self, ports: list[Port], frame: Frame) -> list[Port]:
        """Return those of some ports that a frame goes to."""
        table = self._table
        if table is None or not isinstance(frame, Packet) or not frame.is_to_group:
            return ports
        group = frame.destination
        if is_flooded(group):
            return ports
        source = frame.source
        return [port for port in ports if port.is_of_router or table.wants(port, group, source)]

    def _send(
        self,
        source: Port | None,
        targets: Sequence[Port | None],
        frame: Frame,
    ) -> None:
        """Send a frame on its way. A source or target of `None` is the switch itself."""
        if self._drop_rules and isinstance(frame, Packet):
            targets = [
                target for target in targets if target and self._passes(source, target, frame)
            ]
        self._paths.send(source, targets, frame)

    def _passes(self, source: Port | None, target: Port, packet: Packet) -> bool:
        """Tell whether no rule drops a datagram."""
        ends = (str(source or self.name), str(target))
        if any(rule.drops(*ends, packet) for rule in self._drop_rules):
            self._drop(target, packet, "a rule of the test drops it")
            return False
        return True

    def _lose(self, source: Port | None, target: Port | None, frame: Frame) -> None:
        if isinstance(frame, Packet) and target is not None:
            self._record("lost", target, frame, "")
        elif isinstance(frame, Report):
            self._core.record(
                self.name,
                "lost",
                interface=str(source or self.name),
                subject=frame.group,
                reason="a report",
            )

    def _arrive(
        self,
        source: Port | None,
        targets: Sequence[Port | None],
        frame: Frame,
    ) -> None:
        trace = self._core.trace
        depth = trace.depth
        for target in targets:
            trace.depth = depth  # What happens at one target is no cause at another.
            if target is None:
                assert source is not None
                assert isinstance(frame, Report)
                if source in self._ports or source in self._trunks:
                    self._learn(source, frame)
            elif target not in self._ports:
                if target in self._trunks:
                    self._pass_on(source, target, frame)
            elif not target.has_link:
                reason = "the interface has no link" if target.is_up else "the interface is down"
                self._drop(target, frame, reason)
            elif source is not None and not self._connected(source, target):
                self._drop(target, frame, "the switch is partitioned")
            else:
                target.receive(frame)

    def _pass_on(self, source: Port | None, end: Port, frame: Frame) -> None:
        """Put a frame on a trunk."""
        if source is None or self._connected(source, end):
            end.receive(frame)
        else:
            self._drop(end, frame, "the switch is partitioned")

    def _learn(self, source: Port, report: Report) -> None:
        """Take in a report, and pass it on to where routers and the querier are."""
        if report.reporter is None:
            report = attrs.evolve(report, reporter=source)
        if self._table is not None:
            self._table.learn(source, report)
        for port in list(self._routers):
            if port is not source and self._connected(source, port):
                port.receive(report)
        for end in list(self._trunks):
            is_wanted = end.hears_reports if self._table is None else end.is_of_router
            if end is not source and is_wanted and self._connected(source, end):
                end.receive(report)

    def _query(self, query: Query) -> None:
        """Ask all hosts for reports."""
        if self._ports or self._trunks:
            self._core.record(self.name, "queried")
        hosts = [port for port in self._ports if not port.is_of_router]
        self._send(None, [*hosts, *self._trunks], query)

    def _ask_about(self, port: Reporter, group: IPAddress) -> bool:
        """Ask all hosts at a port for reports on a group, if this switch is the querier."""
        querier = self._querier
        if querier is None or not querier.is_asking:
            return False
        self._core.record(self.name, "queried", interface=str(port), subject=group)
        assert isinstance(port, (VirtualInterface, TrunkEnd))
        self._send(None, [port], querier.query_about(group))
        return True

    def _drop(self, interface: Port | None, frame: Frame, reason: str) -> None:
        if isinstance(frame, Packet):
            self._record("dropped", interface or self.name, frame, reason)

    def _record(self, what: EventKind, interface: Port | str, packet: Packet, reason: str) -> None:
        self._core.record(
            self.name,
            what,
            interface=str(interface),
            subject=packet,
            reason=reason,
        )
