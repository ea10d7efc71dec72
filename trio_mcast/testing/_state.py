"""What a system remembers of a socket. Pure."""

from __future__ import annotations

import attrs

from .._addresses import Family, IPAddress
from .._platform import Platform
from ._frames import SourceFilter
from ._rules import RULES, Rules


@attrs.define(eq=False)
class SocketState:
    """What a system remembers of one UDP socket.

    Attributes:
        platform: Whose socket it is.
        family: Its family.
        number: Its place in the order in which the sockets of a host were made.
        address: The address it is bound to; `None` for the wildcard.
        port: The port it is bound to; 0 before it is bound.
        device: The index of the interface it is restricted to; 0 for none.
        multicast_interface: The index of the interface that groups are sent to; 0 for none.
        multicast_ttl: The ttl of what is sent to groups.
        multicast_loop: Whether what is sent to groups is delivered on this host; on Windows,
            whether this socket takes what was sent from this host.
        multicast_all: Whether it gets groups that only others on this host have joined (Linux).
        has_multicast_options: Whether any multicast option was set.
        reuse_address: SO_REUSEADDR.
        reuse_port: SO_REUSEPORT.
        ipv6_only: IPV6_V6ONLY.
        buffers: The receive and the send buffer in bytes, as they are read back.
        memberships: The filter of each membership, by group and interface index.
        told: The symbols of what is to be told of each datagram.
        peer: The address and port it is connected to, and from which alone it gets anything.
    """

    platform: Platform
    family: Family
    number: int
    address: IPAddress | None = None
    port: int = 0
    device: int = 0
    multicast_interface: int = 0
    multicast_ttl: int = 1
    multicast_loop: bool = True
    multicast_all: bool = True
    has_multicast_options: bool = False
    reuse_address: bool = False
    reuse_port: bool = False
    ipv6_only: bool = False
    buffers: list[int] = attrs.Factory(list)
    memberships: dict[tuple[IPAddress, int], SourceFilter] = attrs.Factory(dict)
    told: set[str] = attrs.Factory(set)
    peer: tuple[IPAddress, int] | None = None

    def __attrs_post_init__(self) -> None:
        self.buffers = list(self.rules.default_buffer)
        # Windows is the only one whose sockets leave the IPv4 port alone by default; FreeBSD's
        # do so by the sysctl net.inet6.ip6.v6only, which is 1.
        self.ipv6_only = self.platform.name in ("windows", "freebsd")

    @property
    def rules(self) -> Rules:
        """The rules of its platform."""
        return RULES[self.platform.name]

    @property
    def takes_both_families(self) -> bool:
        """Whether it gets IPv4 as well, as an IPv6 socket."""
        return self.family == "ipv6" and not self.ipv6_only and self.address is None
