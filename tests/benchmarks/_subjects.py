"""What is measured, and what is compared with what."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ._drain import BURSTS
from ._instructions import BURSTS as COUNTED_BURSTS
from ._peers import peer_problem

Kind = Literal["drain", "send", "quiet", "near", "groups", "instructions"]


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
        groups: How many groups are joined on each interface.
        interfaces: How many interfaces there are.
        needs: What has to be installed (see `peer_problem`); it is skipped where that is not.
    """

    name: str
    label: str
    kind: Kind
    function: str
    size: int = 64
    units: bool = False
    groups: int = 1
    interfaces: int = 2
    needs: str | None = None

    @property
    def problem(self) -> str | None:
        """Why it cannot be measured here, or `None`."""
        return None if self.needs is None else peer_problem(self.needs)


@dataclass(frozen=True)
class Column:
    """A figure as the table shows it.

    Attributes:
        figure: Which one.
        heading: What it is called there.
        divisor: What it is divided by.
        decimals: How many of them are shown.
        ratio: Whether its ratio to the first subject's stands beside it.
        unit: What it is measured in.
        drawn: Whether the chart shows it; all that it shows are of one unit.
    """

    figure: str
    heading: str
    divisor: float = 1
    decimals: int = 0
    ratio: bool = False
    unit: str = "ns"
    drawn: bool = True


