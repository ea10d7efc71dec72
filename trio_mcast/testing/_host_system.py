"""The system of a virtual host: carries out plans for sockets, sends and receives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache
from ipaddress import IPv4Interface, IPv6Interface
from typing import Final

from .._host.carry_out import Step, carry_out
from .._host.poller import OnFailure
from .._host.protocols import (
    Ended,
    InterfaceWatcher,
    KernelMemberships,
    LookSteps,
    McastSocket,
    Poller,
)
from .._live import call_each
from .._plan.route import RouteAnswer
from .._plan.socket_spec import BindAddress, SocketSpec
from .._platform.model import Platform, PlatformName
from .._values.addresses import Family, IPAddress
from .._values.interface import AddressState, Interface, InterfaceAddress
from ._address_list import AddressList
from ._arguments import FixedAttributes
from ._clock import VirtualClock
from ._core import Core
from ._frames import Frame, Packet, Query, SourceFilter, is_all_hosts
from ._host_interfaces import HostInterfaces
from ._host_sending import HostSending
from ._input import Input
from ._interface import VirtualInterface
from ._kernel import KernelSocket
from ._poller import VirtualPoller
from ._report_sizes import ReportSizes
from ._reports import Reports
from ._routes import VirtualRoutes
from ._rules import RULES
from ._socket import VirtualSocket
from ._sockets import SocketTable
from ._state import SocketState
from ._watchers import Watchers

_LOOPBACK4: Final = IPv4Interface("127.0.0.1/8")
_LOOPBACK6: Final = IPv6Interface("::1/128")


@cache
def _new_loopback(platform: PlatformName) -> tuple[Interface, AddressList]:
    """Return a new host's loopback interface, and its addresses: their routes are the oldest."""
    rules = RULES[platform]
    # Only Linux tells the state of an address.
    state: AddressState | None = "preferred" if platform == "linux" else None
    value = Interface(
        name=rules.loopback_name,
        index=1,
        description=rules.loopback_name,
        ipv4_addresses=(_LOOPBACK4,),
        ipv6_addresses=(_LOOPBACK6,),
        mtu=rules.loopback_mtu,
        is_loopback=True,
        is_multicast=rules.loopback_is_multicast,
        address_details=(
            InterfaceAddress(_LOOPBACK4, "host", state),
            InterfaceAddress(_LOOPBACK6, "host", state),
        ),
    )
    return value, AddressList(platform == "linux", value.address_details)


