"""The state of a socket, as a system remembers it. Pure."""

from __future__ import annotations

import attrs

from .._platform.model import Platform
from .._values.addresses import Family, IPAddress
from ._frames import SourceFilter
from ._rules import RULES, Rules
from ._users import user_variable


@attrs.define(eq=False)
class SocketState:
    """The state of one UDP socket, as a system remembers it.

    Attributes:
        platform: The socket's platform.
        family: The socket's family.
        number: The socket's place in the order in which the sockets of a host were made.
        rmem_max: The largest receive buffer that can be asked for, if it is not the system's
            default (Linux).
        address: The address of the bind; `None` for the wildcard.
        scope: The index of the interface whose link a link-local address of the bind is on; 0 if
            that was not said.
        port: The port of the bind; 0 before the bind.
        device: The index of the interface that the socket is restricted to; 0 for none.
        multicast_interface: The index of the interface that groups are sent to; 0 for none.
        multicast_ttl: The ttl of datagrams to groups.
        unicast_ttl: The ttl of datagrams to one address.
        traffic_class: The type of service or traffic class of datagrams.
        multicast_loop: Whether datagrams to groups are delivered on this host; on Windows, whether
            the socket takes datagrams that were sent from this host.
        multicast_all: Whether the socket gets groups that only others on this host have joined
            (Linux).
        has_multicast_options: Whether any multicast option was set.
        reuse_address: SO_REUSEADDR.
        reuse_port: SO_REUSEPORT.
        ipv6_only: IPV6_V6ONLY.
        buffers: The receive and the send buffer in bytes, as read back.
        memberships: The filter of each membership, by group and interface index.
        flags: The symbols of all other options that are on, such as those for ancillary data.
        user: The user whose program has opened the socket.
        peer: The address and port of the connection; the socket gets datagrams from there alone.
    """

    platform: Platform
    family: Family
    number: int
    rmem_max: int | None = None
    address: IPAddress | None = None
    scope: int = 0
    port: int = 0
    device: int = 0
    multicast_interface: int = 0
    multicast_ttl: int = 1
    unicast_ttl: int = 0
    traffic_class: int = 0
    multicast_loop: bool = True
    multicast_all: bool = True
    has_multicast_options: bool = False
    reuse_address: bool = False
    reuse_port: bool = False
    ipv6_only: bool = False
    buffers: tuple[int, int] = (0, 0)
    memberships: dict[tuple[IPAddress, int], SourceFilter] = attrs.Factory(dict)
    flags: set[str] = attrs.Factory(set)
    user: str = attrs.Factory(user_variable.get)
    peer: tuple[IPAddress, int] | None = None

    def __attrs_post_init__(self) -> None:
        rules = self.rules
        self.buffers = rules.default_buffer
        self.unicast_ttl = rules.unicast_ttl
        # By default, only the sockets of Windows leave the IPv4 port alone; those of FreeBSD do
        # so by the sysctl net.inet6.ip6.v6only, which is 1.
        self.ipv6_only = self.platform.name in ("windows", "freebsd")

    @property
    def rules(self) -> Rules:
        """The rules of the socket's platform."""
        return RULES[self.platform.name]

    @property
    def takes_both_families(self) -> bool:
        """Whether this is an IPv6 socket that gets IPv4 as well."""
        return self.family == "ipv6" and not self.ipv6_only and self.address is None
