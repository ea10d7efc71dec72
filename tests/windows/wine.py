"""What Wine needs that Windows does not, so that the same tests run on both."""

from __future__ import annotations

import ctypes
import sys

import attrs

from trio_mcast._host.protocols import McastSocket
from trio_mcast._host.system import SystemHost
from trio_mcast._plan.socket_spec import SocketSpec


def is_wine() -> bool:
    """Whether this is Wine: a function of its ntdll that Windows does not have."""
    if sys.platform == "win32":
        return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
    return False


def let_trio_start() -> None:
    """Give Trio what Wine 8 can do: it lacks SIO_BSP_HANDLE_SELECT, which Trio asks for first.

    Trio asks to find out whether something has wrapped the sockets, which nothing has in Wine.
    """
    if sys.platform == "win32":
        from trio._core import _io_windows
        from trio._core._windows_cffi import WSAIoctls

        original = _io_windows._get_underlying_socket
        base = WSAIoctls.SIO_BASE_HANDLE
        _io_windows._get_underlying_socket = lambda sock, *, which=base: original(sock, which=base)


class WineMachine(SystemHost):
    """This machine, with receivers bound to no address where it has to be.

    Linux gives a socket that is bound to an interface's address no multicast. Wine makes up for
    that, but not for IPv6 and not for 127.0.0.1.
    """

    def open_socket(self, socket_spec: SocketSpec) -> McastSocket:
        if socket_spec.group is not None:
            if socket_spec.family == "ipv6":
                socket_spec = attrs.evolve(socket_spec, bind=("::", socket_spec.bind[1], 0, 0))
            elif socket_spec.interface.is_loopback:
                socket_spec = attrs.evolve(socket_spec, bind=("0.0.0.0", socket_spec.bind[1]))
        return super().open_socket(socket_spec)
