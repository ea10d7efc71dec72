"""The findings of ``trio-mcast measure`` about an interval, as text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs

from .._diagnosis.probe.streams import StreamCounts

HEADING: Final = "  time  offered received network kernel process reordered  jitter receiver"
LEGEND: Final = (
    "Rates in Mbit/s of payload, jitter in ms. Datagrams lost in the network; dropped\n"
    "by the receiver's kernel, as its buffer was full; by its process, as too slow."
)


@attrs.frozen
class Losses:
    """The datagrams of an interval that are missing at a receiver, by where they were lost."""

    network: int
    """Not dropped by the receiving machine as far as it knows."""
    kernel: int
    """Dropped by the receiver's kernel, as its buffer was full."""
    process: int
    """Dropped by the receiving process, which was too slow."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.network + self.kernel + self.process


@attrs.frozen
class Received:
    """The part of an interval that came to one receiver."""

    name: str
    """The receiver, for people."""
    interface: str
    """The interface of the sender, or, in the report of a receiver, its own."""
    rate: float
    """The bits of payload a second."""
    losses: Losses
    """The datagrams that are missing."""
    duplicates: int
    """The datagrams that came more than once."""
    reordered: int
    """The datagrams that came late."""
    jitter_ns: int
    """The interarrival jitter at the end of the interval."""


def compare(
    name: str,
    interface: str,
    before: StreamCounts,
    now: StreamCounts,
    *,
    lost_before: int,
    sent: int | None,
    seconds: float,
) -> Received:
    """Return what a receiver got between two counts.

    Args:
        name: The receiver, or, in its own report, the sender.
        interface: The interface.
        before: The counts at the begin.
        now: The counts at the end.
        lost_before: The losses that were told of before.
        sent: The datagrams that were sent since the begin of the stream, all of which had time to
            arrive; `None` if the numbers of those that came tell of the loss.
        seconds: The time in between.
    """
    numbers = now.numbers - before.numbers
    lost = now.numbers.lost if sent is None else sent - now.numbers.received
    # One that is late takes back a loss that has been told: no interval has less than none.
    missing = max(0, lost - lost_before)
    # The drops are of all that came to the port: no more are counted here than are missing.
    kernel = min(max(0, now.drops.kernel - before.drops.kernel), missing)
    process = min(max(0, now.drops.process - before.drops.process), missing - kernel)
    return Received(
        name,
        interface,
        (now.bytes - before.bytes) * 8 / seconds,
        Losses(missing - kernel - process, kernel, process),
        numbers.duplicates,
        numbers.reordered,
        now.jitter_ns,
    )


@attrs.frozen
class Interval:
    """An interval of a measurement, or one rate that was tried."""

    seconds: float
    """The time since the begin."""
    offered: float | None
    """The bits of payload a second that were sent on each interface; `None` if unknown."""
    sent: int | None
    """The datagrams that were sent on each interface."""
    received: tuple[Received, ...]
    """The part that came to each receiver."""

    @property
    def is_clean(self) -> bool:
        """Whether every receiver got everything."""
        return all(not received.losses.total for received in self.received)


def megabits(rate: float | None) -> str:
    """Return a rate in Mbit/s, with three or more digits that count."""
    if rate is None:
        return "-"
    value = rate / 1e6
    return f"{value:.0f}" if value >= 1_000 else f"{value:.{1 if value >= 100 else 2}f}"


def describe(interval: Interval) -> Sequence[str]:
    """Return a line for each receiver of an interval."""
    return [
        f"{interval.seconds:>6.1f} {megabits(interval.offered):>8} {megabits(one.rate):>8} "
        f"{one.losses.network:>7} {one.losses.kernel:>6} {one.losses.process:>7} "
        f"{one.reordered:>9} {one.jitter_ns / 1e6:>7.3f} {one.name}"
        for one in interval.received
    ]


def totals(intervals: Sequence[Interval]) -> list[dict[str, Any]]:
    """Return for each receiver what it lost of how many, over all intervals, for JSON."""
    by_receiver: dict[tuple[str, str], dict[str, Any]] = {}
    for interval in intervals:
        for one in interval.received:
            total = by_receiver.setdefault(
                (one.name, one.interface),
                {
                    "name": one.name,
                    "interface": one.interface,
                    "sent": 0,
                    "lost": {"network": 0, "kernel": 0, "process": 0},
                    "duplicates": 0,
                    "reordered": 0,
                },
            )
            total["sent"] += interval.sent or 0
            total["duplicates"] += one.duplicates
            total["reordered"] += one.reordered
            for place, count in attrs.asdict(one.losses).items():
                total["lost"][place] += count
    return list(by_receiver.values())


def conclude_rate(intervals: Sequence[Interval]) -> Iterator[str]:
    """Yield for each receiver a sentence about all intervals."""
    for total in totals(intervals):
        lost = total["lost"]
        count, sent = sum(lost.values()), total["sent"]
        share = count / sent if sent else 0
        yield (
            f"{total['name']} on {total['interface']}: {count} of {sent} lost ({share:.2%}): "
            f"network {lost['network']},\n  kernel {lost['kernel']}, process {lost['process']}; "
            f"{total['reordered']} reordered, {total['duplicates']} came twice."
        )


def as_json(interval: Interval) -> dict[str, Any]:
    """Return an interval for JSON."""
    return {
        "event": "interval",
        "seconds": round(interval.seconds, 3),
        "offered_bits": interval.offered and round(interval.offered),
        "sent": interval.sent,
        "received": [
            {
                "name": one.name,
                "interface": one.interface,
                "bits": round(one.rate),
                "lost": {
                    "network": one.losses.network,
                    "kernel": one.losses.kernel,
                    "process": one.losses.process,
                },
                "duplicates": one.duplicates,
                "reordered": one.reordered,
                "jitter_ms": one.jitter_ns / 1e6,
            }
            for one in interval.received
        ],
    }
