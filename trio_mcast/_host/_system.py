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
from .._errors import McastError, explain_refusal
from .._interface import Interface
from .._plan import SocketSpec
from .._platform import Platform, SocketOption, current_platform
from ._interfaces import read_interfaces
from ._protocols import InterfaceWatcher, McastSocket, Poller
from ._routes import routed_index

if sys.platform == "linux":
    from ._linux_io import LinuxSocket
    from ._linux_watch import NetlinkWatcher
    from ._posix_io import EpollPoller

_LINUX_ONLY = f"this version of trio_mcast opens sockets on Linux only, not on {sys.platform}"


class SystemHost:
    """The machine that this process runs on."""

    @property
    def platform(self) -> Platform:
        return current_platform()

    def list_interfaces(self) -> list[Interface]:
        try:
            return read_interfaces()
        except OSError as error:
            raise explain_refusal(
                error, step="list interfaces", group=None, interface=None
            ) from error

    def default_interface(
        self, group: Group, among: Sequence[Interface] | None = None
    ) -> Interface | None:
        if is_link_scoped(group.address):
            return None  # Every interface has such a link; no route chooses between them.
        try:
            index = routed_index(group)
        except OSError as error:
            raise explain_refusal(error, step="route", group=str(group), interface=None) from error
        if index is None:
            return None
        interfaces = self.list_interfaces() if among is None else among
        return next((item for item in interfaces if item.index == index), None)

    def watch(self, *, routes: bool = False) -> InterfaceWatcher:
        try:
            return _new_watcher(routes)
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
                ) from error
            raise

    def open_poller(self) -> Poller:
        try:
            return _new_poller()
        except OSError as error:
            raise explain_refusal(error, step="epoll_create", group=None, interface=None) from error


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
        sock.setsockopt(option.level, option.number, option.value)
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
    else:
        raise McastError(_LINUX_ONLY)


def _new_poller() -> Poller:
    if sys.platform == "linux":
        return EpollPoller()
    else:
        raise McastError(_LINUX_ONLY)


def _new_watcher(routes: bool) -> InterfaceWatcher:
    if sys.platform == "linux":
        return NetlinkWatcher(routes=routes)
    else:
        raise McastError(
            f"this version of trio_mcast watches interfaces on Linux only, not on {sys.platform}"
        )
