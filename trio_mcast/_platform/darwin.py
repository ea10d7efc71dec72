"""macOS, by the system's headers. Checked against a table read from the headers; never run."""

from __future__ import annotations

from typing import Final

from .._values.addresses import SockaddrFormat
from .model import LARGEST_DATAGRAM_FITS, PACKED_TO_4, Platform, Timestamps

# Since macOS 10.9, igmp_handle_state_change in XNU's bsd/netinet/igmp.c returns the size of the
# report that it has queued, and setsockopt gives that as the errno, until IGMPv3 is left for an
# older version. Measured with that one line in FreeBSD 13's igmp.c: 12 (ENOMEM) for a further
# source, 8 (ENOEXEC) for a join from any source where another socket has chosen some, 16 (EBUSY)
# and 24 (EMFILE) for one or two chosen sources after that. A record takes 8 bytes, and 4 for each
# of up to 128 sources, twice where the mode changes. Once the report has been sent, which is at
# once since macOS 13 and up to a second later before, the same call returns 0. Each failure leaves
# the interface in the group. 48 is EADDRINUSE there: the socket has joined the group already.
_REPORT_SIZES: Final = frozenset(range(8, 8 + 8 * 128 + 1, 4)) - {48}

DARWIN: Final = Platform(
    name="darwin",
    constants={
        "SOL_SOCKET": 65535,
        "IPPROTO_IP": 0,
        "IPPROTO_IPV6": 41,
        "SO_REUSEADDR": 4,
        "SO_REUSEPORT": 512,
        "SO_TIMESTAMP": 1024,
        "SO_SNDBUF": 4097,
        "SO_RCVBUF": 4098,
        "SCM_TIMESTAMP": 2,
        "IP_TOS": 3,
        "IP_TTL": 4,
        "IP_MULTICAST_IF": 9,
        "IP_MULTICAST_TTL": 10,
        "IP_MULTICAST_LOOP": 11,
        "IP_RECVTTL": 24,
        "IP_RECVTOS": 27,
        "IP_RECVPKTINFO": 26,
        "IP_PKTINFO": 26,
        "IPV6_UNICAST_HOPS": 4,
        "IPV6_MULTICAST_IF": 9,
        "IPV6_MULTICAST_HOPS": 10,
        "IPV6_MULTICAST_LOOP": 11,
        "IPV6_V6ONLY": 27,
        "IPV6_RECVTCLASS": 35,
        "IPV6_TCLASS": 36,
        "IPV6_RECVHOPLIMIT": 37,
        "IPV6_HOPLIMIT": 47,
        "IPV6_PKTINFO": 46,
        "IPV6_RECVPKTINFO": 61,
        "IP_BOUND_IF": 25,
        "IPV6_BOUND_IF": 125,
        "MCAST_JOIN_GROUP": 80,
        "MCAST_LEAVE_GROUP": 81,
        "MCAST_JOIN_SOURCE_GROUP": 82,
        "MCAST_UNBLOCK_SOURCE": 85,
        "MCAST_BLOCK_SOURCE": 84,
    },
    sockaddr=SockaddrFormat(af_inet=2, af_inet6=30, has_length=True),
    group_request=PACKED_TO_4,
    # SO_REUSEADDR implies SO_REUSEPORT only where the address bound to is a group
    # (in_pcbbind in XNU's bsd/netinet/in_pcb.c).
    port_sharing=("SO_REUSEADDR", "SO_REUSEPORT"),
    other_port_sharing=(),
    # in_pcbbind in XNU's bsd/netinet/in_pcb.c, in6_pcbbind in bsd/netinet6/in6_pcb.c:
    # EADDRINUSE, unless both are bound to the wildcard, or the user is root. Groups are exempt.
    shares_among_users=False,
    exact_groups={},
    # For IPv4 the membership suffices but on awdl0, which gives nothing to a socket that is not
    # bound to it (IFEF_RESTRICTED_RECV, inp_restricted_recv in XNU's bsd/netinet/in_pcb.c).
    interface_restriction={"ipv4": "IP_BOUND_IF", "ipv6": "IPV6_BOUND_IF"},
    restriction_fallback={},
    # in_pcblookup_hash in XNU's bsd/netinet/in_pcb.c passes over those of other interfaces.
    device_binding={"ipv4": "IP_BOUND_IF", "ipv6": "IPV6_BOUND_IF"},
    packet_info={"ipv4": ("IP_RECVPKTINFO",), "ipv6": ("IPV6_RECVPKTINFO",)},
    packet_info_index={"ipv4": 0, "ipv6": 16},
    # udp6_input in XNU's bsd/netinet6/udp6_usrreq.c does not look at what a socket is bound to when
    # it delivers a group, but at its memberships, and only if it has any multicast option set: then
    # one without memberships is given no group. The value is what the option is by default.
    groups_leak={"ipv6": "IPV6_MULTICAST_LOOP"},
    packet_info_destination={"ipv4": 8, "ipv6": 0},
    binds_to_group=True,
    # An IPv6 socket without any membership gets every multicast datagram for its port
    # (XNU's bsd/netinet6/udp6_usrreq.c), so the join comes first.
    joins_before_bind=True,
    receiver_decides_loopback=False,
    takes_mreqn=True,
    join_fallback=False,
    # An address attaches its family to an interface; without, ether_add_proto and if_check_multi
    # in XNU's bsd/net/dlil.c and ether_if_module.c give EAFNOSUPPORT, and in6_mcast.c EINVAL for
    # groups of link-local scope. A MacBook has 14 such interfaces.
    joins_without_address=False,
    connected_sends_anywhere=False,  # sendto: EISCONN (udp(4))
    # ip_output in XNU's bsd/netinet/ip_output.c, ip6_output in bsd/netinet6/ip6_output.c.
    keeps_ttl_zero=True,
    # IP_MAX_SOCK_SRC_FILTER and IPV6_MAX_SOCK_SRC_FILTER in the system's headers.
    source_limit={"ipv4": 128, "ipv6": 128},
    # It filters nothing, as on FreeBSD: imo_multi_filter in XNU's bsd/netinet/in_mcast.c has the
    # same condition. And for IPv4 it would be refused with the size of the report that goes out.
    blocks_sources=False,
    # udp_input in XNU's bsd/netinet/udp_usrreq.c looks at no membership for this group.
    delivers_anywhere=frozenset({"224.0.0.1"}),
    passing_join_errors={"ipv4": _REPORT_SIZES},
    filters_blocked=False,
    # The size of the send buffer is the size of the largest datagram, 9,216 bytes if nobody says
    # otherwise (net.inet.udp.maxdgram; udp_sendspace in XNU's bsd/netinet/udp_usrreq.c).
    least_send_buffer=LARGEST_DATAGRAM_FITS,
    announces_departures=False,
    doubles_buffers=False,
    ttl_control={"ipv4": "IP_RECVTTL", "ipv6": "IPV6_HOPLIMIT"},
    traffic_class_control={"ipv4": "IP_RECVTOS", "ipv6": "IPV6_TCLASS"},
    timestamps=(Timestamps("SO_TIMESTAMP", "=qi", 1_000, "SCM_TIMESTAMP"),),
)
