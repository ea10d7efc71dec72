"""The interface to which macOS or FreeBSD routes a group, asked without sending anything.

A UDP socket is connected, and the socket's local address looked at. The way is portable; Linux has
a better one (`linux.routes`).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from ..._values.addresses import Group
from ..._values.interface import Interface

# The port to connect to. Nothing is sent, but the port must not be 0; the service of port 9 would
# discard what comes.
_DISCARD_PORT = 9
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL})


def interface_by_connecting(group: Group, interfaces: Sequence[Interface]) -> Interface | None:
    """Return the interface to which this machine routes a group; `None` without a route.

    The interface is the first with the address from which the machine would send.
    """
    family = socket.AF_INET if group.family == "ipv4" else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as query:
        try:
            query.connect((str(group.address), _DISCARD_PORT))
        except OSError as error:
            if error.errno in _NO_ROUTE:
                return None
            raise
        host, _port, *flow_and_scope = query.getsockname()
    local = ip_address(str(host).partition("%")[0])
    index = int(flow_and_scope[1]) if flow_and_scope else 0  # The scope of a link-local address.
    return next(
        (
            interface
            for interface in interfaces
            if local in interface.addresses(group.family) and index in (0, interface.index)
        ),
        None,
    )
