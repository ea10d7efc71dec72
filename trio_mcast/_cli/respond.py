"""``trio-mcast respond``: the other end of a probe, of a ping and of a mesh."""

from __future__ import annotations

import sys

import click
import trio

from .._diagnosis.probe.control import CONTROL_PORT
from .._diagnosis.probe.responder import Responder
from .rendering import counted
from .running import Command, run_until_stopped
from .targets import TARGET, Target

# Stands in the help of each command that takes the option.
control_port_option = click.option(
    "--control-port",
    type=click.IntRange(1, 65_535),
    default=CONTROL_PORT,
    show_default=True,
    metavar="N",
    help="The UDP port at which the two ends agree; the same at both.",
)


@click.command(
    cls=Command,
    examples=("trio-mcast respond", "trio-mcast respond 239.1.2.3:5000 '[ff15::1234]:5000'"),
)
@click.argument("targets", metavar="[GROUP:PORT...]", nargs=-1, type=TARGET)
@control_port_option
def respond(targets: tuple[Target, ...], control_port: int) -> int:
    """Answer the doctor's probes from another machine, pings, meshes and measurements.

    Run it on one machine, and on another one: trio-mcast doctor GROUP:PORT --peer HOST. The groups
    are those of the doctor; none has to be given here. For the groups that are given, it answers
    trio-mcast ping, takes part in trio-mcast mesh as long as somebody else does, and tells the
    sender of trio-mcast measure what came.

    Needs no privilege, and sends nothing unless asked. A probe may have it join up to 8 groups on
    each interface, and send up to 200 datagrams to the prober, or to these groups; then they are
    left again. It answers up to 100 times a second, never with more bytes than it was asked with.

    Ctrl-C ends it. The exit status is 0, or 1 if the port or a group cannot be had.
    """
    for target in targets:
        if target.source is not None:
            raise click.UsageError(f"{target}: a responder answers any source; leave it out")
    responder = Responder(map(_group_of, targets), control_port)
    outcome = run_until_stopped(lambda: _run(responder, targets, control_port), endless=True)
    counts = responder.counts
    if outcome.stop != "closed pipe":
        click.echo(
            f"answered {counted(counts.requests, 'request')} and {counted(counts.pings, 'ping')}; "
            f"sent {counted(counts.probes, 'probe')}; {counts.held_back} left unanswered, as too "
            f"many came at once; {counts.refused} refused"
        )
    return outcome.status(endless=True)


async def _run(responder: Responder, targets: tuple[Target, ...], control_port: int) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(responder.run)
        groups = ", ".join(map(str, targets))
        click.echo(f"control port {control_port}; groups for ping: {groups or 'none'}")
        sys.stdout.flush()


def _group_of(target: Target) -> tuple[str, int]:
    zone = "" if target.interface is None else f"%{target.interface}"
    return f"{target.group}{zone}", target.port
