"""The interfaces of Linux where netlink is refused: from /proc, and by ioctl (netdevice(7)).

Sandboxes refuse netlink sockets: systemd's ``RestrictAddressFamilies=`` without AF_NETLINK with
EAFNOSUPPORT, others with EPERM or EACCES; Android refuses to list the links. Then getifaddrs(3)
fails as well, and if_nameindex(3), since both ask netlink (measured with glibc 2.36). What stays:

* ``/proc/net/dev`` has the name of every interface, also of one without an address;
* SIOCGIFCONF has the IPv4 addresses, each with its label, which may be "eth0:1"; where that is
  another word, ``/proc/net/route`` has the interface of the address's network;
* ``/proc/net/if_inet6`` has the IPv6 addresses, with scope and state;
* ioctls have the rest of what an interface is;
* ``/sys/class/net`` has the masters, if it is of the same network: it shows that of whoever has
  mounted it.

Other names are not told, nor the ports of a team, which look as the members of a VRF do.
"""

from __future__ import annotations

import array
import errno
import logging
import os
import socket
import struct
import sys
from collections.abc import Collection, Iterator, Sequence
from ipaddress import IPv4Interface, IPv6Interface
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..._values.interface import AddressScope, Interface, InterfaceAddress, assumed_scope
from ..protocols import LookSteps

if not TYPE_CHECKING or sys.platform == "linux":
    from fcntl import ioctl

    from .interfaces import (
        ARPHRD_ETHER,
        IFA_F_TEMPORARY,
        IFF_LOOPBACK,
        IFF_MULTICAST,
        IFF_UP,
        state_of,
    )

assert not TYPE_CHECKING or sys.platform == "linux"

logger = logging.getLogger("trio_mcast")

# The errors of a netlink socket that a sandbox gives. Others, such as a lack of file descriptors,
# pass and are no reason to go another way.
REFUSALS: Final = frozenset(
    {
        errno.EAFNOSUPPORT,
        errno.EPROTONOSUPPORT,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EACCES,
        errno.ENOSYS,
    }
)

# linux/sockios.h
_SIOCGIFCONF: Final = 0x8912
_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFNETMASK: Final = 0x891B
_SIOCGIFMTU: Final = 0x8921
_SIOCGIFHWADDR: Final = 0x8927
_SIOCGIFINDEX: Final = 0x8933
_NAME_BYTES: Final = 16
# struct ifreq: the name, and a union whose longest member is struct ifmap.
_REQUEST_BYTES: Final = _NAME_BYTES + (24 if struct.calcsize("P") == 8 else 16)

_INT: Final = struct.Struct("i")
_SHORT: Final = struct.Struct("H")
_IPV6_BYTES: Final = 16
# In /proc/net/route: the interface, the destination, the gateway, ..., the mask.
_MASK_FIELD: Final = 7
# The errors for an interface or address that has gone.
_GONE: Final = frozenset({errno.ENODEV, errno.ENXIO, errno.EADDRNOTAVAIL})

_SYSFS: Final = b"/sys/class/net"
# What a port of a bridge has there, and one of a bond; all ports of Open vSwitch have one master.
_MARKS_OF_PORTS: Final = (b"brport", b"bonding_slave")
_OPEN_VSWITCH: Final = b"ovs-system"

# The scopes in /proc/net/if_inet6; others, such as that of site-local addresses, are routed.
_SCOPES: Final[dict[int, AddressScope]] = {0x10: "host", 0x20: "link"}

# The addresses or interfaces that are read in one step: each takes some 5 to 20 us.
_AT_ONCE: Final = 32

# What is read of an address: the name of its interface, the address packed, the length of its
# prefix, and of IPv6 the scope and the flags.
_Entry: TypeAlias = tuple[bytes, bytes, int, int, int]
# A network: the name of its interface, an address in it, the length of its prefix.
_Network: TypeAlias = tuple[bytes, bytes, int]
# What is read of an interface: index, flags, mtu, hardware address, master.
_Facts: TypeAlias = tuple[int, int, int, str | None, str | None]
_Details: TypeAlias = tuple[list[InterfaceAddress], list[InterfaceAddress]]

_warned: list[str] = []


def warn_once(error: OSError, consequence: str) -> None:
    """Log what a refusal of netlink leads to, and what to allow: once in a process.

    Args:
        error: The refusal.
        consequence: What happens instead.
    """
    if not _warned:
        _warned.append(consequence)
        logger.warning(
            "AF_NETLINK sockets are refused here (%s): %s. Allow the address family AF_NETLINK to "
            "this program, in a unit of systemd with RestrictAddressFamilies=AF_INET AF_INET6 "
            "AF_NETLINK, and in a container by its seccomp profile",
            error,
            consequence,
        )


