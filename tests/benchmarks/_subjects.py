"""What is measured, and what is compared with what."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from ._drain import FEW

Kind = Literal["drain", "send", "quiet", "near", "groups"]


@dataclass(frozen=True)
class Subject:
    """One way of doing something: what one worker measures.

    Attributes:
        name: How it is called on the command line and in the JSON file.
        label: How it is called in the table.
        kind: What is measured.
        function: Which function of which module of `workers` does it.
        size: Bytes of payload.
        units: Whether the datagrams are sent as units (UDP_SEGMENT).
        groups: How many groups are joined, on each of two interfaces.
    """

    name: str
    label: str
    kind: Kind
    function: str
    size: int = 64
    units: bool = False
    groups: int = 1


@dataclass(frozen=True)
class Column:
    """A figure as the table shows it.

    Attributes:
        figure: Which one.
        heading: What it is called there.
        divisor: What it is divided by.
        decimals: How many of them are shown.
        ratio: Whether its ratio to the first subject's stands beside it.
    """

    figure: str
    heading: str
    divisor: float = 1
    decimals: int = 0
    ratio: bool = False


@dataclass(frozen=True)
class Comparison:
    """Subjects that take turns, and so can be compared.

    Attributes:
        name: How it is called on the command line.
        title: What is measured.
        columns: The figures that the table shows.
        subjects: Who is compared. The first is what the ratios of the columns refer to.
        ratio: Two figures of one subject, the ratio of which the table shows as well.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    subjects: tuple[Subject, ...]
    ratio: tuple[str, str] | None = None


_NS = (Column("ns", "ns", ratio=True),)
_DRAIN_NS = (
    Column("ns", "full: ns", ratio=True),
    Column("ns_few", f"{FEW}: ns", ratio=True),
)
_MICROSECONDS = (
    Column("p50", "p50 us", 1_000, 1, ratio=True),
    Column("p99", "p99 us", 1_000, 1),
)

# By name, function and label; those of this library have "units" as well.
_DRAINS: tuple[tuple[str, str, str], ...] = (
    ("c", "blocking.drain_c", "C: recvmmsg of 64, with the source"),
    ("receive_batch", "library.drain_batches", "trio_mcast receive_batch"),
    ("async_for", "library.drain_singly", "trio_mcast async for"),
    ("recvfrom", "blocking.drain", "socket.recvfrom"),
    ("uvloop", "event_loops.drain_uvloop", "uvloop DatagramProtocol"),
    ("asyncio", "event_loops.drain_asyncio", "asyncio DatagramProtocol"),
    ("trio", "trio_sockets.drain", "trio.socket.recvfrom"),
    ("expert", "expert.drain", "multicast_expert, sync"),
)
if sys.version_info >= (3, 11):  # multicast_expert has it from there on.
    _DRAINS += (("expert_async", "expert.drain_async", "multicast_expert, async"),)

_SENDS = (
    ("c", "blocking.send_c", "C: sendmmsg of 64"),
    ("send", "library.send_singly", "trio_mcast send"),
    ("send_batch", "library.send_batch", "trio_mcast send_batch"),
    ("sendto", "blocking.send", "socket.sendto"),
    ("uvloop", "event_loops.send_uvloop", "uvloop transport.sendto"),
    ("asyncio", "event_loops.send_asyncio", "asyncio transport.sendto"),
    ("trio", "trio_sockets.send", "trio.socket.sendto"),
    ("expert", "expert.send", "multicast_expert sendto"),
)

_QUIET = (
    ("trio", "trio_sockets.quiet", "trio.socket.recvfrom"),
    ("receive", "library.quiet", "trio_mcast receive"),
    ("asyncio", "event_loops.quiet_asyncio", "asyncio DatagramProtocol"),
    ("uvloop", "event_loops.quiet_uvloop", "uvloop DatagramProtocol"),
)

_NEAR = (
    ("trio", "trio_sockets.near", "trio.socket.recvfrom"),
    ("receive", "library.near", "trio_mcast receive"),
)

GROUP_COUNTS = (1, 20, 200, 2_000)


def _drains(size: int) -> Comparison:
    subjects = []
    for name, function, label in _DRAINS:
        subjects.append(Subject(f"drain-{size}-{name}", label, "drain", function, size))
        if function.startswith("library."):
            subjects.append(
                Subject(
                    f"drain-{size}-{name}-units",
                    f"{label}, sent as units (GRO)",
                    "drain",
                    function,
                    size,
                    units=True,
                )
            )
    title = f"Draining a socket of {size:,} byte datagrams: ns of processor time per datagram"
    return Comparison(f"drain-{size}", title, _DRAIN_NS, tuple(subjects))


COMPARISONS = (
    _drains(64),
    _drains(1_200),
    Comparison(
        "send",
        "Sending 64 bytes over veth: ns of processor time per datagram",
        _NS,
        tuple(Subject(f"send-{name}", label, "send", call) for name, call, label in _SENDS),
    ),
    Comparison(
        "quiet",
        "One quiet datagram, from sending process to receiving program",
        _MICROSECONDS,
        tuple(Subject(f"quiet-{name}", label, "quiet", call) for name, call, label in _QUIET),
    ),
    Comparison(
        "near",
        "Sent by itself; come during a pause of 1 ms; each of 5; reply of another process",
        (
            Column("own", "own us", 1_000, 1, ratio=True),
            Column("pause", "pause us", 1_000, 1, ratio=True),
            Column("burst", "of 5 us", 1_000, 1, ratio=True),
            Column("rpc", "reply us", 1_000, 1, ratio=True),
        ),
        tuple(Subject(f"near-{name}", label, "near", call) for name, call, label in _NEAR),
    ),
    Comparison(
        "groups",
        "Groups x interfaces: opening; draining half of the sockets, all of them, or one",
        (
            Column("opening_seconds", "open ms", 0.001, 1),
            Column("bytes_per_membership", "bytes each"),
            Column("ns_half", "half ns"),
            Column("ns_spread", "spread ns"),
            Column("ns_one", "one ns"),
        ),
        tuple(
            Subject(
                f"groups-{count}",
                f"trio_mcast receive_batch, {count:,} x 2",
                "groups",
                "groups.measure",
                groups=count,
            )
            for count in GROUP_COUNTS
        ),
        ratio=("ns_spread", "ns_one"),
    ),
)


def find_subject(name: str) -> Subject:
    """The subject of that name.

    Raises:
        KeyError: There is none.
    """
    return {item.name: item for group in COMPARISONS for item in group.subjects}[name]
