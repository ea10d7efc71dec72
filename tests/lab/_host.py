"""A host: a namespace with interfaces which are plugged to switches."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ._namespace import LabError
from ._node import Node, Programs
from ._polling import wait_until
from ._switch import IFA_F_TENTATIVE, Switch

_MINIMUM_IPV6_MTU = 1280  # RFC 8200 section 5: below it the kernel takes IPv6 off the interface

# Everything that would make a test wait or depend on the machine's own settings, which a new
# namespace inherits in part. Each is set for "all", which is what counts for some, and for
# "default", from which an interface takes its own.
_PARAMETERS = {
    f"{family}/conf/{which}/{name}": value
    for which in ("all", "default")
    for family, name, value in (
        ("ipv4", "rp_filter", "0"),
        ("ipv4", "force_igmp_version", "0"),
        # As distributions have it: removing one address does not remove others of its subnet.
        ("ipv4", "promote_secondaries", "1"),
        # Milliseconds, by default 1000. The first report of a change goes out at once, unless the
        # kernel is just sending one: then after a random time up to this one, as does the
        # repetition.
        ("ipv4", "igmpv3_unsolicited_report_interval", "100"),
        ("ipv6", "mldv2_unsolicited_report_interval", "100"),
        ("ipv6", "disable_ipv6", "0"),
        ("ipv6", "force_mld_version", "0"),
        # No duplicate address detection: addresses can be used at once.
        ("ipv6", "accept_dad", "0"),
        # There are no advertising routers; soliciting them would only disturb captures.
        ("ipv6", "accept_ra", "0"),
        ("ipv6", "router_solicitations", "0"),
        # An interface that has been down comes back as it was.
        ("ipv6", "keep_addr_on_down", "1"),
    )
} | {
    # None: `plug` asks for link-local addresses when the switch is ready to hear about them.
    "ipv6/conf/default/addr_gen_mode": "1",
}


@dataclass(frozen=True)
class _Plug:
    """Where an interface is plugged in."""

    switch: Switch
    port: str
    link_local: bool


class Host(Node):
    """A namespace with the kernel, interfaces and addresses of a computer."""

    def __init__(
        self, name: str, programs: Programs, parameters: Mapping[str, str] | None = None
    ) -> None:
        """Make a host without any interface but ``lo``."""
        super().__init__(name, programs, _PARAMETERS | dict(parameters or {}))
        self._plugs: dict[str, _Plug] = {}

    def plug(
        self,
        interface: str,
        switch: Switch,
        *addresses: str,
        mtu: int | None = None,
        link_local: bool = True,
    ) -> None:
        """Make an interface, plug it to a switch, and bring it up.

        When this returns, the addresses can be used and others can reach them.

        Args:
            interface: its name, such as ``eth0``.
            switch: what it is plugged to.
            addresses: with the prefix length, such as ``10.0.0.1/24``; none is fine.
            mtu: of both ends, in bytes.
            link_local: whether it gets a link-local IPv6 address, as real ones do.
        """
        if interface in self._plugs:
            raise LabError(f"{self!r} has an interface {interface} already")
        port = switch.add_port(self, interface, mtu)
        link_local = link_local and (mtu is None or mtu >= _MINIMUM_IPV6_MTU)
        self._plugs[interface] = _Plug(switch, port, link_local)
        self._ip(
            f"link set {interface} up", *address_commands("add", interface, addresses, version=4)
        )
        # IPv6 addresses come after: a switch that does not forward yet would miss the reports of
        # their solicited-node groups, and the kernel repeats them only after a second.
        switch.wait_for_port(port)
        self._ip(*address_commands("add", interface, addresses, version=6))
        if link_local:
            # Here the kernel makes an address from it at once; by netlink only on the way up.
            self.namespace.set_parameters({f"ipv6/conf/{interface}/addr_gen_mode": "0"})
        self._wait_for_addresses(interface)

    def unplug(self, interface: str) -> None:
        """Take an interface out of the host, like a network card: it is gone."""
        plug = self._plugs[interface]
        plug.switch.remove_port(plug.port)
        del self._plugs[interface]

    def down(self, interface: str) -> None:
        """Switch an interface off; it keeps its addresses, except the link-local one."""
        self._ip(f"link set {interface} down")

    def up(self, interface: str) -> None:
        """Switch an interface on, and return when its addresses can be used."""
        self._ip(f"link set {interface} up")
        plug = self._plugs[interface]
        plug.switch.wait_for_port(plug.port)
        self._wait_for_addresses(interface)

    def address(
        self, interface: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> None:
        """Add and remove addresses, with prefix length, and return when they can be used."""
        self._ip(
            *address_commands("add", interface, add),
            *address_commands("delete", interface, remove),
        )
        self._wait_for_addresses(interface)

    def index(self, interface: str) -> int:
        """Return an interface's index."""
        with self.inside():
            return socket.if_nametoindex(interface)

    def link_local(self, interface: str) -> str:
        """Return an interface's link-local IPv6 address, without the zone."""
        for address in self._ipv6_addresses(interface):
            if address.is_link_local:
                return str(address)
        raise LabError(f"{interface} of {self!r} has no link-local address")

    def _wait_for_addresses(self, interface: str) -> None:
        """Return when kernel and switch are ready for all IPv6 addresses of the interface."""
        plug = self._plugs[interface]
        addresses = wait_until(
            lambda: self._ipv6_addresses(interface),
            lambda addresses: (
                all(addresses.values())
                and (not plug.link_local or any(address.is_link_local for address in addresses))
            ),
            f"the IPv6 addresses of {interface} of {self!r} (True: can be used)",
        )
        plug.switch.wait_for_neighbours(plug.port, frozenset(addresses))

    def _ipv6_addresses(self, interface: str) -> dict[ipaddress.IPv6Address, bool]:
        """Return the interface's IPv6 addresses, and whether each can be used already."""
        found = {}
        for line in self.read("/proc/net/if_inet6").splitlines():
            address, _index, _prefix_length, _scope, flags, name = line.split()
            if name == interface:
                found[ipaddress.IPv6Address(int(address, 16))] = (
                    not int(flags, 16) & IFA_F_TENTATIVE
                )
        return found


def address_commands(
    action: str, interface: str, addresses: Iterable[str], version: int | None = None
) -> list[str]:
    """Return ``ip`` commands that add or delete the addresses, or those of one family only."""
    commands = []
    for address in addresses:
        parsed = ipaddress.ip_interface(address)
        if version in (None, parsed.version):
            broadcast = " broadcast +" if parsed.version == 4 and action == "add" else ""
            commands.append(f"address {action} {address}{broadcast} dev {interface}")
    return commands
