"""Network namespaces which are held by a file descriptor.

A namespace made by ``ip netns add`` has a name, is seen by the whole machine, and stays behind when
its maker is killed. One that is held only by file descriptors and threads has none of these faults:
the kernel removes it, with every interface in it, when the last of them is gone. That needs no more
than CAP_SYS_ADMIN in the current user namespace, so it also works for an unprivileged user under
``unshare --user --map-root-user --net --mount``.

``os.unshare`` and ``os.setns`` came with Python 3.12; for earlier versions, which we support, both
are called through ctypes.
"""

from __future__ import annotations

import ctypes
import functools
import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000  # linux/sched.h

# "thread-self", since "self" means the process's first thread and a namespace belongs to a thread.
_THREAD_NAMESPACE = "/proc/thread-self/ns/net"

_SIOCSIFFLAGS = 0x8914  # linux/sockios.h
_IFF_UP = 1  # linux/if.h


class LabError(Exception):
    """Something which the lab was asked to do did not work."""


@functools.cache
def _libc() -> ctypes.CDLL:
    """Return the C library; to look it up costs more than to call it."""
    return ctypes.CDLL(None, use_errno=True)


def _system_call(name: str, *arguments: int) -> None:
    """Call a libc function that returns 0 or sets errno."""
    if getattr(_libc(), name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


class Namespace:
    """One network namespace, alive until ``close`` or the end of this process."""

    def __init__(self) -> None:
        """Make an empty namespace: its only interface is ``lo``, which is down."""
        self._fd = -1
        failure: list[OSError] = []

        def make() -> None:
            try:
                _system_call("unshare", CLONE_NEWNET)
                self._fd = os.open(_THREAD_NAMESPACE, os.O_RDONLY)
            except OSError as error:
                failure.append(error)

        # In a thread of its own, because unshare also moves the calling thread. The thread ends and
        # the descriptor remains.
        thread = threading.Thread(target=make, name="new network namespace")
        thread.start()
        thread.join()
        if failure:
            raise failure[0]

    @property
    def path(self) -> str:
        """A path by which ``ip link ... netns PATH`` and ``nsenter --net=PATH`` find it."""
        if self._fd < 0:
            raise LabError("this namespace has been closed")
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let the calling thread, and what it opens or starts, be in the namespace for the block.

        A socket stays in the namespace in which it was created, so only the creation needs to be
        inside. Do not await in the block: other Trio tasks in this thread would then run inside,
        too.
        """
        if self._fd < 0:
            raise LabError("this namespace has been closed")
        previous = os.open(_THREAD_NAMESPACE, os.O_RDONLY)
        try:
            _system_call("setns", self._fd, CLONE_NEWNET)
            try:
                yield
            finally:
                _system_call("setns", previous, CLONE_NEWNET)
        finally:
            os.close(previous)

    def read(self, path: str) -> str:
        """Return the text of a file as seen inside; ``/proc/net`` means the namespace's own."""
        if path.startswith("/proc/net/"):
            path = path.replace("/proc/net/", "/proc/thread-self/net/", 1)
        with self.inside():
            return Path(path).read_text()

    def set_parameters(self, parameters: dict[str, str]) -> None:
        """Write kernel parameters, given by their path below ``/proc/sys/net``."""
        with self.inside():
            for name, value in parameters.items():
                Path("/proc/sys/net", name).write_text(value)

    def bring_up_loopback(self) -> None:
        """Bring ``lo`` up, without a program: each takes some 5 ms, and each namespace has one."""
        if sys.platform == "linux":  # There is no lab elsewhere, but types are checked for it.
            import fcntl

            request = struct.pack("=16sh22x", b"lo", _IFF_UP)  # struct ifreq
            with self.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                fcntl.ioctl(sock, _SIOCSIFFLAGS, request)

    def close(self) -> None:
        """Let go of it; the kernel removes it when no thread or socket uses it any more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def namespace_problem() -> str | None:
    """Say in a sentence why namespaces cannot be made and used here, or return None."""
    if sys.platform != "linux":
        return "the lab is made of Linux network namespaces, and this is not Linux"
    try:
        namespace = Namespace()
    except OSError as error:
        return (
            f"making a network namespace failed ({error}); "
            "run as root, or under: unshare --user --map-root-user --net --mount"
        )
    try:
        namespace.set_parameters({"ipv6/conf/all/accept_dad": "0"})
    except OSError as error:
        return (
            f"entering a network namespace and setting its parameters failed ({error}); "
            "/proc/sys must be writable, and a user namespace needs a network namespace of its own"
        )
    finally:
        namespace.close()
    return None
