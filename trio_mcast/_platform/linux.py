"""Linux, by the system's headers. Checked against a table from a program compiled with them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import attrs

from .._values.addresses import SockaddrFormat
from .model import ALIGNED_TO_8, PACKED_TO_4, Platform, Timestamps

LINUX: Final = Platform(
    name="linux",
    constants={
        "SOL_SOCKET": 1,
        "IPPROTO_IP": 0,
        "IPPROTO_UDP": 17,
        "IPPROTO_IPV6": 41,
        "SO_REUSEADDR": 2,
        "SO_SNDBUF": 7,
        "SO_RCVBUF": 8,
        "SO_REUSEPORT": 15,
        "SO_BINDTODEVICE": 25,
        "SO_ATTACH_FILTER": 26,
        "SO_TIMESTAMP": 29,
        "SO_RCVBUFFORCE": 33,
        "SO_TIMESTAMPNS": 35,
        "SO_TIMESTAMPING": 37,
        "SO_MEMINFO": 55,
        "SO_TIMESTAMPNS_NEW": 64,
        "SO_NETNS_COOKIE": 71,
        "IP_TOS": 1,
        "IP_TTL": 2,
        "IP_PKTINFO": 8,
        "IP_RECVTTL": 12,
        "IP_RECVTOS": 13,
        "IP_FREEBIND": 15,
        "IP_MULTICAST_IF": 32,
        "IP_MULTICAST_TTL": 33,
        "IP_MULTICAST_LOOP": 34,
        "IP_ADD_MEMBERSHIP": 35,
        "IP_DROP_MEMBERSHIP": 36,
        "IP_MULTICAST_ALL": 49,
        "IPV6_UNICAST_HOPS": 16,
        "IPV6_MULTICAST_IF": 17,
        "IPV6_MULTICAST_HOPS": 18,
        "IPV6_MULTICAST_LOOP": 19,
        "IPV6_JOIN_GROUP": 20,
        "IPV6_LEAVE_GROUP": 21,
        "IPV6_V6ONLY": 26,
        "IPV6_MULTICAST_ALL": 29,
        "IPV6_RECVPKTINFO": 49,
        "IPV6_PKTINFO": 50,
        "IPV6_RECVHOPLIMIT": 51,
        "IPV6_HOPLIMIT": 52,
        "IPV6_RECVTCLASS": 66,
        "IPV6_TCLASS": 67,
        "IPV6_FREEBIND": 78,
        "UDP_SEGMENT": 103,
        "UDP_GRO": 104,
        "MCAST_JOIN_GROUP": 42,
        "MCAST_LEAVE_GROUP": 45,
        "MCAST_BLOCK_SOURCE": 43,
        "MCAST_JOIN_SOURCE_GROUP": 46,
        "MCAST_UNBLOCK_SOURCE": 44,
    },
    sockaddr=SockaddrFormat(af_inet=2, af_inet6=10, has_length=False),
    group_request=ALIGNED_TO_8,
    port_sharing=("SO_REUSEADDR",),
    # Either option has to be set on both sockets, SO_REUSEPORT by the same user as well
    # (udp_lib_lport_inuse in net/ipv4/udp.c).
    other_port_sharing=("SO_REUSEPORT",),
    exact_groups={"ipv4": "IP_MULTICAST_ALL", "ipv6": "IPV6_MULTICAST_ALL"},
    # The kernel's IPv6 delivery compares the group only, never the interface (inet6_mc_check in
    # net/ipv6/mcast.c; measured on 6.18: two sockets, 4 deliveries for 2 datagrams, with
    # SO_BINDTODEVICE 2). The option needs no privilege since Linux 5.7.
    interface_restriction={"ipv6": "SO_BINDTODEVICE"},
    restriction_fallback={"ipv6": "IPV6_RECVPKTINFO"},
    device_binding={"ipv4": "SO_BINDTODEVICE", "ipv6": "SO_BINDTODEVICE"},
    packet_info={"ipv4": ("IP_PKTINFO",), "ipv6": ("IPV6_RECVPKTINFO",)},
    packet_info_index={"ipv4": 0, "ipv6": 16},
    groups_leak={},
    packet_info_destination={"ipv4": 8, "ipv6": 0},
    binds_to_group=True,
    # Not only possible but needed: between a bind and a block, an excluded source gets through.
    joins_before_bind=True,
    receiver_decides_loopback=False,
    takes_mreqn=True,
    join_fallback=False,
    connected_sends_anywhere=True,
    # Where no socket on the machine has joined the group, the ttl is not looked at: ip_mc_output
    # serves groups that the machine is in, ip6_finish_output2 those that it delivers to itself
    # (measured on 6.18: the datagrams leave, IPv4 and IPv6).
    keeps_ttl_zero=False,
    # net.ipv4.igmp_max_msf and net.ipv6.mld_max_msf: the 11th and the 65th fail with ENOBUFS.
    source_limit={"ipv4": 10, "ipv6": 64},
    blocks_sources=True,
    filters_blocked=True,
    least_send_buffer=None,
    announces_departures=True,
    doubles_buffers=True,
    ttl_control={"ipv4": "IP_TTL", "ipv6": "IPV6_HOPLIMIT"},
    traffic_class_control={"ipv4": "IP_TOS", "ipv6": "IPV6_TCLASS"},
    # The second where the first is refused, as by qemu-user 7.2.
    timestamps=(Timestamps("SO_TIMESTAMPNS", "=qq", 1), Timestamps("SO_TIMESTAMP", "=qq", 1_000)),
)

# 32-bit x86 and ARM: the same numbers, another alignment, and times in C's longs. These end in
# 2038, so times of 64 bits are asked for first (since Linux 5.1).
LINUX_32: Final = attrs.evolve(
    LINUX,
    group_request=PACKED_TO_4,
    timestamps=(
        Timestamps("SO_TIMESTAMPNS_NEW", "=qq", 1),
        Timestamps("SO_TIMESTAMPNS", "=ii", 1),
        Timestamps("SO_TIMESTAMP", "=ii", 1_000),
    ),
)

# The architectures with numbers of their own, by the beginning of the name that uname gives them:
# arch/*/include/uapi/asm/socket.h of the kernel. All others share asm-generic/socket.h.
_FROM_OTHER_UNIXES: Final = {
    "SOL_SOCKET": 0xFFFF,
    "SO_REUSEADDR": 0x4,
    "SO_REUSEPORT": 0x200,
    "SO_SNDBUF": 0x1001,
    "SO_RCVBUF": 0x1002,
}
ARCHITECTURES: Final[Mapping[str, Mapping[str, int]]] = {
    "mips": _FROM_OTHER_UNIXES,
    "alpha": {**_FROM_OTHER_UNIXES, "SO_RCVBUFFORCE": 0x100B},
    "sparc": {
        **_FROM_OTHER_UNIXES,
        "SO_BINDTODEVICE": 0xD,
        "SO_ATTACH_FILTER": 0x1A,
        "SO_TIMESTAMP": 0x1D,
        "SO_RCVBUFFORCE": 0x100B,
        "SO_TIMESTAMPNS": 0x21,
        "SO_TIMESTAMPING": 0x23,
        "SO_MEMINFO": 0x39,
        "SO_TIMESTAMPNS_NEW": 0x42,
        "SO_NETNS_COOKIE": 0x50,
    },
    "parisc": {
        **_FROM_OTHER_UNIXES,
        "SO_BINDTODEVICE": 0x4019,
        "SO_ATTACH_FILTER": 0x401A,
        "SO_TIMESTAMP": 0x4012,
        "SO_RCVBUFFORCE": 0x100B,
        "SO_TIMESTAMPNS": 0x4013,
        "SO_TIMESTAMPING": 0x4020,
        "SO_MEMINFO": 0x4030,
        "SO_TIMESTAMPNS_NEW": 0x4039,
        "SO_NETNS_COOKIE": 0x4045,
    },
}


@lru_cache
def linux_on(machine: str, pointer_bytes: int) -> Platform:
    """Return the table for an architecture.

    Args:
        machine: The architecture, as uname names it, such as ``"x86_64"`` or ``"mips64"``.
        pointer_bytes: The size of a pointer in this process: 4 or 8.
    """
    platform = LINUX if pointer_bytes == 8 else LINUX_32
    numbers = next((ARCHITECTURES[name] for name in ARCHITECTURES if machine.startswith(name)), {})
    if not numbers:
        return platform
    timestamps = platform.timestamps
    if machine.startswith("sparc") and pointer_bytes == 8:
        # struct __kernel_old_timeval: there the microseconds are an int.
        timestamps = (timestamps[0], Timestamps("SO_TIMESTAMP", "=qi", 1_000))
    return attrs.evolve(
        platform, constants={**platform.constants, **numbers}, timestamps=timestamps
    )


def without_filters(platform: Platform) -> Platform:
    """Return the table of a system that has Linux's calls and not its filters.

    gVisor refuses MCAST_JOIN_GROUP for IPv4. It accepts IP_MULTICAST_ALL, MCAST_BLOCK_SOURCE,
    MCAST_JOIN_SOURCE_GROUP, and MCAST_JOIN_GROUP for IPv6, without doing anything (setSockOptIP and
    setSockOptIPv6 in its pkg/sentry/socket/netstack/netstack.go). The older options join.
    """
    return attrs.evolve(
        platform,
        join_fallback=True,
        exact_groups={},
        source_limit={},
        blocks_sources=False,
        filters_blocked=False,
        has_filters=False,
    )
