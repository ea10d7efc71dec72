"""`mask`: a diagnosis without the addresses of machines, in plain values. Pure.

Addresses of hosts, hardware addresses and the name of a peer are replaced, each everywhere by the
same other one, so that a report still makes sense: addresses of one network stay in one network,
link-local ones stay so. Groups stay, unless they contain a part of a host's address or network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, Final, TypeAlias

_Address: TypeAlias = IPv4Address | IPv6Address
_Network: TypeAlias = IPv4Network | IPv6Network

# What looks like an address, in any text. The hardware address of an interface may be in its name.
_LINK = r"(?<![0-9a-f:-])(?:[0-9a-f]{2}[:-]){5,19}[0-9a-f]{2}(?![0-9a-f:-])"
_IN_NAME = r"(?<=x)[0-9a-f]{12}(?![0-9a-z])"
_IPV6 = r"(?<![0-9a-z:])[0-9a-f]{0,4}:[0-9a-f:]*:[0-9a-f:.]*"
_IPV4 = r"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9])"
_ANY: Final = re.compile(f"{_LINK}|{_IN_NAME}|{_IPV6}|{_IPV4}", re.IGNORECASE)
_WITH_PREFIX: Final = re.compile(rf"({_IPV4}|{_IPV6})/(\d+)", re.IGNORECASE)
_HEX_PAIRS: Final = re.compile("[0-9a-f]{2}", re.IGNORECASE)

# RFC 2544 and RFC 3849: addresses for measurements and for documents; 240.0.0.0/4 if they run out.
_MASKED_IPV4: Final = int(IPv4Address("198.18.0.0"))
_MORE_IPV4: Final = int(IPv4Address("240.0.0.0"))
_MASKED_NETWORKS: Final = 512
_MASKED_IPV6: Final = int(IPv6Address("2001:db8::"))
_LINK_LOCAL_IPV4: Final = IPv4Network("169.254.0.0/16")
_LINK_LOCAL_IPV6: Final = IPv6Network("fe80::/10")
_MOST_HOSTS: Final = 254
# RFC 3180 and RFC 6034: groups that contain the number or the network of who uses them; RFC 5771,
# section 9.2: groups for documents.
_OF_NETWORKS: Final = (IPv4Network("233.0.0.0/8"), IPv4Network("234.0.0.0/8"))
_DOCUMENT_GROUPS: Final = IPv4Network("233.252.0.0/24")
# RFC 4291, section 2.7.1: the last 24 bits are those of a host's address.
_SOLICITED: Final = IPv6Network("ff02::1:ff00:0/104")


def mask(plain: Any) -> Any:
    """Return a plain value with every address and name in it masked, in keys and in texts."""
    masks = _Masks()
    for text in _texts(plain):
        masks.learn(text)
    masks.name(_peer(plain))
    return _masked(plain, masks)


def _texts(plain: Any) -> Iterator[str]:
    if isinstance(plain, str):
        yield plain
    elif isinstance(plain, dict):
        for key, value in plain.items():
            yield key
            yield from _texts(value)
    elif isinstance(plain, list):
        for entry in plain:
            yield from _texts(entry)


def _masked(plain: Any, masks: _Masks) -> Any:
    if isinstance(plain, str):
        return masks.text(plain)
    if isinstance(plain, dict):
        return {masks.text(key): _masked(value, masks) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_masked(entry, masks) for entry in plain]
    return plain


def _peer(plain: Any) -> str:
    """Return the name of the peer; empty if there is none, or it is an address."""
    question = plain.get("evidence", {}).get("question", {}) if isinstance(plain, dict) else {}
    peer = question.get("peer")
    host = peer.get("host") if isinstance(peer, dict) else peer
    if not isinstance(host, str):
        return ""
    host = re.sub(r":[0-9]+$", "", host) if host.count(":") == 1 else host
    try:
        ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return host
    return ""


class _Masks:
    """The addresses and names that were replaced, and by which."""

    def __init__(self) -> None:
        self._networks: set[_Network] = set()
        self._numbers: dict[tuple[object, int], int] = {}
        self._next_hosts: dict[object, int] = {}
        self._stand_ins: dict[object, str] = {}
        self._name: re.Pattern[str] | None = None

    def learn(self, text: str) -> None:
        """Take the networks that a text tells of."""
        for address, length in _WITH_PREFIX.findall(text):
            try:
                self._networks.add(ip_network(f"{address}/{length}", strict=False))
            except ValueError:
                continue

    def name(self, name: str) -> None:
        """Take the name of a host.

        It may be a word of the language, or of the report itself: it is masked where it stands as
        the name, before its control port or where it is told that it has no address.
        """
        if name:
            place = rf"(?<![\w.-]){re.escape(name)}(?=:[0-9]| has no address)"
            self._name = re.compile(place, re.IGNORECASE)

    def text(self, text: str) -> str:
        """Return a text with all addresses in it masked."""
        if self._name is not None:
            text = self._name.sub("peer.example", text)
        return _ANY.sub(lambda match: self._replace(match[0]), text)

    def _replace(self, token: str) -> str:
        # A sentence may end behind an address, or a colon follow it.
        for end in range(len(token), 0, -1):
            try:
                return self._address(ip_address(token[:end])) + token[end:]
            except ValueError:
                if token[end - 1] not in ":.":
                    break
        digits = "".join(_HEX_PAIRS.findall(token)).lower()
        if re.fullmatch("[0-9a-f]{12,40}", digits) and len(digits) % 2 == 0:
            return self._link(digits, token)
        return token

    def _link(self, digits: str, token: str) -> str:
        is_group = int(digits[:2], 16) & 1 and not digits.startswith("3333ff")
        if is_group or not int(digits, 16):
            return token
        number = self._number(("link", digits[:6] == "3333ff"), digits)
        start = "3333ff" if digits.startswith("3333ff") else "020000"
        masked = start + f"{number:0{len(digits) - 6}x}"
        separator = next((character for character in token if character in ":-"), "")
        return separator.join(_HEX_PAIRS.findall(masked))

    def _number(self, kind: object, value: object) -> int:
        known = self._next_hosts.get(kind, 0)
        number = self._stand_ins.setdefault((kind, value), str(known + 1))
        if number == str(known + 1):
            self._next_hosts[kind] = known + 1
        return int(number)

    def _address(self, address: _Address) -> str:
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            return f"::ffff:{self._address(address.ipv4_mapped)}"
        if address.is_multicast:
            return self._group(address)
        if address.is_unspecified or address.is_loopback or int(address) == 0xFFFFFFFF:
            return str(address)
        if isinstance(address, IPv4Address):
            if address in _LINK_LOCAL_IPV4:
                return str(IPv4Address("169.254.0.0") + self._number("169.254", address))
            network, host = self._place(address)
            base = _MASKED_IPV4 if network < _MASKED_NETWORKS else _MORE_IPV4
            return str(IPv4Address(base + network * 256 + host))
        if address in _LINK_LOCAL_IPV6:
            return str(IPv6Address("fe80::") + self._number("fe80", address))
        network, host = self._place(address)
        return str(IPv6Address(_MASKED_IPV6 + (network << 64) + host))

    def _place(self, address: _Address) -> tuple[int, int]:
        """Return the number of an address's network, and its own in it."""
        containing = [network for network in self._networks if address in network]
        length = 24 if address.version == 4 else 64
        network = max(
            (one for one in containing if one.prefixlen < address.max_prefixlen),
            key=lambda one: one.prefixlen,
            default=ip_network(f"{address}/{length}", strict=False),
        )
        number = self._number(network, address) - 1
        part, host = divmod(number, _MOST_HOSTS)
        return self._number(("networks", address.version), (network, part)) - 1, host + 1

    def _group(self, group: _Address) -> str:
        if isinstance(group, IPv4Address):
            if group in _DOCUMENT_GROUPS or not any(group in each for each in _OF_NETWORKS):
                return str(group)
            return str(IPv4Address("233.252.0.0") + self._number("233", group) % 256)
        if group in _SOLICITED:
            return str(_SOLICITED.network_address + self._number("solicited", group))
        # RFC 3306 and RFC 3956: with the flag P and a length, a network follows.
        packed = group.packed
        if packed[1] >> 4 & 2 and packed[3]:
            start = int.from_bytes(packed[:2], "big") << 112 | 0x20 << 96 | _MASKED_IPV6 >> 32
            return str(IPv6Address(start + self._number(packed[:2], group)))
        return str(group)
