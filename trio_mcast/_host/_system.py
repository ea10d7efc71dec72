"""`SystemHost`: this machine. Opens a `SocketSpec` as a real socket, all or nothing."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

from .._addresses import Group, is_link_scoped
from .._errors import McastError, explain_refusal
from .._interface import Interface
from .._plan import SocketSpec
from .._platform import Platform, current_platform
from ._carry_out import Step, carry_out
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

    def default_interface(self, group: Group) -> Interface | None:
        if is_link_scoped(group.address):
            return None  # Every interface has such a link; no route chooses between them.
        try:
            index = routed_index(group)
        except OSError as error:
            raise explain_refusal(error, step="route", group=str(group), interface=None) from error
        return next((item for item in self.list_interfaces() if item.index == index), None)

    def watch(self) -> InterfaceWatcher:
        try:
            return _new_watcher()
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
                raise step.explain(error, spec) from error
            raise

    def open_poller(self) -> Poller:
        try:
            return _new_poller()
        except OSError as error:
            raise explain_refusal(error, step="epoll_create", group=None, interface=None) from error


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
    else:
        raise McastError(_LINUX_ONLY)


def _new_poller() -> Poller:
    if sys.platform == "linux":
        return EpollPoller()
    else:
        raise McastError(_LINUX_ONLY)


def _new_watcher() -> InterfaceWatcher:
    if sys.platform == "linux":
        return NetlinkWatcher()
    else:
        raise McastError(
            f"this version of trio_mcast watches interfaces on Linux only, not on {sys.platform}"
        )