class InterfacesWithoutNetlink:
    """Lists the interfaces without netlink, and remembers the last list."""

    def __init__(self) -> None:
        # The addresses by what was read of them, and the interfaces by index, each with all that it
        # was made of: what has not changed is not made again.
        self._addresses: dict[_Entry, InterfaceAddress] = {}
        self._interfaces: dict[int, tuple[tuple[object, ...], Interface]] = {}

    def look(self) -> LookSteps:
        """Look at every interface, in steps; see `Host.look`.

        Raises:
            OSError: The system refuses to tell.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
            named: dict[bytes, _Details] = {name: ([], []) for name in _read_names()}
            addresses: dict[_Entry, InterfaceAddress] = {}
            for number, entry in enumerate(_read_addresses(query, named), 1):
                detail = addresses[entry] = self._addresses.get(entry) or _make_address(entry)
                if entry[0] in named:
                    named[entry[0]][len(entry[1]) == _IPV6_BYTES].append(detail)
                if not number % _AT_ONCE:
                    yield None
            interfaces: dict[int, tuple[tuple[object, ...], Interface]] = {}
            for number, (name, details) in enumerate(named.items(), 1):
                facts = _read_facts(query, name)
                if facts is not None:
                    content = (name, facts, tuple(details[0]), tuple(details[1]))
                    before = self._interfaces.get(facts[0])
                    if before is None or before[0] != content:
                        before = (content, _make_interface(name, facts, details))
                    interfaces[facts[0]] = before
                if not number % _AT_ONCE:
                    yield None
        self._addresses, self._interfaces = addresses, interfaces
        yield [interfaces[index][1] for index in sorted(interfaces)]


def _read_lines(name: str) -> list[bytes]:
    """Return the lines of a file about the network of this thread; none if there is no such."""
    for directory in ("/proc/thread-self/net", "/proc/net"):
        try:
            return Path(directory, name).read_bytes().splitlines()
        except FileNotFoundError:  # Of IPv6, where there is none.
            continue
    return []


def _read_names() -> list[bytes]:
    # Two lines of headings, then "  eth0: 123 ...". A name has no colon in it.
    return [line.partition(b":")[0].strip() for line in _read_lines("dev")[2:]]


def _read_addresses(query: socket.socket, names: Collection[bytes]) -> Iterator[_Entry]:
    before: _Entry | None = None
    networks: list[_Network] | None = None
    for request in _configuration(query):
        name, packed = request[:_NAME_BYTES], request[_NAME_BYTES + 4 : _NAME_BYTES + 8]
        try:
            # With the address: an interface has several under one name.
            mask = ioctl(query, _SIOCGIFNETMASK, request)[_NAME_BYTES + 4 : _NAME_BYTES + 8]
        except OSError as error:
            if error.errno not in _GONE:
                raise
            # Its label is no interface's name, or it has gone.
            label = name.partition(b"\0")[0]
            networks = _networks_on_link() if networks is None else networks
            of_before = [] if before is None else [before[:3]]
            entry = _place(packed, label, names, [*networks, *of_before])
            if entry is not None:
                yield entry
            continue
        prefix = int.from_bytes(mask, "big").bit_count()
        before = name.partition(b"\0")[0].partition(b":")[0], packed, prefix, 0, 0
        yield before
    for line in _read_lines("if_inet6"):
        text, _index, length, scope, flags, called = line.split(None, 5)
        packed = bytes.fromhex(text.decode())
        yield called.strip(), packed, int(length, 16), int(scope, 16), int(flags, 16)


def _place(
    packed: bytes, label: bytes, names: Collection[bytes], networks: Sequence[_Network]
) -> _Entry | None:
    """Return an address whose label is no interface's name; `None` if its interface is unknown.

    No ioctl has it. What is known: a label that ``ip`` has set begins with the interface's name;
    an address mostly comes with a route to its network; and Linux lists the addresses of one
    interface after another. What has neither such a label, nor a route in the main table, nor a
    network in common with the address before, is not listed.
    """
    owner = max((name for name in names if label.startswith(name)), key=len, default=None)
    fitting = [
        (prefix, name)
        for name, network, prefix in networks
        if owner in (None, name) and _is_in_network(packed, network, prefix)
    ]
    if fitting:
        prefix, name = max(fitting, key=itemgetter(0))
        return name, packed, prefix, 0, 0
    return None if owner is None else (owner, packed, 8 * len(packed), 0, 0)


def _networks_on_link() -> list[_Network]:
    """Return the IPv4 networks that are reached without a gateway."""
    networks = []
    for line in _read_lines("route")[1:]:
        fields = line.split()
        if len(fields) > _MASK_FIELD and not int(fields[2], 16) and int(fields[_MASK_FIELD], 16):
            # As numbers of this machine's byte order.
            network = int(fields[1], 16).to_bytes(4, sys.byteorder)
            networks.append((fields[0], network, int(fields[_MASK_FIELD], 16).bit_count()))
    return networks


def _is_in_network(packed: bytes, network: bytes, prefix: int) -> bool:
    shift = 32 - prefix
    return int.from_bytes(packed, "big") >> shift == int.from_bytes(network, "big") >> shift


def _configuration(query: socket.socket) -> Iterator[bytes]:
    """Yield the IPv4 addresses, each as a struct ifreq that has its label."""
    room = 64 * _REQUEST_BYTES
    while True:
        buffer = array.array("B", bytes(room))
        # struct ifconf: the length and the place of the buffer.
        place = struct.pack("iP", room, buffer.buffer_info()[0])
        (length,) = struct.unpack_from("i", ioctl(query, _SIOCGIFCONF, place))
        if length + _REQUEST_BYTES <= room:
            break
        room *= 2  # Linux fills what room there is, and does not say that there is more.
    content = buffer.tobytes()
    for start in range(0, length, _REQUEST_BYTES):
        yield content[start : start + _REQUEST_BYTES]


def _read_facts(query: socket.socket, name: bytes) -> _Facts | None:
    """Return what ioctls tell of an interface; `None` if it has gone meanwhile."""

    def ask(question: int) -> bytes:
        answer: bytes = ioctl(query, question, name.ljust(_REQUEST_BYTES, b"\0"))
        return answer[_NAME_BYTES:]

    try:
        (index,) = _INT.unpack_from(ask(_SIOCGIFINDEX))
        (flags,) = _SHORT.unpack_from(ask(_SIOCGIFFLAGS))
        (mtu,) = _INT.unpack_from(ask(_SIOCGIFMTU))
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    master = _read_master(query, name, index)
    try:
        answer = ask(_SIOCGIFHWADDR)
    except OSError:  # Refused by itself by some sandboxes, and of no use for multicast.
        return index, flags, mtu, None, master
    has_address = _SHORT.unpack_from(answer)[0] == ARPHRD_ETHER
    return index, flags, mtu, answer[2:8].hex(":") if has_address else None, master


def _read_master(query: socket.socket, name: bytes, index: int) -> str | None:
    """Return the master that takes what arrives on an interface; `None` if none is known."""
    directory = os.path.join(_SYSFS, name)
    try:
        master = os.path.basename(os.readlink(os.path.join(directory, b"master")))
        marks = (os.path.join(directory, mark) for mark in _MARKS_OF_PORTS)
        if master != _OPEN_VSWITCH and not any(map(os.path.exists, marks)):
            return None
        # Of another network, both are hardly there with the same names and indexes.
        answer = ioctl(query, _SIOCGIFINDEX, master.ljust(_REQUEST_BYTES, b"\0"))
        (master_index,) = _INT.unpack_from(answer, _NAME_BYTES)
        if (_index_in_sysfs(name), _index_in_sysfs(master)) != (index, master_index):
            return None
    except (OSError, ValueError):  # No port, or /sys is not to be read here.
        return None
    return os.fsdecode(master)


def _index_in_sysfs(name: bytes) -> int:
    with open(os.path.join(_SYSFS, name, b"ifindex"), "rb") as file:
        return int(file.read())


def _make_address(entry: _Entry) -> InterfaceAddress:
    _name, packed, prefix, scope, flags = entry
    if len(packed) != _IPV6_BYTES:
        ipv4 = IPv4Interface((packed, prefix))
        return InterfaceAddress(ipv4, assumed_scope(ipv4))
    return InterfaceAddress(
        IPv6Interface((packed, prefix)),
        _SCOPES.get(scope, "global"),
        state_of(flags),
        temporary=bool(flags & IFA_F_TEMPORARY),
    )


def _make_interface(name: bytes, facts: _Facts, details: _Details) -> Interface:
    index, flags, mtu, link_address, master = facts
    text = os.fsdecode(name)
    ipv4: list[Any] = [detail.address for detail in details[0]]
    ipv6: list[Any] = [detail.address for detail in details[1]]
    return Interface(
        name=text,
        index=index,
        description=text,
        ipv4_addresses=tuple(ipv4),
        ipv6_addresses=tuple(ipv6),
        link_address=link_address,
        mtu=mtu,
        is_up=bool(flags & IFF_UP),
        is_loopback=bool(flags & IFF_LOOPBACK),
        is_multicast=bool(flags & IFF_MULTICAST),
        address_details=(*details[0], *details[1]),
        master=master,
    )
