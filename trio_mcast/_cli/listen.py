"""``trio-mcast listen``: the command."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from io import BytesIO, FileIO
from pathlib import Path
from typing import Literal, TypeAlias

import attrs
import click
import trio

from .. import Datagram, ReceiverStatistics
from .._capture.writing import CaptureWriter
from .live import LiveView
from .numbers import SequenceAt, find_number, parse_sequence
from .output import Output, can_redraw, json_line, open_console
from .receiving import describe_counts, open_batches, open_receivers
from .rendering import as_hex, as_record, as_text
from .running import FAILED, Command, program_version, run_until_stopped
from .streams import StreamTable
from .targets import (
    Joining,
    Parsed,
    Seconds,
    Target,
    exclude_option,
    interface_option,
    plan_joins,
    source_option,
    targets_argument,
)

Format: TypeAlias = Literal["text", "hex", "json", "raw"]


def _json_bytes(datagram: Datagram) -> bytes:
    return f"{json_line(as_record(datagram))}\n".encode()


# Bytes for standard output, from a datagram.
_RENDERERS: dict[Format, Callable[[Datagram], bytes]] = {
    "text": lambda datagram: as_text(datagram).encode("utf-8", "backslashreplace"),
    "hex": lambda datagram: as_hex(datagram).encode("utf-8", "backslashreplace"),
    "json": _json_bytes,
    "raw": lambda datagram: datagram.data,
}


@attrs.frozen(kw_only=True)
class ListenOptions:
    """The options of ``trio-mcast listen``.

    Attributes:
        joins: The joins by port.
        unicast: Whether to receive unicast to the ports as well.
        format: The form of the output.
        count: The number of datagrams after which to end, or `None`.
        duration: The seconds after which to end, or `None`.
        ttl: Whether to ask for the ttl of each datagram.
        timestamps: Whether to ask for the time of arrival of each datagram.
        traffic_class: Whether to ask for the traffic class of each datagram.
        write: The capture to write, or `None`.
    """

    joins: Mapping[int, tuple[Joining, ...]]
    unicast: bool
    format: Format
    count: int | None
    duration: float | None
    ttl: bool
    timestamps: bool
    traffic_class: bool
    write: Path | None


class Listening:
    """The run of ``trio-mcast listen``.

    Each batch of datagrams goes to the capture, and then to ``show``: to standard output, or to a
    live view.
    """

    def __init__(self, options: ListenOptions, view: LiveView | None = None) -> None:
        self.taken = 0
        self.statistics: dict[int, ReceiverStatistics] = {}
        self._options = options
        self._view = view

    @property
    def complete(self) -> bool:
        """Whether as many datagrams came as were asked for."""
        return self._options.count is None or self.taken >= self._options.count

    async def run(self) -> None:
        """Receive until there is enough, or the time is over."""
        options = self._options
        # Both have a place for every fact of a datagram.
        everything = options.format == "json" or options.write is not None or self._view is not None
        async with (
            _open_capture(options.write) as capture,
            open_receivers(
                options.joins,
                accept_unicast=options.unicast,
                receive_ttl=options.ttl or everything,
                receive_timestamp=options.timestamps or everything,
                receive_traffic_class=options.traffic_class or everything,
            ) as receivers,
        ):
            if self._view is not None:
                self._view.receivers = receivers
            try:
                async with open_batches(receivers) as batches:
                    await self._take(batches, capture)
            finally:
                self.statistics = {
                    port: receiver.statistics() for port, receiver in receivers.items()
                }

    async def _take(
        self,
        batches: trio.MemoryReceiveChannel[list[Datagram]],
        capture: _CaptureFile | None,
    ) -> None:
        options = self._options
        show = self._view.take if self._view is not None else Printing(options).take
        deadline = trio.current_time() + (
            float("inf") if options.duration is None else options.duration
        )
        while True:
            with trio.CancelScope(deadline=deadline) as waiting:
                batch = await batches.receive()
            if waiting.cancelled_caught:
                return
            if options.count is not None:
                batch = batch[: options.count - self.taken]
            self.taken += len(batch)
            if capture is not None:
                await capture.write(batch)
            await show(batch)
            if options.count is not None and self.complete:
                return


class Printing:
    """The output of datagrams without a live view."""

    def __init__(self, options: ListenOptions) -> None:
        self._options = options
        self._render = _RENDERERS[options.format]
        sys.stdout.flush()
        self._output = Output(sys.stdout.fileno())

    async def take(self, batch: list[Datagram]) -> None:
        """Print datagrams."""
        await self._output.write(b"".join(map(self._render, map(self._only_asked, batch))))

    def _only_asked(self, datagram: Datagram) -> Datagram:
        """Take away the facts that only the capture asks for."""
        options = self._options
        if options.write is None or options.format in ("json", "raw"):
            return datagram
        return datagram._replace(
            ttl=datagram.ttl if options.ttl else None,
            timestamp_ns=datagram.timestamp_ns if options.timestamps else None,
            traffic_class=datagram.traffic_class if options.traffic_class else None,
        )


class _CaptureFile:
    """The capture that is written; its errors name the file."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._output = Output(file)
        self._buffer = BytesIO()
        self._writer = CaptureWriter(self._buffer, f"trio-mcast {program_version()}")

    async def write(self, batch: Sequence[Datagram]) -> None:
        """Write datagrams, so that others can read them from now on."""
        for datagram in batch:
            self._writer.write(datagram)
        data = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        try:
            await self._output.write(data)
        except OSError as error:
            error.filename = str(self._path)
            raise


