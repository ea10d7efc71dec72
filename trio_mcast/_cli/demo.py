"""``trio-mcast demo``: the command."""

from __future__ import annotations

from functools import partial

import click

from .demo_run import prepare_demo, run_demo
from .demo_view import print_introduction, print_result, show_arrivals
from .output import open_console
from .running import FAILED, Command, run_until_stopped


@click.command(cls=Command, examples=("trio-mcast demo",))
def demo() -> int:
    """Send and receive real multicast on this machine, in two seconds.

    Opens one receiver for two groups and a sender for each of them, all on the loopback interface:
    nothing reaches the network, and it needs no privilege, no route and no other machine. Shows
    each datagram as it arrives, then what receiver and senders have counted.

    The exit status is 0 if every datagram arrived, each once, and 1 otherwise.
    """
    console = open_console()
    setup = prepare_demo()
    print_introduction(console, setup)
    with show_arrivals(console) as show:
        outcome = run_until_stopped(partial(run_demo, setup, show), endless=False)
    if outcome.result is None:
        return outcome.status(endless=False)
    print_result(console, outcome.result)
    return 0 if outcome.result.complete else FAILED
