"""The bars: ratios that this library is to keep."""

from __future__ import annotations

from dataclasses import dataclass

from ._rounds import Figures, Key


@dataclass(frozen=True)
class Bar:
    """A ratio of two figures of one round, and what it is to be.

    Attributes:
        label: What it says.
        above: What is divided.
        below: By what.
        limit: What it is to be at the most.
        at_least: Whether the limit is the least instead.
    """

    label: str
    above: Key
    below: Key
    limit: float
    at_least: bool = False

    @property
    def wanted(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"

    def ratio(self, figures: Figures) -> float | None:
        return figures.ratio(self.above, self.below)

    def verdict(self, figures: Figures) -> str:
        ratio = self.ratio(figures)
        if ratio is None:
            return "skipped"
        met = ratio >= self.limit if self.at_least else ratio <= self.limit
        return "met" if met else "NOT met"


_C = ("drain-64-c", "ns")
_BATCH = ("drain-64-receive_batch", "ns")

BARS = (
    Bar("receive_batch / C recvmmsg", _BATCH, _C, 1.5),
    Bar("receive_batch with GRO / C recvmmsg", ("drain-64-receive_batch-units", "ns"), _C, 0.55),
    Bar("receive_batch / uvloop", _BATCH, ("drain-64-uvloop", "ns"), 0.8),
    Bar(
        "async for / trio.socket.recvfrom",
        ("drain-64-async_for", "ns"),
        ("drain-64-trio", "ns"),
        0.85,
    ),
    Bar("quiet receive / trio.socket, p50", ("quiet-receive", "p50"), ("quiet-trio", "p50"), 1.5),
    Bar("sent by itself / trio.socket", ("near-receive", "own"), ("near-trio", "own"), 1.4),
    Bar("after a pause / trio.socket", ("near-receive", "pause"), ("near-trio", "pause"), 1.5),
    Bar("request and reply / trio.socket", ("near-receive", "rpc"), ("near-trio", "rpc"), 1.3),
    Bar("send / trio.socket.sendto", ("send-send", "ns"), ("send-trio", "ns"), 0.6),
    Bar(
        "multicast_expert sendto / send_batch",
        ("send-expert", "ns"),
        ("send-send_batch", "ns"),
        20,
        at_least=True,
    ),
    Bar(
        "spread over 2,000 groups x 2 / one group",
        ("groups-2000", "ns_spread"),
        ("groups-2000", "ns_one"),
        2,
    ),
)
