"""The UDP sockets of this machine, where they are bound, and whose they are: Linux."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import attrs

from ..._host.facts import socket_loops
from ..evidence import UdpSocket
from .counters import NET


def read_udp_sockets() -> list[UdpSocket]:
    """Return every bound UDP socket of this network namespace, whoever's it is.

    Raises:
        OSError: There is no such file.
    """
    sockets = [*parse_udp((NET / "udp").read_text())]
    path = NET / "udp6"
    if path.exists():
        sockets += parse_udp(path.read_text())
    return sockets


def without_loopback(sockets: Iterable[UdpSocket]) -> list[UdpSocket]:
    """Return sockets, each with whether what it sends to groups comes back to this machine."""
    try:
        loops = socket_loops()
    except OSError:
        loops = {}  # A kernel that does not tell.
    return [attrs.evolve(one, loops=loops.get(one.inode)) for one in sockets]


def parse_udp(text: str) -> Iterator[UdpSocket]:
    """Yield the lines of /proc/net/udp or udp6."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        address, _, port = fields[1].partition(":")
        words = [address[start : start + 8] for start in range(0, len(address), 8)]
        packed = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
        bound = IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
        yield UdpSocket(str(bound), int(port, 16), int(fields[7]), int(fields[9]), int(fields[12]))


def with_programs(sockets: Sequence[UdpSocket]) -> list[UdpSocket]:
    """Return sockets with the programs that have them, as far as this user may know. Slow."""
    wanted = {f"socket:[{one.inode}]": one.inode for one in sockets}
    programs: dict[int, str] = {}
    for process in _processes():
        for inode in _inodes(process, wanted):
            programs[inode] = f"{_name(process)} (pid {process.name})"
    return [attrs.evolve(one, program=programs.get(one.inode, "")) for one in sockets]


def _processes() -> list[Path]:
    try:
        return [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    except OSError:
        return []  # There is no /proc, or it is not for this user.


def _inodes(process: Path, wanted: Mapping[str, int]) -> Iterator[int]:
    try:
        for descriptor in os.scandir(process / "fd"):
            try:
                target = os.readlink(descriptor.path)
            except OSError:
                continue  # It was closed.
            if target in wanted:
                yield wanted[target]
    except OSError:
        return  # Another user's, or it has ended.


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="backslashreplace").strip()
    except OSError:
        return "a program"
