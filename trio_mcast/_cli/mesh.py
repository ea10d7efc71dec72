"""``trio-mcast mesh``: the command and its run."""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

import attrs
import click
import trio
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from .. import McastChannelSpec
from .._diagnosis.probe.header import Header, Kind
from .._diagnosis.probe.mesh import Change, Row
from .._diagnosis.probe.mesh_node import MeshNode
from .mesh_view import describe_change, json_change, json_matrix, matrix_lines
from .output import can_redraw, open_console, print_json
from .running import Command, run_until_stopped
from .sentences import complain
from .targets import TARGET, Seconds, Target, interface_option, ttl_option

# The time between two looks whether the matrix is to be redrawn. Arbitrary.
_REDRAW_SECONDS = 0.25


@attrs.frozen
class MeshWish:
    """The arguments of a mesh."""

    target: Target
    """The group."""
    interfaces: Sequence[str | int]
    """The interfaces; empty for all that are fit."""
    name: str
    """The name of this machine."""
    interval: float
    """The seconds between two beacons."""
    ttl: int
    """The ttl of the beacons."""


@click.command(
    cls=Command,
    examples=(
        "trio-mcast mesh 239.1.2.3:5000",
        "trio-mcast mesh 239.1.2.3:5000 --interface eth0 --name robot-1",
    ),
)
@click.argument("target", metavar="GROUP:PORT", type=TARGET)
@interface_option
@click.option("--name", help="The name of this machine. Else the one that the system has.")
@click.option(
    "--interval",
    type=Seconds(0.05, 60),
    default=1,
    show_default=True,
    metavar="SECONDS",
    help="The time between two beacons.",
)
@ttl_option("beacons")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
def mesh(
    target: Target,
    interfaces: tuple[str | int, ...],
    name: str | None,
    interval: float,
    ttl: int,
    as_json: bool,
) -> int:
    """See who hears whom: run it on each machine.

    Every machine sends a small datagram to the group once a second, a beacon, which tells whom it
    hears itself. So each of them shows the whole matrix, which fills as machines come, with the
    loss from each to each. Each interface of a machine is a station of its own. Who leaves is
    noticed at once; who falls silent, after five beacons. Machines that run "trio-mcast respond
    GROUP:PORT" take part as long as somebody else does.

    On a terminal, the matrix is drawn anew when something changes; into a pipe goes a line for
    each change. Ctrl-C ends it with the matrix, and the exit status 0.
    """
    if target.source is not None:
        raise click.UsageError("everybody sends in a mesh: leave out the source before the @")
    wish = MeshWish(target, interfaces, name or platform.node(), interval, ttl)
    console = open_console()
    view: _View
    if as_json:
        view = _JsonView()
    else:
        view = _LiveView(console, target) if can_redraw(console) else _LineView(console, target)
    run = MeshRun(wish, view.tell, view.refresh)
    with view:
        outcome = run_until_stopped(run.run, endless=True)
        view.refresh(run.rows())
    if outcome.stop != "closed pipe":
        view.end(run.rows())
    return outcome.status(endless=True)


class MeshRun:
    """The run of a mesh on this machine.

    Args:
        wish: The arguments.
        tell: Called with changes, at least one.
        refresh: Called with the matrix, each time when it may have changed.
    """

    def __init__(
        self,
        wish: MeshWish,
        tell: Callable[[Sequence[Change]], None],
        refresh: Callable[[Sequence[Row]], None],
    ) -> None:
        self._wish = wish
        self._tell = tell
        self._refresh = refresh
        self._node: MeshNode | None = None

    def rows(self) -> Sequence[Row]:
        """Return the matrix."""
        return () if self._node is None else self._node.mesh.rows()

    async def run(self) -> None:
        """Take part until cancelled.

        Raises:
            McastError: The group cannot be joined.
        """
        wish, target = self._wish, self._wish.target
        places = wish.interfaces if target.interface is None else [target.interface]
        spec = McastChannelSpec(target.group, target.port, interfaces=places or None, ttl=wish.ttl)
        async with spec.open() as channel, trio.open_nursery() as nursery:
            self._node = MeshNode(
                channel,
                (target.group, target.port),
                name=wish.name,
                interval=wish.interval,
                ttl=wish.ttl,
                tell=self._tell,
                complain=partial(complain, "trio-mcast mesh"),
            )
            nursery.start_soon(self._node.run)
            nursery.start_soon(self._keep_fresh)
            async for datagram in channel:
                with suppress(ValueError):
                    if Header.unpack(datagram.data).kind is Kind.MESH_BEACON:
                        self._node.take(datagram)

    async def _keep_fresh(self) -> None:
        while True:
            self._refresh(self.rows())
            await trio.sleep(_REDRAW_SECONDS)


class _View(ABC):
    """The output of a mesh."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, *exception: object) -> None:
        """Stop redrawing."""

    @abstractmethod
    def tell(self, changes: Sequence[Change]) -> None:
        """Show changes."""

    def refresh(self, rows: Sequence[Row]) -> None:
        """Draw the matrix anew, if that can be."""

    @abstractmethod
    def end(self, rows: Sequence[Row]) -> None:
        """Show the matrix as it is in the end."""


class _JsonView(_View):
    """A line of JSON for each change."""

    def tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            print_json({"time": datetime.now().astimezone().isoformat(), **json_change(change)})

    def end(self, rows: Sequence[Row]) -> None:
        print_json(json_matrix(rows))


class _LineView(_View):
    """A line of text for each change, and the matrix in the end."""

    def __init__(self, console: Console, target: Target) -> None:
        self._console = console
        self._target = target

    def tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            line = f"{datetime.now():%H:%M:%S} {describe_change(change)}"
            self._console.print(Text(line), soft_wrap=True)

    def end(self, rows: Sequence[Row]) -> None:
        self._console.print()
        self._console.print(title_of(self._target, rows))
        for line in matrix_lines(rows, self._console.width):
            self._console.print(line, soft_wrap=True)


class _LiveView(_View):
    """The matrix, redrawn in place; it stays in the end."""

    def __init__(self, console: Console, target: Target) -> None:
        self._target = target
        self._live = Live(
            console=console, auto_refresh=False, vertical_overflow="visible", redirect_stderr=False
        )
        self._console = console
        self._drawn: list[Text] = []

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def tell(self, changes: Sequence[Change]) -> None:
        """Leave it to the next redrawing."""

    def refresh(self, rows: Sequence[Row]) -> None:
        width, height = self._console.width, self._console.height
        lines = [title_of(self._target, rows), *matrix_lines(rows, width)]
        if len(lines) + 1 > height:
            # What has scrolled off cannot be redrawn: the first rows, and how many there are more.
            kept = max(2, height - 2)
            lines = [*lines[:kept], Text("More rows do not fit; all come at Ctrl-C.", "dim")]
        # Nothing is written while nothing changes.
        if lines != self._drawn:
            self._drawn = lines
            # An empty line for the cursor: the terminal writes "^C" there.
            self._live.update(Group(*lines, ""), refresh=True)

    def end(self, rows: Sequence[Row]) -> None:
        lines = [title_of(self._target, rows), *matrix_lines(rows, self._console.width)]
        if lines != self._drawn:
            for line in lines:
                self._console.print(line, soft_wrap=True)


def title_of(target: Target, rows: Sequence[Row]) -> Text:
    """Return the line above a matrix."""
    there = sum(row.state in ("here", "there") for row in rows)
    return Text(f"Mesh of {target}: {there} station{'' if there == 1 else 's'}", "bold")
