"""A network for the checks to themselves, on Linux, without any program or package."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
import sys

from tests.platform.place import LeftOut

if sys.platform == "linux":
    import fcntl

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SIOCSIFFLAGS = 0x8914  # linux/sockios.h; the same on every architecture that Debian has
_IFF_UP = 1  # linux/if.h

# Two cables, one end of each with addresses: what is sent on one is not on the other.
_COMMANDS = (
    "link add check0 type veth peer name far0",
    "link add check1 type veth peer name far1",
    *(f"link set {name} up" for name in ("check0", "far0", "check1", "far1")),
    "address add 10.42.0.1/24 dev check0",
    "address add 10.43.0.1/24 dev check1",
    "address add fd42::1/64 dev check0 nodad",
    "address add fd43::1/64 dev check1 nodad",
)


def enter_own_network() -> tuple[str, str | None]:
    """Leave the machine's network for one of one's own; the names of the interfaces to use.

    The thread, with all that it starts, is then in a namespace with a loopback interface, and with
    two more interfaces if the kernel has veth and the machine has the program ``ip``.

    Raises:
        LeftOut: This is not Linux, or the kernel refuses.
    """
    if sys.platform != "linux":
        raise LeftOut("networks of one's own are Linux's")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise LeftOut(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    _set_up("lo")
    try:
        for command in _COMMANDS:
            subprocess.run(["ip", *command.split()], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        return "lo", None
    except subprocess.CalledProcessError as error:
        print(f"only the loopback interface: {command}: {error.stderr.strip()}")
        return "lo", None
    return "check0", "check1"


def _set_up(name: str) -> None:
    if sys.platform == "linux":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            request = struct.pack("16sH14x", name.encode(), _IFF_UP)
            fcntl.ioctl(sock, _SIOCSIFFLAGS, request)
