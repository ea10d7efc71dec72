"""The cases of a probe, in order. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from .measured import Destination

COUNT: Final = 20
"""The probes of a case from this machine to the other."""

COUNT_BACK: Final = 10
"""The probes of a case from the other machine to this one: it sends 200 in all, and there are two
IP versions and more than one interface.
"""

PAUSE: Final = 0.01
"""The seconds between two probes of a case."""

AGEING: Final = 60
"""The probes that are sent over the whole time of listening, from this machine to the other."""

AGEING_BACK: Final = 35
"""The same from the other machine to this one."""

REJOINED: Final = 5
"""The probes after the group was left and joined again."""

SMALL: Final = 64
FULL: Final = 1_400
FRAGMENTED: Final = 3_000
FAR: Final = 32
_TTLS: Final = (FAR, 1, 4)


@attrs.frozen
class Target:
    """The destination of the probes of a case, and the way they are sent.

    Attributes:
        version: The IP version.
        to: Unicast, broadcast, the local group, or a group.
        group: The group; empty unless it is one.
        interface: The sender's interface; empty for unicast.
        ttl: The ttl.
        size: The bytes of each.
    """

    version: int
    to: Destination
    group: str
    interface: str
    ttl: int
    size: int = SMALL

    def __str__(self) -> str:
        """Return the case as people call it."""
        name = self.group or {"local": "the group that switches flood"}.get(self.to, self.to)
        ttl = f", ttl {self.ttl}" if self.to == "group" else ""
        place = f" on {self.interface}" if self.interface else ""
        return f"IPv{self.version} {name}{place}{ttl}, {self.size} bytes"


def plan_there(groups: Sequence[tuple[int, str]], interfaces: Sequence[str]) -> Iterator[Target]:
    """Yield the cases from this machine to the other, those of groups last.

    Args:
        groups: The groups, each with its IP version.
        interfaces: This machine's interfaces.
    """
    versions = sorted({version for version, _ in groups})
    for version in versions:
        yield Target(version, "unicast", "", "", FAR)
        yield Target(version, "unicast", "", "", FAR, FRAGMENTED)
        for interface in interfaces:
            if version == 4:
                yield Target(version, "broadcast", "", interface, 1)
            yield Target(version, "local", "", interface, 1)
    for version, group in groups:
        for interface in interfaces:
            for ttl in _TTLS:
                yield Target(version, "group", group, interface, ttl)
            for size in (FULL, FRAGMENTED):
                yield Target(version, "group", group, interface, FAR, size)


def plan_back(groups: Sequence[tuple[int, str]], interfaces: Sequence[str]) -> list[Target]:
    """Return the cases from the other machine to this one, those first that tell most.

    Args:
        groups: The groups, each with its IP version.
        interfaces: The other machine's interfaces, that of the way to this machine first.
    """
    firsts: dict[int, str] = {}
    for version, group in groups:
        firsts.setdefault(version, group)
    first = interfaces[:1]
    targets = []
    for version, group in firsts.items():
        for interface in first:
            targets.append(Target(version, "group", group, interface, FAR))
            targets.append(Target(version, "unicast", "", "", FAR))
            targets.append(Target(version, "local", "", interface, 1))
            if version == 4:
                targets.append(Target(version, "broadcast", "", interface, 1))
            targets.append(Target(version, "group", group, interface, 1))
            targets.append(Target(version, "group", group, interface, FAR, FRAGMENTED))
    for version, group in firsts.items():
        targets += [Target(version, "group", group, one, FAR) for one in interfaces[1:]]
    for version, group in firsts.items():
        for interface in first:
            targets.append(Target(version, "unicast", "", "", FAR, FRAGMENTED))
            targets.append(Target(version, "group", group, interface, FAR, FULL))
            targets.append(Target(version, "group", group, interface, 4))
    for version, group in groups:
        if group != firsts[version]:
            targets += [Target(version, "group", group, one, FAR) for one in first]
    return targets
