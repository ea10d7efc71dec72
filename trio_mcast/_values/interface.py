"""The `Interface` value, and how a user's selector picks interfaces from a list. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Final, Literal, TypeAlias

import attrs

from .addresses import FAMILY_LABEL, Family, IPAddress
from .errors import printable
from .steps import Steps

AddressScope: TypeAlias = Literal["global", "link", "host"]
AddressState: TypeAlias = Literal["preferred", "tentative", "failed", "deprecated"]

# The least mtu for each family (RFC 791; RFC 8200, section 5). When an interface's mtu falls below
# it, Linux takes the family off the interface, and with it every membership and, of IPv6, every
# address; the memberships do not come back with the mtu (measured on 6.18).
_LEAST_MTU: Final[Mapping[Family, int]] = {"ipv4": 68, "ipv6": 1_280}
_NO_FAMILY: Final[frozenset[Family]] = frozenset()


def families_without_room(mtu: int) -> frozenset[Family]:
    """Return the families for which the mtu of an interface is too small; 0 is an unknown mtu."""
    if mtu >= _LEAST_MTU["ipv6"] or not mtu:
        return _NO_FAMILY
    return frozenset(family for family, least in _LEAST_MTU.items() if mtu < least)


@attrs.frozen
class InterfaceAddress:
    """An address of an interface, and its standing with the system."""

    address: IPv4Interface | IPv6Interface
    """The address with its network."""
    scope: AddressScope = "global"
    """How far the address is valid: ``"global"`` beyond the link, ``"link"`` on the link only,
    ``"host"`` on this machine only. Linux keeps a scope for each address, whatever the address: so
    169.254.1.1 may be ``"global"``. On other systems the address decides.
    """
    state: AddressState | None = None
    """``"preferred"``; ``"tentative"``, while the system makes sure that nobody else has the
    address, which cannot be used until then; ``"failed"``, if somebody else has it;
    ``"deprecated"``, if another address is to be used instead, where there is one. An optimistic
    address (RFC 4429) is ``"deprecated"`` until the system has made sure of it. `None` where the
    system does not tell: on macOS and FreeBSD, and on Linux for IPv4 addresses where a sandbox
    refuses netlink.
    """
    temporary: bool = False
    """Whether it is a temporary IPv6 address (RFC 8981), which the system replaces by another from
    time to time. `False` where the system does not tell.
    """


def assumed_details(
    addresses: Iterable[IPv4Interface | IPv6Interface],
) -> tuple[InterfaceAddress, ...]:
    """Return addresses with the scope that each has by its bits: all there is to tell elsewhere."""
    return tuple(InterfaceAddress(address, assumed_scope(address)) for address in addresses)


def assumed_scope(address: IPv4Address | IPv6Address) -> AddressScope:
    """Return the scope that an address has by its bits."""
    bare = _without_network(address)
    if bare.is_loopback:
        return "host"
    return "link" if bare.is_link_local else "global"


def _without_network(address: IPv4Address | IPv6Address) -> IPAddress:
    # An IPv6Interface answers for its network; an IPv4Interface for itself.
    return address if isinstance(address, IPv4Address) else IPv6Address(address.packed)


@attrs.frozen
class Interface:
    """A network interface of this machine, as it was when it was listed."""

    name: str
    """The system's name for it, such as ``"eth0"``. Bytes that are no UTF-8 are lone surrogates, as
    `os.fsdecode` makes them and ``sys.argv`` has them. Such a name still selects the interface, but
    cannot be printed. ``str()`` of the interface can be printed: it escapes them.
    """
    index: int
    """The system's number for it, from 1."""
    description: str = ""
    """A name for people; the same as ``name`` where the system has no other."""
    ipv4_addresses: tuple[IPv4Interface, ...] = ()
    """Its IPv4 addresses with their networks, in the system's order."""
    ipv6_addresses: tuple[IPv6Interface, ...] = ()
    """Its IPv6 addresses with their networks, in the system's order."""
    link_address: str | None = None
    """Its hardware address as ``"02:00:00:00:00:01"``, or `None` if it has none."""
    mtu: int = 0
    """The largest packet it takes, in bytes, IP header included; 0 if unknown."""
    is_up: bool = True
    """Whether it is switched on."""
    is_loopback: bool = False
    """Whether it is the loopback interface."""
    is_multicast: bool = True
    """Whether the system marks it as capable of multicast. Linux does not mark its loopback
    interface, though IPv4 multicast works there.
    """
    master: str | None = None
    """The name of the bridge, bond or team that takes what arrives on this interface, which is a
    port of it; ``"ovs-system"`` for Open vSwitch. `None` if there is none, and on systems other
    than Linux, which do not tell. It is `None` for a member of a VRF, too, since that takes what
    arrives itself.
    """
    alternative_names: tuple[str, ...] = ()
    """Other names that the system knows it by, such as ``"enp0s31f6"``; each selects the interface
    as its name does. Linux only.
    """
    address_details: tuple[InterfaceAddress, ...] = ()
    """Its addresses as `InterfaceAddress` values, with scope and state: IPv4 addresses first, each
    family in the order of ``ipv4_addresses`` or ``ipv6_addresses``.
    """

    def addresses(self, family: Family) -> tuple[IPAddress, ...]:
        """Its addresses of one family, without networks and zones, in the system's order."""
        return tuple(iterate_addresses(self, family))

    def __hash__(self) -> int:
        """The hash of name and index: an interface may have thousands of addresses."""
        return hash((self.name, self.index))

    def __str__(self) -> str:
        return printable(self.name)


