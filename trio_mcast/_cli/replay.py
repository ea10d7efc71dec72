"""``trio-mcast replay``: the command."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import click
import trio

from .. import McastError, McastSender, SenderStatistics, open_mcast_sender
from .._capture.playing import Played, Survey, multicast_of, survey
from .._diagnosis.probe.timing import quantile
from .._values.errors import printable
from .progress import progress_bar
from .rendering import counted
from .running import Command, Failure, run_until_stopped
from .sentences import describe_os_error, leaves_of, one_line
from .targets import TARGET, Parsed, Target, sending_interface_option

_NS_PER_SECOND = 1_000_000_000
# Trio wakes up to a millisecond late, as epoll counts in these. So much earlier it is asked to, and
# the rest is slept by the thread itself, which is exact to some 60 microseconds (measured).
_EARLY_SECONDS = 0.002


def parse_speed(text: str) -> float:
    """Return how many times as fast as it was captured a text says: ``2``, ``0.5``, ``max``.

    Raises:
        ValueError: The text is no such number.
    """
    if text == "max":
        return float("inf")
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise ValueError(f"{text!r} is no speed: write a number such as 2 or 0.5, or max")
    return speed


class Replaying:
    """The run of ``trio-mcast replay``.

    Each datagram is due at its time after the first one's; the errors are how late each went,
    in nanoseconds.
    """

    def __init__(
        self,
        path: Path,
        content: Survey,
        *,
        to: Target | None,
        interfaces: Sequence[str | int],
        speed: float,
        loops: int,
    ) -> None:
        self.sent = self.failed = self.size = 0
        self.seconds = 0.0
        self.errors = array("q")
        self.last_error: BaseException | None = None
        self.statistics: list[SenderStatistics] = []
        self.show: Callable[[int], None] = lambda count: None
        self._path = path
        self._content = content
        self._to = to
        self._interfaces = tuple(interfaces) or None
        self._speed = speed
        self._loops = loops

    async def run(self) -> None:
        """Send everything, as often as asked."""
        async with AsyncExitStack() as stack:
            senders: dict[str, McastSender] = {}
            to = self._to
            groups = self._content.groups if to is None else {to.group: to.port}
            for group, port in groups.items():
                opening = open_mcast_sender(
                    group,
                    port,
                    interfaces=self._interfaces,
                    source_address=None if to is None else to.source,
                )
                senders[group] = await stack.enter_async_context(opening)
            start = trio.current_time()
            try:
                for number in range(self._loops):
                    await self._play(senders, start + number * self._loop_seconds())
            finally:
                self.seconds = trio.current_time() - start
                self.statistics = [sender.statistics() for sender in senders.values()]

    def _loop_seconds(self) -> float:
        """Return the time from the beginning of a loop to that of the next.

        The first datagram follows the last after the usual interval.
        """
        count, duration = self._content.count, self._content.duration_ns / _NS_PER_SECOND
        return (duration + duration / max(1, count - 1)) / self._speed

    async def _play(self, senders: dict[str, McastSender], start: float) -> None:
        first_ns: int | None = None
        due = start
        for played in multicast_of(self._path, Counter()):
            if first_ns is None:
                first_ns = played.time_ns
            # A capture of several interfaces may not be in the order of time.
            seconds = (played.time_ns - first_ns) / _NS_PER_SECOND / self._speed
            due = max(due, start + seconds)
            if self._speed != float("inf"):
                await _sleep_until(due)
                self.errors.append(round((trio.current_time() - due) * _NS_PER_SECOND))
            await self._send(senders, played)

    async def _send(self, senders: dict[str, McastSender], played: Played) -> None:
        group, port = played.group, played.port
        if self._to is not None:
            group, port = self._to.group, self._to.port
        try:
            await senders[group].send(played.data, to=(group, port))
        except Exception as error:
            self.last_error = next(leaves_of(error))
            if not isinstance(self.last_error, McastError):
                raise
            self.failed += 1
        else:
            self.sent += 1
            self.size += len(played.data)
        self.show(self.sent + self.failed)


async def _sleep_until(due: float) -> None:
    await trio.sleep_until(due - _EARLY_SECONDS)
    remaining = due - trio.current_time()
    if remaining > 0:
        time.sleep(remaining)  # noqa: ASYNC251


def describe_replay(replaying: Replaying, content: Survey) -> list[str]:
    """Return lines that tell what was sent, what failed, how exact it was, and what was left."""
    failed = f", {replaying.failed:,} failed" if replaying.failed else ""
    lines = [
        f"{counted(replaying.sent)}, {counted(replaying.size, 'byte')} sent in "
        f"{replaying.seconds:.2f} s{failed}"
    ]
    places: Counter[str] = Counter()
    for statistics in replaying.statistics:
        for name, counts in statistics.interfaces.items():
            places[printable(name)] += counts.sent
    lines += [f"  on {name}: {count:,} sent" for name, count in places.items() if name]
    if replaying.errors:
        ordered = sorted(replaying.errors)
        median, high, most = (quantile(ordered, share) / 1e6 for share in (0.5, 0.99, 1))
        lines.append(
            f"sent late by: median {median:.3f} ms, 99 % {high:.3f} ms, largest {most:.3f} ms"
        )
    if content.skipped:
        lines.append(f"skipped: {_reasons(content)}")
    return lines


def _reasons(content: Survey) -> str:
    reasons = sorted(content.skipped.items(), key=lambda reason: -reason[1])
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons)


@click.command(
    cls=Command,
    examples=(
        "trio-mcast replay capture.pcapng",
        "trio-mcast replay capture.pcap --speed 10 --loop 3 --to 239.9.9.9:6000 --interface eth0",
        "trio-mcast replay capture.pcapng --speed max",
    ),
)
@click.argument(
    "path",
    metavar="FILE.pcap[ng]",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
)
@click.option(
    "--speed",
    type=Parsed("speed", parse_speed),
    default=1.0,
    metavar="X|max",
    help="So many times as fast as it was captured, or as fast as can be. Default: 1.",
)
@click.option(
    "--loop", "loops", type=click.IntRange(min=1), default=1, metavar="N", help="Send it N times."
)
@click.option(
    "--to",
    type=TARGET,
    metavar="GROUP:PORT",
    help="Send everything there. Else where it went. SOURCE@GROUP:PORT sends from that address.",
)
@sending_interface_option
def replay(
    path: Path,
    speed: float,
    loops: int,
    to: Target | None,
    interfaces: tuple[str | int, ...],
) -> int:
    """Send the datagrams of a capture again, with the pauses that they had.

    Reads pcapng and pcap, as Wireshark, tcpdump and listen --write make them. Sends each UDP
    datagram that went to a group, from this machine's address, with a ttl of 1; fragments are put
    together. What else is in the capture is skipped, and counted. Tells in the end how exact the
    times were.

    The exit status is 1 if any datagram failed, or the capture has none to a group.
    """
    content = _survey(path)
    if to is not None and to.interface is not None:
        interfaces = (to.interface,)
    replaying = Replaying(path, content, to=to, interfaces=interfaces, speed=speed, loops=loops)
    with progress_bar(f"replaying {path.name}", content.count * loops) as replaying.show:
        outcome = run_until_stopped(replaying.run, endless=False)
    for line in describe_replay(replaying, content):
        click.echo(line, err=True)
    if replaying.last_error is not None:
        raise Failure(one_line(str(replaying.last_error)))
    return outcome.status(endless=False)


def _survey(path: Path) -> Survey:
    try:
        content = survey(path)
    except OSError as error:
        raise Failure(describe_os_error(error)) from error
    except ValueError as error:
        raise Failure(one_line(str(error))) from error
    if not content.count:
        reasons = f": {_reasons(content)}" if content.skipped else ""
        raise Failure(f"{printable(str(path))} has no UDP datagram to a group{reasons}")
    return content
