"""A socket as a system has it: takes options and a bind, and refuses as that system refuses."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Final, Protocol

from .._plan.socket_spec import BindAddress
from .._values.addresses import IPAddress, parse_address, without_zone
from . import _options as decode
from ._frames import multicast_scope
from ._host_interfaces import HostInterfaces
from ._options import refuse
from ._receive_buffer import ReceiveBuffer
from ._send_buffer import SendBuffer
from ._socket_memberships import MembershipOwner, SocketMemberships
from ._state import SocketState

# The options with which Linux lets a socket be bound to an address that cannot be used (yet).
_EARLY_BIND: Final = frozenset({"IP_FREEBIND", "IPV6_FREEBIND"})


# On each host, sockets are bound to the same groups. The number is arbitrary.
@lru_cache(maxsize=1_024)
def _parse_bare(host: str) -> IPAddress:
    return without_zone(parse_address(host, "address"))


class System(MembershipOwner, Protocol):
    """The part of a host that the host's sockets call."""

    def claim_port(self, kernel: KernelSocket, address: IPAddress | None, port: int) -> int:
        """Bind a port, or a free one for 0. OSError if the port is taken."""

    def socket_changed(self) -> None:
        """Note that a socket may get other datagrams than before."""


class KernelSocket:
    """One UDP socket."""

    def __init__(self, system: System, interfaces: HostInterfaces, state: SocketState) -> None:
        self.state = state
        self.buffer: ReceiveBuffer = ReceiveBuffer(state)
        self._system = system
        self._interfaces = interfaces
        self.memberships: SocketMemberships = SocketMemberships(system, interfaces, state)

    @cached_property
    def send_buffer(self) -> SendBuffer:
        """The send buffer. Made when something is sent: most sockets only receive."""
        return SendBuffer(self.state)

    # --- Options

    def setsockopt(self, level: int, number: int, value: int | bytes, /) -> None:
        """Set an option. OSError if the system refuses."""
        state = self.state
        symbol = decode.option_symbol(state.platform, state.family, level, number)
        if symbol.startswith(
            ("MCAST_", "IP_MULTICAST_", "IPV6_MULTICAST_", "IP_ADD_", "IPV6_JOIN")
        ):
            state.has_multicast_options = True
        if state.port:  # One that is not bound gets nothing, whatever its options.
            self._system.socket_changed()
        if symbol in _FLAGS:
            self._set_flag(_FLAGS[symbol], value)
        elif symbol in _SETTERS:
            _SETTERS[symbol](self, value)
        elif not self.memberships.take(symbol, value):
            # Requests for ancillary data, and options without effect here, such as a traffic class.
            (state.flags.add if decode.as_int(value) else state.flags.discard)(symbol)

    def _set_flag(self, name: str, value: int | bytes) -> None:
        number = decode.as_int(value)
        if name == "multicast_all" and number not in (0, 1):
            raise refuse(errno.EINVAL)
        setattr(self.state, name, bool(number))

    def _set_buffer(self, which: int, value: int | bytes) -> None:
        rules, wanted = self.state.rules, decode.as_int(value)
        if self.state.platform.doubles_buffers:
            wanted *= 2
        largest = rules.largest_buffer
        if which == 0 and self.state.rmem_max is not None:
            largest = 2 * self.state.rmem_max
        if largest is not None and wanted > largest:
            if rules.refuses_large_buffers:
                raise refuse(errno.ENOBUFS)
            wanted = largest
        granted = max(wanted, rules.smallest_buffers[which])
        receive, send = self.state.buffers
        self.state.buffers = (receive, granted) if which else (granted, send)

    def _force_buffer(self, value: int | bytes) -> None:
        raise refuse(errno.EPERM)  # The programs of virtual hosts have no CAP_NET_ADMIN.

    def _set_ttl(self, value: int | bytes) -> None:
        number = decode.as_int(value)
        if not -1 <= number <= 255:
            raise refuse(errno.EINVAL)
        self.state.multicast_ttl = 1 if number == -1 else number

    def _set_unicast_ttl(self, value: int | bytes) -> None:
        number = decode.as_int(value)
        lowest = 1 if self.state.family == "ipv4" and self.state.platform.name == "linux" else 0
        if number != -1 and not lowest <= number <= 255:
            raise refuse(errno.EINVAL)
        self.state.unicast_ttl = self.state.rules.unicast_ttl if number == -1 else number

    def _set_traffic_class(self, value: int | bytes) -> None:
        self.state.traffic_class = decode.as_int(value) & 0xFF

    def _set_multicast_interface(self, value: int | bytes) -> None:
        index, address = decode.multicast_interface(self.state.platform, value)
        if address is not None and not index:
            owner_index = self._interfaces.index_with(address)
            if owner_index is None:
                raise refuse(errno.EADDRNOTAVAIL)
            index = owner_index
        if index and not self._interfaces.has_index(index):
            raise refuse(errno.EADDRNOTAVAIL)
        self.state.multicast_interface = index

    def _set_multicast_interface6(self, value: int | bytes) -> None:
        index = decode.as_int(value)
        if index and not self._interfaces.has_index(index):
            is_linux = self.state.platform.name == "linux"
            raise refuse(errno.ENODEV if is_linux else errno.ENXIO)
        self.state.multicast_interface = index

    def _bind_to_device(self, value: int | bytes) -> None:
        name = decode.device_name(value)
        index = self._interfaces.index_of(name) if name else 0
        if index is None:
            raise refuse(errno.ENODEV)
        self.state.device = index

    def _bind_to_index(self, value: int | bytes) -> None:
        index = decode.as_int(value)
        if index and not self._interfaces.has_index(index):
            raise refuse(errno.ENXIO)
        self.state.device = index

    # --- Binding

    def bind(self, address: BindAddress, /) -> None:
        """Bind the socket. OSError if the system refuses."""
        state = self.state
        bare: IPAddress | None = _parse_bare(address[0])
        assert bare is not None
        scope_id = address[3] if len(address) == 4 else 0
        if (bare.version == 4) is not (state.family == "ipv4"):
            raise refuse(errno.EAFNOSUPPORT)
        if bare.is_unspecified:
            bare = None
        else:
            self._check_bindable(bare, scope_id)
        self._system.socket_changed()
        state.port = self._system.claim_port(self, bare, address[1])
        state.address = bare
        state.scope = scope_id if scope_id and bare is not None and bare.is_link_local else 0

    def connect(self, address: BindAddress, /) -> None:
        """Connect the socket to a peer: sends can still go anywhere, but only the peer is heard."""
        self.state.peer = _parse_bare(address[0]), address[1]
        self._system.socket_changed()

    def _check_bindable(self, address: IPAddress, scope_id: int) -> None:
        state, interfaces = self.state, self._interfaces
        is_linux = state.platform.name == "linux"
        if address.version == 6:
            needs_scope = address.is_link_local or (
                address.is_multicast and multicast_scope(address) <= 2
            )
            if needs_scope and is_linux:  # __inet6_bind, which then restricts the socket, too.
                state.device = scope_id or state.device
                if not state.device:
                    raise refuse(errno.EINVAL)
            if is_linux and state.device and not interfaces.has_index(state.device):
                raise refuse(errno.ENODEV)
        if address.is_multicast:
            if not state.platform.binds_to_group:
                raise refuse(errno.EADDRNOTAVAIL)
        elif not state.flags & _EARLY_BIND and interfaces.index_with(address) is None:
            raise refuse(errno.EADDRNOTAVAIL)


