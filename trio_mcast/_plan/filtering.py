"""The choice of sources: left to the system, or looked at after reading. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from .._platform import restrictions
from .._platform.model import Platform
from .._platform.options import SocketOption
from .._values.addresses import Group, IPAddress


@attrs.frozen
class Filtering:
    """The part of the choice that the system is to filter, socket by socket.

    Attributes:
        chunks: The only sources of each socket; nothing for any source.
        blocked: The excluded sources that the system is told of.
        looks: Whether each datagram is looked at, since the system does not filter the group.
        options: The options for that.
    """

    chunks: Sequence[Sequence[IPAddress]]
    blocked: Sequence[IPAddress]
    looks: bool = False
    options: tuple[SocketOption, ...] = ()


_ALL: Final = Filtering([[]], [])


def split_filters(
    group: Group, filters: tuple[Sequence[IPAddress], Sequence[IPAddress]], platform: Platform
) -> Filtering:
    """Split the choice of sources between the system and the reading.

    Args:
        group: The group.
        filters: The only sources that are wanted, or none for any; and the excluded ones.
        platform: The platform to plan for.
    """
    sources, excluded = filters
    if not platform.has_filters or group.text in platform.delivers_anywhere:
        options = tuple(restrictions.telling_options(platform, group.family))
        return Filtering([sources], [], looks=True, options=options)
    if not sources and not excluded:
        return _ALL
    # Sources beyond what one socket takes go to further sockets, exclusions do not: see above.
    limit = platform.source_limit.get(group.family) or max(len(sources), len(excluded), 1)
    chunks = [sources[i : i + limit] for i in range(0, len(sources), limit)]
    return Filtering(chunks or [[]], excluded[:limit] if platform.blocks_sources else [])
