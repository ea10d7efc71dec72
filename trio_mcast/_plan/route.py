"""The system's answers to the question where it sends an address's datagrams. Pure."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from .._values.addresses import IPAddress
from .._values.interface import Interface


@attrs.frozen
class Route:
    """The way of datagrams to one address.

    Attributes:
        interface: The interface through which they leave; `None` if it is none of those that the
            question was about.
        source: The address that the route gives to the datagrams of a plain socket, be it another
            interface's. `None` if the route leaves that to the interface's addresses.
    """

    interface: Interface | None
    source: IPAddress | None = None


@attrs.frozen
class RouteRefusal:
    """A route or rule by which the system is not to send to an address at all.

    Attributes:
        errno: The error number that a plain socket gets.
        kind: The kind of the route or rule, as the system calls it.
    """

    errno: int
    kind: str


# `None` stands for no route.
RouteAnswer: TypeAlias = Route | RouteRefusal | None
