"""``trio-mcast ping``: the command, and what it prints."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from .output import open_console, print_json
from .ping_run import Pinging, PingWish
from .ping_tally import Answer, Line
from .running import FAILED, Command, run_until_stopped
from .sentences import complain
from .targets import Seconds, Target, sending_interface_option, targets_argument, ttl_option


@click.command(
    cls=Command,
    examples=(
        "trio-mcast ping 239.1.2.3:5000 --count 3",
        "trio-mcast ping 239.1.2.3:5000 --interface eth0 --interval 0.2 --count 5 --json",
    ),
)
@targets_argument
@sending_interface_option
@click.option(
    "--count",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many questions to ask, on each interface. Else until Ctrl-C.",
)
@click.option(
    "--interval",
    type=Seconds(min=0.01),
    default=1,
    show_default=True,
    metavar="SECONDS",
    help="The time between two questions; a responder answers at most 100 in a second.",
)
@ttl_option("questions")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
def ping(
    targets: tuple[Target, ...],
    interfaces: tuple[str | int, ...],
    count: int | None,
    interval: float,
    ttl: int,
    as_json: bool,
) -> int:
    """Ask a group, and see who answers.

    Every machine that runs "trio-mcast respond GROUP:PORT" answers, by unicast. Prints a line for
    each answer, and in the end, or at Ctrl-C, for each responder: loss, duplicates, the round trip
    (least, median, 99th percentile), and hops, the routers there and back. A loss is of the
    question or of the answer: "trio-mcast mesh" tells the directions apart.

    Asks on the interface to which the system routes the group, unless interfaces are named.
    SOURCE@GROUP:PORT asks from that address.

    The exit status is 0 if anybody answered, and 1 if nobody did.
    """
    console = open_console()
    wish = PingWish(targets, interfaces, count, interval, ttl)
    show = _print_json_answer if as_json else partial(_print_answer, console)
    pinging = Pinging(wish, show, partial(complain, "trio-mcast ping"))
    outcome = run_until_stopped(pinging.run, endless=count is None)
    # Stopped from outside, nobody has waited for the last answers.
    lines = list(pinging.tally.lines(time.time_ns() if outcome.stop else None))
    if outcome.stop != "closed pipe":
        if as_json:
            print_json(_json_summary(pinging.tally.asked, lines))
        else:
            _print_summary(console, pinging.tally.asked, lines)
    status = outcome.status(endless=count is None)
    return status if status or lines else FAILED


def _print_answer(console: Console, answer: Answer) -> None:
    text = (
        f"{answer.number + 1}: {answer.address} {answer.responder.name} on "
        f"{answer.course.interface}, {_milliseconds(answer.round_trip_ns)} ms"
    )
    if answer.hops_there is not None and answer.hops_back is not None:
        text += f", hops {answer.hops_there} there, {answer.hops_back} back"
    if answer.is_duplicate:
        text += ", once more"
    console.print(Text(text), soft_wrap=True)


def _print_json_answer(answer: Answer) -> None:
    print_json({"event": "answer", **_json_place(answer), **_json_answer(answer)})


def _json_place(answer: Answer) -> dict[str, Any]:
    return {
        "group": answer.course.group,
        "interface": answer.course.interface,
        "responder": answer.address,
        "name": answer.responder.name,
        "responder_interface": answer.responder.interface,
        "hops_there": answer.hops_there,
        "hops_back": answer.hops_back,
    }


def _json_answer(answer: Answer) -> dict[str, Any]:
    return {
        "number": answer.number + 1,
        "round_trip_ms": answer.round_trip_ns / 1e6,
        "duplicate": answer.is_duplicate,
    }


def _json_summary(asked: int, lines: list[Line]) -> dict[str, Any]:
    return {"event": "summary", "asked": asked, "responders": [_json_line(line) for line in lines]}


def _json_line(line: Line) -> dict[str, Any]:
    least, median, p99 = line.round_trips
    return {
        **_json_place(line.last),
        "asked": line.asked,
        "answered": line.answered,
        "lost": line.lost,
        "duplicates": line.duplicates,
        "reordered": line.reordered,
        "round_trip_ms": {"min": least / 1e6, "median": median / 1e6, "p99": p99 / 1e6},
    }


def _print_summary(console: Console, asked: int, lines: list[Line]) -> None:
    if not lines:
        sentence = f"Nobody answered {_questions(asked)}." if asked else "Nothing could be asked."
        console.print(Text(sentence, "bold red"))
        return
    for line in lines:
        console.print()
        for text in _describe(line):
            console.print(Text(text), soft_wrap=True)


def _describe(line: Line) -> Iterator[str]:
    last = line.last
    yield f"{last.address} {last.responder.name}, asked on {last.course.interface}:"
    share = line.lost / line.asked if line.asked else 0
    yield (
        f"  {_questions(line.asked)}, {line.lost} lost ({share:.1%}), "
        f"{line.duplicates} answered twice, {line.reordered} out of order"
    )
    least, median, p99 = map(_milliseconds, line.round_trips)
    yield f"  round trip in ms: {least} least, {median} median, {p99} 99th percentile"
    if last.hops_there is not None and last.hops_back is not None:
        where = last.responder.interface
        yield f"  hops: {last.hops_there} there, to its {where}, and {last.hops_back} back"


def _questions(count: int) -> str:
    return "1 question" if count == 1 else f"{count} questions"


def _milliseconds(ns: int) -> str:
    return f"{ns / 1e6:.3f}"