@asynccontextmanager
async def _open_capture(path: Path | None) -> AsyncIterator[_CaptureFile | None]:
    if path is None:
        yield None
        return
    # A named pipe opens once somebody reads from it.
    with await trio.to_thread.run_sync(FileIO, path, "wb", abandon_on_cancel=True) as file:
        capture = _CaptureFile(path, file.fileno())
        await capture.write(())
        yield capture


@click.command(
    cls=Command,
    examples=(
        "trio-mcast listen 239.1.2.3:5000",
        "trio-mcast listen 239.1.2.3:5000 '[ff15::1234]:5000' --interface eth0 --ttl --duration 2",
        "trio-mcast listen 239.1.2.3:5000 --format json | head -1",
        "trio-mcast listen 239.1.2.3:5000 --write heard.pcapng --count 3",
        "trio-mcast listen 239.1.2.3:5000 --live",
    ),
)
@targets_argument
@interface_option
@source_option
@exclude_option
@click.option("--unicast", is_flag=True, help="Listen to unicast to the port as well.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "hex", "json", "raw"]),
    default="text",
    show_default=True,
    help="A line for each datagram; rows of bytes; an object a line; or the payloads, unchanged.",
)
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="End after so many datagrams."
)
@click.option(
    "--duration",
    type=Seconds(min=0, min_open=True),
    metavar="SECONDS",
    help="End after so many seconds.",
)
@click.option("--ttl", is_flag=True, help="Show the ttl or hop limit on arrival.")
@click.option("--timestamps", is_flag=True, help="Show the time of arrival in the kernel.")
@click.option("--traffic-class", is_flag=True, help="Show the byte with DSCP and ECN.")
@click.option(
    "--write",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.pcapng",
    help="Write a capture for Wireshark as well.",
)
@click.option("--live", is_flag=True, help="Show a table of streams, redrawn in place.")
@click.option(
    "--sequence",
    type=Parsed("place", parse_sequence),
    metavar="OFFSET:SIZE",
    help="With --live: the place of a number in each payload, in bytes; network byte order.",
)
def listen(
    targets: tuple[Target, ...],
    interfaces: tuple[str | int, ...],
    sources: tuple[str, ...],
    excluded: tuple[str, ...],
    unicast: bool,
    form: Format,
    count: int | None,
    duration: float | None,
    ttl: bool,
    timestamps: bool,
    traffic_class: bool,
    write: Path | None,
    live: bool,
    sequence: SequenceAt | None,
) -> int:
    """Join groups and show each datagram that comes.

    JSON has all facts of a datagram; the payload is in "data" in base64, and in "text" if it is
    text. The capture has them too: interface, addresses, and the time of arrival in the kernel, to
    the nanosecond. Text shows those that you ask for.

    --live shows a table of the streams instead: rate, losses and reordering by the numbers in the
    payloads (of send --numbered, of RTP, or at --sequence), jitter, ttl, DSCP, and drops of the
    group: by the kernel + by this program. A stream is STALLED after 2 seconds without a datagram,
    or 3 of its intervals.

    Ends on Ctrl-C, and tells on standard error how many datagrams came and were lost, and where.

    The exit status is 1 if fewer datagrams than --count came within --duration.
    """
    options = ListenOptions(
        joins=plan_joins(targets, interfaces, sources, excluded),
        unicast=unicast,
        format=form,
        count=count,
        duration=duration,
        ttl=ttl,
        timestamps=timestamps,
        traffic_class=traffic_class,
        write=write,
    )
    view = open_view(sequence) if live else None
    listening = Listening(options, view)
    run = listening.run if view is None else partial(view.run, listening.run)
    outcome = run_until_stopped(run, endless=count is None)
    if outcome.stop == "closed pipe":
        return outcome.status(endless=count is None)
    if view is not None:
        view.print_last()
    for line in describe_counts(listening.statistics):
        click.echo(line, err=True)
    was_quit = view is not None and view.was_quit
    if outcome.stop is None and not listening.complete and not was_quit:
        return FAILED
    return outcome.status(endless=count is None)


def open_view(sequence: SequenceAt | None) -> LiveView:
    """Return a live view.

    Raises:
        click.UsageError: Standard output is no terminal that it can be drawn on.
    """
    console = open_console()
    if not can_redraw(console):
        raise click.UsageError("--live needs a terminal; in a pipe, use --format json")
    return LiveView(console, StreamTable(sequence or find_number))