# The options that are attributes of `SocketState`.
_FLAGS: Final = {
    "SO_REUSEADDR": "reuse_address",
    "SO_REUSEPORT": "reuse_port",
    "IPV6_V6ONLY": "ipv6_only",
    "IP_MULTICAST_LOOP": "multicast_loop",
    "IPV6_MULTICAST_LOOP": "multicast_loop",
    "IP_MULTICAST_ALL": "multicast_all",
    "IPV6_MULTICAST_ALL": "multicast_all",
}

_SETTERS: dict[str, Callable[[KernelSocket, int | bytes], None]] = {
    "SO_RCVBUF": lambda sock, value: sock._set_buffer(0, value),
    "SO_RCVBUFFORCE": KernelSocket._force_buffer,
    "SO_SNDBUF": lambda sock, value: sock._set_buffer(1, value),
    "SO_BINDTODEVICE": KernelSocket._bind_to_device,
    "IP_BOUND_IF": KernelSocket._bind_to_index,
    "IPV6_BOUND_IF": KernelSocket._bind_to_index,
    "IP_MULTICAST_IF": KernelSocket._set_multicast_interface,
    "IPV6_MULTICAST_IF": KernelSocket._set_multicast_interface6,
    "IP_MULTICAST_TTL": KernelSocket._set_ttl,
    "IPV6_MULTICAST_HOPS": KernelSocket._set_ttl,
    "IP_TTL": KernelSocket._set_unicast_ttl,
    "IPV6_UNICAST_HOPS": KernelSocket._set_unicast_ttl,
    "IP_TOS": KernelSocket._set_traffic_class,
    "IPV6_TCLASS": KernelSocket._set_traffic_class,
}
