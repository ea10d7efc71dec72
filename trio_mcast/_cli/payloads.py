"""Payloads from files and from standard input, as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import BinaryIO

import trio

from .._values.addresses import MAX_DATAGRAM_BYTES

_CHUNK_BYTES = 65_536
# Arbitrary: enough to be sent in one go.
_REPEATED_AT_ONCE = 64


async def _read(file: BinaryIO) -> bytes:
    """Return what can be read from a file, at once as it comes; nothing at its end.

    If it is cancelled, a thread is left that waits for more, and ends with the program.
    """
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)
    return await trio.to_thread.run_sync(read, _CHUNK_BYTES, abandon_on_cancel=True)


async def lines(file: BinaryIO) -> AsyncGenerator[list[bytes], None]:
    """Yield the lines of a file, as many as have come, without their ends.

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
        with path.open("rb") as file:
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
