"""Worlds: the same small network as virtual hosts of some platform, and of real Linux kernels."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from typing import Protocol

import trio
import trio.testing

from tests.lab import Host as LabHost
from tests.lab import Lab, LabError
from tests.lab._host import address_commands
from tests.lab.machine import LabMachine, on
from trio_mcast._host.protocols import Host
from trio_mcast._platform.model import PlatformName
from trio_mcast._values.addresses import Family
from trio_mcast._values.interface import AddressScope, AddressState
from trio_mcast.testing import VirtualHost, VirtualNetwork

HOSTS = ("a", "b", "c")
LANS = (1, 2)
TIMEOUT_SECONDS = 5

_FENCE_GROUP, _FENCE_PORT = "239.255.255.255", 9


def address_of(family: str, host: str, lan: int = 1) -> str:
    """The address of a host on a LAN."""
    number = HOSTS.index(host) + 1
    return f"10.0.{lan}.{number}" if family == "ipv4" else f"fd00:{lan}::{number}"


def link_local_of(host: str, lan: int = 1) -> str:
    """The link-local address of a host on a LAN, without zone."""
    return f"fe80::{lan}:{HOSTS.index(host) + 1}"


def addresses_of(host: str, lan: int) -> tuple[str, str, str]:
    return (
        f"{address_of('ipv4', host, lan)}/24",
        f"{address_of('ipv6', host, lan)}/64",
        f"{link_local_of(host, lan)}/64",
    )


class World(Protocol):
    """Hosts a, b and c, each with eth0 on LAN 1 and eth1 on LAN 2; all LANs flood groups."""

    platform: PlatformName

    def on(self, host: str) -> AbstractContextManager[object]:
        """Open receivers and senders on this host."""

    def machine(self, host: str) -> Host:
        """What the library takes for the machine."""

    def plug(self, host: str, interface: str, lan: int, *addresses: str) -> None:
        """Give a host an interface."""

    def unplug(self, host: str, interface: str) -> None:
        """Take it out."""

    def down(self, host: str, interface: str) -> None:
        """Switch it off."""

    def up(self, host: str, interface: str) -> None:
        """Switch it on; its addresses are there again."""

    def address(
        self, host: str, interface: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> None:
        """Change its addresses."""

    def add_address(
        self, host: str, interface: str, address: str, scope: AddressScope | None, deprecated: bool
    ) -> None:
        """Give an interface one more address, until `restore`."""

    def set_mtu(self, host: str, interface: str, mtu: int) -> None:
        """Give an interface another mtu, until `restore`."""

    def set_rp_filter(self, host: str, value: int) -> None:
        """Have a host look at sources, until `restore`."""

    def restore(self) -> None:
        """Have the interfaces as they were at first."""

    async def settle(self) -> None:
        """Return when all that was sent has arrived, and been read by whoever reads."""

    def dropped_for_room(self) -> int | None:
        """How many datagrams found a receive buffer full; `None` where only sockets know."""


class VirtualWorld:
    """A `World` of virtual hosts."""

    def __init__(
        self, network: VirtualNetwork, platform: PlatformName, *, notice_seconds: float = 0
    ) -> None:
        self.platform = platform
        self.network = network
        self._lans = {lan: network.switch(f"lan{lan}") for lan in LANS}
        # The lab's programs are root's, which have buffers of any size (SO_RCVBUFFORCE).
        rmem_max = 1 << 20 if platform == "linux" else None
        self._hosts: dict[str, VirtualHost] = {
            name: network.host(
                name, platform=platform, rmem_max=rmem_max, notice_seconds=notice_seconds
            )
            for name in HOSTS
        }
        for name in HOSTS:
            for lan in LANS:
                self.plug(name, f"eth{lan - 1}", lan, *addresses_of(name, lan))

    def on(self, host: str) -> AbstractContextManager[object]:
        return self._hosts[host]

    def machine(self, host: str) -> Host:
        return self._hosts[host]

    def plug(self, host: str, interface: str, lan: int, *addresses: str) -> None:
        self._hosts[host].plug(interface, self._lans[lan], *addresses)

    def unplug(self, host: str, interface: str) -> None:
        self._hosts[host].interface(interface).unplug()

    def down(self, host: str, interface: str) -> None:
        self._hosts[host].interface(interface).take_down()

    def up(self, host: str, interface: str) -> None:
        # Linux forgets IPv6 addresses meanwhile, unless it was told to keep them.
        found = self._hosts[host].interface(interface)
        found.take_up()
        lan = int(interface[-1]) + 1
        for address in addresses_of(host, lan):
            if address not in map(str, found.networks):
                found.add_address(address)

    def address(
        self, host: str, interface: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> None:
        found = self._hosts[host].interface(interface)
        for address in add:
            found.add_address(address)
        for address in remove:
            found.remove_address(address)

    def add_address(
        self, host: str, interface: str, address: str, scope: AddressScope | None, deprecated: bool
    ) -> None:
        state: AddressState | None = "deprecated" if deprecated else None
        self._hosts[host].interface(interface).add_address(address, scope=scope, state=state)

    def set_mtu(self, host: str, interface: str, mtu: int) -> None:
        self._hosts[host].interface(interface).set_mtu(mtu)

    def set_rp_filter(self, host: str, value: int) -> None:
        self._hosts[host]._rp_filter = value

    def restore(self) -> None:
        pass  # Each scenario has a network of its own.

    async def settle(self) -> None:
        await trio.testing.wait_all_tasks_blocked()

    def dropped_for_room(self) -> int | None:
        return sum("buffer is full" in item.reason for item in self.network.trace)


class LabWorld:
    """A `World` of network namespaces.

    The thread is bound to one CPU. All that is under way between namespaces then stands in that
    CPU's queue, in order: once a datagram has arrived, so has what was sent before.
    """

    platform: PlatformName = "linux"

    def __init__(self, lab: Lab, stack: ExitStack) -> None:
        self._lans = {lan: lab.switch(f"lan{lan}", snooping=False) for lan in LANS}
        self._hosts: dict[str, LabHost] = {name: lab.host(name) for name in HOSTS}
        self._machines = {name: LabMachine(host) for name, host in self._hosts.items()}
        self._plugged: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = {}
        for name in HOSTS:
            for lan in LANS:
                self.plug(name, f"eth{lan - 1}", lan, *addresses_of(name, lan))
        self._changed: set[tuple[str, str]] = set()
        self._filtering: set[str] = set()
        self._fences = [self._fence(lab, lan, stack) for lan in LANS]
        self._count = 0

    def _fence(
        self, lab: Lab, lan: int, stack: ExitStack
    ) -> tuple[socket.socket, trio.socket.SocketType]:
        """Two more hosts on a LAN, and what one sends to the other with."""
        ends = []
        for number in (1, 2):
            host = lab.host(f"fence{lan}{number}")
            host.plug("eth0", self._lans[lan], f"10.9.{lan}.{number}/24", link_local=False)
            with host.inside():
                ends.append(stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
            request = struct.pack("=4s4xi", socket.inet_aton(_FENCE_GROUP), host.index("eth0"))
            option = socket.IP_MULTICAST_IF if number == 1 else socket.IP_ADD_MEMBERSHIP
            ends[-1].setsockopt(socket.IPPROTO_IP, option, request)
        ends[1].bind((_FENCE_GROUP, _FENCE_PORT))
        return ends[0], trio.socket.from_stdlib_socket(ends[1])

    def on(self, host: str) -> AbstractContextManager[object]:
        return on(self._hosts[host])

    def machine(self, host: str) -> Host:
        return self._machines[host]

    def plug(self, host: str, interface: str, lan: int, *addresses: str) -> None:
        self._hosts[host].plug(interface, self._lans[lan], *addresses, link_local=False)
        self._plugged[host, interface] = lan, addresses
        self._introduce(lan)

    def _introduce(self, lan: int) -> None:
        """Tell all on a LAN each other's addresses, so that unicast is not held back."""
        here = [key for key, (other, _) in self._plugged.items() if other == lan]
        links = {
            key: next(
                item for item in self._machines[key[0]].list_interfaces() if item.name == key[1]
            )
            for key in here
        }
        for host, name in here:
            families: tuple[Family, ...] = ("ipv4", "ipv6")
            if links[host, name].mtu < 1_280:
                families = ("ipv4",)  # Linux takes the other one off.
            self._hosts[host]._ip(
                *(
                    f"neighbour replace {address} lladdr {link.link_address} "
                    f"nud permanent dev {name}"
                    for key, link in links.items()
                    if key != (host, name)
                    for family in families
                    for address in link.addresses(family)
                )
            )

    def unplug(self, host: str, interface: str) -> None:
        self._hosts[host].unplug(interface)
        del self._plugged[host, interface]

    def down(self, host: str, interface: str) -> None:
        self._hosts[host].down(interface)

    def up(self, host: str, interface: str) -> None:
        self._hosts[host].up(interface)
        lan = self._plugged[host, interface][0]
        # The kernel has forgotten the one that it did not make itself.
        self._hosts[host].address(interface, add=[f"{link_local_of(host, lan)}/64"])
        self._introduce(lan)

    def address(
        self, host: str, interface: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> None:
        self._hosts[host].address(interface, add=add, remove=remove)
        self._introduce(self._plugged[host, interface][0])

    def add_address(
        self, host: str, interface: str, address: str, scope: AddressScope | None, deprecated: bool
    ) -> None:
        self._changed.add((host, interface))
        scoped = f"broadcast + scope {scope}" if scope else "nodad"
        lifetime = "preferred_lft 0" if deprecated else ""
        self._hosts[host]._ip(f"address add {address} dev {interface} {scoped} {lifetime}")
        self._introduce(self._plugged[host, interface][0])

    def set_mtu(self, host: str, interface: str, mtu: int) -> None:
        self._changed.add((host, interface))
        self._hosts[host]._ip(f"link set {interface} mtu {mtu}")

    def set_rp_filter(self, host: str, value: int) -> None:
        self._filtering.add(host)
        self._hosts[host].namespace.set_parameters({"ipv4/conf/all/rp_filter": str(value)})

    def restore(self) -> None:
        for host, interface in sorted(self._changed):
            addresses = addresses_of(host, self._plugged[host, interface][0])
            self._hosts[host]._ip(
                f"link set {interface} mtu 1500",
                f"address flush dev {interface}",
                *address_commands("add", interface, addresses),
            )
        for lan in LANS if self._changed else ():
            self._introduce(lan)
        for host in self._filtering:
            self._hosts[host].namespace.set_parameters({"ipv4/conf/all/rp_filter": "0"})
        self._changed.clear()
        self._filtering.clear()

    async def settle(self) -> None:
        self._count += 1
        marker = b"%d" % self._count
        for sender, receiver in self._fences:
            sender.sendto(marker, (_FENCE_GROUP, _FENCE_PORT))
            with trio.fail_after(TIMEOUT_SECONDS):
                while await receiver.recv(100) != marker:
                    pass
        await trio.testing.wait_all_tasks_blocked()

    def dropped_for_room(self) -> int | None:
        return None


# Room for 1,024 CPUs and more, as sched.h has it.
_WORD_BITS = 8 * ctypes.sizeof(ctypes.c_ulong)
_CpuMask = ctypes.c_ulong * 32


@contextmanager
def one_cpu() -> Iterator[None]:
    """Bind the thread to a CPU for a while, each worker of pytest-xdist to another one."""
    if sys.platform != "linux":
        raise LabError("the lab is for Linux only")
    else:
        # PyPy has no os.sched_getaffinity.
        libc = ctypes.CDLL(None, use_errno=True)
        before, one = _CpuMask(), _CpuMask()
        if libc.sched_getaffinity(0, ctypes.sizeof(before), before) < 0:
            raise LabError(f"sched_getaffinity: {os.strerror(ctypes.get_errno())}")
        places = [divmod(number, _WORD_BITS) for number in range(_WORD_BITS * len(before))]
        cpus = [(word, bit) for word, bit in places if before[word] >> bit & 1]
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        word, bit = cpus[worker % len(cpus)]
        one[word] = 1 << bit
        libc.sched_setaffinity(0, ctypes.sizeof(one), one)
        try:
            yield
        finally:
            libc.sched_setaffinity(0, ctypes.sizeof(before), before)


@contextmanager
def lab_world() -> Iterator[LabWorld]:
    """A new world of network namespaces."""
    with ExitStack() as stack:
        stack.enter_context(one_cpu())
        lab = stack.enter_context(Lab())
        yield LabWorld(lab, stack)


@asynccontextmanager
async def virtual_world(platform: PlatformName) -> AsyncIterator[VirtualWorld]:
    """A new world of virtual hosts."""
    async with VirtualNetwork() as network:
        yield VirtualWorld(network, platform)


def error_number(error: BaseException) -> str:
    """The name of its errno, if it has one."""
    number = getattr(error, "errno", None)
    return "" if number is None else errno.errorcode.get(number, str(number))
