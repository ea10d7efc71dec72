"""The rules by which operating systems differ where sockets are concerned. Pure.

The tables of ``trio_mcast._platform`` tell what is in a plan; the rules here tell what a system
does with a plan.

The sources are Linux 6.18, measured, or its net/ipv4/{udp,igmp,route}.c and net/ipv6/{udp,mcast,
route}.c; XNU's bsd/netinet/{udp_usrreq,in_mcast,in_pcb}.c and bsd/netinet6/{udp6_usrreq,
in6_mcast}.c; FreeBSD's sys/netinet and sys/netinet6 files of the same names; for Windows the
documentation of Winsock. The rules of systems other than Linux were read, never run.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

import attrs

from .._platform.model import PlatformName
from .._values.addresses import Family


@attrs.frozen
class Rules:
    """The rules of one system, as far as values can express the rules.

    Attributes:
        loopback_name: The name of the loopback interface.
        loopback_mtu: The mtu of the loopback interface.
        loopback_is_multicast: Whether the loopback interface is marked as capable of multicast.
        loopback_routes_ipv6_groups: Whether a new loopback interface has a route for IPv6 groups.
        membership_limit: By family, how many memberships one socket takes; a missing one has no
            limit.
        source_limit: By family, how many sources one membership takes; a missing one has no limit.
        no_such_interface: The error of a join on an interface that does not exist.
        not_joined: The error of a source filter for a group that was not joined.
        default_buffer: The receive and the send buffer of a new socket, in bytes.
        largest_buffer: The most that is granted, as read back; `None` for no limit.
        smallest_buffers: The least that is granted: receive buffer, send buffer.
        refuses_large_buffers: Whether asking for more than ``largest_buffer`` is an error, instead
            of being cut down.
        largest_datagram: By family, the largest payload that is sent, in bytes.
        unicast_ttl: The ttl of unicast, where a socket names none.
        is_strong_host: Whether unicast has to arrive on the interface that has the address.
        source_must_exist: The error of sending from an address that the host has no longer.
        interface_gone: The error of sending to a group on an interface that is gone, by family.
        interface_down: The error of sending to a group on an interface that is down.
        delivers_without_membership: The families whose sockets get every group on their port as
            long as no multicast option is set.
        takes_in_by_source: Whether a host takes in a group's datagrams only from sources that one
            of its sockets wants; else from all, and the sockets choose.
        needs_port_sharing: Whether sockets on one address and port need SO_REUSEPORT.
    """

    loopback_name: str
    loopback_mtu: int
    loopback_is_multicast: bool
    loopback_routes_ipv6_groups: bool
    membership_limit: Mapping[Family, int]
    source_limit: Mapping[Family, int]
    no_such_interface: int
    not_joined: int
    default_buffer: tuple[int, int]
    largest_buffer: int | None
    smallest_buffers: tuple[int, int]
    refuses_large_buffers: bool
    largest_datagram: Mapping[Family, int]
    unicast_ttl: int
    is_strong_host: bool
    source_must_exist: int | None
    interface_gone: Mapping[Family, int]
    interface_down: int
    delivers_without_membership: frozenset[Family]
    takes_in_by_source: bool


_LARGEST: Final[dict[Family, int]] = {"ipv4": 65_507, "ipv6": 65_527}
_BSD_SOURCES: Final[dict[Family, int]] = {"ipv4": 128, "ipv6": 128}

RULES: Final[dict[PlatformName, Rules]] = {
    "linux": Rules(
        loopback_name="lo",
        loopback_mtu=65_536,
        loopback_is_multicast=False,
        # ENETUNREACH until somebody adds a route (measured).
        loopback_routes_ipv6_groups=False,
        membership_limit={"ipv4": 20},  # net.ipv4.igmp_max_memberships
        source_limit={"ipv4": 10, "ipv6": 64},  # net.ipv4.igmp_max_msf, net.ipv6.mld_max_msf
        no_such_interface=errno.ENODEV,
        not_joined=errno.EINVAL,
        # net.core.rmem_default and wmem_default; a size that is set is cut down to rmem_max, which
        # is the same, and doubled.
        default_buffer=(212_992, 212_992),
        largest_buffer=425_984,
        smallest_buffers=(2_304, 4_608),  # Measured.
        refuses_large_buffers=False,
        largest_datagram=_LARGEST,
        unicast_ttl=64,
        is_strong_host=False,
        source_must_exist=errno.ENETUNREACH,  # Measured; IPv6 does not look.
        interface_gone={"ipv4": errno.ENODEV, "ipv6": errno.ENETUNREACH},  # Measured.
        interface_down=errno.ENETUNREACH,  # Measured.
        delivers_without_membership=frozenset(),
        takes_in_by_source=True,  # ip_check_mc_rcu, ipv6_chk_mcast_addr
    ),
    "darwin": Rules(
        loopback_name="lo0",
        loopback_mtu=16_384,
        loopback_is_multicast=True,
        loopback_routes_ipv6_groups=True,
        membership_limit={"ipv4": 4_095, "ipv6": 4_095},  # IP_MAX_MEMBERSHIPS
        source_limit=_BSD_SOURCES,
        no_such_interface=errno.EADDRNOTAVAIL,
        not_joined=errno.EADDRNOTAVAIL,
        # net.inet.udp.recvspace and maxdgram; kern.ipc.maxsockbuf.
        default_buffer=(786_896, 9_216),
        largest_buffer=8_388_608,
        smallest_buffers=(1, 1),
        refuses_large_buffers=True,
        largest_datagram={"ipv4": 9_216, "ipv6": 9_216},  # net.inet.udp.maxdgram
        unicast_ttl=64,
        is_strong_host=False,
        source_must_exist=errno.EADDRNOTAVAIL,
        interface_gone={"ipv4": errno.ENETUNREACH, "ipv6": errno.ENETUNREACH},
        interface_down=errno.ENETDOWN,
        # udp6_input in bsd/netinet6/udp6_usrreq.c filters only if there are im6o options.
        delivers_without_membership=frozenset(["ipv6"]),
        takes_in_by_source=False,  # ip_input, ip6_input: whether there is a membership
    ),
    "freebsd": Rules(
        loopback_name="lo0",
        loopback_mtu=16_384,
        loopback_is_multicast=True,
        loopback_routes_ipv6_groups=True,
        membership_limit={"ipv4": 4_095, "ipv6": 4_095},  # IP_MAX_MEMBERSHIPS
        source_limit=_BSD_SOURCES,
        no_such_interface=errno.EADDRNOTAVAIL,
        not_joined=errno.EADDRNOTAVAIL,
        # net.inet.udp.recvspace and maxdgram; kern.ipc.maxsockbuf less what mbufs take of it.
        default_buffer=(42_080, 65_535),
        largest_buffer=1_864_135,
        smallest_buffers=(1, 1),
        refuses_large_buffers=True,
        largest_datagram=_LARGEST,
        unicast_ttl=64,
        is_strong_host=False,
        source_must_exist=errno.EADDRNOTAVAIL,
        interface_gone={"ipv4": errno.ENETUNREACH, "ipv6": errno.ENETUNREACH},
        interface_down=errno.ENETDOWN,
        # udp6_input in sys/netinet6/udp6_usrreq.c: the same as on macOS.
        delivers_without_membership=frozenset(["ipv6"]),
        takes_in_by_source=False,  # The same.
    ),
    "windows": Rules(
        loopback_name="Loopback Pseudo-Interface 1",
        loopback_mtu=65_536,
        loopback_is_multicast=True,
        loopback_routes_ipv6_groups=True,
        membership_limit={},
        source_limit={},
        no_such_interface=errno.EADDRNOTAVAIL,
        not_joined=errno.EADDRNOTAVAIL,
        default_buffer=(65_536, 65_536),
        largest_buffer=None,
        smallest_buffers=(0, 0),
        refuses_large_buffers=False,
        largest_datagram=_LARGEST,
        unicast_ttl=128,
        is_strong_host=True,
        source_must_exist=errno.EADDRNOTAVAIL,
        interface_gone={"ipv4": errno.ENETUNREACH, "ipv6": errno.ENETUNREACH},
        interface_down=errno.ENETUNREACH,
        delivers_without_membership=frozenset(),
        takes_in_by_source=True,
    ),
}
