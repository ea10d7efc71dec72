"""`View`: what follows from evidence and more than one rule wants to know. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from math import sqrt

from ..._values.addresses import IPAddress
from ..evidence import Evidence, Heard, Link, Phase
from ..frames import PhaseName

# Fewer than so many datagrams, or rises of a counter, prove nothing: something else may have come.
FEWEST = 3

# What a steady flow may differ by from time to time: a part of it, and so many times the standard
# deviation of datagrams that come at random. Both are arbitrary.
_CHANCE_PART = 0.25
_CHANCE_DEVIATIONS = 3


def parse(text: str) -> IPAddress:
    """Return an address without its zone."""
    return ip_address(text.partition("%")[0])


class View:
    """Evidence, with what follows from it. A part that was not gathered counts as empty."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.question = evidence.question

    # Groups and interfaces ---------------------------------------------------------------------

    @cached_property
    def groups(self) -> dict[str, IPAddress]:
        """The groups, each by its text."""
        return {group: parse(group) for group in self.question.groups}

    @cached_property
    def bare_groups(self) -> set[str]:
        """The groups as text without zones, as addresses on the network are written."""
        return {str(group) for group in self.groups.values()}

    @cached_property
    def zones(self) -> set[str]:
        """The interfaces that groups name themselves, by name or index."""
        zones = {group.partition("%")[2] for group in self.question.groups}
        return zones - {""}

    @property
    def port(self) -> int:
        """The port; 0 if the question is about the machine itself."""
        return self.question.port or 0

    @staticmethod
    def is_group(address: str) -> bool:
        """Tell whether an address is one of a group."""
        return parse(address).is_multicast

    def has_family(self, version: int) -> bool:
        """Tell whether groups of an IP version are in question."""
        return any(group.version == version for group in self.groups.values())

    @cached_property
    def links(self) -> dict[str, Link]:
        """The interfaces by name."""
        return {link.name: link for link in self.evidence.links or ()}

    @cached_property
    def chosen(self) -> list[Link]:
        """The interfaces that the question is about."""
        return [link for link in self.links.values() if link.is_chosen]

    @cached_property
    def own_addresses(self) -> set[str]:
        """The addresses of this machine, as text."""
        return {
            str(ip_interface(address).ip)
            for link in self.links.values()
            for address in link.addresses
        }

    def setting(self, name: str) -> int:
        """Return a setting of the system as a number; 0 if it is none or unknown."""
        text = (self.evidence.settings or {}).get(name, "")
        return int(text) if text.lstrip("-").isdigit() else 0

    def larger_setting(self, family: str, interface: str, name: str) -> tuple[int, str]:
        """Return the larger of a setting for all interfaces and for one, and its name."""
        names = [f"net.{family}.conf.{each}.{name}" for each in ("all", interface)]
        return max((self.setting(each), each) for each in names)

    # What came ---------------------------------------------------------------------------------

    @cached_property
    def memberships(self) -> list[Heard]:
        """The memberships that were asked for, each with the datagrams that came while joined."""
        return [heard for heard in self.heard_in("joined") if heard.widening is None]

    @cached_property
    def opened(self) -> list[Heard]:
        """The memberships that the system has made."""
        return [heard for heard in self.memberships if heard.refusal is None]

    @cached_property
    def total(self) -> int:
        """The number of datagrams that came for what was asked."""
        return sum(heard.count for heard in self.memberships)

    @cached_property
    def silent_groups(self) -> list[str]:
        """The groups of which nothing came, though they were joined somewhere."""
        joined = {heard.group for heard in self.opened}
        came = {heard.group for heard in self.opened if heard.count}
        return [group for group in self.question.groups if group in joined - came]

    def silent_group(self, version: int) -> str | None:
        """Return the first group of an IP version of which nothing came."""
        silent = (group for group in self.silent_groups if self.groups[group].version == version)
        return next(silent, None)

    def opened_groups(self, version: int) -> list[str]:
        """Return the groups of an IP version that were joined somewhere."""
        joined = {heard.group for heard in self.opened}
        return [
            text
            for text, group in self.groups.items()
            if text in joined and group.version == version
        ]

    def heard_in(self, phase: PhaseName) -> Iterator[Heard]:
        """Yield what came in a phase."""
        return (heard for heard in self.evidence.heard or () if heard.phase == phase)

    # Counters ----------------------------------------------------------------------------------

    def phases(self, name: PhaseName) -> list[Phase]:
        """Return the phases of a name, in order."""
        return [phase for phase in self.evidence.phases or () if phase.name == name]

    def rise(self, counter: str, name: PhaseName = "joined") -> int:
        """Return what a counter rose by in all phases of a name."""
        return sum(phase.rise(counter) for phase in self.phases(name))

    def exceeds(self, counter: str) -> bool:
        """Tell whether a counter rose more while joined than before, and not by chance."""
        before, joined = self.phases("before"), self.phases("joined")
        if not before or not joined or not before[0].seconds:
            return False
        expected = before[0].rise(counter) * joined[0].seconds / before[0].seconds
        return joined[0].rise(counter) - expected >= max(FEWEST, _by_chance(expected))

    @property
    def is_toggled(self) -> bool:
        """Whether the groups were left and joined again, twice."""
        return len(self.phases("left")) >= 2 and len(self.phases("rejoined")) >= 2

    def follows(self, *counters: str, less: tuple[str, ...] = ()) -> int:
        """Return by how much a sum of counters follows the membership; 0 if it does not.

        It follows if it rises more each time while joined than it ever does while not joined, and
        by more than chance would have it. Other traffic comes as it likes: a burst does it once,
        and a steady flow differs by some of it from time to time.

        Args:
            *counters: The counters that are added.
            less: The counters that are subtracted.
        """
        if not self.is_toggled:
            return 0
        shortest = min(phase.seconds for phase in (*self.phases("rejoined"), *self.phases("left")))

        def value(phase: Phase) -> float:
            rise = sum(map(phase.rise, counters)) - sum(map(phase.rise, less))
            return rise * shortest / phase.seconds

        most_left = max(value(phase) for phase in self.phases("left"))
        more = min(value(phase) for phase in self.phases("rejoined")) - most_left
        return round(more) if more >= max(FEWEST, _by_chance(most_left)) else 0


