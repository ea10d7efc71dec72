"""Sockets, interfaces, routes and waiting on Windows."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..._plan.route import Route, RouteAnswer
from ..._plan.socket_spec import SocketSpec
from ..._platform.model import Platform
from ..._values.addresses import Family, IPAddress, is_link_scoped
from ..._values.interface import Interface
from ..connected_route import route_by_connecting
from ..poller import OnFailure
from ..protocols import InterfaceWatcher, LookSteps, McastSocket, Poller

if not TYPE_CHECKING or sys.platform == "win32":
    from .interfaces import best_interface, read_windows_interfaces
    from .socket import WindowsPoller, WindowsSocket
    from .watch import WindowsWatcher

assert not TYPE_CHECKING or sys.platform == "win32"


class WindowsShell:
    """A `Shell` for Windows."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    def wrap_socket(
        self, sock: socket.socket, socket_spec: SocketSpec, applied: frozenset[str]
    ) -> McastSocket:
        return WindowsSocket(sock, socket_spec, self.platform, applied)

    def look(self) -> LookSteps:
        yield read_windows_interfaces()

    def find_route(self, address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
        if not address.is_multicast:
            return route_by_connecting(address, interfaces)
        if is_link_scoped(address):
            return None  # Every interface has such a link; no route chooses between them.
        interface = best_interface(address, interfaces)
        return None if interface is None else Route(interface)

    def open_poller(self, fail: OnFailure) -> Poller:
        return WindowsPoller(fail)

    def watch(self, *, routes: bool) -> InterfaceWatcher:
        return WindowsWatcher(routes=routes)

    def kernel_memberships(self, family: Family) -> None:
        """Return `None`: this system does not tell in a way that is used here."""
