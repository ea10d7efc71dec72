"""The counters of Linux, of the network namespace of the calling thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

NET: Final = Path("/proc/thread-self/net")

# Of each table, the counters that rules look at.
_WANTED: Final[Mapping[str, frozenset[str]]] = {
    "Ip": frozenset({"InReceives", "InDelivers", "ReasmReqds", "ReasmOKs"}),
    "Udp": frozenset({"InDatagrams", "IgnoredMulti", "InCsumErrors", "RcvbufErrors"}),
    "TcpExt": frozenset({"IPReversePathFilter"}),
    "IpExt": frozenset({"InMcastPkts", "OutMcastPkts"}),
}
_WANTED_OF_IPV6: Final = frozenset(
    {
        "Ip6InReceives",
        "Ip6InDelivers",
        "Ip6InMcastPkts",
        "Ip6OutMcastPkts",
        "Ip6ReasmReqds",
        "Ip6ReasmOKs",
        "Icmp6InGroupMembQueries",
        "Icmp6OutGroupMembResponses",
        "Icmp6OutMLDv2Reports",
        "Udp6IgnoredMulti",
        "Udp6InCsumErrors",
        "Udp6RcvbufErrors",
    }
)


def read_counters() -> dict[str, int]:
    """Return the counters by name, those of one interface as ``"eth0/Ip6InMcastPkts"``.

    Raises:
        OSError: There is no such file.
    """
    counters = dict(parse_tables((NET / "snmp").read_text()))
    counters.update(parse_tables((NET / "netstat").read_text()))
    try:
        counters.update(parse_lines((NET / "snmp6").read_text()))
        for path in (NET / "dev_snmp6").iterdir():
            for name, value in parse_lines(path.read_text()):
                counters[f"{path.name}/{name}"] = value
    except OSError:
        pass  # A kernel without IPv6, or an interface that is just going.
    return counters


def parse_tables(text: str) -> Iterator[tuple[str, int]]:
    """Yield the counters of a file that has a line of names and a line of values in turn."""
    lines = text.splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        table, _, _ = names.partition(":")
        wanted = _WANTED.get(table, frozenset())
        for name, value in zip(names.split()[1:], values.split()[1:], strict=False):
            if name in wanted:
                yield f"{table}.{name}", int(value)


def parse_lines(text: str) -> Iterator[tuple[str, int]]:
    """Yield the counters of a file that has a name and a value in each line."""
    for line in text.splitlines():
        name, _, value = line.partition("\t")
        if name.strip() in _WANTED_OF_IPV6:
            yield name.strip(), int(value)


def count_group_datagrams(rises: Mapping[str, int]) -> int:
    """Return how many datagrams to groups came, as far as counters tell.

    Those of IPv6 are all that reached the machine; those of IPv4 only such as some program joined.
    """
    return rises.get("IpExt.InMcastPkts", 0) + rises.get("Ip6InMcastPkts", 0)


def rises_between(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return the counters that rose, and by what."""
    return {
        name: value - before.get(name, 0)
        for name, value in sorted(after.items())
        if value > before.get(name, 0)
    }
