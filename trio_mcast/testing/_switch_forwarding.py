"""The forwarding of a virtual switch: which of its ports get a frame, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import attrs

from .._values.addresses import IPAddress
from ._arguments import FixedAttributes
from ._core import Core
from ._drops import DropRule
from ._frames import Frame, Packet, Query, Report, Reporter, is_flooded
from ._holders import Holders
from ._impairment import IMPAIRMENTS, check_impairment
from ._interface import VirtualInterface
from ._querier import Querier
from ._snooping import MembershipTable, SnoopingTimes
from ._switch_capture import SwitchCapture
from ._switch_paths import SwitchPaths
from ._trace import EventKind
from ._trunk import JoinedSwitch, TrunkEnd

# A port: what is plugged in, a host's or router's interface or a trunk to another switch.
_Port: TypeAlias = VirtualInterface | TrunkEnd


class SwitchForwarding(FixedAttributes):
    """The part of a `VirtualSwitch` that knows its ports, and passes frames on."""

    CHANGEABLE = frozenset(IMPAIRMENTS)

    name: str
    """The switch's name."""
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
        self.name = name
        for key in IMPAIRMENTS:
            setattr(self, key, impairments[key])
        self._core = core
        self._table = MembershipTable(core, name, times, str, self._ask_about) if snooping else None
        self._ports: dict[VirtualInterface, None] = {}
        self._routers: dict[VirtualInterface, None] = {}
        self._trunks: dict[TrunkEnd, None] = {}
        self._holders = Holders(self._ports)
        self._paths = SwitchPaths(core, name, self, self._arrive, self._lose)
        self._parts: dict[str, int] | None = None
        self._captures: dict[SwitchCapture, None] = {}
        self._drop_rules: dict[DropRule, None] = {}
        self._querier = Querier(core, times, self._query, is_enabled=querier) if snooping else None

    def __setattr__(self, name: str, value: object) -> None:
        if name in IMPAIRMENTS:
            check_impairment(name, value)
        super().__setattr__(name, value)

    @property
    def core(self) -> Core:
        """The core of the network that the switch belongs to."""
        return self._core

    # --- Called by interfaces

    def attach(self, interface: VirtualInterface) -> None:
        """Connect an interface."""
        self._ports[interface] = None
        if interface.is_of_router:
            self._routers[interface] = None
        self._holders.add(interface)

    def detach(self, interface: VirtualInterface) -> None:
        """Disconnect an interface."""
        self._ports.pop(interface, None)
        self._routers.pop(interface, None)
        self.addresses_changed()
        self.forget_port(interface)

    def forget_port(self, interface: VirtualInterface) -> None:
        """Forget all reports of an interface."""
        if self._table is not None:
            self._table.forget_port(interface)

    def attach_trunk(self, end: TrunkEnd) -> None:
        """Connect an end of a trunk."""
        self._trunks[end] = None

    def ask(self) -> None:
        """Ask for reports, if this switch is the querier."""
        if self._querier is not None:
            self._querier.ask_now()

    def detach_trunk(self, end: TrunkEnd) -> None:
        """Disconnect an end of a trunk, and forget the reports that came from there."""
        self._trunks.pop(end, None)
        if self._table is not None:
            self._table.forget_port(end)

    def joined(self, but: TrunkEnd | None = None) -> Iterator[JoinedSwitch]:
        """Yield the switch and all that trunks lead to, except behind one trunk."""
        yield self
        for end in self._trunks:
            if end is not but:
                yield from end.owner.joined(end.twin)

    def interfaces(self, but: TrunkEnd | None = None) -> Iterator[VirtualInterface]:
        """Yield the interfaces on these switches."""
        yield from self._ports
        for end in self._trunks:
            if end is not but:
                yield from end.owner.interfaces(end.twin)

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

    def holder_of(self, address: IPAddress) -> VirtualInterface | None:
        """Return the interface on this switch that has an address."""
        return self._holders.of(address)

    def addresses_changed(self) -> None:
        """Note that an interface has other addresses than before."""
        self._holders.addresses_changed()

    def hears_reports(self, source: _Port | None) -> bool:
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
        self, interface: _Port | None, frame: Frame, next_hop: IPAddress | None = None
    ) -> None:
        """Pass a frame on to every port that is to get the frame."""
        if isinstance(frame, Report):
            if self.hears_reports(interface):
                self._send(interface, [None], frame)
            return
        if isinstance(frame, Packet):
            for capture in self._captures:
                capture.write(interface, frame)
        ports: list[_Port] = [port for port in self._ports if port is not interface]
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

    def has_broadcast_address(self, address: IPAddress) -> bool:
        """Tell whether an address stands for all hosts of a network that an interface is in."""
        return any(
            address == own.network.broadcast_address and own.network.prefixlen < 31
            for port in self.interfaces()
            for own in port.value.ipv4_addresses
        )

    def _wanting(self, ports: list[_Port], frame: Frame) -> list[_Port]:
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
        source: _Port | None,
        targets: Sequence[_Port | None],
        frame: Frame,
    ) -> None:
        """Send a frame on its way. A source or target of `None` is the switch itself."""
        if self._drop_rules and isinstance(frame, Packet):
            targets = [
                target for target in targets if target and self._passes(source, target, frame)
            ]
        self._paths.send(source, targets, frame)

    def _passes(self, source: _Port | None, target: _Port, packet: Packet) -> bool:
        """Tell whether no rule drops a datagram."""
        ends = (str(source or self.name), str(target))
        if any(rule.drops(*ends, packet) for rule in self._drop_rules):
            self._drop(target, packet, "a rule of the test drops it")
            return False
        return True

    def _lose(self, source: _Port | None, target: _Port | None, frame: Frame) -> None:
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
        source: _Port | None,
        targets: Sequence[_Port | None],
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

    def _connected(self, source: _Port, target: _Port) -> bool:
        parts = self._parts
        return parts is None or parts.get(source.owner.name) == parts.get(target.owner.name)

    def _pass_on(self, source: _Port | None, end: _Port, frame: Frame) -> None:
        """Put a frame on a trunk."""
        if source is None or self._connected(source, end):
            end.receive(frame)
        else:
            self._drop(end, frame, "the switch is partitioned")

    def _learn(self, source: _Port, report: Report) -> None:
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

    def _drop(self, interface: _Port | None, frame: Frame, reason: str) -> None:
        if isinstance(frame, Packet):
            self._record("dropped", interface or self.name, frame, reason)

    def _record(self, what: EventKind, interface: _Port | str, packet: Packet, reason: str) -> None:
        self._core.record(
            self.name,
            what,
            interface=str(interface),
            subject=packet,
            reason=reason,
        )


def reached_at(ports: Sequence[_Port], address: IPAddress) -> list[_Port]:
    """Return the port of some that is reached at an address, if any."""
    holding = [port for port in ports if port.has_usable(address)]
    return (holding or [port for port in ports if port.answers_for(address)])[:1]
