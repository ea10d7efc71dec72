"""Whose memberships there are: programs and their sockets, on Linux.

The tables of the kernel list what is joined on each interface, and which sockets are bound. Who has
joined what is asked of the sockets themselves, as far as this user may.
"""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import attrs

from ..._host.facts import ask_socket, user_name
from ..._values.interface import Interface
from ..ownership import OwnedGroup, Owner, Ownership, Program, add_by_address, share_of_system
from .joined import read_joined
from .ports import read_udp_sockets

# No more questions than that are asked; each takes some microseconds. Arbitrary.
_MOST_QUESTIONS: Final = 200_000
_PROC: Final = Path("/proc")
# USER_HZ, the same on every architecture but Alpha.
_TICKS_PER_SECOND: Final = 100


def gather_ownership(interfaces: Sequence[Interface]) -> Ownership:
    """Return whose memberships there are, and who else has their ports.

    Args:
        interfaces: The interfaces of the machine.

    Raises:
        OSError: The system has no such tables.
    """
    by_name = {str(interface): interface for interface in interfaces}
    groups = []
    for joined in read_joined():
        interface = by_name.get(joined.interface)
        addresses = () if interface is None else map(int, interface.ipv6_addresses)
        groups.append(OwnedGroup(joined, share_of_system(joined, addresses)))
    tables = {
        one.inode: Owner(one.inode, one.address, one.port, user_name(one.user))
        for one in read_udp_sockets()
    }
    census = _Census(groups, {name: one.index for name, one in by_name.items()}, tables)
    census.ask_all()
    owned = [add_by_address(one, census.bound) for one in census.groups]
    owners = {owner.inode: owner for group in owned for owner in group.owners}
    ports = {owner.port for owner in owners.values() if owner.port}
    others = [one for one in census.bound if one.port in ports and one.inode not in owners]
    return Ownership(tuple(owned), tuple(others), tuple(census.problems()))


class _Census:
    """The sockets of all processes, and what they have joined.

    Attributes:
        groups: The groups, each with the sockets that said so themselves.
    """

    def __init__(
        self, groups: Sequence[OwnedGroup], indexes: Mapping[str, int], tables: dict[int, Owner]
    ) -> None:
        self.groups = list(groups)
        self._indexes = indexes
        self._sockets = tables
        self._programs: dict[int, list[Program]] = defaultdict(list)
        self._hidden = self._refused = self._questions = 0
        self._is_cut_short = False
        # The positions of the groups that have memberships of which nobody is known to have them.
        self._untold = {position for position, group in enumerate(groups) if group.untold}
        self._by_group: dict[str, list[int]] = defaultdict(list)
        for position, group in enumerate(groups):
            self._by_group[group.joined.group].append(position)

    @property
    def bound(self) -> list[Owner]:
        """The sockets of the tables, with their programs."""
        return [self._with_programs(owner) for owner in self._sockets.values()]

    def ask_all(self) -> None:
        """Ask the sockets of all processes what they have joined."""
        places = self._find_sockets()
        # First those that are bound to a group: mostly they have joined it, and nothing else.
        for inode in sorted(places, key=lambda inode: not self._groups_of(inode)):
            if not self._untold:
                break
            try:
                self._ask(inode, *places[inode])
            except OSError as error:
                # Else it was closed meanwhile, or is something else.
                if error.errno in (errno.EPERM, errno.ENOSYS) and inode in self._sockets:
                    self._refused += 1
        self.groups = [
            attrs.evolve(group, owners=tuple(map(self._with_programs, group.owners)))
            for group in self.groups
        ]

    def _find_sockets(self) -> dict[int, tuple[int, int]]:
        """Return where each socket is to be had: a process, and the number of a descriptor."""
        places: dict[int, tuple[int, int]] = {}
        for path in _PROC.iterdir():
            if not path.name.isdigit():
                continue
            try:
                descriptors = dict(_descriptors(path / "fd"))
                program = _program(path) if descriptors else None
            except PermissionError:
                self._hidden += 1
                continue
            except OSError:
                continue  # It has ended.
            for inode, number in descriptors.items():
                places[inode] = int(path.name), number
                if program is not None:
                    self._programs[inode].append(program)
        return places

    def _groups_of(self, inode: int) -> list[int]:
        """Return the positions of the groups that a socket is bound to: one for each interface."""
        owner = self._sockets.get(inode)
        return [] if owner is None else self._by_group.get(owner.address, [])

    def _ask(self, inode: int, pid: int, number: int) -> None:
        """Ask a socket of a process what it has joined: mostly no more than it is bound to."""
        wanted = self._groups_of(inode) or sorted(self._untold)
        positions = [position for position in wanted if position in self._untold]
        if self._questions + len(positions) > _MOST_QUESTIONS:
            self._is_cut_short = True
            return
        questions = []
        for position in positions:
            joined = self.groups[position].joined
            questions.append((self._indexes.get(joined.interface, 0), ip_address(joined.group)))
        facts = ask_socket(pid, number, questions, is_listed=inode in self._sockets)
        if facts is None:
            return
        self._questions += len(positions)
        known = Owner(inode, facts.address, facts.port, user_name(facts.user), is_certain=True)
        for position, choice in zip(positions, facts.choices, strict=True):
            if choice is not None:
                self._add(position, attrs.evolve(known, **attrs.asdict(choice)))

    def _add(self, position: int, owner: Owner) -> None:
        group = self.groups[position]
        group = attrs.evolve(group, owners=(*group.owners, owner))
        self.groups[position] = group
        if not group.untold:
            self._untold.discard(position)

    def _with_programs(self, owner: Owner) -> Owner:
        return attrs.evolve(owner, programs=tuple(self._programs.get(owner.inode, ())))

    def problems(self) -> Iterator[str]:
        """Yield why something is not known, if it matters: a sentence each."""
        if not self._untold:
            return
        if self._hidden:
            yield f"{self._hidden} processes of other users cannot be looked at; root can"
        if self._refused:
            yield (
                f"{self._refused} sockets of your own may not be asked, as this system keeps "
                "programs from tracing others (kernel.yama.ptrace_scope); root may ask"
            )
        if self._is_cut_short:
            yield "there are too many sockets and groups to ask each about each"


def _descriptors(folder: Path) -> Iterator[tuple[int, int]]:
    """Yield the sockets of a process: the number of the socket, and that of the descriptor."""
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):  # It was closed.
            target = os.readlink(folder / name)
            if target.startswith("socket:["):
                yield int(target[8:-1]), int(name)


def _program(folder: Path) -> Program:
    name = (folder / "comm").read_text(errors="backslashreplace").strip()
    fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    # Field 22 of proc_pid_stat(5): ticks since the machine was started.
    ticks = int(fields[19])
    since = _started() + ticks / _TICKS_PER_SECOND
    return Program(int(folder.name), name, user_name(folder.stat().st_uid), since)


@cache
def _started() -> float:
    """Return when the machine was started, in seconds since 1970."""
    for line in (_PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise OSError(errno.ENOENT, "no btime", "/proc/stat")
