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
        lower: The index of the link that a VLAN or macvlan stands on; 0 if there is none,
            or if it is in another network namespace.
    """

    is_running: bool
    is_point_to_point: bool
    kind: str
    lower: int = 0


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


@attrs.frozen
class SourceChoice:
    """The sources from which a socket wants a group.

    Attributes:
        excludes: Whether all but the sources are wanted.
        sources: The sources.
    """

    excludes: bool
    sources: tuple[str, ...]


@attrs.frozen
class SocketFacts:
    """The facts that a socket of another program tells.

    Attributes:
        user: The number of the user whose it is.
        address: The address that it is bound to; empty if it is not bound.
        port: The port that it is bound to; 0 if it is not bound.
        choices: For each group and interface that it was asked about, the sources; `None` if it has
            not joined the group there.
    """

    user: int
    address: str
    port: int
    choices: tuple[SourceChoice | None, ...]
