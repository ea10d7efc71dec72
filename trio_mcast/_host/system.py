"""`SystemHost`: this machine. Opens a `SocketSpec` as a real socket, all or nothing.

The shell of each system is chosen here, and nowhere else.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from platform import machine
from typing import TYPE_CHECKING, Final

from .._plan.route import RouteAnswer
from .._plan.socket_spec import SocketSpec
from .._platform.advice import explain_refusal
from .._platform.current import current_platform
from .._platform.model import Platform
from .._values.addresses import Family, IPAddress
from .._values.errors import McastError, SocketSetupError
from .._values.interface import Interface
from .carry_out import Step, carry_out
from .poller import OnFailure
from .protocols import InterfaceWatcher, KernelMemberships, LookSteps, McastSocket, Poller, Shell

if sys.platform == "linux" or sys.platform == "android":
    from .linux.shell import LinuxShell as SystemShell
elif sys.platform == "darwin" or sys.platform.startswith("freebsd"):
    from .bsd.shell import BsdShell as SystemShell
elif sys.platform == "win32":
    from .windows.shell import WindowsShell as SystemShell
elif not TYPE_CHECKING:
    SystemShell = None  # `current_platform` says so where anything is to be opened.


# Numbers that every Python knows, and in which architectures differ.
_TELLING: Final = ("SOL_SOCKET", "SO_REUSEADDR", "SO_SNDBUF", "SO_RCVBUF")


def _checked(platform: Platform) -> Platform:
    """Return the platform, if its numbers are those of this process, as far as Python tells.

    Raises:
        McastError: This is an architecture for which there are no tables.
    """
    for symbol in _TELLING:
        number = getattr(socket, symbol)
        if platform.constants[symbol] != number:
            raise McastError(
                f"trio_mcast has no tables for {platform.name} on {machine()}, where {symbol} is "
                f"{number}"
            )
    return platform


class SystemHost:
    """The machine on which the process runs."""

    def __init__(self, shell: Shell | None = None) -> None:
        """Take the shell to use; `None` for the shell of the system on which the process runs."""
        self._chosen_shell = shell

    @property
    def platform(self) -> Platform:
        return self._shell.platform

    @property
    def _shell(self) -> Shell:
        if self._chosen_shell is None:
            self._chosen_shell = SystemShell(_checked(current_platform()))
        return self._chosen_shell

    def _explain(self, error: OSError, *, step: str, group: str | None = None) -> SocketSetupError:
        return explain_refusal(
            error, step=step, group=group, interface=None, platform=self.platform.name
        )

    def list_interfaces(self) -> list[Interface]:
        return next(listed for listed in self.look() if listed is not None)

    def look(self) -> LookSteps:
        shell = self._shell
        try:
            steps = shell.look()
        except OSError as error:
            raise self._explain(error, step="list interfaces") from error
        return self._explained(steps)

    def _explained(self, steps: LookSteps) -> LookSteps:
        try:
            yield from steps
        except OSError as error:
            raise self._explain(error, step="list interfaces") from error

    def find_route(self, address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
        try:
            return self._shell.find_route(address, interfaces)
        except OSError as error:
            group = str(address) if address.is_multicast else None
            raise self._explain(error, step="route", group=group) from error

    def prefers_temporary(self, interface: Interface) -> bool:
        # Linux has this file: 2 and more means temporary addresses first. Others go by the RFC.
        setting = Path("/proc/sys/net/ipv6/conf", interface.name, "use_tempaddr")
        try:
            return int(setting.read_bytes()) >= 2
        except (OSError, ValueError):
            return True

    def watch(self, *, routes: bool = False) -> InterfaceWatcher:
        shell = self._shell
        try:
            return shell.watch(routes=routes)
        except OSError as error:
            raise self._explain(error, step="watch interfaces") from error

    def kernel_memberships(
        self, family: Family, interfaces: Collection[Interface]
    ) -> KernelMemberships | None:
        # Switching IPv6 off removes all addresses, so an address tells that it is on.
        off = frozenset(
            interface.index
            for interface in interfaces
            if not interface.ipv6_addresses and _is_switched_off(family, interface)
        )
        listed = self._shell.kernel_memberships(family)
        if listed is None or not off:
            return listed
        return _without(listed, off)

    def open_socket(self, socket_spec: SocketSpec) -> McastSocket:
        shell, step = self._shell, Step.first(socket_spec, self.platform)
        sock: socket.socket | None = None
        try:
            family = self.platform.sockaddr.number(socket_spec.family)
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.setblocking(False)
            is_group = socket_spec.group is not None
            if is_group and _is_switched_off(socket_spec.family, socket_spec.interface):
                step.name = "MCAST_JOIN_GROUP"
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            applied = carry_out(sock, socket_spec, step)
            step.name, step.detail = "socket", ""
            opened = shell.wrap_socket(sock, socket_spec, applied)
            opened.pending = step.pending
            return opened
        except BaseException as error:
            if sock is not None:
                sock.close()
            if isinstance(error, OSError):
                raise step.explain(error, socket_spec, self.platform.name) from error
            raise

    def open_poller(self, fail: OnFailure) -> Poller:
        shell = self._shell
        try:
            return shell.open_poller(fail)
        except OSError as error:
            step = "epoll_create" if self.platform.name == "linux" else "kqueue"
            raise self._explain(error, step=step) from error


def _without(memberships: KernelMemberships, indexes: frozenset[int]) -> KernelMemberships:
    """Yield memberships as they come, but for those on some interfaces."""
    with closing(memberships):
        for part in memberships:
            yield [membership for membership in part if membership[0] not in indexes]


def _is_switched_off(family: Family, interface: Interface) -> bool:
    """Tell whether an interface discards all that comes in a family.

    Linux joins an IPv6 group on an interface where IPv6 is switched off like on any other, sends no
    report and delivers nothing, all without an error (measured on 6.18). Only this file tells;
    where there is no such file, the join itself has to.
    """
    if family != "ipv6":
        return False
    switch = Path("/proc/sys/net/ipv6/conf", interface.name, "disable_ipv6")
    try:
        return switch.read_bytes().strip() != b"0"
    except OSError:
        return False
