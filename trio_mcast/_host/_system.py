"""`SystemHost`: this machine. Opens a `SocketSpec` as a real socket, all or nothing."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

from .._addresses import Group, is_link_scoped
from .._errors import explain_refusal
from .._interface import Interface
from .._plan import SocketSpec
from .._platform import Platform, SocketOption, current_platform
from ._interfaces import read_interfaces
from ._options import apply_option
from ._protocols import InterfaceWatcher, McastSocket, Poller
from ._routes import routed_interface

if sys.platform == "linux":
    from ._linux_io import LinuxSocket
    from ._linux_watch import NetlinkWatcher
    from ._posix_io import EpollPoller
elif sys.platform == "win32":
    from ._windows_interfaces import best_interface, read_windows_interfaces
    from ._windows_io import WindowsPoller, WindowsSocket
    from ._windows_watch import WindowsWatcher
else:
    from ._bsd_watch import RoutingSocketWatcher
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

    def default_interface(self, group: Group) -> Interface | None:
        if is_link_scoped(group.address):
            return None  # Every interface has such a link; no route chooses between them.
        interfaces = self.list_interfaces()
        try:
            return _routed_interface(group, interfaces)
        except OSError as error:
            raise explain_refusal(error, step="route", group=str(group), interface=None) from error

    def watch(self) -> InterfaceWatcher:
        try:
            return _new_watcher(self.platform)
        except OSError as error:
            raise explain_refusal(
                error, step="watch interfaces", group=None, interface=None
            ) from error

    def open_socket(self, spec: SocketSpec) -> McastSocket:
        step = _Step()
        sock: socket.socket | None = None
        try:
            sock = socket.socket(self.platform.sockaddr.number(spec.family), socket.SOCK_DGRAM)
            sock.setblocking(False)
            applied = _set_up(sock, spec, step)
            step.name, step.detail = "socket", ""
            return _wrap(sock, spec, self.platform, applied)
        except BaseException as error:
            if sock is not None:
                sock.close()
            if isinstance(error, OSError):
                raise explain_refusal(
                    error,
                    step=step.name,
                    detail=step.detail,
                    group=spec.group,
                    interface=spec.interface.name,
                    system=self.platform.name,
                ) from error
            raise

    def open_poller(self) -> Poller:
        try:
            return _new_poller()
        except OSError as error:
            step = "epoll_create" if self.platform.name == "linux" else "kqueue"
            raise explain_refusal(error, step=step, group=None, interface=None) from error


@attrs.define
class _Step:
    """What is being done, for the error if it is refused."""

    name: str = "socket"
    detail: str = ""


def _set_up(sock: socket.socket, spec: SocketSpec, step: _Step) -> frozenset[str]:
    """Set every option around the bind; the symbols of those that were set."""
    if _is_switched_off(spec):
        step.name = "MCAST_JOIN_GROUP"
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    applied = set()
    for after_bind in (False, True):
        for option in spec.options:
            if option.after_bind is after_bind:
                step.name, step.detail = option.symbol, f"({option.purpose})"
                symbol = _set_option(sock, option)
                if symbol is not None:
                    applied.add(symbol)
        if not after_bind:
            step.name, step.detail = "bind", f"to {spec.bind[0]} port {spec.bind[1]}"
            sock.bind(spec.bind)
    if spec.peer is not None:
        step.name, step.detail = "connect", f"to {spec.peer[0]} port {spec.peer[1]}"
        sock.connect(spec.peer)
    return frozenset(applied)


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


def _set_option(sock: socket.socket, option: SocketOption) -> str | None:
    """Set an option, or its fallback where it is refused; the symbol of the one that was set.

    `None` if all were refused and none is required.
    """
    try:
        apply_option(sock, option)
    except OSError:
        if option.fallback is not None:
            return _set_option(sock, option.fallback)
        if option.required:
            raise
        return None
    return option.symbol


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
    if sys.platform == "win32":
        return read_windows_interfaces()
    else:
        return read_interfaces()


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


def _new_watcher(platform: Platform) -> InterfaceWatcher:
    if sys.platform == "linux":
        return NetlinkWatcher()
    elif sys.platform == "win32":
        return WindowsWatcher()
    else:
        return RoutingSocketWatcher(platform)
