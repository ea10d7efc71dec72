"""The source address that a system chooses for IPv6, where a socket is bound to none. Pure.

RFC 6724, 5, as ipv6_dev_get_saddr and ipv6_get_saddr_eval in net/ipv6/addrconf.c carry it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv6Network
from typing import Final, TypeAlias

from .._values.addresses import IPAddress
from .._values.interface import InterfaceAddress
from ._frames import multicast_scope
from ._interface_address import bare_address

# RFC 6724, 2.1, and ip6addrlbl_init_table in net/ipv6/addrlabel.c: the longest prefix counts.
_LABELS: Final = [
    (IPv6Network("::1/128"), 0),
    (IPv6Network("::ffff:0:0/96"), 4),
    (IPv6Network("::/96"), 3),
    (IPv6Network("2001:10::/28"), 7),
    (IPv6Network("2001::/32"), 6),
    (IPv6Network("2002::/16"), 2),
    (IPv6Network("fc00::/7"), 5),
]
_GLOBAL, _SITE, _LINK = 14, 5, 2
_Rank: TypeAlias = tuple[int, bool, bool, bool, bool, int]


def choose_source(
    destination: IPAddress,
    outgoing: Sequence[InterfaceAddress],
    others: Iterable[InterfaceAddress],
) -> IPAddress | None:
    """Return the address to send from; of equals, the one that is listed first.

    Args:
        destination: A group or peer of IPv6.
        outgoing: The addresses of the interface that the datagram leaves through.
        others: Those of the other interfaces, which count for a peer beyond the link.
    """
    candidates = [(detail, True) for detail in outgoing]
    if not (destination.is_multicast or destination.is_link_local):
        candidates += [(detail, False) for detail in others]
    usable = [
        (detail, is_outgoing)
        for detail, is_outgoing in candidates
        if detail.address.version == 6 and detail.state not in ("tentative", "failed")
    ]
    if not usable:
        return None
    if len(usable) > 1:
        usable.sort(key=lambda candidate: _rank(destination, *candidate), reverse=True)
    return bare_address(usable[0][0].address)


def _rank(destination: IPAddress, detail: InterfaceAddress, is_outgoing: bool) -> _Rank:
    """Return how good an address is: rules 2, 3, 5, 6, 7 and 8."""
    source = bare_address(detail.address)
    scope, wanted = _scope(source), _scope(destination)
    prefix = 128 - (int(source) ^ int(destination)).bit_length()
    return (
        -scope if scope >= wanted else scope - 128,
        detail.state != "deprecated",
        is_outgoing,
        _label(source) == _label(destination),
        bool(detail.temporary),
        min(prefix, detail.address.network.prefixlen),
    )


def _scope(address: IPAddress) -> int:
    if address.is_multicast:
        return multicast_scope(address)
    if address.is_loopback or address.is_link_local:
        return _LINK
    return _SITE if getattr(address, "is_site_local", False) else _GLOBAL


def _label(address: IPAddress) -> int:
    return next((label for network, label in _LABELS if address in network), 1)
