"""The way of an address's datagrams on macOS and FreeBSD. Never run on either.

A connected UDP socket shows it (`_host.connected_route`). But a route that refuses, made by ``route
add -reject`` or ``-blackhole``, shows there as no route, or as one to the loopback interface. In
these cases the route is asked for by route(4), as its flags tell.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..._plan.route import Route, RouteAnswer, RouteRefusal
from ..._platform import bsd
from ..._platform.model import Platform
from ..._values.addresses import IPAddress
from ..._values.interface import Interface
from ..connected_route import route_by_connecting

assert not TYPE_CHECKING or sys.platform != "win32"

# Room for one message, and how many are read until the answer is among them: others come on the
# socket as well. Both are arbitrary.
_ANSWER_BYTES: Final = 2_048
_READS: Final = 100


def find_bsd_route(
    platform: Platform, address: IPAddress, interfaces: Sequence[Interface]
) -> RouteAnswer:
    """Return the way of datagrams to an address through one of some interfaces.

    Raises:
        OSError: The system refuses to tell.
    """
    route = route_by_connecting(address, interfaces)
    if isinstance(route, Route):
        interface = route.interface
        if interface is None or not interface.is_loopback or address.is_loopback:
            return route
    kind = _refusal_of(platform, address)
    return RouteRefusal(errno.EHOSTUNREACH, kind) if kind else route


def _refusal_of(platform: Platform, address: IPAddress) -> str:
    """Return how the route to an address refuses; an empty text if it does not, or is not told."""
    try:
        with socket.socket(bsd.AF_ROUTE, socket.SOCK_RAW, socket.AF_UNSPEC) as query:
            query.setblocking(False)
            query.send(bsd.route_question(platform, address))
            for _ in range(_READS):
                kind = bsd.route_refusal(query.recv(_ANSWER_BYTES), os.getpid())
                if kind is not None:
                    return kind
    except OSError:
        pass  # Without a route that is ESRCH.
    return ""
