"""The payloads to send: of messages, of files, and of standard input as it comes."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from functools import partial
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import attrs
import click
import trio

from .._diagnosis.probe.header import HEADER_SIZE
from .._values.addresses import MAX_DATAGRAM_BYTES
from .pacing import Rate
from .rendering import counted

_CHUNK_BYTES = 65_536
# The size of the pieces of a file: with the headers of IPv6 and UDP and of a tunnel it fits into
# the MTU of Ethernet.
_PIECE_BYTES = 1_400
# The size of a numbered datagram without a message.
_NUMBERED_BYTES = 64
# The pace of what is repeated, if none was given. Arbitrary: slow enough to read along.
_REPEATED = Rate(10)
# Arbitrary: enough to be sent in one go.
_REPEATED_AT_ONCE = 64


async def _read(file: BinaryIO) -> bytes:
    """Return what can be read from a file without a buffer, at once; nothing at its end.

    If it is cancelled, a thread is left that waits for more, and ends with the program. That thread
    must not hold the lock of a buffer, which Python takes at its end.
    """
    return await trio.to_thread.run_sync(file.read, _CHUNK_BYTES, abandon_on_cancel=True)


async def lines(file: BinaryIO) -> AsyncGenerator[list[bytes], None]:
    """Yield the lines of a file without a buffer, as many as have come, without their ends.

    Raises:
        ValueError: A line is larger than a datagram can be.
    """
    remaining = b""
    while chunk := await _read(file):
        *whole, remaining = (remaining + chunk).split(b"\n")
        _checked(remaining)
        yield list(map(_checked, whole))
    if remaining:
        yield [_checked(remaining)]


def _checked(line: bytes) -> bytes:
    if len(line) > MAX_DATAGRAM_BYTES + 1:  # A carriage return may be one of them.
        raise ValueError(f"a line is larger than a datagram can be, {MAX_DATAGRAM_BYTES:,} bytes")
    return line.removesuffix(b"\r")


async def pieces(path: Path, size: int) -> AsyncGenerator[list[bytes], None]:
    """Yield a file in pieces of so many bytes, of which the last may be smaller.

    Raises:
        OSError: The file cannot be read.
    """
    remaining = b""
    try:
        # A named pipe opens once somebody writes to it.
        with await trio.to_thread.run_sync(FileIO, path, abandon_on_cancel=True) as file:
            while chunk := await _read(file):
                remaining += chunk
                whole = len(remaining) - len(remaining) % size
                yield [remaining[start : start + size] for start in range(0, whole, size)]
                remaining = remaining[whole:]
    except OSError as error:
        error.filename = str(path)
        raise
    if remaining:
        yield [remaining]


async def repeated(payload: bytes) -> AsyncGenerator[list[bytes], None]:
    """Yield the same payload again and again."""
    while True:
        await trio.lowlevel.checkpoint()
        yield [payload] * _REPEATED_AT_ONCE


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
        payloads = partial(pieces, file, piece)
        return Content(payloads=payloads, rate=rate, count=count, total=total, endless=False)
    if message == "-":
        if size is not None:
            raise click.UsageError("--size does not go with the lines of standard input")
        payloads = partial(lines, FileIO(sys.stdin.fileno(), closefd=False))
        return Content(payloads=payloads, rate=rate, count=count, total=count, endless=False)
    if message is None and not numbered:
        raise click.UsageError("say what to send: a message, - for lines, --file, or --numbered")
    payloads = partial(repeated, _payload(message, size, header))
    if message is not None:
        count = count or 1
    pace = rate or _REPEATED
    return Content(payloads=payloads, rate=pace, count=count, total=count, endless=count is None)


def _payload(message: str | None, size: int | None, header: int) -> bytes:
    """Return a message, filled up to a size, or as much padding."""
    if message is None:
        return bytes((size or _NUMBERED_BYTES) - header)
    payload = message.encode(errors="surrogateescape")
    whole = len(payload) + header
    if size is not None and whole > size:
        raise click.UsageError(f"the message has {counted(whole, 'byte')}, not {size}")
    if whole > MAX_DATAGRAM_BYTES:
        raise click.UsageError(f"a datagram has at most {MAX_DATAGRAM_BYTES:,} bytes")
    return payload.ljust((size or 0) - header, b"\0")
