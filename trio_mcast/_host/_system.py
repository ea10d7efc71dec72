"""`SystemHost`: this machine. Opens a `SocketSpec` as a real socket, all or nothing."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from .._addresses import Group, is_link_scoped
from .._errors import explain_refusal
from .._interface import Interface
from .._plan import SocketSpec
from .._platform import Platform, current_platform
from ._carry_out import Step, carry_out
from ._protocols import InterfaceWatcher, McastSocket, Poller
from ._routes import routed_interface

if sys.platform == "linux":
    from ._linux_epoll import EpollPoller
    from ._linux_interfaces import read_linux_interfaces
    from ._linux_io import LinuxSocket
    from ._linux_watch import NetlinkWatcher
elif sys.platform == "win32":
    from ._windows_interfaces import best_interface, read_windows_interfaces
    from ._windows_io import WindowsPoller, WindowsSocket
    from ._windows_watch import WindowsWatcher
else:
    from ._bsd_watch import RoutingSocketWatcher
    from ._interfaces import read_bsd_interfaces
    from ._kqueue import KqueuePoller
    from ._posix_io import PosixSocket


class SystemHost:
    """The machine that this process runs on."""

    @property
    def platform(self) -> Platform:
        return current_platform()

    def list_interfaces(self) -> list[Interface]:
        try:
            return _read_interfaces()
        except OSError as error:
            raise explain_refusal(
                error, step="list interfaces", group=None, interface=None
            ) from error

    def default_interface(
        self, group: Group, among: Sequence[Interface] | None = None
    ) -> Interface | None:
        if is_link_scoped(group.address):
            return None  # Every interface has such a link; no route chooses between them.
        interfaces = self.list_interfaces() if among is None else among
        try:
            return _routed_interface(group, interfaces)
        except OSError as error:
            raise explain_refusal(error, step="route", group=str(group), interface=None) from error

    def watch(self, *, routes: bool = False) -> InterfaceWatcher:
        try:
            return _new_watcher(self.platform, routes)
        except OSError as error:
            raise explain_refusal(
                error, step="watch interfaces", group=None, interface=None
            ) from error

    def open_socket(self, spec: SocketSpec) -> McastSocket:
        step = Step()
        sock: socket.socket | None = None
        try:
            sock = socket.socket(self.platform.sockaddr.number(spec.family), socket.SOCK_DGRAM)
            sock.setblocking(False)
            if _is_switched_off(spec):
                step.name = "MCAST_JOIN_GROUP"
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            applied = carry_out(sock, spec, step)
            step.name, step.detail = "socket", ""
            return _wrap(sock, spec, self.platform, applied)
        except BaseException as error:
            if sock is not None:
                sock.close()
            if isinstance(error, OSError):
                raise step.explain(error, spec, self.platform.name) from error
            raise

    def open_poller(self) -> Poller:
        try:
            return _new_poller()
        except OSError as error:
            step = "epoll_create" if self.platform.name == "linux" else "kqueue"
            raise explain_refusal(error, step=step, group=None, interface=None) from error


def _is_switched_off(spec: SocketSpec) -> bool:
    """Whether the interface discards what the socket is to receive.

    Linux joins an IPv6 group on an interface where IPv6 is switched off like on any other, sends no
    report and delivers nothing, all without an error (measured on 6.18). Only this file tells;
    where it does not exist, the join itself has to.
    """
    if spec.group is None or spec.family != "ipv6":
        return False
    switch = Path("/proc/sys/net/ipv6/conf", spec.interface.name, "disable_ipv6")
    try:
        return switch.read_bytes().strip() != b"0"
    except OSError:
        return False


def _wrap(
    sock: socket.socket, spec: SocketSpec, platform: Platform, applied: frozenset[str]
) -> McastSocket:
    if sys.platform == "linux":
        return LinuxSocket(sock, spec, platform, applied)
    elif sys.platform == "win32":
        return WindowsSocket(sock, spec, platform, applied)
    else:
        return PosixSocket(sock, spec, platform, applied)


def _read_interfaces() -> list[Interface]:
    if sys.platform == "linux":
        return read_linux_interfaces()
    elif sys.platform == "win32":
        return read_windows_interfaces()
    else:
        return read_bsd_interfaces()


def _routed_interface(group: Group, interfaces: Sequence[Interface]) -> Interface | None:
    if sys.platform == "win32":
        return best_interface(group, interfaces)
    else:
        return routed_interface(group, interfaces)


def _new_poller() -> Poller:
    if sys.platform == "linux":
        return EpollPoller()
    elif sys.platform == "win32":
        return WindowsPoller()
    else:
        return KqueuePoller()


def _new_watcher(platform: Platform, routes: bool) -> InterfaceWatcher:
    if sys.platform == "linux":
        return NetlinkWatcher(routes=routes)
    elif sys.platform == "win32":
        return WindowsWatcher(routes=routes)
    else:
        return RoutingSocketWatcher(platform)
