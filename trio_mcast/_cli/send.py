"""``trio-mcast send``: the command."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import click
import trio

from .. import McastError, McastSender, McastSenderSpec, SenderStatistics
from .._diagnosis.probe.header import HEADER_SIZE, Header, Kind
from .._values.addresses import MAX_DATAGRAM_BYTES
from .._values.errors import printable
from .pacing import Pacer, Rate, parse_rate
from .payloads import Content, choose_content
from .progress import progress_bar
from .rendering import counted
from .running import Command, Failure, run_until_stopped, usage_errors
from .sentences import leaves_of, one_line
from .targets import SOURCE, TARGET, Parsed, Target, sending_interface_option

# The datagrams that are handed to the system in one go, if so many are due.
_MOST_AT_ONCE = 64


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
    lines = [f"{counted(sending.count)}, {counted(sending.size, 'byte')}{pace}"]
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
    help="How far they go: 1 stays in this network, 2 passes one router, and so on.",
)
@click.option("--no-loopback", is_flag=True, help="Do not deliver to programs of this machine.")
@click.option("--from", "source", type=SOURCE, metavar="ADDRESS", help="The address to send from.")
@sending_interface_option
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
            source_address=target.source or source,
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
