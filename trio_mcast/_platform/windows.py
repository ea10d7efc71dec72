"""Windows, by the system's headers. Checked against a table read from the headers."""

from __future__ import annotations

from typing import Final

from .._values.addresses import SockaddrFormat
from .model import ALIGNED_TO_8, Platform

WINDOWS: Final = Platform(
    name="windows",
    constants={
        "SOL_SOCKET": 65535,
        "IPPROTO_IP": 0,
        "IPPROTO_IPV6": 41,
        "SO_REUSEADDR": 4,
        "SO_SNDBUF": 4097,
        "SO_RCVBUF": 4098,
        "IP_TOS": 3,
        "IP_TTL": 4,
        "IP_MULTICAST_IF": 9,
        "IP_MULTICAST_TTL": 10,
        "IP_MULTICAST_LOOP": 11,
        "IP_ADD_MEMBERSHIP": 12,
        "IP_DROP_MEMBERSHIP": 13,
        "IP_ADD_SOURCE_MEMBERSHIP": 15,
        "IP_BLOCK_SOURCE": 17,
        "IP_UNBLOCK_SOURCE": 18,
        "IP_PKTINFO": 19,
        "IP_RECVTTL": 21,
        "IPV6_UNICAST_HOPS": 4,
        "IPV6_MULTICAST_IF": 9,
        "IPV6_MULTICAST_HOPS": 10,
        "IPV6_MULTICAST_LOOP": 11,
        "IPV6_JOIN_GROUP": 12,
        "IPV6_LEAVE_GROUP": 13,
        "IPV6_PKTINFO": 19,
        "IPV6_HOPLIMIT": 21,
        "IPV6_V6ONLY": 27,
        "IPV6_TCLASS": 39,
        "MCAST_JOIN_GROUP": 41,
        "MCAST_LEAVE_GROUP": 42,
        "MCAST_BLOCK_SOURCE": 43,
        "MCAST_JOIN_SOURCE_GROUP": 45,
        "MCAST_UNBLOCK_SOURCE": 44,
    },
    sockaddr=SockaddrFormat(af_inet=2, af_inet6=23, has_length=False),
    group_request=ALIGNED_TO_8,
    port_sharing=("SO_REUSEADDR",),
    exact_groups={},
    interface_restriction={},
    restriction_fallback={},
    packet_info={"ipv4": ("IP_PKTINFO",), "ipv6": ("IPV6_PKTINFO",)},
    packet_info_index={"ipv4": 4, "ipv6": 16},
    groups_leak={},
    packet_info_destination={"ipv4": 0, "ipv6": 0},
    # Binding to a group fails with WSAEADDRNOTAVAIL, so unicast to the port has to be told from
    # the group's datagrams by their destination address, which IP_PKTINFO gives.
    binds_to_group=False,
    joins_before_bind=False,
    receiver_decides_loopback=True,
    multicast_if_takes_mreqn=False,
    join_fallback=True,
    connected_sends_anywhere=False,
    keeps_ttl_zero=True,
    source_limit={},
    blocks_sources=True,
    filters_blocked=True,
    least_send_buffer=None,
    announces_departures=False,
    doubles_buffers=False,
    ttl_control={"ipv4": "IP_TTL", "ipv6": "IPV6_HOPLIMIT"},
    timestamps=None,
)
