"""Captures of network traffic, as tcpdump and Wireshark write them: pcapng and classic pcap."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import attrs

try:
    # It reads pcapng only, and refuses classic pcap.
    import pcapng
    from pcapng.exceptions import PcapngException, TruncatedFile

    from .blocks import blocks
except ImportError:
    pcapng = None

_NS_PER_SECOND = 1_000_000_000

# The first four bytes of a file. Of classic pcap (draft-ietf-opsawg-pcap): the byte order, and how
# many nanoseconds a unit of the fraction of a second is.
_PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
_PCAP_MAGIC = {
    b"\xa1\xb2\xc3\xd4": (">", 1_000),
    b"\xd4\xc3\xb2\xa1": ("<", 1_000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
# The upper bits of the field with the link type tell of checksums at the end of frames.
_LINK_TYPE_BITS = 0x0FFF_FFFF


@attrs.frozen
class CapturedFrame:
    """One frame of a capture."""

    time_ns: int
    """The time of the capture, in nanoseconds since 1970 (UTC)."""
    link_type: int
    """The kind of link, as a number of the tcpdump project's list: 1 is Ethernet."""
    data: bytes
    """The frame, as far as it was captured."""


def read_capture(path: str | os.PathLike[str]) -> Iterator[CapturedFrame]:
    """Yield the frames of a capture, in the order of the file.

    Args:
        path: A file in the format pcapng or pcap.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is in neither format, or is damaged.
        ImportError: The file is pcapng, and python-pcapng is not installed.
    """
    with Path(path).open("rb") as file:
        magic = file.read(4)
        if magic == _PCAPNG_MAGIC:
            file.seek(0)
            yield from _read_pcapng(file, path)
        elif magic in _PCAP_MAGIC:
            yield from _read_pcap(file, *_PCAP_MAGIC[magic])
        else:
            raise ValueError(f"{os.fspath(path)!r} is no capture: it is neither pcapng nor pcap")


def _read_pcap(file: BinaryIO, order: str, unit_ns: int) -> Iterator[CapturedFrame]:
    header = file.read(20)
    if len(header) < 20:
        return
    (link_type,) = struct.unpack(f"{order}I", header[16:])
    record = struct.Struct(f"{order}IIII")
    # As with tcpdump -r, what was cut off at the end of a file is no error: so ends a capture whose
    # program was killed.
    while len(head := file.read(record.size)) == record.size:
        seconds, fraction, size, _ = record.unpack(head)
        data = file.read(size)
        if len(data) < size:
            return
        time_ns = seconds * _NS_PER_SECOND + fraction * unit_ns
        yield CapturedFrame(time_ns, link_type & _LINK_TYPE_BITS, data)


def _read_pcapng(file: BinaryIO, path: str | os.PathLike[str]) -> Iterator[CapturedFrame]:
    if pcapng is None:
        raise ImportError(
            "reading pcapng needs python-pcapng, which is not installed: "
            'pip install "trio-mcast[testing]"',
            name="pcapng",
        )
    time_ns = 0
    scanner = iter(pcapng.FileScanner(file))
    while True:
        try:
            with warnings.catch_warnings():  # Of its own use of what it deprecates (2.1.1).
                warnings.simplefilter("ignore", DeprecationWarning)
                block = next(scanner, None)
        except TruncatedFile:
            return  # As in `_read_pcap`.
        except (PcapngException, ValueError, LookupError, struct.error) as error:
            raise ValueError(f"{os.fspath(path)!r} is damaged: {error!r}") from error
        if block is None:
            return
        if isinstance(block, (blocks.EnhancedPacket, blocks.ObsoletePacket)):
            time_ns = _time_ns(block)
        elif not isinstance(block, blocks.SimplePacket):
            continue
        # A simple packet has no time: it counts as captured with the one before.
        yield CapturedFrame(time_ns, block.interface.link_type, bytes(block.packet_data))


def _time_ns(block: Any) -> int:
    """Return the time of a packet, without the rounding of a float."""
    units = (block.timestamp_high << 32) + block.timestamp_low
    option = block.interface.options.get("if_tsresol", 6)
    option = option if isinstance(option, int) else option[0]
    per_second = (2 if option & 0x80 else 10) ** (option & 0x7F)
    offset = block.interface.options.get("if_tsoffset", 0)
    return int(offset * _NS_PER_SECOND + units * _NS_PER_SECOND // per_second)