def has_address(interface: Interface, address: IPAddress) -> bool:
    """Tell whether an interface has an address, whatever the zone of that is."""
    if address.version == 4:
        return int(address) in map(int, interface.ipv4_addresses)
    return int(address) in map(int, interface.ipv6_addresses)


def iterate_addresses(interface: Interface, family: Family) -> Iterator[IPAddress]:
    """Yield the addresses of an interface in a family, without networks and zones."""
    if family == "ipv4":
        for ipv4 in interface.ipv4_addresses:
            yield IPv4Address(int(ipv4))
    else:
        for ipv6 in interface.ipv6_addresses:
            yield IPv6Address(int(ipv6))


def zone_of(interface: Interface) -> str:
    """Return the zone that stands for an interface in an IPv6 address, as `by_zone` takes it.

    That is its name. `ipaddress` takes no zone with a "%" in it: then it is the index.
    """
    return str(interface.index) if "%" in interface.name else interface.name


InterfaceSelector: TypeAlias = str | int | IPv4Address | IPv6Address | Interface


class AllInterfaces(enum.Enum):
    """The type of `ALL_INTERFACES`, its only value. It compares by `is`, also after pickling."""

    ALL_INTERFACES = "all interfaces"

    def __repr__(self) -> str:
        return self.name

    __str__ = __repr__


#: For ``interfaces=``: every interface that is up, capable of multicast, not loopback, and not a
#: port of a bridge, bond or team, as they come and go.
ALL_INTERFACES: Final = AllInterfaces.ALL_INTERFACES

InterfaceSelectors: TypeAlias = InterfaceSelector | Iterable[InterfaceSelector] | AllInterfaces
# Selectors that were checked; `None` is what nothing was said about.
ParsedSelectors: TypeAlias = "tuple[InterfaceSelector, ...] | AllInterfaces | None"


def show_selectors(selectors: ParsedSelectors) -> str:
    """Return the repr of selectors, with an `Interface` among them as its name."""
    if selectors is None or selectors is ALL_INTERFACES:
        return repr(selectors)
    texts = [
        str(selector) if isinstance(selector, Interface) else repr(selector)
        for selector in selectors
    ]
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"


# An error lists no more interfaces, and no more addresses of one. Arbitrary.
_MOST_LISTED: Final = 40


def describe_interfaces(interfaces: Sequence[Interface]) -> str:
    """Return one line that lists interfaces for an error message; of very many only some."""
    parts = []
    for interface in interfaces[:_MOST_LISTED]:
        addresses = describe_addresses((*interface.ipv4_addresses, *interface.ipv6_addresses))
        parts.append(f"{interface} ({addresses})" if addresses else str(interface))
    return ", ".join([*parts, *_more(interfaces)]) or "none"


def describe_addresses(addresses: Sequence[object]) -> str:
    """Return a list of addresses for an error message; of very many only some."""
    return ", ".join([*map(str, addresses[:_MOST_LISTED]), *_more(addresses)])


def _more(values: Sequence[object]) -> list[str]:
    return [f"and {len(values) - _MOST_LISTED:,} more"] if len(values) > _MOST_LISTED else []


def addresses_on_any_link(interfaces: Iterable[Interface]) -> frozenset[str]:
    """Return this machine's addresses that mean the machine on any link, as text.

    A link-local IPv6 address does so on the link of its interface only: elsewhere another machine
    may have it, often a router that is called fe80::1.
    """
    return frozenset(text for interface in interfaces for text in texts_on_any_link(interface))


def texts_on_any_link(interface: Interface) -> Iterator[str]:
    """Yield the addresses of one interface that mean this machine on any link."""
    for family in FAMILY_LABEL:
        for address in _own_addresses(interface, family):
            if not _counts_on_its_link(address):
                yield str(address)


def shared_addresses(interfaces: Iterable[Interface]) -> Steps[frozenset[IPAddress]]:
    """Return the addresses that more than one interface has.

    Link-local IPv6 addresses do not count: each is bound to with the index of its interface.
    """
    once: tuple[set[int], set[int]] = set(), set()
    again: tuple[set[int], set[int]] = set(), set()
    for interface in interfaces:
        both = interface.ipv4_addresses, interface.ipv6_addresses
        for number, addresses in enumerate(both):
            numbers = set(map(int, addresses))
            again[number].update(numbers & once[number])
            once[number].update(numbers)
        yield
    ipv4, ipv6 = map(IPv4Address, again[0]), map(IPv6Address, again[1])
    return frozenset([*ipv4, *(address for address in ipv6 if not _counts_on_its_link(address))])


def own_addresses_on(interface: Interface, on_any_link: frozenset[str]) -> frozenset[str]:
    """Return the addresses, as text, that mean this machine on the link of an interface.

    Args:
        interface: The interface.
        on_any_link: This machine's addresses, as `addresses_on_any_link` has them.
    """
    addresses = _own_addresses(interface, "ipv6")
    return on_any_link.union(str(address) for address in addresses if _counts_on_its_link(address))


def _counts_on_its_link(address: IPAddress) -> bool:
    return address.version == 6 and address.is_link_local


def _own_addresses(interface: Interface, family: Family) -> Iterator[IPAddress]:
    details = interface.address_details
    failed = {detail.address.packed for detail in details if detail.state == "failed"}
    # One that has failed is another machine's, and never where a datagram of this one comes from.
    for address in iterate_addresses(interface, family):
        if address.packed not in failed:
            yield address
