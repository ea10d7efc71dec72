"""``trio-mcast measure``: the command, and its receiving end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click
import trio

from .._diagnosis.probe.control import CONTROL_PORT
from .._diagnosis.probe.responder import Responder
from .._diagnosis.probe.streams import StreamCounts
from .measure_report import (
    HEADING,
    LEGEND,
    Interval,
    as_json,
    compare,
    conclude_rate,
    describe,
    megabits,
    totals,
)
from .measure_send import MeasureWish, Measuring
from .output import print_json
from .pacing import Rate, parse_rate
from .running import Command, run_until_stopped
from .targets import TARGET, Parsed, Seconds, Target, interface_option_else, ttl_option

_RATE = Parsed("rate", parse_rate)


@click.command(
    cls=Command,
    examples=(
        "trio-mcast measure 239.1.2.3:5000 --receiver",
        "trio-mcast measure 239.1.2.3:5000 --sender",
        "trio-mcast measure 239.1.2.3:5000 --sender --rate 10Mbit --duration 5",
    ),
)
@click.argument("target", metavar="GROUP:PORT", type=TARGET)
@click.option("--receiver", is_flag=True, help="Receive, and tell the sender what came.")
@click.option("--sender", is_flag=True, help="Send, and ask the receivers what came.")
@interface_option_else(
    "a receiver has those fit for multicast, a sender the one to which the system routes the group"
)
@click.option(
    "--rate",
    type=_RATE,
    metavar="RATE",
    help="The rate to send at, as in 500kbit, 10Mbit, or datagrams a second. Else the highest "
    "without loss is searched for.",
)
@click.option(
    "--duration",
    type=Seconds(min=0, min_open=True),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How long to send at a given rate.",
)
@click.option(
    "--interval",
    type=Seconds(min=0.1),
    default=1,
    show_default=True,
    metavar="SECONDS",
    help="The time from report to report, and for which each rate is tried.",
)
@click.option(
    "--size",
    type=click.IntRange(32, 65_507),
    default=1_400,
    show_default=True,
    metavar="BYTES",
    help="The payload of each datagram.",
)
@ttl_option("datagrams")
@click.option(
    "--control-port",
    type=click.IntRange(1, 65_535),
    default=CONTROL_PORT,
    show_default=True,
    metavar="N",
    help="The UDP port at which a receiver tells what came; the same at both ends.",
)
@click.option("--json", "as_json_lines", is_flag=True, help="Print JSON, one object a line.")
def measure(
    target: Target,
    receiver: bool,
    sender: bool,
    interfaces: tuple[str | int, ...],
    rate: Rate | None,
    duration: float,
    interval: float,
    size: int,
    ttl: int,
    control_port: int,
    as_json_lines: bool,
) -> int:
    """Measure what arrives of a stream, and the highest rate without loss.

    Run it with --receiver on one or more machines ("trio-mcast respond GROUP:PORT" will do, too),
    and then with --sender. The sender begins with 1 Mbit/s and doubles that until a receiver loses
    something; then it halves the gap until it is 5 % wide. With --rate it sends at that rate alone.

    Losses are told apart: those in the network, those of the receiver's kernel, whose buffer was
    full, and those of the receiving process, which was too slow. Rates count the payload.

    Ctrl-C ends the sender with its summary and the exit status 130, and the receiver with 0. The
    sender's exit status is 1 if nobody receives.
    """
    if receiver == sender:
        raise click.UsageError("say which end this is: --sender or --receiver")
    if receiver:
        if target.source is not None:
            raise click.UsageError(f"{target}: a receiver measures any source; leave it out")
        introduction = f"Receiving {target}; the sender asks at port {control_port}."
        show = _show_json if as_json_lines else _TextLines(introduction)
        receiving = _Receiving(target, interfaces, control_port, interval, show)
        return run_until_stopped(receiving.run, endless=True).status(endless=True)
    bits = None if rate is None else 8 * size / rate.seconds(size)
    wish = MeasureWish(target, interfaces, size, bits, interval, duration, ttl, control_port)
    introduction = f"Sending datagrams of {size} bytes to {target}."
    measuring = Measuring(wish, _show_json if as_json_lines else _TextLines(introduction))
    outcome = run_until_stopped(measuring.run, endless=False)
    if outcome.stop != "closed pipe":
        if as_json_lines:
            print_json(_json_conclusion(measuring, wish))
        else:
            for sentence in _conclude(measuring, wish):
                click.echo(sentence)
    return outcome.status(endless=False)


class _Receiving:
    """The receiving end: a responder, and a report on each stream."""

    def __init__(
        self,
        target: Target,
        interfaces: tuple[str | int, ...],
        control_port: int,
        interval: float,
        show: Callable[[Interval], None],
    ) -> None:
        places = interfaces if target.interface is None else (target.interface,)
        self._target = target
        self._interval = interval
        self._show = show
        self._responder = Responder(
            [(target.group, target.port)], control_port, interfaces=places or None
        )
        # By run, what was told of before, and how many were lost by then.
        self._before: dict[int, tuple[StreamCounts, int]] = {}

    async def run(self) -> None:
        """Receive until cancelled.

        Raises:
            McastError: The group or the control port cannot be had.
        """
        async with trio.open_nursery() as nursery:
            await nursery.start(self._responder.run)
            start = trio.current_time()
            while True:
                await trio.sleep(self._interval)
                self._report(trio.current_time() - start)

    def _report(self, seconds: float) -> None:
        all_counts = self._responder.streams.counts()
        for run, (stream, counts) in all_counts.items():
            before, lost = self._before.get(run, (StreamCounts(), 0))
            received = compare(
                f"{stream.source} {stream.interface}",
                stream.interface,
                before,
                counts,
                lost_before=lost,
                sent=None,
                seconds=self._interval,
            )
            self._before[run] = counts, lost + received.losses.total
            numbers = counts.numbers - before.numbers
            came = numbers.received + numbers.duplicates
            # A stream that rests, or has ended, is left out.
            if came:
                size = (counts.bytes - before.bytes) / came
                offered = numbers.expected * size * 8 / self._interval
                self._show(Interval(seconds, offered, numbers.expected, (received,)))
        for run in self._before.keys() - all_counts.keys():
            del self._before[run]


class _TextLines:
    """The intervals as lines of text, with a heading above the first."""

    def __init__(self, introduction: str) -> None:
        click.echo(introduction)
        click.echo(LEGEND)
        self._has_heading = False

    def __call__(self, interval: Interval) -> None:
        if not self._has_heading:
            click.echo(HEADING)
            self._has_heading = True
        for line in describe(interval):
            click.echo(line)


def _show_json(interval: Interval) -> None:
    print_json(as_json(interval))


def _conclude(measuring: Measuring, wish: MeasureWish) -> Iterator[str]:
    """Yield what came of a measurement, in sentences."""
    search = measuring.search
    if wish.rate is not None:
        yield from conclude_rate(measuring.intervals)
    elif search.clean is None:
        yield "No rate was without loss."
    else:
        a_second = search.clean / 8 / wish.size
        yield (
            f"Highest rate without loss: {megabits(search.clean)} Mbit/s, "
            f"{a_second:,.0f} datagrams of {wish.size} bytes a second."
        )
        if search.is_limited:
            yield "More could not be sent by this machine: the receivers may take more."
        elif search.lossy is not None:
            yield f"The lowest rate with loss: {megabits(search.lossy)} Mbit/s."


def _json_conclusion(measuring: Measuring, wish: MeasureWish) -> dict[str, Any]:
    search = measuring.search
    if wish.rate is not None:
        return {"event": "summary", "receivers": totals(measuring.intervals)}
    return {
        "event": "summary",
        "highest_clean_bits": search.clean and round(search.clean),
        "lowest_lossy_bits": search.lossy and round(search.lossy),
        "limited_by_sender": search.is_limited,
    }
