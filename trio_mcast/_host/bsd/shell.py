"""Sockets, interfaces, routes and waiting on macOS and FreeBSD."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..._plan.route import RouteAnswer
from ..._plan.socket_spec import SocketSpec
from ..._platform.model import Platform
from ..._values.addresses import Family, IPAddress
from ..._values.interface import Interface
from ..poller import OnFailure
from ..portable_socket import PosixSocket
from ..protocols import InterfaceWatcher, LookSteps, McastSocket, Poller

if not TYPE_CHECKING or (sys.platform != "linux" and sys.platform != "win32"):
    from .interfaces import read_bsd_interfaces
    from .kqueue import KqueuePoller
    from .routes import find_bsd_route
    from .watch import RoutingSocketWatcher

assert not TYPE_CHECKING or (sys.platform != "linux" and sys.platform != "win32")


class BsdShell:
    """A `Shell` for macOS and FreeBSD."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    def wrap_socket(
        self, sock: socket.socket, socket_spec: SocketSpec, applied: frozenset[str]
    ) -> McastSocket:
        return PosixSocket(sock, socket_spec, self.platform, applied)

    def look(self) -> LookSteps:
        yield read_bsd_interfaces()

    def find_route(self, address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
        return find_bsd_route(self.platform, address, interfaces)

    def open_poller(self, fail: OnFailure) -> Poller:
        return KqueuePoller(self.platform.name, fail)

    def watch(self, *, routes: bool) -> InterfaceWatcher:
        # A routing socket tells of routes in any case.
        return RoutingSocketWatcher(self.platform)

    def kernel_memberships(self, family: Family) -> None:
        """Return `None`: this system does not tell in a way that is used here."""
