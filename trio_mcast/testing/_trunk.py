"""`Trunk`: a cable between two switches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from .._values.addresses import IPAddress
from ._arguments import FixedAttributes
from ._cable import IN_CABLES, Cable
from ._core import Core
from ._frames import Frame, Packet
from ._interface import VirtualInterface


class JoinedSwitch(Protocol):
    """A switch at one end of a trunk."""

    name: str

    def attach_trunk(self, end: TrunkEnd) -> None:
        """Connect an end of a trunk."""

    def ask(self) -> None:
        """Ask for reports, if the switch is the querier."""

    def detach_trunk(self, end: TrunkEnd) -> None:
        """Disconnect an end of a trunk."""

    def forget_port(self, end: TrunkEnd) -> None:
        """Forget all reports that have come from a trunk."""

    def joined(self, but: TrunkEnd | None = None) -> Iterator[JoinedSwitch]:
        """Yield the switch and all that trunks lead to, except behind one trunk."""

    def interfaces(self, but: TrunkEnd | None = None) -> Iterator[VirtualInterface]:
        """Yield the interfaces on these switches."""

    def holder_of(self, address: IPAddress) -> VirtualInterface | None:
        """Return the interface on this switch that has an address."""

    def hears_reports(self, source: VirtualInterface | TrunkEnd | None) -> bool:
        """Tell whether a report that comes from a port is of use to anybody."""

    def take(self, end: TrunkEnd, frame: Frame) -> None:
        """Take a frame from a trunk."""


class TrunkEnd:
    """One end of a trunk: a port of a switch, which leads to another switch."""

    twin: TrunkEnd
    """The end at the other switch."""

    def __init__(self, core: Core, near: JoinedSwitch, far: JoinedSwitch, cable: Cable) -> None:
        self.number: int = core.new_number()
        self.owner = far
        self.cable = cable
        self.is_plugged = True
        # Until when a querier is there.
        self.router_until = 0
        self._core = core
        self._near = near

    def __str__(self) -> str:
        return self.owner.name

    @property
    def is_of_router(self) -> bool:
        """Whether the trunk leads to the querier or to a router that asks."""
        return self._core.scheduler.now_ns() < self.router_until

    @property
    def hears_reports(self) -> bool:
        """Whether anybody behind the trunk takes notice of reports."""
        return self.owner.hears_reports(self.twin)

    def has_usable(self, address: IPAddress) -> bool:
        """Tell whether an interface behind the trunk has an address."""
        return any(port.has_usable(address) for port in self.owner.interfaces(self.twin))

    def answers_for(self, address: IPAddress) -> bool:
        """Tell whether an interface behind the trunk answers for an address."""
        return any(port.answers_for(address) for port in self.owner.interfaces(self.twin))

    def receive(self, frame: Frame) -> None:
        """Take a frame from the switch, and bring it to the other one."""
        if isinstance(frame, Packet):
            self._core.record(self._near.name, "forwarded", interface=str(self), subject=frame)
        self.cable.pass_on(frame, self._deliver)

    def _deliver(self, frame: Frame) -> None:
        if self.is_plugged:
            self.owner.take(self.twin, frame)
        elif isinstance(frame, Packet):
            reason = "the trunk has been unplugged"
            self._core.record(
                self._near.name, "dropped", interface=str(self), subject=frame, reason=reason
            )


class Trunk(FixedAttributes):
    """A cable between two switches; made by `VirtualSwitch.plug`.

    ``trunk.outgoing`` is what the switch whose ``plug`` was called sends, and ``trunk.incoming`` is
    what that switch gets. Both can be impaired at any time.
    """

    HINT = IN_CABLES

    def __init__(self, core: Core, near: JoinedSwitch, far: JoinedSwitch) -> None:
        number = core.new_number()
        outgoing = Cable(core, near.name, far.name, number, "outgoing")
        incoming = Cable(core, near.name, far.name, number, "incoming")
        self._ends = (TrunkEnd(core, near, far, outgoing), TrunkEnd(core, far, near, incoming))
        self._core = core
        for switch, end, twin in self._sides():
            end.twin = twin
            switch.attach_trunk(end)
            core.record(switch.name, "plugged", interface=str(end))
        for switch in near.joined():  # RFC 4541, 2.1.1, 4: after a change of the topology.
            switch.ask()

    def __repr__(self) -> str:
        return f"<Trunk between {self._ends[1]} and {self._ends[0]}>"

    @property
    def outgoing(self) -> Cable:
        """The impairments of what the first switch sends to the other."""
        return self._ends[0].cable

    @property
    def incoming(self) -> Cable:
        """The impairments of what the other switch sends to the first."""
        return self._ends[1].cable

    def unplug(self) -> None:
        """Take the cable out: the switches are apart again, and what is under way is lost.

        Each switch forgets who has reported from the other one.

        Raises:
            RuntimeError: The network has ended, or the trunk is unplugged.
        """
        self._core.enter(str(self._ends[1]))
        if not self._ends[0].is_plugged:
            raise RuntimeError(f"{self!r} is unplugged already")
        for switch, end, _ in self._sides():
            end.is_plugged = False
            switch.detach_trunk(end)
            switch.forget_port(end)
            self._core.record(switch.name, "unplugged", interface=str(end))

    def _sides(self) -> Iterator[tuple[JoinedSwitch, TrunkEnd, TrunkEnd]]:
        """Yield each switch with its end and with the other one."""
        near, far = self._ends
        yield far.owner, near, far
        yield near.owner, far, near
