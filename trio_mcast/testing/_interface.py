"""`VirtualInterface`: the connection of a host or a router to a switch."""

from __future__ import annotations

import attrs

from .._values.addresses import IPAddress, family_of
from .._values.interface import (
    AddressScope,
    AddressState,
)
from ._address_lifetimes import check_lifetimes
from ._arguments import check_mtu, check_name
from ._cable import Waiting
from ._frames import Frame, Packet, fits
from ._interface_address import (
    AddressWithPrefix,
    bare_address,
    check_among,
    parse_bare_address,
    parse_details,
)
from ._interface_state import AddressedInterface


class VirtualInterface(AddressedInterface):
    """A network interface of a `VirtualHost` or `VirtualRouter`; made by their ``plug``."""

    def add_address(
        self,
        address: AddressWithPrefix,
        *,
        scope: AddressScope | None = None,
        state: AddressState | None = None,
        temporary: bool = False,
        check_seconds: float | None = None,
        valid_seconds: float | None = None,
        preferred_seconds: float | None = None,
    ) -> None:
        """Give the interface one address more.

        Linux lists new IPv6 addresses before others of their scope, and new IPv4 addresses of a
        network that the interface is in after all others.
        On other systems than Linux an address has its own scope, no state, and is not temporary.

        Args:
            address: The address with a prefix length, such as ``"10.0.0.1/24"`` or
                ``"fe80::1/64"``.
            scope: The scope; `None` for that which the address has by itself.
            state: The state; `None` for ``"preferred"``. While an address is ``"tentative"`` or
                ``"failed"``, no socket can be bound to it.
            temporary: Whether it is a temporary IPv6 address.
            check_seconds: How long the host checks an IPv6 address, as a real one does for a second
                or two: the address is ``"tentative"`` until then, and after that has ``state``, or
                is ``"failed"`` if another interface on the switch has it. The check begins anew
                when the interface comes up. `None`: it is not checked, and refused if taken.
            valid_seconds: How long the interface has the address. `None`: until it is removed.
            preferred_seconds: How long the address is used for what is new; from then on it is
                ``"deprecated"``. `None`: as long as it is valid.

        Raises:
            TypeError: The address is not text and no interface address of `ipaddress`.
            ValueError: The text is not an interface address, the address is taken on this switch,
                the scope, state, ``temporary`` or a number of seconds is not possible, or the mtu
                is too small for the family (see `set_mtu`).
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        lives = valid_seconds is not None or preferred_seconds is not None
        if not self._is_linux and (scope or state or temporary or check_seconds or lives):
            raise ValueError(
                f"{self}: only Linux has scope, state, lifetimes and temporary addresses"
            )
        check_lifetimes(valid_seconds, preferred_seconds)
        if preferred_seconds == 0 and state is None:
            state = "deprecated"
        detail = parse_details(address, scope, state, check_seconds, temporary=temporary)
        self._check_there()
        if not self._is_linux:
            detail = attrs.evolve(detail, state=None)
        bare = bare_address(detail.address)
        if family_of(bare) in self.families_without_room:
            raise ValueError(
                f"{self} takes no address {bare}: its mtu of {self._mtu} is too small for "
                f"IPv{bare.version} (set_mtu)"
            )
        self._check_new(bare, is_checked=check_seconds is not None)
        self._change_addresses(self._addresses.with_address(detail), f"has {detail.address}")
        if lives:
            self._lifetimes.begin(bare, valid_seconds, preferred_seconds)
        if check_seconds is not None:
            self._checks.begin(bare, check_seconds, state or "preferred")

    def renew_address(
        self,
        address: AddressWithPrefix,
        *,
        valid_seconds: float | None = None,
        preferred_seconds: float | None = None,
    ) -> None:
        """Give an address other lifetimes from now on, as DHCP and routers do, on a Linux host.

        Args:
            address: The address; a prefix length makes no difference.
            valid_seconds: How long the interface has the address. `None`: until it is removed.
            preferred_seconds: How long the address is used for what is new: 0 makes it
                ``"deprecated"`` now, and more makes one that was deprecated ``"preferred"``.
                `None`: as long as it is valid.

        Raises:
            TypeError: A lifetime is not a number.
            ValueError: The interface does not have the address, a lifetime is out of range, or the
                host is not Linux.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        check_lifetimes(valid_seconds, preferred_seconds)
        bare = self._own_address(address)
        self._lifetimes.begin(bare, valid_seconds, preferred_seconds)
        state = self.detail_of(bare).state
        if state in ("preferred", "deprecated"):
            renewed: AddressState = "deprecated" if preferred_seconds == 0 else "preferred"
            if renewed != state:
                self._set_state(bare, renewed)

    def _own_address(self, address: AddressWithPrefix) -> IPAddress:
        """Return one of the interface's addresses, on a Linux host."""
        self._check_there()
        if not self._is_linux:
            raise ValueError(f"{self}: only Linux tells the state of an address")
        bare = parse_bare_address(address)
        if not self.has(bare):
            raise ValueError(f"{self} does not have the address {bare}")
        return bare

    def change_address(self, address: AddressWithPrefix, state: AddressState) -> None:
        """Give an address another state, on a Linux host.

        Args:
            address: The address; a prefix length makes no difference.
            state: The new state.

        Raises:
            ValueError: The interface does not have the address, there is no such state, or the
                host is not Linux.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        if state is None:
            raise TypeError("state must be a str, not None")
        check_among(state, AddressState, "state")
        bare = self._own_address(address)
        self._checks.forget(bare)
        self._set_state(bare, state)

    def set_master(self, master: str | None) -> None:
        """Make the interface a port of a bridge, or none again, on a Linux host.

        A port gives what arrives to its master. The virtual network has no bridges inside a host:
        so nothing that arrives reaches the host, as if the bridge had no address.

        Args:
            master: The bridge's name, which need not be that of an interface; `None` for none.

        Raises:
            TypeError: The name is not a `str`.
            ValueError: The host is not Linux, or the name cannot be one.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        if not self._is_linux:
            raise ValueError(f"{self}: only Linux tells the master of an interface")
        if master is not None:
            check_name(master)
        self._master = master
        self._changed("addressed", f"belongs to {master}" if master else "belongs to no other")

    def remove_address(self, address: AddressWithPrefix) -> None:
        """Take an address from the interface.

        Args:
            address: The address; a prefix length makes no difference.

        Raises:
            TypeError: The address is not text and no address object.
            ValueError: The interface does not have the address.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        bare = parse_bare_address(address)
        remaining = self._addresses.without_address(bare)
        if remaining is self._addresses:
            raise ValueError(f"{self} does not have the address {bare}")
        self._checks.forget(bare)
        self._lifetimes.forget(bare)
        self._change_addresses(remaining, f"no longer has {bare}")

    def set_mtu(self, mtu: int) -> None:
        """Give the interface another mtu.

        On Linux an mtu below 1,280 takes IPv6 off the interface, and one below 68 takes IPv4 off,
        with all memberships and addresses. Memberships do not come back with the mtu.

        Args:
            mtu: The largest packet, in bytes. Larger datagrams go out in fragments, which are one
                event of the trace. A packet that arrives and is larger is dropped.

        Raises:
            TypeError: The mtu is not an int.
            ValueError: The mtu is less than 1.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        check_mtu(mtu)
        self._check_there()
        self._mtu = mtu
        self._change_addresses(self._addresses.with_mtu(mtu), f"has an mtu of {mtu}")

    def take_down(self) -> None:
        """Switch the interface off: nothing goes in or out, and what waits to go out is lost.

        Memberships stay, and are reported again later. On Linux the interface loses its IPv6
        addresses, as on a real Linux.

        Raises:
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        if self._is_up:
            self._is_up = False
            if self._is_linux:
                # addrconf_ifdown in net/ipv6/addrconf.c; link-local addresses are made again.
                self._addresses = self._addresses.without_family("ipv6")
            self._lose_link()
            self._changed("down")

    def take_up(self) -> None:
        """Switch the interface on again.

        Raises:
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        if not self._is_up:
            self._is_up = True
            self._addresses = self._addresses.numbered_anew(self._core.new_route_number())
            self._checks.begin_again()
            self._changed("up")

    def lose_carrier(self) -> None:
        """Take the cable out at the other end: nothing goes in or out, and the addresses stay.

        What programs send, and what waits to go out, is lost without an error, as on a real
        system. On Windows the interface is listed as down meanwhile.

        Raises:
            ValueError: This is a loopback interface.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._change_carrier(has_carrier=False)

    def restore_carrier(self) -> None:
        """Put the cable in again, after `lose_carrier`.

        A Linux host then reports its IPv6 groups anew, and its IPv4 groups when it is asked for
        them (addrconf_notify in net/ipv6/addrconf.c, inetdev_event in net/ipv4/devinet.c).

        Raises:
            ValueError: This is a loopback interface.
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._change_carrier(has_carrier=True)

    def _change_carrier(self, *, has_carrier: bool) -> None:
        self._check_there()
        if self._link is None:
            raise ValueError(f"{self} is a loopback interface, which has no cable")
        if has_carrier is self._has_carrier:
            return
        self._has_carrier = has_carrier
        self._value = None
        if not has_carrier:
            self._lose_link()
        self._core.record(
            self.owner.name,
            "addressed",
            interface=self.name,
            reason="has a link again" if has_carrier else "has no link",
        )
        self.owner.carrier_changed(self)

    def unplug(self) -> None:
        """Remove the interface from its host: sockets that have joined on it get nothing any more.

        Raises:
            RuntimeError: The network has ended, or the interface is unplugged.
        """
        self._check_there()
        if self._link is None:
            raise ValueError(f"{self} is a loopback interface, which cannot be unplugged")
        self._is_there = False
        self._link.detach(self)
        self._lose_link()
        self._core.record(self.owner.name, "unplugged", interface=self.name)
        self.owner.interface_changed(self, removed=True)

    def set_power(self, *, on: bool) -> None:
        """Take part in a crash or restart of the host. For the host only."""
        self._has_power = on
        if not on:
            self._lose_link()

    def _lose_link(self) -> None:
        """Have the switch forget what was reported, and lose what waits for the cables."""
        if self._link is not None:
            self._link.forget_port(self)
        for cable in self._cables.values():
            cable.cut()

    def transmit(self, frame: Frame, next_hop: IPAddress | None = None) -> Waiting | None:
        """Put a frame on the cable, if the interface is up and has a cable.

        Returns:
            The frame that waits for a cable with a rate; `None` if it does not wait.
        """
        if self._link is None or not self.has_link:
            return None
        link = self._link
        cable = self._cables.get("outgoing")
        if cable is None:
            link.carry(self, frame, next_hop)
            return None
        return cable.pass_on(frame, lambda passed: link.carry(self, passed, next_hop))

    def receive(self, frame: Frame) -> None:
        """Take a frame from the switch."""
        cable = self._cables.get("incoming")
        if cable is None or cable.is_perfect:
            self._take(frame)
        else:
            cable.pass_on(frame, self._take_later)

    def _take_later(self, frame: Frame) -> None:
        if self.has_link:
            self._take(frame)
        elif isinstance(frame, Packet):
            self.drop(frame, "the interface is down")

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Packet) and not fits(frame, self._mtu):
            self.drop(frame, f"it is larger than the mtu of {self._mtu}")
        elif self._master is None:
            self.owner.receive(self, frame)
        elif isinstance(frame, Packet):
            self.drop(frame, f"the interface is a port of {self._master}")

    def drop(self, packet: Packet, reason: str) -> None:
        """Record that a datagram goes no further than this interface."""
        self._core.record(
            self.owner.name, "dropped", interface=self.name, subject=packet, reason=reason
        )
