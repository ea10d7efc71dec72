"""FreeBSD, by the system's headers. Checked against a table read from the headers; never run."""

from __future__ import annotations

from typing import Final

from .._values.addresses import SockaddrFormat
from .model import ALIGNED_TO_8, LARGEST_DATAGRAM_FITS, Platform, Timestamps

FREEBSD: Final = Platform(
    name="freebsd",
    constants={
        "SOL_SOCKET": 65535,
        "IPPROTO_IP": 0,
        "IPPROTO_IPV6": 41,
        "SO_REUSEADDR": 4,
        "SO_REUSEPORT": 512,
        "SO_TIMESTAMP": 1024,
        "SO_SNDBUF": 4097,
        "SO_RCVBUF": 4098,
        "SO_RERROR": 131072,
        "SCM_TIMESTAMP": 2,
        "IP_TOS": 3,
        "IP_TTL": 4,
        "IP_MULTICAST_IF": 9,
        "IP_MULTICAST_TTL": 10,
        "IP_MULTICAST_LOOP": 11,
        "IP_RECVDSTADDR": 7,
        "IP_RECVIF": 20,
        "IP_RECVTTL": 65,
        "IP_RECVTOS": 68,
        "IPV6_UNICAST_HOPS": 4,
        "IPV6_MULTICAST_IF": 9,
        "IPV6_MULTICAST_HOPS": 10,
        "IPV6_MULTICAST_LOOP": 11,
        "IPV6_V6ONLY": 27,
        "IPV6_RECVPKTINFO": 36,
        "IPV6_PKTINFO": 46,
        "IPV6_RECVHOPLIMIT": 37,
        "IPV6_HOPLIMIT": 47,
        "IPV6_RECVTCLASS": 57,
        "IPV6_TCLASS": 61,
        "MCAST_JOIN_GROUP": 80,
        "MCAST_LEAVE_GROUP": 81,
        "MCAST_JOIN_SOURCE_GROUP": 82,
        "MCAST_UNBLOCK_SOURCE": 85,
        "MCAST_BLOCK_SOURCE": 84,
    },
    sockaddr=SockaddrFormat(af_inet=2, af_inet6=28, has_length=True),
    group_request=ALIGNED_TO_8,
    port_sharing=("SO_REUSEADDR", "SO_REUSEPORT"),
    other_port_sharing=(),
    # in_pcbbind_setup in FreeBSD's sys/netinet/in_pcb.c, in6_pcbbind in sys/netinet6/in6_pcb.c:
    # EADDRINUSE, unless both are bound to the wildcard, or the user is root. Groups are exempt.
    shares_among_users=False,
    exact_groups={},
    interface_restriction={},
    restriction_fallback={},
    device_binding={},
    packet_info={"ipv4": ("IP_RECVDSTADDR", "IP_RECVIF"), "ipv6": ("IPV6_RECVPKTINFO",)},
    packet_info_index={"ipv6": 16},
    # udp_input and udp6_input look at what a socket is bound to, also for groups.
    groups_leak={},
    packet_info_destination={"ipv6": 0},
    binds_to_group=True,
    joins_before_bind=True,
    receiver_decides_loopback=False,
    takes_mreqn=True,
    join_fallback=False,
    connected_sends_anywhere=False,  # sendto: EISCONN (udp(4))
    # ip_output in FreeBSD's sys/netinet/ip_output.c, ip6_output in sys/netinet6/ip6_output.c.
    keeps_ttl_zero=True,
    # net.inet.ip.mcast.maxsocksrc and net.inet6.ip6.mcast.maxsocksrc.
    source_limit={"ipv4": 128, "ipv6": 128},
    # A blocked source has the mode of the filter, and imo_multi_filter in sys/netinet/in_mcast.c
    # lets through what has that mode; im6o_mc_filter in sys/netinet6/in6_mcast.c is the same.
    # Measured with this code of FreeBSD 13, run in user space: each of 1 and of 136 blocked sources
    # was delivered, IPv4 and IPv6. Routers and switches hear of it all the same.
    blocks_sources=True,
    filters_blocked=False,
    # As on macOS (udp_sendspace in FreeBSD's sys/netinet/udp_usrreq.c).
    least_send_buffer=LARGEST_DATAGRAM_FITS,
    announces_departures=True,
    doubles_buffers=False,
    ttl_control={"ipv4": "IP_RECVTTL", "ipv6": "IPV6_HOPLIMIT"},
    traffic_class_control={"ipv4": "IP_RECVTOS", "ipv6": "IPV6_TCLASS"},
    timestamps=(Timestamps("SO_TIMESTAMP", "=qq", 1_000, "SCM_TIMESTAMP"),),
)
