"""Sockets, interfaces, routes and waiting on Linux."""

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
from ..protocols import InterfaceWatcher, KernelMemberships, LookSteps, McastSocket, Poller

if not TYPE_CHECKING or sys.platform == "linux":
    from .epoll import EpollPoller
    from .fast_path import LinuxSocket
    from .interfaces import LinuxInterfaces
    from .memberships import read_memberships
    from .routes import find_linux_route
    from .watch import NetlinkWatcher

assert not TYPE_CHECKING or sys.platform == "linux"


class LinuxShell:
    """A `Shell` for Linux, Android included."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._interfaces = LinuxInterfaces()

    def wrap_socket(
        self, sock: socket.socket, socket_spec: SocketSpec, applied: frozenset[str]
    ) -> McastSocket:
        return LinuxSocket(sock, socket_spec, self.platform, applied)

    def look(self) -> LookSteps:
        return self._interfaces.look()

    def find_route(self, address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
        return find_linux_route(address, interfaces)

    def open_poller(self, fail: OnFailure) -> Poller:
        return EpollPoller(fail)

    def watch(self, *, routes: bool) -> InterfaceWatcher:
        return NetlinkWatcher(routes=routes)

    def kernel_memberships(self, family: Family) -> KernelMemberships | None:
        return read_memberships(family)
