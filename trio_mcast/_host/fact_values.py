"""The facts about links and routes that only a diagnosis asks for, as values."""

from __future__ import annotations

import attrs


@attrs.frozen
class LinkFacts:
    """Facts about a link.

    Attributes:
        is_running: Whether it has a carrier.
        is_point_to_point: Whether it leads to one other end only.
        kind: The kind of a virtual interface, such as ``"bridge"``; empty for others.
    """

    is_running: bool
    is_point_to_point: bool
    kind: str


@attrs.frozen
class RouteFacts:
    """The way of datagrams to an address.

    Attributes:
        index: The index of the interface; 0 if there is no way.
        gateway: The gateway; empty if there is none.
        kind: The type of the route, such as ``"multicast"``.
        errno: The error number if there is no way, else 0.
    """

    index: int = 0
    gateway: str = ""
    kind: str = ""
    errno: int = 0
