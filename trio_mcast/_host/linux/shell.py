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
from ..ticking_watch import TickingWatcher

if not TYPE_CHECKING or sys.platform == "linux":
    from .epoll import EpollPoller
    from .fast_path import LinuxSocket
    from .filters import as_it_filters
    from .interfaces import LinuxInterfaces
    from .memberships import read_memberships
    from .routes import find_linux_route
    from .watch import NetlinkWatcher
    from .without_netlink import REFUSALS, InterfacesWithoutNetlink, warn_once

assert not TYPE_CHECKING or sys.platform == "linux"


class LinuxShell:
    """A `Shell` for Linux, Android included."""

    def __init__(self, platform: Platform) -> None:
        self.platform = as_it_filters(platform)
        self._interfaces = LinuxInterfaces()
        self._other_interfaces = InterfacesWithoutNetlink()

    def wrap_socket(
        self, sock: socket.socket, socket_spec: SocketSpec, applied: frozenset[str]
    ) -> McastSocket:
        return LinuxSocket(sock, socket_spec, self.platform, applied)

    def look(self) -> LookSteps:
        try:
            steps = self._interfaces.look()
        except OSError as error:
            return self._without_netlink(error)
        return self._listed(steps)

    def _listed(self, steps: LookSteps) -> LookSteps:
        try:
            yield from steps
        except OSError as error:  # Android lets the socket be opened, and refuses the list.
            yield from self._without_netlink(error)

    def _without_netlink(self, error: OSError) -> LookSteps:
        """Look without netlink if that is what the system refuses; else raise the error."""
        if error.errno not in REFUSALS:
            raise error
        warn_once(error, "interfaces are listed by ioctl, without other names")
        return self._other_interfaces.look()

    def find_route(self, address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
        return find_linux_route(address, interfaces)

    def open_poller(self, fail: OnFailure) -> Poller:
        return EpollPoller(fail)

    def watch(self, *, routes: bool) -> InterfaceWatcher:
        try:
            return NetlinkWatcher(routes=routes)
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
            warn_once(error, "interfaces are looked at once a second")
            return TickingWatcher()

    def kernel_memberships(self, family: Family) -> KernelMemberships | None:
        return read_memberships(family)