@dataclass(frozen=True)
class Comparison:
    """Subjects that take turns, and so can be compared.

    Attributes:
        name: How it is called on the command line.
        title: What is measured.
        columns: The figures that the table shows.
        subjects: Who is compared. The first is what the ratios of the columns refer to.
        ratio: Two figures of one subject, the ratio of which the table shows as well.
        times: How many times as many rounds it has.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    subjects: tuple[Subject, ...]
    ratio: tuple[str, str] | None = None
    times: int = 1


_NS = (Column("ns", "ns", ratio=True),)
_DRAIN_NS = (
    Column("ns", "full", ratio=True),
    *(Column(f"ns_{count}", f"{count:,}", ratio=True) for count in BURSTS),
)
_MICROSECONDS = (
    Column("p50", "p50 us", 1_000, 1, ratio=True, unit="us"),
    Column("p99", "p99 us", 1_000, 1, unit="us"),
)

# By name, function and label; those of this library have "units" as well.
_DRAINS: tuple[tuple[str, str, str], ...] = (
    ("c", "blocking.drain_c", "C: recvmmsg of 64, with the source"),
    ("receive_batch", "library.drain_batches", "trio_mcast receive_batch"),
    ("async_for", "library.drain_singly", "trio_mcast async for"),
    ("recvfrom", "blocking.drain", "socket.recvfrom"),
    ("uvloop", "event_loops.drain_uvloop", "uvloop DatagramProtocol"),
    ("go", "peers.drain_go", "Go: ReadBatch of 64 (x/net)"),
    ("java", "peers.drain_java", "Java: NIO DatagramChannel"),
    ("node", "peers.drain_node", "Node: dgram"),
    ("asyncio", "event_loops.drain_asyncio", "asyncio DatagramProtocol"),
    ("trio", "trio_sockets.drain", "trio.socket.recvfrom"),
    ("expert", "expert.drain", "multicast_expert, sync"),
)
if sys.version_info >= (3, 11):  # multicast_expert has it from there on.
    _DRAINS += (("expert_async", "expert.drain_async", "multicast_expert, async"),)

_SENDS = (
    ("c", "blocking.send_c", "C: sendmmsg of 64"),
    ("send", "library.send_singly", "trio_mcast send"),
    ("send_nowait", "library.send_nowait", "trio_mcast send_nowait"),
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

_INSTRUCTIONS = (
    ("trio", "", "trio.socket.recvfrom"),
    ("receive", "", "trio_mcast receive; receive_batch"),
    ("receive-units", "", "trio_mcast receive_batch, units (GRO)"),
)

_NEAR = (
    ("trio", "trio_sockets.near", "trio.socket.recvfrom"),
    ("receive", "library.near", "trio_mcast receive"),
)

# What has to be installed for those of these names.
_NEEDS = {"go": "Go", "java": "Java", "node": "Node", "uvloop": "uvloop"}

# How many times as many rounds single datagrams have. Their figures vary most: with 15 rounds, the
# median ratio of two runs differed by 15 per cent, with 60 by 5.
SINGLE_TIMES = 4

GROUP_COUNTS = (1, 20, 200, 2_000)
INTERFACE_COUNTS = (1, 10, 100)
GROUPS_OF_INTERFACES = 20


def _drains(size: int) -> Comparison:
    subjects = []
    for name, function, label in _DRAINS:
        key, needs = f"drain-{size}-{name}", _NEEDS.get(name)
        subjects.append(Subject(key, label, "drain", function, size, needs=needs))
        if function.startswith("library."):
            label += ", units (GRO)"
            subjects.append(Subject(f"{key}-units", label, "drain", function, size, units=True))
    title = f"Draining a socket of {size:,} byte datagrams: ns each, by how many are there"
    return Comparison(f"drain-{size}", title, _DRAIN_NS, tuple(subjects))


def _subjects(
    kind: Kind, named: Iterable[tuple[str, str, str]], needs: str | None = None
) -> tuple[Subject, ...]:
    return tuple(
        Subject(f"{kind}-{name}", label, kind, function, needs=_NEEDS.get(name, needs))
        for name, function, label in named
    )


COMPARISONS = (
    _drains(64),
    _drains(1_200),
    Comparison(
        "send",
        "Sending 64 bytes over veth: ns of processor time for each datagram",
        _NS,
        _subjects("send", _SENDS),
    ),
    Comparison(
        "quiet",
        "One quiet datagram, from sending process to receiving program",
        _MICROSECONDS,
        _subjects("quiet", _QUIET),
        times=SINGLE_TIMES,
    ),
    Comparison(
        "near",
        "One datagram: sent by the program itself; after a pause of 5 ms; reply to a request",
        (
            Column("self", "self us", 1_000, 1, ratio=True, unit="us"),
            Column("pause", "pause us", 1_000, 1, ratio=True, unit="us"),
            Column("rpc", "rpc us", 1_000, 1, ratio=True, unit="us"),
        ),
        _subjects("near", _NEAR),
        times=SINGLE_TIMES,
    ),
    Comparison(
        "groups",
        "Groups x 2 interfaces: opening; ns each for half of the sockets, all of them, or one",
        (
            Column("opening_seconds", "open ms", 0.001, 1, drawn=False),
            Column("bytes_per_membership", "bytes each", drawn=False),
            Column("ns_half", "half ns"),
            Column("ns_spread", "spread ns"),
            Column("ns_one", "one ns"),
        ),
        (
            *(
                Subject(
                    f"groups-{count}",
                    f"trio_mcast receive_batch, {count:,} x 2",
                    "groups",
                    "groups.measure",
                    groups=count,
                )
                for count in GROUP_COUNTS
            ),
            Subject(
                "groups-2000-before",
                "an earlier revision, 2,000 x 2",
                "groups",
                "groups.measure",
                groups=2_000,
                needs="before",
            ),
        ),
        ratio=("ns_spread", "ns_one"),
    ),
    Comparison(
        "interfaces",
        "Interfaces x 20 groups: opening; ns each for one on each interface, all sockets, or one",
        (
            Column("opening_seconds", "open ms", 0.001, 1, drawn=False),
            Column("ns_each", "one on each ns"),
            Column("ns_spread", "spread ns"),
            Column("ns_one", "one ns"),
        ),
        tuple(
            Subject(
                f"interfaces-{count}",
                f"trio_mcast receive_batch, {count} x {GROUPS_OF_INTERFACES}",
                "groups",
                "groups.measure",
                groups=GROUPS_OF_INTERFACES,
                interfaces=count,
            )
            for count in INTERFACE_COUNTS
        ),
        ratio=("ns_spread", "ns_one"),
    ),
    Comparison(
        "instructions",
        "Instructions for each datagram: sent by the program itself; in a burst of so many",
        (
            Column("self", "self", ratio=True, unit="instructions"),
            *(
                Column(f"burst_{count}", f"{count}", ratio=True, unit="instructions")
                for count in COUNTED_BURSTS
            ),
        ),
        _subjects("instructions", _INSTRUCTIONS, needs="callgrind"),
    ),
)


def find_subject(name: str) -> Subject:
    """The subject of that name.

    Raises:
        KeyError: There is none.
    """
    return {item.name: item for group in COMPARISONS for item in group.subjects}[name]
