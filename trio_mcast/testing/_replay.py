"""Playing captured datagrams into a virtual network."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import Final

import attrs
import trio

from .._capture.datagrams import datagram_of
from .._capture.reading import CapturedFrame, read_capture
from .._values.addresses import IPAddress
from .._values.numbers import MOST_SECONDS, parse_int
from ._core import Core
from ._frames import Packet
from ._scheduler import NS_PER_SECOND
from ._switch import VirtualSwitch

_BROADCAST = "broadcast"

# Before and after 1970: some 300 years.
_MOST_NS: Final = 9 * MOST_SECONDS * NS_PER_SECOND


@attrs.frozen
class Replay:
    """The outcome of `VirtualNetwork.replay`."""

    played: int
    """The number of datagrams that were put on the switch."""
    skipped: dict[str, int] = attrs.field(hash=False)
    """The number of frames that were not played, by reason: ``"not IP"``, ``"not UDP"``,
    ``"fragment"`` (of a datagram that was larger than the MTU), ``"cut short"`` (the capture has
    only the beginning), ``"broadcast"`` (a virtual network has none), ``"unknown link type"``.
    """


async def replay(
    core: Core,
    switch: VirtualSwitch,
    capture: str | os.PathLike[str] | Iterable[CapturedFrame],
) -> Replay:
    """Play the datagrams of a capture, each at its time after the first frame's."""
    frames = read_capture(capture) if isinstance(capture, (str, os.PathLike)) else capture
    if isinstance(frames, (bytes, bytearray)) or not isinstance(frames, Iterable):
        raise TypeError(_type_message(frames))
    skipped: Counter[str] = Counter()
    played = 0
    start = trio.current_time()
    first_ns: int | None = None
    await trio.lowlevel.checkpoint()
    for frame in frames:
        if not isinstance(frame, CapturedFrame):
            raise TypeError(_type_message(frame))
        what = "time_ns of a captured frame"
        parse_int(frame.time_ns, what, -_MOST_NS, _MOST_NS, unit="nanoseconds")
        if first_ns is None:
            first_ns = frame.time_ns
        datagram = datagram_of(frame.link_type, frame.data)
        if not isinstance(datagram, str) and _is_broadcast(datagram.destination, switch):
            datagram = _BROADCAST
        if isinstance(datagram, str):
            skipped[datagram] += 1
            continue
        await trio.sleep_until(start + (frame.time_ns - first_ns) / NS_PER_SECOND)
        core.enter()
        switch.play(Packet(*attrs.astuple(datagram, recurse=False)))
        played += 1
    return Replay(played, dict(skipped))


def _type_message(value: object) -> str:
    return (
        "capture must be a path, or an iterable of CapturedFrame such as read_capture gives, "
        f"not {type(value).__name__}: {value!r:.100}"
    )


def _is_broadcast(destination: IPAddress, switch: VirtualSwitch) -> bool:
    return str(destination) == "255.255.255.255" or switch.has_broadcast_address(destination)
