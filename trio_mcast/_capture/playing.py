"""The datagrams of a capture that can be sent again, with their times."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Final

import attrs

from .datagrams import CapturedDatagram, Fragment, Reassembly, content_of
from .reading import read_capture

#: The reasons to leave a datagram aside, besides those of the module ``datagrams``.
NO_GROUP: Final = "not to a group"
NO_PORT: Final = "to port 0"
INCOMPLETE: Final = "fragment without the others"


@attrs.frozen
class Played:
    """A datagram of a capture.

    Attributes:
        time_ns: The time of its capture, in nanoseconds since 1970 (UTC); of one in fragments, of
            the last.
        group: The group, as text.
        port: The port.
        data: The payload.
    """

    time_ns: int
    group: str
    port: int
    data: bytes


def multicast_of(path: str | os.PathLike[str], skipped: Counter[str]) -> Iterator[Played]:
    """Yield the UDP datagrams to groups in a capture, in the order of the file.

    Args:
        path: A file in the format pcapng or pcap.
        skipped: Counts the frames that have no such datagram, by reason. Those of fragments that
            belong to no whole datagram are added at the end.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is in neither format, or is damaged.
    """
    reassembly = Reassembly()
    for frame in read_capture(path):
        content: CapturedDatagram | Fragment | str | None
        content = content_of(frame.link_type, frame.data)
        if isinstance(content, Fragment):
            content = reassembly.add(content)
        if isinstance(content, str):
            skipped[content] += 1
        elif content is not None:
            destination = content.destination
            if not destination.is_multicast:
                skipped[NO_GROUP] += 1
            elif content.port == 0:
                skipped[NO_PORT] += 1
            else:
                yield Played(frame.time_ns, str(destination), content.port, content.data)
    if reassembly.incomplete:
        skipped[INCOMPLETE] += reassembly.incomplete


@attrs.frozen
class Survey:
    """The content of a capture.

    Attributes:
        groups: The groups of its datagrams, with a port of each.
        count: The number of its datagrams to groups.
        size: The bytes of their payloads.
        duration_ns: The time from the first of them to the latest.
        skipped: The number of frames without such a datagram, by reason.
    """

    groups: dict[str, int]
    count: int
    size: int
    duration_ns: int
    skipped: dict[str, int]


def survey(path: str | os.PathLike[str]) -> Survey:
    """Read a capture to its end, and return what is in it.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is in neither format, or is damaged.
    """
    skipped: Counter[str] = Counter()
    groups: dict[str, int] = {}
    count = size = first = latest = 0
    for played in multicast_of(path, skipped):
        if not count:
            first = latest = played.time_ns
        count += 1
        size += len(played.data)
        latest = max(latest, played.time_ns)
        groups.setdefault(played.group, played.port)
    return Survey(groups, count, size, latest - first, dict(skipped))
