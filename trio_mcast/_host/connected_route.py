"""The way of an address's datagrams, asked by connecting a UDP socket. Nothing is sent.

The socket's local address is looked at. The way is portable; Linux has a better one
(`linux.routes`).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from .._plan.route import Route, RouteAnswer
from .._values.addresses import IPAddress, family_of, is_link_scoped
from .._values.interface import Interface

# The port to connect to. Nothing is sent, but the port must not be 0; the service of port 9 would
# discard what comes.
_DISCARD_PORT = 9
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL})


def route_by_connecting(address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
    """Return the way of datagrams to an address; `None` without a route.

    The interface is the first of some with the address from which the machine would send.

    Raises:
        OSError: The system refuses to tell.
    """
    if address.is_multicast and is_link_scoped(address):
        return None  # Every interface has such a link; no route chooses between them.
    family = family_of(address)
    kind = socket.AF_INET if family == "ipv4" else socket.AF_INET6
    with socket.socket(kind, socket.SOCK_DGRAM) as query:
        try:
            query.connect((str(address), _DISCARD_PORT))
        except OSError as error:
            if error.errno in _NO_ROUTE:
                return None
            raise
        host, _port, *flow_and_scope = query.getsockname()
    local = ip_address(str(host).partition("%")[0])
    index = int(flow_and_scope[1]) if flow_and_scope else 0  # The scope of a link-local address.
    interface = next(
        (
            interface
            for interface in interfaces
            if local in interface.addresses(family) and index in (0, interface.index)
        ),
        None,
    )
    # Left alone, the choice among IPv6 addresses is another one as soon as there is a new address.
    stays = family == "ipv4" or not address.is_multicast
    return Route(interface, local if stays else None)
