"""`VirtualSwitch`: a link that interfaces are plugged into."""

from __future__ import annotations

import os
from collections.abc import Callable

from .._values.addresses import AddressLike, parse_group
from ._clock import VirtualClock
from ._drops import DatagramOnLink, DropRule
from ._impairment import show_impairments
from ._partition import describe_parts, parse_parts
from ._switch_capture import SwitchCapture
from ._switch_forwarding import SwitchForwarding


class VirtualSwitch(SwitchForwarding):
    """A switch between the interfaces that are plugged in; made by `VirtualNetwork.switch`.

    The impairments are attributes and can be set at any time. New values count for frames that are
    sent from then on, for each receiver separately.
    """

    def __repr__(self) -> str:
        return f"<VirtualSwitch {self.name}{show_impairments(self)}>"

    def partition(self, *groups: object) -> None:
        """Split the switch: frames pass within a group of hosts, and not between groups.

        Args:
            groups: Hosts and routers, or their names: several in a list, or one by itself. All
                that are not named are one group more. A call without groups makes the switch whole
                again, as `heal` does.

        Raises:
            ValueError: A name is in two groups, or nothing of that name is plugged in.
            RuntimeError: The network has ended.
        """
        self._core.enter(self.name)
        parts = parse_parts(groups, {port.owner.name for port in self._ports}, self.name)
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
                function raises leaves the call that has sent the datagram.

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
