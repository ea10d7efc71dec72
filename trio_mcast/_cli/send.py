"""``trio-mcast send``: the command."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

import attrs
import click
import trio

from .. import McastError, McastSender, McastSenderSpec, SenderStatistics
from .._diagnosis.probe.header import HEADER_SIZE, Header, Kind
from .._values.addresses import MAX_DATAGRAM_BYTES
from .._values.errors import printable
from .pacing import Pacer, Rate, parse_rate
from .payloads import lines, pieces, repeated
from .progress import progress_bar
from .running import Command, Failure, leaves_of, one_line, run_until_stopped, usage_errors
from .targets import SOURCE, TARGET, Parsed, Target, interface_option

# The size of the pieces of a file: with the headers of IPv6 and UDP and of a tunnel it fits into
# the MTU of Ethernet.
_PIECE_BYTES = 1_400
# The size of a numbered datagram without a message.
_NUMBERED_BYTES = 64
# The pace of what is repeated, if none was given. Arbitrary: slow enough to read along.
_REPEATED = Rate(10)
# The datagrams that are handed to the system in one go, if so many are due.
_MOST_AT_ONCE = 64


@attrs.frozen(kw_only=True)
class Content:
    """The datagrams to send.

    Attributes:
        payloads: Gives lists of payloads, as they are there, without the header of numbered ones.
        rate: The pace, or `None` for as fast as can be.
        count: The number of datagrams after which to end; `None` if the payloads have an end, or
            none is wanted.
        total: The number of datagrams if it is known.
        endless: Whether it goes on until it is stopped.
    """

    payloads: Callable[[], AsyncGenerator[list[bytes], None]]
    rate: Rate | None
    count: int | None
    total: int | None
    endless: bool


class Sending:
    """The run of ``trio-mcast send``."""

    def __init__(self, spec: McastSenderSpec, content: Content, *, numbered: bool) -> None:
        self.statistics: SenderStatistics | None = None
        self.last_error: BaseException | None = None
        self.count = self.size = 0
        self.seconds = 0.0
        self.show: Callable[[int], None] = lambda count: None
        self._spec = spec
        self._content = content
        self._run = secrets.randbits(64) if numbered else None
        self._batch: list[bytes] = []

    async def run(self) -> None:
        """Send until there is nothing more to send, or enough was sent."""
        async with self._spec.open() as sender:
            start = trio.current_time()
            try:
                await self._send_all(sender)
            finally:
                self.seconds = trio.current_time() - start
                self.statistics = sender.statistics()

    async def _send_all(self, sender: McastSender) -> None:
        content = self._content
        pacer, header = Pacer(content.rate), 0 if self._run is None else HEADER_SIZE
        async with aclosing(content.payloads()) as lists:
            async for payloads in lists:
                for payload in payloads:
                    due = pacer.due(len(payload) + header, trio.current_time())
                    if due > trio.current_time() or len(self._batch) >= _MOST_AT_ONCE:
                        await self._send_batch(sender)
                        await trio.sleep_until(due)
                    self._batch.append(self._numbered(payload))
                    if self.count + len(self._batch) == content.count:
                        await self._send_batch(sender)
                        return
                await self._send_batch(sender)

    def _numbered(self, payload: bytes) -> bytes:
        if self._run is None:
            return payload
        number = self.count + len(self._batch)
        header = Header(Kind.NUMBERED, self._run, number, time.time_ns(), self._spec.ttl)
        return header.pack() + payload

    async def _send_batch(self, sender: McastSender) -> None:
        """Send what is due; what is refused counts as failed, and the next may go."""
        batch, self._batch = self._batch, []
        if not batch:
            return
        self.count += len(batch)
        self.size += sum(map(len, batch))
        try:
            await sender.send_batch(batch)
        except Exception as error:
            leaves = list(leaves_of(error))
            if not all(isinstance(leaf, McastError) for leaf in leaves):
                raise
            self.last_error = leaves[-1]
        self.show(self.count)


def describe_sent(sending: Sending) -> list[str]:
    """Return lines that tell what was sent and what failed, in all and by interface."""
    statistics, seconds = sending.statistics, sending.seconds
    if statistics is None:
        return []
    # A single one has no rate.
    pace = ""
    if sending.count > 1 and seconds > 0:
        bits = sending.size * 8 / seconds
        pace = f" in {seconds:.2f} s ({sending.count / seconds:,.1f}/s, {bits / 1e6:,.3f} Mbit/s)"
    lines = [f"{sending.count:,} datagrams, {sending.size:,} bytes{pace}"]
    for name, counts in statistics.interfaces.items():
        place = f"on {printable(name)}" if name else "without an interface"
        lines.append(f"  {place}: {counts.sent:,} sent, {counts.failed:,} failed")
    return lines


@click.command(
    cls=Command,
    examples=(
        "trio-mcast send 239.1.2.3:5000 hello",
        "date | trio-mcast send 239.1.2.3:5000 - --ttl 3",
        "trio-mcast send 239.1.2.3:5000 --numbered --count 200 --rate 100 --size 500",
        "trio-mcast send '[ff15::1234]:5000' --file notes.txt --rate 2.5Mbit --interface eth0",
    ),
)
@click.argument("target", metavar="GROUP:PORT", type=TARGET)
@click.argument("message", metavar="[MESSAGE | -]", required=False)
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    metavar="FILE",
    help="Send a file, in pieces of --size bytes.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    metavar="N",
    help="End after so many datagrams. Else a message is sent once, lines and files to their end, "
    "and --numbered alone goes on until Ctrl-C.",
)
@click.option(
    "--rate",
    type=Parsed("rate", parse_rate),
    metavar="RATE",
    help="Datagrams a second, as in 100, or bits of payload a second, as in 500kbit or 2.5Mbit "
    "(1 kbit is 1,000 bits). Else 10 a second where something is repeated, and lines and files as "
    "fast as can be.",
)
@click.option(
    "--size",
    type=click.IntRange(1, MAX_DATAGRAM_BYTES),
    metavar="BYTES",
    help="The payload of the datagrams: of a file 1,400, of --numbered alone 64, else what the "
    "message has. A message that is smaller is filled up with zeros.",
)
@click.option(
    "--ttl",
    type=click.IntRange(0, 255),
    default=1,
    show_default=True,
    metavar="N",
    help="How far they go: 1 not beyond this network, more through as many routers less one.",
)
@click.option("--no-loopback", is_flag=True, help="Do not deliver to programs of this machine.")
@click.option("--from", "source", type=SOURCE, metavar="ADDRESS", help="The address to send from.")
@interface_option
@click.option(
    "--numbered",
    is_flag=True,
    help="Begin each with a header of 32 bytes that has its number and time, for listen --live.",
)
def send(
    target: Target,
    message: str | None,
    file: Path | None,
    count: int | None,
    rate: Rate | None,
    size: int | None,
    ttl: int,
    no_loopback: bool,
    source: str | None,
    interfaces: tuple[str | int, ...],
    numbered: bool,
) -> int:
    """Send datagrams to a group.

    MESSAGE is one datagram; "-" is a datagram for each line of standard input, as it comes; --file
    is a file in pieces. With --numbered alone, the datagrams are padding. Tells in the end, on
    standard error, how many were sent and how many failed.

    The exit status is 1 if any datagram failed.
    """
    content = choose_content(message, file, count, rate, size, numbered)
    if target.interface is not None:
        interfaces = (target.interface,)
    with usage_errors():
        spec = McastSenderSpec(
            target.group,
            target.port,
            interfaces=interfaces or None,
            ttl=ttl,
            loopback=not no_loopback,
            source_address=source or target.source,
        )
    sending = Sending(spec, content, numbered=numbered)
    label = f"sending to {target}"
    with progress_bar(label, content.total) as sending.show:
        outcome = run_until_stopped(sending.run, endless=content.endless)
    for line in describe_sent(sending):
        click.echo(line, err=True)
    if sending.last_error is not None:
        raise Failure(one_line(str(sending.last_error)))
    return outcome.status(endless=content.endless)


def choose_content(
    message: str | None,
    file: Path | None,
    count: int | None,
    rate: Rate | None,
    size: int | None,
    numbered: bool,
) -> Content:
    """Return what the arguments of ``trio-mcast send`` say is to be sent.

    Raises:
        click.UsageError: They say nothing, or two things.
    """
    if message is not None and file is not None:
        raise click.UsageError("give a message or --file, not both")
    header = HEADER_SIZE if numbered else 0
    if size is not None and size <= header:
        raise click.UsageError(f"--size must be more than the {header} bytes of the header")
    if file is not None:
        piece = (size or _PIECE_BYTES) - header
        total = -(-file.stat().st_size // piece) if file.is_file() else None
        total = count if total is None else min(total, count or total)
        return Content(
            payloads=partial(pieces, file, piece),
            rate=rate,
            count=count,
            total=total,
            endless=False,
        )
    if message == "-":
        if size is not None:
            raise click.UsageError("--size does not go with the lines of standard input")
        return Content(
            payloads=partial(lines, sys.stdin.buffer),
            rate=rate,
            count=count,
            total=count,
            endless=False,
        )
    if message is None and not numbered:
        raise click.UsageError("say what to send: a message, - for lines, --file, or --numbered")
    if message is None:
        payload = bytes((size or _NUMBERED_BYTES) - header)
    else:
        payload = message.encode(errors="surrogateescape")
        if size is not None and len(payload) + header > size:
            raise click.UsageError(f"the message has {len(payload) + header} bytes, not {size}")
        payload = payload.ljust((size or 0) - header, b"\0")
        count = count or 1
    if len(payload) + header > MAX_DATAGRAM_BYTES:
        raise click.UsageError(f"a datagram has at most {MAX_DATAGRAM_BYTES:,} bytes")
    return Content(
        payloads=partial(repeated, payload),
        rate=rate or _REPEATED,
        count=count,
        total=count,
        endless=count is None,
    )
