"""Received datagrams as text, as a hex dump, and as JSON. Pure."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from typing import Any

from .._values.datagram import Datagram
from .._values.errors import printable

_NS_PER_SECOND = 1_000_000_000
_BYTES_PER_ROW = 16


def as_text(datagram: Datagram) -> str:
    """Return one line: the facts that the datagram carries, and the payload as text."""
    return f"{heading(datagram)}: {payload_text(datagram.data)}\n"


def as_hex(datagram: Datagram) -> str:
    """Return a line with the facts that the datagram carries, and the payload in rows of bytes."""
    rows = [heading(datagram), *hex_rows(datagram.data)]
    return "\n".join(rows) + "\n"


def heading(datagram: Datagram) -> str:
    """Return the facts of a datagram, with those that were asked for."""
    size = len(datagram.data)
    parts = [
        f"{datagram.source} > {destination_text(datagram)} {printable(datagram.interface.name)}"
    ]
    if datagram.timestamp_ns is not None:
        parts.insert(0, time_text(datagram.timestamp_ns))
    if datagram.ttl is not None:
        parts.append(f"ttl {datagram.ttl}")
    if datagram.traffic_class is not None:
        parts.append(f"class 0x{datagram.traffic_class:02x}")
    parts.append(counted(size, "byte"))
    return " ".join(parts)


def counted(count: int, thing: str = "datagram") -> str:
    """Return a number of things in words, of which there may be one."""
    return f"1 {thing}" if count == 1 else f"{count:,} {thing}s"


def destination_text(datagram: Datagram) -> str:
    """Return the address and port that a datagram was sent to, without a zone."""
    destination = datagram.destination
    return str(destination._replace(host=destination.host.partition("%")[0]))


def time_text(time_ns: int) -> str:
    """Return a time in UTC, with all nanoseconds (ISO 8601)."""
    seconds, fraction = divmod(time_ns, _NS_PER_SECOND)
    whole = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def payload_text(data: bytes) -> str:
    """Return a payload as text that can do a terminal no harm.

    A line end at its end is left out; other characters that cannot be printed, and bytes that are
    no UTF-8, are escaped as in Python.
    """
    text = data.decode("utf-8", "backslashreplace").removesuffix("\n").removesuffix("\r")
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def hex_rows(data: bytes) -> list[str]:
    """Return rows of 16 bytes: the offset, the bytes, and the characters that are ASCII."""
    rows = []
    for offset in range(0, len(data), _BYTES_PER_ROW):
        part = data[offset : offset + _BYTES_PER_ROW]
        characters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        rows.append(f"  {offset:04x}  {part.hex(' '):<47}  {characters}")
    return rows


def as_record(datagram: Datagram) -> dict[str, Any]:
    """Return all facts of a datagram as JSON has them.

    ``data`` is the payload in base64, so that every byte survives. ``text`` is the payload as text
    if it is UTF-8 of characters that can be printed, tabs and line ends; else `None`.
    """
    time_ns = datagram.timestamp_ns
    return {
        "time": None if time_ns is None else time_text(time_ns),
        "timestamp_ns": time_ns,
        "source": printable(datagram.source.host),
        "source_port": datagram.source.port,
        "group": datagram.group,
        "destination": destination_host(datagram),
        "port": datagram.destination.port,
        "interface": printable(datagram.interface.name),
        "interface_index": datagram.interface.index,
        "ttl": datagram.ttl,
        "traffic_class": datagram.traffic_class,
        "size": len(datagram.data),
        "text": _plain_text(datagram.data),
        "data": base64.b64encode(datagram.data).decode(),
    }


def destination_host(datagram: Datagram) -> str:
    """Return the address that a datagram was sent to, without a zone."""
    return datagram.destination.host.partition("%")[0]


def _plain_text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    is_plain = all(character.isprintable() or character in "\t\r\n" for character in text)
    return text if is_plain else None
