"""A switch: a namespace with a Linux bridge, which may snoop on IGMP and MLD.

What makes the bridge filter at once and exactly
================================================

Measured on Linux 6.18; the kernel's side of it is net/bridge/br_multicast.c and br_device.c.

* A bridge filters only while it knows of a *querier*; without one it sends every group to every
  port. Its own querier counts after one query response interval, by default ten seconds. So the
  querier is enabled with an interval of 0, which is then set to the one wanted.
* For MLD it counts only if the bridge has an IPv6 address, and one which is not tentative. By
  itself it gets one when the kernel has seen a carrier on a port, which now and then takes a
  second; so it is given one.
* So a switch that never asks, and filters, is one with a querier that asks once a day. It still
  asks a port once when something is plugged in, and a group once when somebody leaves.
* With that, datagrams to a group without subscribers go nowhere, and 224.0.0.x and ff02::1, which
  no snooping switch may filter (RFC 4541 section 2.1.2), go everywhere. Turning ``mcast_flood`` off
  on the ports instead stops these, too, and with them mDNS; so the lab leaves it on.
* To flood nevertheless, each port is declared to lead to a multicast router (``mcast_router 2``):
  such ports get everything, and the subscriptions can be seen all the same.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ._node import Node, Programs
from ._polling import DEFAULT_TIMEOUT_SECONDS, wait_until, wait_until_async

# In hundredths of a second, as the bridge takes them. Short, so that tests are: RFC 3376 section 8
# has 125 s, 10 s and 1 s. The membership interval is what section 8.4 makes of the first two.
_QUERY_INTERVAL = 100
_QUERY_RESPONSE_INTERVAL = 100
_MEMBERSHIP_INTERVAL = 2 * _QUERY_INTERVAL + _QUERY_RESPONSE_INTERVAL
_LAST_MEMBER_INTERVAL = 10
_NEVER = 100 * 3600 * 24

# A querier with a response interval of 0 counts from the kernel's next clock tick (at 100 Hz, the
# slowest there is: 10 ms). Nothing shows it, so this much time is made to pass.
_QUERIER_DELAY_SECONDS = 0.02

# Of the bridge. Arbitrary, but unlike those that hosts make from their MAC addresses.
_ADDRESS = "fe80::b/64"
IFA_F_TENTATIVE = 0x40  # linux/if_addr.h

_SOLICITED_NODE = int(ipaddress.IPv6Address("ff02::1:ff00:0"))

_PARAMETERS = {
    "ipv6/conf/all/disable_ipv6": "0",
    "ipv6/conf/default/disable_ipv6": "0",
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/addr_gen_mode": "1",  # none: the ports have no business with addresses
}


@dataclass(frozen=True)
class Subscription:
    """One group that a switch forwards to one port, because a report asked for it."""

    group: str
    host: str
    """The name of the host that is plugged to the port."""
    interface: str
    """The name of the host's interface."""
    filter_mode: Literal["include", "exclude"]
    sources: frozenset[str]
    """The only sources wanted ("include"), or those not wanted ("exclude")."""


