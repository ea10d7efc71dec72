"""The interfaces of a MacBook, as published listings of ifconfig show them."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface

from trio_mcast import Interface


def _interface(
    name: str,
    index: int,
    *addresses: str,
    is_up: bool = True,
    is_multicast: bool = True,
    is_loopback: bool = False,
) -> Interface:
    return Interface(
        name=name,
        index=index,
        ipv4_addresses=tuple(IPv4Interface(each) for each in addresses if ":" not in each),
        ipv6_addresses=tuple(IPv6Interface(each) for each in addresses if ":" in each),
        is_up=is_up,
        is_multicast=is_multicast,
        is_loopback=is_loopback,
    )


MACBOOK = (
    _interface("lo0", 1, "127.0.0.1/8", "::1/128", "fe80::1/64", is_loopback=True),
    _interface("gif0", 2, is_up=False),
    _interface("stf0", 3, is_up=False, is_multicast=False),
    _interface("anpi0", 4, "fe80::4/64"),
    _interface("anpi1", 5, "fe80::5/64"),
    _interface("en3", 6),
    _interface("en4", 7),
    _interface("en1", 8),
    _interface("en2", 9),
    _interface("ap1", 10, "fe80::10/64"),
    _interface("en0", 11, "192.168.1.5/24", "fe80::11/64", "2001:db8::5/64"),
    _interface("bridge0", 12),
    _interface("awdl0", 13, "fe80::13/64"),
    _interface("llw0", 14, "fe80::14/64"),
    _interface("utun0", 15, "fe80::15/64"),
    _interface("utun1", 16, "fe80::16/64"),
    _interface("utun2", 17, "fe80::17/64"),
    _interface("utun3", 18, "fe80::18/64"),
)
