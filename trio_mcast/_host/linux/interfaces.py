"""The interfaces of Linux, as rtnetlink(7) lists them.

Decision: not through ifaddr
============================

ifaddr asks getifaddrs(3), and takes each name for UTF-8. In Linux a name is any bytes but white
space, "/" and ":" (dev_valid_name in net/core/dev.c), and where a name is no UTF-8, ifaddr raises
`UnicodeDecodeError`: an interface that nobody uses then ends every program that looks. Netlink,
which getifaddrs itself asks, gives the bytes. Netlink also goes by index: a name that changes while
the interfaces are read takes nothing away, and the label of an address, such as "eth0:1", is not
taken for an interface. Like a socket, the list is that of the calling thread's network namespace.

Decision: what is known is not made again
=========================================

Most looks find nearly all as it was. So the values that were made of the messages are kept until
the next look, each under the bytes of its message, and the same bytes give the same value. With
5,000 addresses on an interface, the first look takes some 45 ms and a further one 16; with 1,000
interfaces, 35 and 15 (measured on Linux 6.18). An interface that has not changed is the very same
object as before: whoever compares two lists sees that at once. Only what the last look has met is
kept, so nothing grows.

Decision: a look is made in steps
=================================

Even so, a look may take longer than other tasks can wait. So it is a generator that stops after
each step of a fraction of a millisecond; who is not in a hurry goes through all steps at once.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Interface
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import attrs

from ..._values.interface import AddressScope, AddressState, Interface, InterfaceAddress
from ..protocols import LookSteps

if not TYPE_CHECKING or sys.platform == "linux":
    from .netlink import (
        ADDRESS,
        ATTRIBUTE,
        IFLA_MTU,
        LINK,
        RTM_GETADDR,
        RTM_GETLINK,
        SHORT_LINKS,
        dump_parts,
        open_netlink,
        read_attributes,
        read_list,
    )

assert not TYPE_CHECKING or sys.platform == "linux"

_T = TypeVar("_T")

# linux/if_link.h
_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MASTER: Final = 10
_IFLA_LINKINFO: Final = 18
_IFLA_INFO_SLAVE_KIND: Final = 4
_IFLA_PROP_LIST: Final = 52
_IFLA_ALT_IFNAME: Final = 53
_OF_LINKS: Final = frozenset(
    {_IFLA_ADDRESS, _IFLA_IFNAME, IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_PROP_LIST}
)
# linux/if_addr.h
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2  # Where there is one, IFA_ADDRESS is the other end's.
_OF_ADDRESSES: Final = frozenset({_IFA_ADDRESS, _IFA_LOCAL})
_BEGINS: Final = ATTRIBUTE.pack(8, _IFA_ADDRESS)
_GOES_ON: Final = ATTRIBUTE.pack(8, _IFA_LOCAL)
_ADDRESS_BYTES: Final = {socket.AF_INET: 4, socket.AF_INET6: 16}
# The flags of an address that count here are among the first eight, which need no IFA_FLAGS.
IFA_F_TEMPORARY: Final = 0x01  # Of IPv6; of IPv4 it means another address of the same network.
IFA_F_OPTIMISTIC: Final = 0x04
IFA_F_DADFAILED: Final = 0x08
IFA_F_DEPRECATED: Final = 0x20
IFA_F_TENTATIVE: Final = 0x40
# linux/rtnetlink.h
_RT_SCOPE_LINK: Final = 253
# linux/if.h, and linux/if_arp.h: the hardware type whose address is six bytes of Ethernet.
IFF_UP: Final = 0x1
IFF_LOOPBACK: Final = 0x8
IFF_MULTICAST: Final = 0x1000
ARPHRD_ETHER: Final = 1

# The kernel tells when something changed while it listed. Then it is asked again; the bound is for
# a machine on which something always changes. It is arbitrary.
_ATTEMPTS: Final = 3

# The messages that are read, or the interfaces that are made, in one step. Each takes some 1 to
# 15 us.
AT_ONCE: Final = 64


@attrs.frozen
class _Link:
    """An interface without its addresses, as one message tells of it."""

    index: int
    name: str
    link_address: str | None
    mtu: int
    flags: int
    master_index: int | None
    alternative_names: tuple[str, ...]


# The index of an interface, its address, and whether that is IPv6; `None` for other families.
_Address: TypeAlias = tuple[int, InterfaceAddress, bool] | None


class LinuxInterfaces:
    """Lists the interfaces, and remembers the last list."""

    def __init__(self) -> None:
        # Replaced as a whole at the end of a look: other threads may look at the same time.
        self._last = _Look(None)

    def look(self) -> LookSteps:
        """Look at every interface, also those that are down or have no address, in steps.

        The network namespace is that of the calling thread at this call.

        Returns:
            An iterator that yields `None` after each step, and in the end the interfaces, by index.

        Raises:
            OSError: The system refuses to tell, at once or in a step.
        """
        return self._look(open_netlink())

    def _look(self, query: socket.socket) -> LookSteps:
        with query:
            for _ in range(_ATTEMPTS):
                look, whole = _Look(self._last), True
                for messages, unchanged in dump_parts(query, RTM_GETLINK, SHORT_LINKS):
                    whole = whole and unchanged
                    yield from look.read_links(messages)
                for messages, unchanged in dump_parts(query, RTM_GETADDR):
                    whole = whole and unchanged
                    yield from look.read_addresses(messages)
                if whole:
                    break
        yield from look.make_interfaces()
        self._last = look
        look.forget_before()
        yield look.listed


def interfaces_in(links: Sequence[bytes], addresses: Sequence[bytes]) -> list[Interface]:
    """Return the interfaces that the messages of both lists tell of, by index.

    A message that makes no sense is passed over.
    """
    look = _Look(None)
    for steps in (look.read_links(links), look.read_addresses(addresses), look.make_interfaces()):
        deque(steps, maxlen=0)
    return look.listed


class _Look:
    """The values of one look, and those of the look before it, as long as they are made.

    Attributes:
        listed: The interfaces, by index.
    """

    def __init__(self, before: _Look | None) -> None:
        self.listed: list[Interface] = []
        self._before = before
        # What was made of each message.
        self._links: dict[bytes, _Link | None] = {}
        self._addresses: dict[bytes, _Address] = {}
        # The details of each interface, IPv4 and IPv6.
        self._details: dict[int, tuple[list[InterfaceAddress], list[InterfaceAddress]]] = {}
        # The interfaces by index, each with all that it was made of.
        self._interfaces: dict[int, tuple[tuple[object, ...], Interface]] = {}

    def read_links(self, messages: Sequence[bytes]) -> Iterator[None]:
        known = {} if self._before is None else self._before._links
        for part in _parts(messages):
            for message in part:
                self._links[message] = known.get(message) or _read_link(message)
            yield

    def read_addresses(self, messages: Sequence[bytes]) -> Iterator[None]:
        known = {} if self._before is None else self._before._addresses
        for part in _parts(messages):
            for message in part:
                address = known.get(message) or _read_address(message)
                self._addresses[message] = address
                if address is not None:
                    index, detail, is_ipv6 = address
                    details = self._details.get(index)
                    if details is None:
                        details = self._details[index] = ([], [])
                    details[is_ipv6].append(detail)
            yield

    def make_interfaces(self) -> Iterator[None]:
        known = {} if self._before is None else self._before._interfaces
        links = {link.index: link for link in self._links.values() if link is not None}
        for part in _parts(sorted(links)):
            for index in part:
                link, details = links[index], self._details.get(index, ([], []))
                master = links.get(link.master_index or 0)
                content = (link, master and master.name, tuple(details[0]), tuple(details[1]))
                before = known.get(index)
                # Tuples of the very same objects are compared fast.
                if before is None or before[0] != content:
                    before = (content, _interface(link, master, details))
                self._interfaces[index] = before
                self.listed.append(before[1])
            yield

    def forget_before(self) -> None:
        """Forget the look before: else no look would ever be forgotten."""
        self._before = None
        self._details.clear()


def _parts(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]


def _read_link(message: bytes) -> _Link | None:
    if len(message) < LINK.size:
        return None
    _family, hardware, index, flags, _changed = LINK.unpack_from(message)
    attributes = read_attributes(message, LINK.size, _OF_LINKS)
    if _IFLA_IFNAME not in attributes:
        return None
    link_address = attributes.get(_IFLA_ADDRESS) if hardware == ARPHRD_ETHER else None
    names = read_list(attributes.get(_IFLA_PROP_LIST, b""), _IFLA_ALT_IFNAME)
    return _Link(
        index,
        _text(attributes[_IFLA_IFNAME]),
        None if link_address is None else link_address.hex(":"),
        int.from_bytes(attributes.get(IFLA_MTU, b""), sys.byteorder),
        flags,
        _master_index(attributes),
        tuple(map(_text, names)),
    )


def _read_address(message: bytes) -> _Address:
    if len(message) < ADDRESS.size:
        return None
    family, prefix, flags, scope, index = ADDRESS.unpack_from(message)
    if family == socket.AF_INET and message[8:12] == _BEGINS and message[16:20] == _GOES_ON:
        local = message[20:24]  # As Linux gives every IPv4 address: no need to search.
    else:
        attributes = read_attributes(message, ADDRESS.size, _OF_ADDRESSES)
        local = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS) or b""
    size = _ADDRESS_BYTES.get(family)
    if len(local) != size or prefix > 8 * size:
        return None
    is_ipv6 = family == socket.AF_INET6
    detail = InterfaceAddress(
        IPv6Interface((local, prefix)) if is_ipv6 else IPv4Interface((local, prefix)),
        _scope(scope, is_ipv6),
        state_of(flags),
        temporary=is_ipv6 and bool(flags & IFA_F_TEMPORARY),
    )
    return index, detail, is_ipv6


def _scope(number: int, is_ipv6: bool) -> AddressScope:
    # Between the whole world, 0, and the link there are numbers that an administrator may give to
    # IPv4 addresses. Linux does not use such an address beyond the link by itself (inet_select_addr
    # in net/ipv4/devinet.c). IPv6 has the site-local addresses there, which routers do forward.
    if not number or (is_ipv6 and number < _RT_SCOPE_LINK):
        return "global"
    return "link" if number <= _RT_SCOPE_LINK else "host"


def state_of(flags: int) -> AddressState:
    """Return the state that the flags of an address tell."""
    if flags & IFA_F_DADFAILED:
        return "failed"
    if flags & IFA_F_DEPRECATED or (flags & IFA_F_OPTIMISTIC and flags & IFA_F_TENTATIVE):
        return "deprecated"
    return "tentative" if flags & IFA_F_TENTATIVE else "preferred"


def _master_index(attributes: Mapping[int, bytes]) -> int | None:
    """Return the index of the master that takes what arrives on an interface.

    Masters of every kind have a handler that takes the packets of their ports, but for a VRF: what
    arrives on a member is the member's, and only routed in another table.
    """
    index = attributes.get(_IFLA_MASTER)
    if index is None:
        return None
    kinds = read_list(attributes.get(_IFLA_LINKINFO, b""), _IFLA_INFO_SLAVE_KIND)
    if any(_text(kind) == "vrf" for kind in kinds):
        return None
    return int.from_bytes(index, sys.byteorder)


def _text(value: bytes) -> str:
    return os.fsdecode(value.partition(b"\0")[0])


def _interface(
    link: _Link,
    master: _Link | None,
    details: tuple[Sequence[InterfaceAddress], Sequence[InterfaceAddress]],
) -> Interface:
    ipv4: list[Any] = [detail.address for detail in details[0]]
    ipv6: list[Any] = [detail.address for detail in details[1]]
    return Interface(
        name=link.name,
        index=link.index,
        description=link.name,
        ipv4_addresses=tuple(ipv4),
        ipv6_addresses=tuple(ipv6),
        link_address=link.link_address,
        mtu=link.mtu,
        is_up=bool(link.flags & IFF_UP),
        is_loopback=bool(link.flags & IFF_LOOPBACK),
        is_multicast=bool(link.flags & IFF_MULTICAST),
        address_details=(*details[0], *details[1]),
        master=None if master is None else master.name,
        alternative_names=link.alternative_names,
    )