class Switch(Node):
    """A namespace with a bridge called ``br0``."""

    def __init__(
        self, name: str, programs: Programs, *, snooping: bool, querier: bool, flood: bool
    ) -> None:
        """Make the bridge, and return when it filters."""
        super().__init__(name, programs, _PARAMETERS)
        self._snooping = snooping
        self._flood = flood
        self._plugged: dict[str, tuple[str, str]] = {}
        self._port_count = 0
        try:
            self._make_bridge(_QUERY_INTERVAL if querier else _NEVER)
        except BaseException:
            self.namespace.close()
            raise

    def _make_bridge(self, query_interval: int) -> None:
        self._ip(
            "link add br0 type bridge stp_state 0 forward_delay 0 "
            f"mcast_snooping {int(self._snooping)} mcast_igmp_version 3 mcast_mld_version 2",
            "link set br0 type bridge mcast_startup_query_count 1 "
            f"mcast_startup_query_interval {_QUERY_INTERVAL} mcast_query_interval {query_interval} "
            f"mcast_membership_interval {_MEMBERSHIP_INTERVAL} "
            f"mcast_last_member_interval {_LAST_MEMBER_INTERVAL} mcast_query_response_interval 0",
            "link set br0 up",
            f"address add {_ADDRESS} dev br0 nodad",
        )
        wait_until(
            lambda: self.read("/proc/net/if_inet6").splitlines(),
            lambda lines: any(
                line.endswith("br0") and not int(line.split()[4], 16) & IFA_F_TENTATIVE
                for line in lines
            ),
            f"the IPv6 address of the bridge of {self!r}",
        )
        self._ip("link set br0 type bridge mcast_querier 1")
        enabled = time.monotonic()
        self._ip(
            f"link set br0 type bridge mcast_query_response_interval {_QUERY_RESPONSE_INTERVAL}"
        )
        time.sleep(max(0.0, enabled + _QUERIER_DELAY_SECONDS - time.monotonic()))

    def subscriptions(self, group: str | None = None) -> tuple[Subscription, ...]:
        """Return what the hosts have subscribed to: all of it, or one group's subscriptions.

        Among it are the solicited-node groups (ff02::1:ffXX:XXXX) by which hosts find each other's
        IPv6 addresses. Groups 224.0.0.x never are: a bridge does not keep them.
        """
        found = []
        for entry in self._entries():
            plugged = self._plugged.get(entry["port"])
            # An entry with a source of its own repeats one from the list of the group's entry.
            if plugged is not None and "src" not in entry and group in (None, entry["grp"]):
                found.append(_subscription(entry, *plugged))
        return tuple(found)

    def wait_for(
        self,
        predicate: Callable[[tuple[Subscription, ...]], bool],
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> tuple[Subscription, ...]:
        """Look until the subscriptions satisfy the predicate, and return them.

        Raises:
            TimeoutError: they do not after ``timeout`` seconds; shows what they are.
        """
        return wait_until(self.subscriptions, predicate, self._hoped_for(), timeout)

    async def wait_for_async(
        self,
        predicate: Callable[[tuple[Subscription, ...]], bool],
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> tuple[Subscription, ...]:
        """Do what `wait_for` does, and let other tasks run between the looks."""
        return await wait_until_async(self.subscriptions, predicate, self._hoped_for(), timeout)

    def _hoped_for(self) -> str:
        return f"the subscriptions in {self!r}"

    def add_port(self, host: Node, interface: str, mtu: int | None) -> str:
        """Make a cable from a new port to a new interface of the host, and return the port's name.

        The interface is left down.
        """
        self._port_count += 1
        port = f"port{self._port_count}"
        size = "" if mtu is None else f"mtu {mtu}"
        commands = [
            f"link add {port} {size} type veth "
            f"peer name {interface} {size} netns {host.namespace.path}",
            f"link set {port} master br0 up",
        ]
        if self._flood:
            commands.insert(1, f"link set {port} master br0")
            commands.insert(2, f"link set {port} type bridge_slave mcast_router 2")
        self._ip(*commands)
        self._plugged[port] = (host.name, interface)
        return port

    def remove_port(self, port: str) -> None:
        """Remove a port, its cable, and so the interface at the other end."""
        self._ip(f"link delete {port}")
        del self._plugged[port]

    def wait_for_port(self, port: str) -> None:
        """Return when the port forwards: when there is a carrier, and the bridge has seen it."""

        def state() -> str:
            links = json.loads(self.run("bridge", "-j", "link", "show", "dev", port).stdout)
            return str(links[0]["state"])

        wait_until(state, lambda state: state == "forwarding", f"{port} of {self!r} to forward")

    def wait_for_neighbours(self, port: str, addresses: frozenset[ipaddress.IPv6Address]) -> None:
        """Return when the port gets what asks for the owner of these addresses."""
        self.wait_for_groups(
            port,
            {
                str(ipaddress.IPv6Address(_SOLICITED_NODE | int(address) & 0xFFFFFF))
                for address in addresses
            },
        )

    def wait_for_groups(self, port: str, groups: set[str]) -> None:
        """Return when the port is subscribed to these groups; at once without snooping."""
        if self._snooping and groups:
            wait_until(
                lambda: {entry["grp"] for entry in self._entries() if entry["port"] == port},
                lambda subscribed: groups <= subscribed,
                f"{port} of {self!r} to be subscribed to {groups}",
            )

    def _entries(self) -> list[dict[str, Any]]:
        """Return the bridge's multicast database as iproute2 (here: 6.1) prints it."""
        databases = json.loads(self.run("bridge", "-d", "-s", "-j", "mdb", "show").stdout)
        return [entry for database in databases for entry in database["mdb"]]


def _subscription(entry: Mapping[str, Any], host: str, interface: str) -> Subscription:
    """Read an entry of the multicast database that stands for a group as a whole."""
    filter_mode = entry["filter_mode"]
    # A group in mode "exclude" can list sources which some host wants all the same (RFC 3376
    # section 6.2.3); a timer still runs for those, and the bridge forwards them.
    sources = frozenset(
        source["address"]
        for source in entry.get("source_list", ())
        if filter_mode == "include" or float(source["timer"]) == 0
    )
    return Subscription(entry["grp"], host, interface, filter_mode, sources)
