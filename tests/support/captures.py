"""Frames and captures, written byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, ip_address

ETHERNET = 1


def udp(
    source: str,
    destination: str,
    data: bytes,
    *,
    ttl: int = 1,
    traffic_class: int = 0,
    extension: bytes = b"",
) -> bytes:
    """An IP packet from port 5000 to port 12345. An extension is a whole header of 8 bytes."""
    source_ip, destination_ip = ip_address(source), ip_address(destination)
    segment = struct.pack("!HHHH", 5000, 12345, 8 + len(data), 0) + data
    addresses = source_ip.packed + destination_ip.packed
    if isinstance(source_ip, IPv4Address):
        length = 20 + len(segment)
        head = struct.pack("!BBHHHBBH", 0x45, traffic_class, length, 0, 0, ttl, 17, 0)
        return head + addresses + segment
    kind = 60 if extension else 17  # Destination options.
    head = struct.pack(
        "!IHBB", 6 << 28 | traffic_class << 20 | 0x12345, len(extension) + len(segment), kind, ttl
    )
    return head + addresses + extension + segment


def ethernet(packet: bytes, *, vlan: int | None = None) -> bytes:
    ethertype = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
    padding = bytes(max(0, 46 - len(packet)))
    return bytes(12) + tag + struct.pack("!H", ethertype) + packet + padding


def pcap(
    frames: Iterable[tuple[int, bytes]],
    *,
    order: str = "<",
    nanoseconds: bool = False,
    link_type: int = ETHERNET,
) -> bytes:
    """A file of classic pcap, of frames with their times in nanoseconds."""
    magic, unit = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)]
    for time_ns, frame in frames:
        seconds, fraction = divmod(time_ns, 1_000_000_000)
        size = len(frame)
        parts += [struct.pack(f"{order}IIII", seconds, fraction // unit, size, size), frame]
    return b"".join(parts)


def pcapng(
    frames: Iterable[tuple[int, bytes]],
    *,
    order: str = "<",
    resolution: int | None = None,
    link_type: int = ETHERNET,
) -> bytes:
    """A pcapng file with one interface.

    ``resolution`` is the option if_tsresol: a power of ten, or with 0x80 of two; microseconds
    without one.
    """

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        size = struct.pack(f"{order}I", len(body) + 12)
        return struct.pack(f"{order}I", kind) + size + body + size

    options = b""
    if resolution is not None:
        options = struct.pack(f"{order}HHB3xHH", 9, 1, resolution, 0, 0)
    number = 6 if resolution is None else resolution
    per_second = (2 if number & 0x80 else 10) ** (number & 0x7F)
    parts = [
        block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1)),
        block(1, struct.pack(f"{order}HHI", link_type, 0, 0) + options),
    ]
    for time_ns, frame in frames:
        units = time_ns * per_second // 1_000_000_000
        head = struct.pack(
            f"{order}IIIII", 0, units >> 32, units & 0xFFFFFFFF, len(frame), len(frame)
        )
        parts.append(block(6, head + frame))
    return b"".join(parts)
