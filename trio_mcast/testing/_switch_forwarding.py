"""The forwarding of a virtual switch: which of its ports get a frame, and when."""

from __future__ import annotations

from collections.abc import Sequence

from .._values.addresses import IPAddress
from ._arguments import FixedAttributes
from ._core import Core
from ._drops import DropRule
from ._frames import Frame, Packet, Query, Report, is_flooded
from ._impairment import IMPAIRMENTS, check_impairment
from ._interface import VirtualInterface
from ._interface_address import bare_address
from ._snooping import MembershipTable, SnoopingTimes
from ._switch_capture import SwitchCapture
from ._switch_paths import SwitchPaths
from ._trace import EventKind


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
        self._table = MembershipTable(core, name, times) if snooping else None
        self._times = times
        self._ports: dict[VirtualInterface, None] = {}
        self._routers: dict[VirtualInterface, None] = {}
        # The interfaces by address; `None` if that has to be found out anew.
        self._holders: dict[IPAddress, VirtualInterface] | None = {}
        self._paths = SwitchPaths(core, name, self, self._arrive, self._lose)
        self._parts: dict[str, int] | None = None
        self._captures: dict[SwitchCapture, None] = {}
        self._drop_rules: dict[DropRule, None] = {}
        if snooping and querier:
            self._query()

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
        if self._holders is not None:
            self._note_addresses(self._holders, interface)

    def detach(self, interface: VirtualInterface) -> None:
        """Disconnect an interface."""
        self._ports.pop(interface, None)
        self._routers.pop(interface, None)
        self.addresses_changed()
        self.forget_port(interface)

    def forget_port(self, interface: VirtualInterface) -> None:
        """Forget all reports of an interface."""
        if self._table is not None:
            self._table.forget_port(interface, str(interface))

    def check_address(self, address: IPAddress, name: str) -> None:
        """Raise ValueError if another interface on this switch has an address."""
        if self._holders is None:
            self._holders = {}
            for port in self._ports:
                self._note_addresses(self._holders, port)
        holder = self._holders.get(address)
        if holder is not None and str(holder) != name:
            raise ValueError(f"{address} is on {holder} already, which is on {self.name}, too")

    def addresses_changed(self) -> None:
        """Note that an interface has other addresses than before."""
        self._holders = None

    @staticmethod
    def _note_addresses(
        holders: dict[IPAddress, VirtualInterface], interface: VirtualInterface
    ) -> None:
        for detail in interface.value.address_details:
            if detail.state == "tentative":  # Whoever has it otherwise has it.
                holders.setdefault(bare_address(detail.address), interface)
            elif detail.state != "failed":
                holders[bare_address(detail.address)] = interface

    @property
    def hears_reports(self) -> bool:
        """Whether the switch or a router on the switch takes notice of reports."""
        return self._table is not None or bool(self._routers)

    def carry(
        self, interface: VirtualInterface, frame: Frame, next_hop: IPAddress | None = None
    ) -> None:
        """Pass a frame on to every interface that is to get the frame."""
        if isinstance(frame, Report):
            if self.hears_reports:
                self._send(interface, [None], frame)
            return
        if isinstance(frame, Packet):
            for capture in self._captures:
                capture.write(interface, frame)
        ports = [port for port in self._ports if port is not interface]
        if next_hop is not None:
            ports = reached_at(ports, next_hop)
            if not ports:
                assert isinstance(frame, Packet)
                self._drop(interface, frame, f"nobody here has the address {next_hop}")
        wanting = self._wanting(ports, frame)
        self._send(interface, wanting, frame)
        if ports and not wanting:
            self._drop(interface, frame, "nobody has reported to want it")

    def play(self, packet: Packet) -> None:
        """Pass on a datagram of a capture, which comes from none of the interfaces."""
        self._record("sent", self.name, packet, f"replayed, ttl {packet.ttl}")
        for capture in self._captures:
            capture.write(None, packet)
        ports = list(self._ports)
        if not packet.destination.is_multicast:
            ports = reached_at(ports, packet.destination)
            if not ports:
                reason = f"nobody here has the address {packet.destination}"
                self._record("dropped", self.name, packet, reason)
        wanting = self._wanting(ports, packet)
        self._send(None, wanting, packet)
        if ports and not wanting:
            self._record("dropped", self.name, packet, "nobody has reported to want it")

    def has_broadcast_address(self, address: IPAddress) -> bool:
        """Tell whether an address stands for all hosts of a network that an interface is in."""
        return any(
            address == own.network.broadcast_address and own.network.prefixlen < 31
            for port in self._ports
            for own in port.value.ipv4_addresses
        )

    def _wanting(self, ports: list[VirtualInterface], frame: Frame) -> list[VirtualInterface]:
        """Return those of some ports that a frame goes to."""
        table = self._table
        if table is None or not isinstance(frame, Packet) or not frame.is_to_group:
            return ports
        group = frame.destination
        if is_flooded(group):
            return ports
        return [
            port for port in ports if port.is_of_router or table.wants(port, group, frame.source)
        ]

    def _send(
        self,
        source: VirtualInterface | None,
        targets: Sequence[VirtualInterface | None],
        frame: Frame,
    ) -> None:
        """Send a frame on its way. A source or target of `None` is the switch itself."""
        if self._drop_rules and isinstance(frame, Packet):
            targets = [
                target for target in targets if target and self._passes(source, target, frame)
            ]
        self._paths.send(source, targets, frame)

    def _passes(
        self, source: VirtualInterface | None, target: VirtualInterface, packet: Packet
    ) -> bool:
        """Tell whether no rule drops a datagram."""
        ends = (str(source or self.name), str(target))
        if any(rule.drops(*ends, packet) for rule in self._drop_rules):
            self._drop(target, packet, "a rule of the test drops it")
            return False
        return True

    def _lose(
        self, source: VirtualInterface | None, target: VirtualInterface | None, frame: Frame
    ) -> None:
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
        source: VirtualInterface | None,
        targets: Sequence[VirtualInterface | None],
        frame: Frame,
    ) -> None:
        trace = self._core.trace
        depth = trace.depth
        for target in targets:
            trace.depth = depth  # What happens at one target is no cause at another.
            if target is None:
                assert source is not None
                assert isinstance(frame, Report)
                if source in self._ports:
                    self._learn(source, frame)
            elif target not in self._ports:
                continue
            elif not target.has_link:
                reason = "the interface has no link" if target.is_up else "the interface is down"
                self._drop(target, frame, reason)
            elif source is not None and not self._connected(source, target):
                self._drop(target, frame, "the switch is partitioned")
            else:
                target.receive(frame)

    def _connected(self, source: VirtualInterface, target: VirtualInterface) -> bool:
        parts = self._parts
        return parts is None or parts.get(source.owner.name) == parts.get(target.owner.name)

    def _learn(self, source: VirtualInterface, report: Report) -> None:
        if self._table is not None:
            self._table.learn(source, report, str(source))
        for port in list(self._routers):
            if port is not source and self._connected(source, port):
                port.receive(report)

    def _query(self) -> None:
        """Ask all hosts for reports, now and then at every interval."""
        scheduler = self._core.scheduler
        if self._ports:
            self._core.record(self.name, "queried")
        hosts = [port for port in self._ports if not port.is_of_router]
        self._send(None, hosts, Query(self._times.response))
        scheduler.schedule(scheduler.later(self._times.query), (0,), self._query)

    def _drop(self, interface: VirtualInterface, frame: Frame, reason: str) -> None:
        if isinstance(frame, Packet):
            self._record("dropped", interface, frame, reason)

    def _record(
        self, what: EventKind, interface: VirtualInterface | str, packet: Packet, reason: str
    ) -> None:
        self._core.record(
            self.name,
            what,
            interface=str(interface),
            subject=packet,
            reason=reason,
        )


def reached_at(ports: Sequence[VirtualInterface], address: IPAddress) -> list[VirtualInterface]:
    """Return the port of some that is reached at an address, if any."""
    holding = [port for port in ports if port.has_usable(address)]
    return (holding or [port for port in ports if port.answers_for(address)])[:1]
