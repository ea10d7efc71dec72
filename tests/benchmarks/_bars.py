"""The bars: figures that this library is to keep, and where each comes from.

Most are ratios. A bar is what is possible for this library, with a little room: so each says what
was measured with other means, or with a prototype. The ratios that no way is known to reach are
aims; docs/performance.rst says what stands between.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._rounds import Figures, Key


@dataclass(frozen=True)
class Bar:
    """A ratio of two figures of one round, or a figure, and what it is to be.

    Attributes:
        label: What it says.
        above: What is divided.
        below: By what; `None` if it is the figure itself that counts.
        limit: What it is to be at the most.
        source: Where the limit comes from.
        at_least: Whether the limit is the least instead.
    """

    label: str
    above: Key
    below: Key | None
    limit: float
    source: str
    at_least: bool = False

    @property
    def wanted(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:,g}"

    def ratio(self, figures: Figures) -> float | None:
        if self.below is None:
            return figures.median(*self.above)
        return figures.ratio(self.above, self.below)

    def shown(self, figures: Figures) -> str:
        """The ratio, or the figure, as a table shows it."""
        ratio = self.ratio(figures)
        return "-" if ratio is None else f"{ratio:,.{0 if self.below is None else 2}f}"

    def verdict(self, figures: Figures) -> str:
        ratio = self.ratio(figures)
        if ratio is None:
            return "skipped"
        met = ratio >= self.limit if self.at_least else ratio <= self.limit
        return "met" if met else "NOT met"


def _drained(name: str, figure: str) -> Key:
    return (f"drain-64-{name}", figure)


def _of_c(count: str, figure: str, limit: float, source: str, *, units: bool = False) -> Bar:
    name = "receive_batch-units" if units else "receive_batch"
    how = "receive_batch with GRO" if units else "receive_batch"
    label = f"{how} / C recvmmsg, {count}"
    return Bar(label, _drained(name, figure), _drained("c", figure), limit, source)


def _of_trio(label: str, subject: str, figure: str, limit: float, source: str) -> Bar:
    kind = subject.partition("-")[0]
    return Bar(f"{label} / trio.socket", (subject, figure), (f"{kind}-trio", figure), limit, source)


_PROTOTYPE = "a prototype that reads before it waits"
_OBJECTS = "reading without Trio, with the objects: 1.29 to 1.38"

BARS = (
    _of_trio("sent by itself", "near-receive", "self", 1.4, f"{_PROTOTYPE}: 1.3 to 1.5"),
    _of_trio(
        "sent by itself, instructions",
        "instructions-receive",
        "self",
        1.7,
        "2.54 before, of 136 Python calls; trio.socket has 47",
    ),
    _of_trio("request and reply", "near-receive", "rpc", 1.3, f"{_PROTOTYPE}: 1.35"),
    _of_trio("after a pause of 5 ms", "near-receive", "pause", 1.5, f"{_PROTOTYPE}: 1.45"),
    _of_trio("quiet, p50", "quiet-receive", "p50", 1.2, "1.18 in the best rounds before"),
    _of_c("100", "ns_100", 2.4, "2.7 before; Go's ReadBatch: 1.3"),
    _of_c("500", "ns_500", 1.85, "2.0 before"),
    _of_c("2,000", "ns_2000", 1.5, "1.63 before"),
    _of_c("full", "ns", 1.35, _OBJECTS),
    _of_c("100", "ns_100", 0.9, "1.18 before", units=True),
    _of_c("500", "ns_500", 0.5, "0.62 before", units=True),
    _of_c("full", "ns", 0.35, "an aim: 0.41 before, of which 18 per cent collect", units=True),
    Bar(
        "receive_batch / uvloop, full",
        _drained("receive_batch", "ns"),
        _drained("uvloop", "ns"),
        0.8,
        "two thirds before, and some room",
    ),
    Bar(
        "async for / trio.socket.recvfrom, full",
        _drained("async_for", "ns"),
        _drained("trio", "ns"),
        0.85,
        "a pass through the scheduler is most of both: 0.76",
    ),
    Bar(
        "2,000 groups x 2 spread / one group",
        ("groups-2000", "ns_spread"),
        ("groups-2000", "ns_one"),
        2,
        "C itself: 2.5, one socket after the other",
    ),
    Bar(
        "100 interfaces x 20 groups spread / one group",
        ("interfaces-100", "ns_spread"),
        ("interfaces-100", "ns_one"),
        2,
        "as many sockets of 2 interfaces",
    ),
    Bar(
        "opening 2,000 x 2 / an earlier revision",
        ("groups-2000", "opening_seconds"),
        ("groups-2000-before", "opening_seconds"),
        0.5,
        "system calls are 0.18 of it",
    ),
    Bar(
        "opening 2,000 x 2, bytes each",
        ("groups-2000", "bytes_per_membership"),
        None,
        2_700,
        "a prototype: 2,660; 4,070 before",
    ),
    Bar(
        "send / trio.socket.sendto",
        ("send-send", "ns"),
        ("send-trio", "ns"),
        0.6,
        "a sendto and Trio's cheapest checkpoint: 0.61",
    ),
    Bar(
        "send_nowait / trio.socket.sendto",
        ("send-send_nowait", "ns"),
        ("send-trio", "ns"),
        0.35,
        "a bare sendto: 0.26",
    ),
    Bar(
        "multicast_expert sendto / send_batch",
        ("send-expert", "ns"),
        ("send-send_batch", "ns"),
        35,
        "a pass for each 1,024: 85 ns, where it was 120",
        at_least=True,
    ),
)