def _by_chance(count: float) -> float:
    """Return by how much a flow of so many datagrams may differ the next time."""
    return max(_CHANCE_PART * count, _CHANCE_DEVIATIONS * sqrt(max(0.0, count)))


def is_never_reported(group: IPAddress) -> bool:
    """Tell whether hosts never report a group: 224.0.0.x (Linux), and scopes of a host."""
    if isinstance(group, IPv4Address):
        return int(group) >> 8 == 0xE00000
    return group.packed[1] & 0xF <= 1 or int(group) == int(IPv6Address("ff02::1"))


def is_joined_by_system(group: IPAddress) -> bool:
    """Tell whether a kernel joins a group by itself: all hosts, and one for each IPv6 address."""
    if isinstance(group, IPv4Address):
        return group == IPv4Address("224.0.0.1")
    is_for_all = group in (IPv6Address("ff01::1"), IPv6Address("ff02::1"))
    return is_for_all or int(group) >> 24 == int(IPv6Address("ff02::1:ff00:0")) >> 24


def is_ethernet_alike(group: IPAddress, other: IPAddress) -> bool:
    """Tell whether two groups have the same Ethernet address (RFC 1112, 6.4; RFC 2464, 7)."""
    if isinstance(group, IPv4Address) and isinstance(other, IPv4Address):
        return int(group) & 0x7FFFFF == int(other) & 0x7FFFFF
    if isinstance(group, IPv6Address) and isinstance(other, IPv6Address):
        return int(group) & 0xFFFFFFFF == int(other) & 0xFFFFFFFF
    return False
