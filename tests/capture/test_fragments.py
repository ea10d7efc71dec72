"""The fragments of datagrams that were larger than the MTU become whole again."""

from __future__ import annotations

import itertools
import random
import struct

import pytest

from tests.support.captures import ETHERNET, ethernet, udp
from trio_mcast._capture.datagrams import (
    CapturedDatagram,
    Fragment,
    Reassembly,
    content_of,
    datagram_of,
)

pytestmark = pytest.mark.once

DATA = bytes(random.Random(1).randbytes(3000))
FOUR = udp("10.0.0.9", "239.1.2.3", DATA, ttl=7, traffic_class=0xB8)
SIX = udp("2001:db8::9", "ff05::1:3", DATA, ttl=7, traffic_class=0xB8)
WITH_OPTIONS = udp("2001:db8::9", "ff05::1:3", DATA, ttl=7, extension=b"\x11" + bytes(7))
PACKETS = pytest.mark.parametrize(
    ("packet", "first"), [(FOUR, 0), (SIX, 17), (WITH_OPTIONS, 60)], ids=["IPv4", "IPv6", "options"]
)


def fragments(packet: bytes, first_header: int, number: int = 1, size: int = 1000) -> list[bytes]:
    """The frames of a packet that was cut into fragments."""
    start = 20 if packet[0] >> 4 == 4 else 40
    body, frames = packet[start:], []
    for offset in range(0, len(body), size):
        part, more = body[offset : offset + size], offset + size < len(body)
        if start == 20:
            place = (offset // 8) | (0x2000 if more else 0)
            fields = struct.pack("!HHH", 20 + len(part), number, place)
            cut = packet[:2] + fields + packet[8:20] + part
        else:
            header = struct.pack("!BBHI", first_header, 0, offset | more, number)
            fields = struct.pack("!HB", 8 + len(part), 44)
            cut = packet[:4] + fields + packet[7:40] + header + part
        frames.append(ethernet(cut))
    return frames


def read(frames: list[bytes], reassembly: Reassembly) -> list[CapturedDatagram | str]:
    datagrams: list[CapturedDatagram | str] = []
    for frame in frames:
        content = content_of(ETHERNET, frame)
        assert isinstance(content, Fragment)
        datagram = reassembly.add(content)
        if datagram is not None:
            datagrams.append(datagram)
    return datagrams


@PACKETS
def test_fragments_in_any_order_make_the_datagram(packet: bytes, first: int) -> None:
    whole = datagram_of(ETHERNET, ethernet(packet))
    assert isinstance(whole, CapturedDatagram)
    assert whole.data == DATA
    frames = fragments(packet, first)
    assert len(frames) == 4
    for order in itertools.permutations(frames):
        reassembly = Reassembly()
        assert read(list(order), reassembly) == [whole]
        assert reassembly.incomplete == 0


@PACKETS
def test_fragments_of_two_datagrams_are_told_apart(packet: bytes, first: int) -> None:
    mixed = [
        frame
        for pair in zip(fragments(packet, first, 1), fragments(packet, first, 2), strict=True)
        for frame in pair
    ]
    assert len(read(mixed, Reassembly())) == 2


@PACKETS
def test_missing_fragments_are_counted(packet: bytes, first: int) -> None:
    for missing in range(4):
        frames = fragments(packet, first)
        del frames[missing]
        reassembly = Reassembly()
        assert read(frames, reassembly) == []
        assert reassembly.incomplete == 3


def test_fragment_that_was_cut_short_makes_no_datagram() -> None:
    frames = fragments(FOUR, 0)
    frames[1] = frames[1][:-10]
    reassembly = Reassembly()
    assert read(frames, reassembly) == []
    assert reassembly.incomplete == 4


def test_fragments_that_never_become_whole_take_bounded_memory() -> None:
    reassembly = Reassembly()
    for number in range(1500):
        read(fragments(FOUR, 0, number)[:1], reassembly)
    assert reassembly.incomplete == 1500
    assert len(reassembly._parts) == 1024
