"""Made-up interfaces, and a machine that has them all: what tests plan for."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface

from trio_mcast import Interface

LO = Interface(
    "lo",
    1,
    ipv4_addresses=(IPv4Interface("127.0.0.1/8"),),
    ipv6_addresses=(IPv6Interface("::1/128"),),
    is_loopback=True,
    is_multicast=False,
)
ETH0 = Interface(
    "eth0",
    7,
    ipv4_addresses=(IPv4Interface("10.0.0.1/24"), IPv4Interface("10.0.9.1/24")),
    ipv6_addresses=(IPv6Interface("2001:db8::1/64"), IPv6Interface("fe80::1/64")),
)
ETH1 = Interface(
    "eth1",
    8,
    ipv4_addresses=(IPv4Interface("10.1.0.1/24"),),
    ipv6_addresses=(IPv6Interface("fe80::1/64"),),
)
# Up, and without any address: it can be joined all the same.
BARE = Interface("bare0", 9)
MACHINE = (LO, ETH0, ETH1, BARE)
