"""The sending of a virtual host: from its sockets to its cables, and to its own programs."""

from __future__ import annotations

from .._plan.socket_spec import BindAddress
from .._platform.model import Platform
from .._values.addresses import IPAddress
from ._core import Core
from ._frames import Packet
from ._host_interfaces import HostInterfaces
from ._input import Input
from ._interface import VirtualInterface
from ._output import Output, leaves_host, record_refusal
from ._routes import VirtualRoutes
from ._socket import VirtualSocket
from ._state import SocketState


class HostSending:
    """Sends what the sockets of one host send."""

    def __init__(
        self,
        core: Core,
        host: str,
        platform: Platform,
        interfaces: HostInterfaces,
        gateways: dict[str, IPAddress],
        routes: VirtualRoutes,
        taken_in: Input,
    ) -> None:
        """Send for one host, as its interfaces and routes then are.

        Args:
            core: The network's core.
            host: The host's name.
            platform: The platform whose rules the host follows.
            interfaces: The host's interfaces.
            gateways: By interface name, the router that stands for every other network.
            routes: The routes that the test has added.
            taken_in: Gives the host's own programs what is for them.
        """
        self._core = core
        self._host = host
        self._platform = platform
        self._interfaces = interfaces
        self._gateways = gateways
        self._routes = routes
        self._taken_in = taken_in

    def output(self) -> Output:
        """Return what decides how datagrams leave in the host's present state."""
        return Output(tuple(self._interfaces), self._gateways, self._routes)

    def send(self, socket: VirtualSocket, data: bytes, address: BindAddress) -> None:
        """Send one datagram; OSError if the system refuses."""
        state = socket.kernel.state
        buffer = socket.kernel.send_buffer
        try:
            interface, packet, next_hop = self.output().packet(state, data, address)
            buffer.check_room(packet, self._core.scheduler.now_ns())
        except BlockingIOError:
            raise  # The program waits, and tries again.
        except OSError as error:
            name = self._interfaces.name_of(socket.socket_spec.interface.index)
            record_refusal(self._core, self._host, name, data, address, error)
            raise
        self._core.record(
            self._host,
            "sent",
            interface=interface.name,
            subject=packet,
            reason=f"ttl {packet.ttl}",
        )
        if not packet.is_to_group and interface.is_loopback:
            home = self.output().home_of(packet, self._platform.name)
            self._taken_in.receive_unicast(home, packet)
        elif not packet.is_to_group or self._deliver_here(state, interface, packet):
            waiting = interface.transmit(packet, next_hop)
            if waiting is not None:
                buffer.hold(packet, waiting)

    def _deliver_here(
        self, state: SocketState, interface: VirtualInterface, packet: Packet
    ) -> bool:
        """Give the host's programs what the host sends to a group; return whether it goes out."""
        loops = state.multicast_loop or self._platform.receiver_decides_loopback
        joined = self._taken_in.takes_in(interface, packet) and not packet.has_reserved_scope
        if (loops or interface.is_loopback) and joined:
            self._taken_in.receive_group(interface, packet, looped=not interface.is_loopback)
        return leaves_host(packet, self._platform.name, loops=loops, joined=joined)
