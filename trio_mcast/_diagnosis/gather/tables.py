"""Settings and tables of Linux: sysctls, who has joined what, who has which port."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

import attrs

from ..evidence import JoinedGroup, UdpSocket
from .counters import NET

_SYSCTLS: Final = Path("/proc/sys")
_OF_INTERFACES: Final = (
    ("ipv4", "rp_filter"),
    ("ipv4", "accept_local"),
    ("ipv4", "force_igmp_version"),
    ("ipv4", "mc_forwarding"),
    ("ipv6", "disable_ipv6"),
    ("ipv6", "force_mld_version"),
    ("ipv6", "mc_forwarding"),
)
_OF_MACHINE: Final = (
    "net.core.rmem_max",
    "net.ipv4.igmp_max_memberships",
    "net.ipv4.igmp_max_msf",
    "net.ipv6.mld_max_msf",
)
# The group that every interface with IPv4 has joined, so its line tells of the querier.
_ALL_HOSTS: Final = "224.0.0.1"


def read_settings(interfaces: Iterable[str]) -> dict[str, str]:
    """Return settings of the system, by the name that sysctl(8) has for them.

    Raises:
        OSError: There is no /proc/sys to read.
    """
    if not _SYSCTLS.is_dir():
        raise FileNotFoundError(f"there is no {_SYSCTLS}")
    paths = {name: _SYSCTLS / name.replace(".", "/") for name in _OF_MACHINE}
    for interface in ("all", *interfaces):
        for family, name in _OF_INTERFACES:
            path = _SYSCTLS / "net" / family / "conf" / interface / name
            paths[f"net.{family}.conf.{interface}.{name}"] = path
    settings = {}
    for name, path in paths.items():
        try:
            settings[name] = path.read_text().strip()
        except OSError:
            continue  # Not of this kernel, or the interface has gone.
    return settings


def read_joined(groups: Collection[str]) -> list[JoinedGroup]:
    """Return who has joined some groups, and 224.0.0.1, which every interface has.

    Raises:
        OSError: There is no such file.
    """
    joined = [*parse_igmp((NET / "igmp").read_text())]
    path = NET / "igmp6"
    if path.exists():
        joined += parse_igmp6(path.read_text())
    return [one for one in joined if one.group in groups or one.group == _ALL_HOSTS]


def parse_igmp(text: str) -> Iterator[JoinedGroup]:
    """Yield the lines of /proc/net/igmp: one for an interface, then one for each group."""
    interface = querier = ""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if not line.startswith("\t"):
            interface, querier = fields[1].rstrip(":"), fields[-1]
        elif len(fields) >= 2:
            group = IPv4Address(int(fields[0], 16).to_bytes(4, sys.byteorder))
            yield JoinedGroup(interface, str(group), int(fields[1]), querier)


def parse_igmp6(text: str) -> Iterator[JoinedGroup]:
    """Yield the lines of /proc/net/igmp6."""
    for line in text.splitlines():
        _index, interface, group, users, *_ = line.split()
        yield JoinedGroup(interface, str(IPv6Address(int(group, 16))), int(users))


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


def parse_udp(text: str) -> Iterator[UdpSocket]:
    """Yield the lines of /proc/net/udp or udp6."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        address, _, port = fields[1].partition(":")
        words = [address[start : start + 8] for start in range(0, len(address), 8)]
        packed = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
        bound = IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
        yield UdpSocket(str(bound), int(port, 16), int(fields[7]), int(fields[9]), int(fields[12]))


def with_programs(sockets: Iterable[UdpSocket]) -> list[UdpSocket]:
    """Return sockets with the programs that have them, as far as this user may know. Slow."""
    wanted = {f"socket:[{one.inode}]": one.inode for one in sockets}
    programs: dict[int, str] = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and wanted:
            for inode in _inodes(process, wanted):
                programs[inode] = f"{_name(process)} (pid {process.name})"
    return [attrs.evolve(one, program=programs.get(one.inode, "")) for one in sockets]


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
        return (process / "comm").read_text().strip()
    except OSError:
        return "a program"
