"""`VirtualSwitch`: a link that interfaces are plugged into."""

from __future__ import annotations

import os
from collections.abc import Callable

from .._values.addresses import AddressLike, parse_group
from ._clock import VirtualClock
from ._drops import DatagramOnLink, DropRule
from ._impairment import show_impairments
from ._interface_address import bare_address
from ._partition import describe_parts, parse_parts
from ._switch_capture import SwitchCapture
from ._switch_forwarding import SwitchForwarding
from ._trunk import Trunk


class VirtualSwitch(SwitchForwarding):
    """A switch between the interfaces that are plugged in; made by `VirtualNetwork.switch`.

    The impairments are attributes and can be set at any time. New values count for frames that are
    sent from then on, for each receiver separately.
    """

    def __repr__(self) -> str:
        return f"<VirtualSwitch {self.name}{show_impairments(self)}>"

    def plug(self, other: VirtualSwitch) -> Trunk:
        """Plug a cable into this switch and another: from now on they are one link.

        Frames take the way through both, with the impairments of each. A switch that snoops passes
        a group on to the other if anybody behind that has reported to want the group, or if the
        querier is there, to which it passes the reports. Of several switches that are queriers, the
        one that was made first asks, as if it had the lowest address (RFC 3376, 6.6.2): at once
        after the plugging, and then every ``query_seconds``. The next one asks when it has heard
        nothing for twice ``query_seconds`` and half of ``response_seconds``, by default 255 s.

        In the trace, each switch has the other's name for its end of the cable.

        Args:
            other: The other switch.

        Returns:
            The cable, which can be impaired and unplugged.

        Raises:
            TypeError: The other is no switch.
            ValueError: The other is this switch or of another network, there is a way between the
                two already, or an address is on both.
            RuntimeError: The network has ended.
        """
        if not isinstance(other, VirtualSwitch):
            raise TypeError(f"other must be a VirtualSwitch, not {type(other).__name__}: {other!r}")
        self._core.enter(self.name)
        if other is self:
            raise ValueError(f"{self.name} cannot be plugged into itself")
        if other.core is not self._core:
            raise ValueError(f"{other.name} is a switch of another network")
        if other in self.joined():
            raise ValueError(
                f"there is a way from {self.name} to {other.name} already: in a loop, frames would "
                "go round for ever"
            )
        for interface in other.interfaces():
            for detail in interface.value.address_details:
                if detail.state not in ("tentative", "failed"):
                    self.check_address(bare_address(detail.address), str(interface))
        return Trunk(self._core, self, other)

    def partition(self, *groups: object) -> None:
        """Split the switch: frames pass within a group of hosts, and not between groups.

        Args:
            groups: Hosts, routers and switches that are plugged in, or their names: several in a
                list, or one by itself. All that are not named are one group more. A call without
                groups makes the switch whole again, as `heal` does.

        Raises:
            ValueError: A name is in two groups, or nothing of that name is plugged in.
            RuntimeError: The network has ended.
        """
        self._core.enter(self.name)
        known = {port.owner.name for port in self._ports} | {str(end) for end in self._trunks}
        parts = parse_parts(groups, known, self.name)
        self._parts = parts or None
        described = describe_parts(parts)
        self._core.record(self.name, "partitioned", reason=described or "whole")

    def heal(self) -> None:
        """End a `partition`.

        Raises:
            RuntimeError: The network has ended.
        """
        self.partition()

    def drop(self, predicate: Callable[[DatagramOnLink], object]) -> DropRule:
        """Drop the datagrams that a test chooses.

        ``with lan.drop(lambda datagram: datagram.receiver == "b/eth0"):`` cuts off one host for a
        while. Each datagram is looked at once for each receiver, when it is sent.

        Args:
            predicate: Called with each datagram; it is dropped if the result is true. What the
                function raises leaves the call that has sent the datagram, or the block of the
                network, if the datagram was under way before it came to the switch.

        Returns:
            The rule, which can be ended and counts.

        Raises:
            TypeError: The predicate cannot be called.
            RuntimeError: The network has ended.
        """
        if not callable(predicate):
            raise TypeError(f"predicate must be a function, not {predicate!r}")
        self._core.enter(self.name)
        rule = DropRule(predicate, lambda ended: self._drop_rules.pop(ended, None) and None)
        self._drop_rules[rule] = None
        return rule

    def capture(self, path: str | os.PathLike[str]) -> SwitchCapture:
        """Write the datagrams that hosts put on the switch to a pcapng file, for Wireshark.

        ``with lan.capture("lan.pcapng"):`` captures inside the block. Each datagram is written
        once, as a whole IP packet, also if it is lost or dropped on its way to others. The file has
        an interface for each that has sent. `VirtualNetwork.replay` plays it.

        Args:
            path: The file, which is made anew.

        Returns:
            The capture, which can be closed and counts.

        Raises:
            TypeError: The path is not a `str` and no path object.
            OSError: The file cannot be written.
            ImportError: python-pcapng is not installed; it is in the extra ``testing``.
            RuntimeError: The network has ended.
        """
        self._core.enter(self.name)
        clock = VirtualClock(self._core, self.name)

        def end(capture: SwitchCapture) -> None:
            self._captures.pop(capture, None)

        capture = SwitchCapture(path, self.name, clock.time_ns, end)
        self._captures[capture] = None
        return capture

    def members(self, group: AddressLike) -> list[str]:
        """List the interfaces that want a group, as far as this switch knows.

        Args:
            group: The group.

        Returns:
            The names as ``"host/interface"``, in the order of plugging in.

        Raises:
            TypeError: The group is not a `str` or an address object.
            ValueError: The group is not a multicast address, or the switch does not snoop.
            RuntimeError: The network has ended.
        """
        if self._table is None:
            raise ValueError(f"{self.name} does not snoop: switch({self.name!r}, snooping=True)")
        self._core.enter(self.name)
        wanting = self._table.wanting(parse_group(group).address)
        return [str(port) for port in sorted(wanting, key=lambda port: port.number)]
