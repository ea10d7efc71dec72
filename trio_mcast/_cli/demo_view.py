"""The look of ``trio-mcast demo``: tables of at most 80 columns, live on a terminal, else plain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console, Group, JustifyMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .demo_run import Arrival, DemoResult, DemoSetup
from .output import can_redraw

# The styles of the groups, by the sender's number; rich leaves colours out if NO_COLOR is set.
_SENDER_STYLES = {1: "cyan", 2: "magenta"}
# The lines of a terminal that are not for rows of arrivals: the introduction, the table's head, and
# the empty line after it.
_OTHER_LINES = 6


def print_introduction(console: Console, setup: DemoSetup) -> None:
    """Say what is about to happen."""
    console.print(
        Text.assemble(
            "Multicast on the loopback interface ",
            (str(setup.interface), "bold"),
            "; nothing leaves this machine.",
        )
    )
    console.print(
        f"One receiver for both groups, a sender for each; port {setup.port}, which was free."
    )
    console.print()


@contextmanager
def show_arrivals(console: Console) -> Iterator[Callable[[Arrival], None]]:
    """Show arrivals as a table: on a terminal at once, else at the end of the block.

    A terminal that is not high enough for all arrivals shows the last ones until the end of the
    block; then the whole table scrolls by.
    """
    arrivals: list[Arrival] = []
    if not can_redraw(console):
        yield arrivals.append
        if arrivals:
            console.print(_arrival_table(arrivals))
            console.print()
        return
    with Live(_live_view(arrivals), console=console, auto_refresh=False) as live:

        def show(arrival: Arrival) -> None:
            arrivals.append(arrival)
            room = max(1, console.height - _OTHER_LINES)
            live.update(_live_view(arrivals[-room:]), refresh=True)

        yield show
        live.update(_live_view(arrivals))  # Drawn when Live ends, however high it is.


def _live_view(arrivals: Sequence[Arrival]) -> Group:
    # An empty line for the cursor: the terminal writes "^C" there, and at the end of a full line
    # that would move what is drawn next.
    return Group(_arrival_table(arrivals), "")


def print_result(console: Console, result: DemoResult) -> None:
    """Print the statistics, the verdict, and the next step."""
    console.print(_statistics_table(result))
    console.print()
    verdict = describe_verdict(result)
    console.print(Text(verdict, "bold green" if result.complete else "bold red"))
    for hint in describe_causes(result):
        console.print(Text(hint))
    if result.strangers:
        count = "1 datagram" if result.strangers == 1 else f"{result.strangers} datagrams"
        console.print(Text(f"{count} of another program came to the same port, left aside.", "dim"))
    if result.complete:
        console.print(
            Text("Next: the receiver and the sender of the README, in two terminals.", "dim")
        )


def describe_verdict(result: DemoResult) -> str:
    """Return one sentence: how many of all datagrams arrived, and the faults if there are any."""
    total = len(result.setup.planned)
    sentence = f"{total - len(result.missing)} of {total} datagrams arrived"
    if result.complete:
        return f"{sentence}, each once."
    faults = []
    if result.missing:
        lost = Counter(planned.sender for planned in result.missing)
        faults.append(
            "missing: "
            + " and ".join(f"{count} of sender {sender}" for sender, count in lost.items())
        )
    if result.doubled:
        faults.append(f"more than once: {len(result.doubled)}")
    if result.misplaced:
        faults.append(f"with the wrong group or interface: {len(result.misplaced)}")
    return "; ".join([sentence, *faults]) + "."


def describe_causes(result: DemoResult) -> list[str]:
    """Return possible causes and where to look, a sentence each; empty if nothing is wrong."""
    causes = [f"Sender {number}: {error}." for number, error in result.refusals.items()]
    by_kernel = result.receiver.dropped_by_kernel or 0
    by_policy = result.receiver.dropped_by_policy
    dropped = by_kernel + by_policy
    if by_kernel:
        causes.append(f"The kernel dropped {by_kernel}: the receive buffer was full.")
    if by_policy:
        causes.append(f"The receiver dropped {by_policy}: too many were waiting to be taken.")
    lost = [planned for planned in result.missing if planned.sender not in result.refusals]
    if len(lost) > dropped:
        causes.append(
            "They were sent, but the receiver did not get them. A firewall may be dropping UDP on "
            f"interface {result.setup.interface}: look at its rules "
            "(on Linux: sudo nft list ruleset)."
        )
    if result.doubled or result.misplaced:
        causes.append("That is a fault of trio_mcast: please report it, with this output.")
    return causes


def _arrival_table(arrivals: Sequence[Arrival]) -> Table:
    table = _table()
    # The widths are fixed, so that nothing moves while the table grows, and come to 80. Windows
    # calls its interface "Loopback Pseudo-Interface 1"; that is whole in the introduction.
    columns = {"time": 6, "group": 12, "interface": 9, "source": 15, "bytes": 5, "ttl": 3}
    for heading, width in {**columns, "payload": 18}.items():
        justify: JustifyMethod = "right" if heading in ("time", "bytes", "ttl") else "left"
        table.add_column(heading, width=width, justify=justify, no_wrap=True, overflow="crop")
    for arrival in arrivals:
        datagram = arrival.datagram
        table.add_row(
            Text(f"{arrival.seconds:.2f} s", "dim"),
            Text(datagram.group or "", _SENDER_STYLES.get(arrival.planned.sender, "")),
            str(datagram.interface),
            str(datagram.source),
            str(len(datagram.data)),
            "" if datagram.ttl is None else str(datagram.ttl),
            datagram.data.partition(b"\n")[0].decode(),
        )
    return table


def _statistics_table(result: DemoResult) -> Table:
    table = _table()
    table.add_column("")
    for heading in ("sent", "failed", "received", "delivered", "rejected", "dropped", "buffer"):
        table.add_column(heading, justify="right")
    for number, sender in enumerate(result.senders, start=1):
        counts = [sender.sent, sender.failed, None, None, None, None]
        buffer = sender.send_buffer_granted
        table.add_row(f"sender {number}", *map(_count, counts), _kibibytes(buffer))
    receiver = result.receiver
    dropped = receiver.dropped_by_kernel
    if dropped is not None:
        dropped += receiver.dropped_by_policy
    counts = [None, None, receiver.received, receiver.delivered, receiver.rejected]
    table.add_row(
        "receiver",
        *map(_count, counts),
        "unknown" if dropped is None else str(dropped),
        _kibibytes(receiver.receive_buffer_granted),
    )
    return table


def _table() -> Table:
    # Two spaces between columns: one of padding, one of the box's.
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def _count(value: int | None) -> str:
    return "" if value is None else str(value)


def _kibibytes(size: int) -> str:
    return f"{size / 1024:.0f} KiB"