class HostSystem(FixedAttributes):
    """The part of a `VirtualHost` that is its system: the library's internal ``Host`` protocol."""

    name: str
    """The host's name."""
    routes: VirtualRoutes
    """Routes besides those to the host's own networks."""
    clock: VirtualClock
    """The host's clock, which a test can set, and make wrong."""

    # Whether the host has crashed; and what closes what its programs had open then.
    _has_crashed = False
    _remains: Sequence[Callable[[], None]] = ()
    # The last index of an interface: the loopback interface has the first. The sockets so far.
    _indexes = 1
    _numbers = 0

    def __init__(
        self,
        core: Core,
        name: str,
        platform: Platform,
        *,
        rmem_max: int | None,
        rp_filter: int,
        notice_seconds: float,
    ) -> None:
        self.name = name
        self._rmem_max = rmem_max
        self._rp_filter = rp_filter
        self._core = core
        self._platform = platform
        self.clock = VirtualClock(core, name)
        self._sockets = SocketTable()
        self._reports = Reports(core, self._sockets)
        # Only where a system returns these as errors.
        self._report_sizes = ReportSizes(core.scheduler) if platform.passing_join_errors else None
        self._opened: dict[VirtualSocket, None] = {}
        self._pollers: dict[VirtualPoller, None] = {}
        self._watchers = Watchers(core, name, notice_seconds)
        self._gateways: dict[str, IPAddress] = {}
        value, addresses = _new_loopback(platform.name)
        loopback = VirtualInterface(
            core,
            self,
            value.name,
            value.index,
            None,
            mtu=value.mtu,
            is_multicast=value.is_multicast,
            is_linux=platform.name == "linux",
        )
        self._interfaces = HostInterfaces(name, platform.name, loopback)
        self.routes = VirtualRoutes(platform.name, self._interfaces, self._watchers)
        self._input = Input(core, name, platform, self.clock, self._sockets, self._interfaces)
        self._sending = HostSending(
            core, name, platform, self._interfaces, self._gateways, self.routes, self._input
        )
        loopback.set_first(value, addresses)

    def interface(self, name: str) -> VirtualInterface:
        """Return an interface of the host, by name.

        Args:
            name: The interface's name.

        Raises:
            TypeError: The name is not a `str`.
            ValueError: There is no interface of that name.
        """
        return self._interfaces.named(name)

    # --- The Host protocol

    @property
    def platform(self) -> Platform:
        """The platform whose rules the host follows."""
        return self._platform

    def list_interfaces(self) -> list[Interface]:
        """Return the host's interfaces, by index."""
        self._enter()
        # In the order of plugging in, so the indexes rise.
        return [interface.value for interface in self._interfaces]

    def look(self) -> LookSteps:
        """Look at the host's interfaces in steps: in one."""
        yield self.list_interfaces()

    def find_route(self, address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
        """Return the way of datagrams to an address through one of some interfaces."""
        self._enter()
        return self._sending.output().find_route(self._platform.name, address, interfaces)

    def prefers_temporary(self, interface: Interface) -> bool:
        """Tell whether the host sends from temporary addresses rather than others."""
        return True

    def kernel_memberships(
        self, family: Family, interfaces: Collection[Interface]
    ) -> KernelMemberships | None:
        """Return the groups that are joined on any interface; `None` but on Linux."""
        tells = self._platform.name == "linux"
        return self._sockets.joined(family, interfaces) if tells else None

    def watch(self, *, routes: bool = False) -> InterfaceWatcher:
        """Return a new watcher of the host's interfaces and routes."""
        self._enter()
        return self._watchers.new()

    def open_poller(self, fail: OnFailure) -> Poller:
        """Return a new poller."""
        self._enter()
        return VirtualPoller(self._core, self.name, self._pollers, fail)

    def open_socket(self, spec: SocketSpec) -> McastSocket:
        """Carry out a plan for one socket, all or nothing.

        Raises:
            SocketSetupError: A step was refused; nothing stays open.
        """
        self._enter()
        self._numbers += 1
        state = SocketState(self._platform, spec.family, self._numbers, self._rmem_max)
        kernel = KernelSocket(self, self._interfaces, state)
        step = Step.first(spec, self._platform)
        try:
            applied = carry_out(kernel, spec, step)
            opened = VirtualSocket(self._core, self, kernel, spec, applied)
        except BaseException as error:
            self._remove(kernel)
            if isinstance(error, OSError):
                raise step.explain(error, spec, self.platform.name) from error
            raise
        opened.pending = step.pending
        self._opened[opened] = None
        return opened

    # --- Called by the host's sockets

    def _enter(self) -> None:
        """Let happen what is due, before a program of this host acts.

        Raises:
            RuntimeError: The network has ended, or the host has crashed.
        """
        if self._has_crashed:
            raise RuntimeError(
                f"{self.name} has crashed, so none of its programs runs: call its restart() first"
            )
        self._core.enter(self.name)

    def _new_index(self) -> int:
        self._indexes += 1
        return self._indexes

    def claim_port(self, kernel: KernelSocket, address: IPAddress | None, port: int) -> int:
        """Bind a port, or a free one for 0; OSError if it is taken. For the host's sockets."""
        return self._sockets.claim_port(kernel, address, port)

    def socket_changed(self) -> None:
        """Note that a socket may get other datagrams than before. For the host's sockets."""
        self._sockets.takers.clear()

    def membership_changed(
        self,
        state: SocketState,
        key: tuple[IPAddress, int],
        before: SourceFilter | None,
        after: SourceFilter | None,
    ) -> int:
        """Note that a socket joined, left, or wants other sources. For the host's sockets.

        Returns:
            The error with which the system refuses that all the same; 0 for none.
        """
        group, index = key
        interface = self._interfaces.at(index)
        if (before is None) is not (after is None):
            self._core.record(
                self.name,
                "left" if after is None else "joined",
                interface=self._interfaces.name_of(index),
                subject=group,
                reason="" if after is None else str(after),
            )
        known, wanted = self._sockets.refresh(state, key, after)
        if wanted != known and interface is not None and not is_all_hosts(group):
            self._reports.of_change(interface, group, wanted)
        if self._report_sizes is None:
            return 0
        error = self._report_sizes.error_after(state, key, after, wanted)
        if error:
            self._sockets.leave_behind(state, key, before, after)
        return error

    def answers_for(self, address: IPAddress) -> bool:
        """Tell whether all interfaces answer ARP for an address of one. For the network only.

        Those of Linux do (net.ipv4.conf.all.arp_ignore is 0; measured).
        """
        return self._platform.name == "linux" and self._interfaces.index_with(address) is not None

    def carrier_changed(self, interface: VirtualInterface) -> None:
        """Notice that a cable was taken out or put in. For the network only."""
        if interface.has_link:
            only: Family | None = "ipv6" if self._platform.name == "linux" else None
            self._reports.of_all(interface, only)
        self._wake_writers(interface)
        self._watchers.notice()

    def interface_changed(self, interface: VirtualInterface, *, removed: bool = False) -> None:
        """Notice that an interface came, went or changed. For the network only."""
        self._input.addresses_changed()
        if removed:
            self._interfaces.remove(interface)
            self._gateways.pop(interface.name, None)
            self.routes.forget_interface(interface.name)
        elif interface.is_up:
            self._reports.of_all(interface)
        self.routes.follow(interface)
        without_room = interface.families_without_room
        for family in without_room:
            self._sockets.end(interface.index, family)
        self._wake_writers(interface)
        ended = None
        if removed or without_room:
            ended = Ended(
                frozenset({interface.index} if removed else ()),
                frozenset((interface.index, family) for family in without_room),
            )
        self._watchers.notice(ended)

    def _wake_writers(self, interface: VirtualInterface) -> None:
        """Have programs look for room in their send buffers, which have lost what waited there."""
        if self._opened and not interface.has_link:
            for opened in self._opened:
                opened.look_for_room()

    def send_from(self, socket: VirtualSocket, data: bytes, address: BindAddress) -> None:
        """Send one datagram; OSError if the system refuses. For the host's sockets."""
        self._sending.send(socket, data, address)

    # --- Receiving

    def receive(self, interface: VirtualInterface, frame: Frame) -> None:
        """Take a frame that arrived at an interface. For the network only."""
        if isinstance(frame, Packet):
            if self._rp_filter and self._sending.output().is_martian(
                self._platform.name, interface, frame, strict=self._rp_filter == 1
            ):
                interface.drop(frame, "rp_filter: its source is not behind this interface")
            else:
                self._input.arrived(interface, frame)
        elif isinstance(frame, Query):
            self._reports.answer(interface, frame)

    # --- Closing

    def socket_closed(self, socket: VirtualSocket) -> None:
        """Forget a socket, which ends its memberships. For the host's sockets."""
        if self._opened.pop(socket, self) is self:
            return  # The host has crashed since.
        if self._core.is_open:
            self._core.enter(self.name)
            socket.leave()
        self._remove(socket.kernel)

    def _remove(self, kernel: KernelSocket) -> None:
        kernel.memberships.leave_all()
        self._sockets.remove(kernel)

    def shut_down(self) -> None:
        """Close everything that is open on the host. For the network only."""
        watchers = [watcher.close for watcher in self._watchers]
        pollers = [poller.close for poller in self._pollers]
        sockets = [opened.close for opened in self._opened]
        call_each([*watchers, *pollers, *sockets, *self._remains])
