"""The library that has system calls refused: compiled, loaded before the C library, and told."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from tests.support.leftovers import open_descriptors

_SOURCE: Final = Path(__file__).with_name("refuse.c")

# The errors of each call, from the manual pages of Linux and what sandboxes add: EPERM and EACCES
# from seccomp filters and firewalls, ENOSYS from old kernels.
ERRORS: Final[Mapping[str, str]] = {
    "socket": "EMFILE ENFILE ENOBUFS ENOMEM EAFNOSUPPORT EACCES EPERM",
    "bind": "EADDRINUSE EADDRNOTAVAIL EACCES ENOMEM EPERM",
    "connect": "ENETUNREACH EADDRNOTAVAIL EACCES EPERM",
    "setsockopt": "ENOPROTOOPT ENODEV ENOBUFS ENOMEM EINVAL EADDRNOTAVAIL EPERM",
    "getsockopt": "ENOPROTOOPT ENOBUFS EPERM",
    "getsockname": "ENOBUFS EPERM",
    "ioctl": "ENODEV EPERM",
    "dup": "EMFILE EPERM",
    "open": "EMFILE ENFILE ENOENT EACCES EPERM",
    "recv": "EAGAIN EINTR ENOBUFS ENOMEM EPERM",
    "recvfrom": "EAGAIN EINTR ENETDOWN ECONNREFUSED EHOSTUNREACH ENOMEM EPERM",
    "recvmsg": "EAGAIN EINTR ENETDOWN ECONNREFUSED EHOSTUNREACH ENOMEM EPERM",
    "recvmmsg": "EAGAIN EINTR ENOSYS ENETDOWN ECONNREFUSED ENOMEM EPERM",
    "send": "EINTR ENOBUFS ENOMEM EACCES EPERM",
    "sendto": "EAGAIN EINTR ENOBUFS ENOMEM EACCES EPERM EMSGSIZE EINVAL ENODEV ENETDOWN "
    "ENETUNREACH EHOSTUNREACH ECONNREFUSED EADDRNOTAVAIL",
    "sendmsg": "EAGAIN EINTR ENOBUFS ENOMEM EACCES EPERM EMSGSIZE EINVAL EIO EOPNOTSUPP "
    "ENETUNREACH",
    "sendmmsg": "EAGAIN EINTR ENOSYS ENOBUFS ENOMEM EACCES EPERM EMSGSIZE ENETUNREACH",
    "epoll_create": "EMFILE ENFILE ENOMEM",
    "epoll_ctl add": "ENOMEM ENOSPC",
    "epoll_ctl delete": "",  # Fails only for a descriptor that is not there.
    "epoll_wait": "EINTR",
    "epoll_ctl of trio": "ENOMEM ENOSPC",
    "io_uring_setup": "EMFILE ENOMEM ENOSYS EPERM",
    "io_uring_enter": "EAGAIN EBUSY EINTR ENOMEM EPERM",
    "mmap of a ring": "EAGAIN ENOMEM EPERM",
    "close": "EINTR EIO",
}

# Errors that are over when they have been told: the kernel gives them once.
_ONCE: Final = frozenset({"EAGAIN", "EINTR", "ENOBUFS", "ECONNREFUSED", "EHOSTUNREACH"})
ALWAYS: Final = 10**9

# In how many places of a phase a call is refused, evenly spread where there are more: mostly it is
# then made for the same reason.
_PLACES: Final = 8


@attrs.frozen
class Fault:
    """A refusal: the call, the error, and which of the calls in the phase are refused.

    Attributes:
        call: The name of the call.
        error: The symbol of the error.
        skip: How many such calls in the phase are carried out before.
        times: How many are refused then.
    """

    call: str
    error: str
    skip: int
    times: int

    @property
    def errno(self) -> int:
        return int(getattr(errno, self.error))


def faults_of(call: str, count: int) -> Iterator[Fault]:
    """Yield the faults of a call that is made so many times: of one call, and from one on."""
    step = -(-count // _PLACES)
    for error in ERRORS[call].split():
        passes = error in _ONCE and call.startswith(("recv", "epoll_wait", "send", "io_uring"))
        for skip in range(0, count, step):
            yield Fault(call, error, skip, 1)
            if not passes:
                yield Fault(call, error, skip, ALWAYS)


def compiler_problem() -> str | None:
    """Say why C cannot be compiled here, or return None."""
    if shutil.which("gcc") is None:
        return "there is no C compiler (gcc) in PATH"
    return None


def compile_library(directory: str) -> str:
    """Compile the library into a directory, and return its path."""
    path = os.path.join(directory, "refuse.so")
    command = ["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", path, str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return path


class Kernel:
    """The kernel behind the library, in a process in which that is loaded."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.faults_name.restype = ctypes.c_char_p
        for function in (self._library.faults_count, self._library.faults_refusals):
            function.restype = ctypes.c_long
        number, count = ctypes.c_int, ctypes.c_long
        self._library.faults_choose.argtypes = (number, number, count, count)
        self.calls = [self._library.faults_name(n).decode() for n in range(len(ERRORS))]
        self._refuses = False
        for descriptor, _ in open_descriptors():
            self.spare(descriptor)

    def spare(self, descriptor: int, *, spare: bool = True) -> None:
        """Never refuse a call with a descriptor, or do so again."""
        self._library.faults_spare(descriptor, spare)

    def choose(self, fault: Fault | None) -> None:
        """Choose what is refused while something is; `None` for nothing. Counts begin anew."""
        if fault is None:
            self._library.faults_choose(-1, 0, 0, 0)
        else:
            call = self.calls.index(fault.call)
            self._library.faults_choose(call, fault.errno, fault.skip, fault.times)

    def refuse(self, refuses: bool) -> bool:
        """Begin to refuse what was chosen, or stop; return whether it was refused before."""
        before, self._refuses = self._refuses, refuses
        self._library.faults_arm(refuses)
        return before

    @contextmanager
    def sparing_all(self) -> Iterator[None]:
        """Refuse nothing in a ``with`` block."""
        before = self.refuse(False)
        try:
            yield
        finally:
            self.refuse(before)

    @property
    def counts(self) -> dict[str, int]:
        """How often each call was made while something was refused, or would have been."""
        counts = {call: self._library.faults_count(n) for n, call in enumerate(self.calls)}
        return {call: count for call, count in counts.items() if count}

    @property
    def refusals(self) -> int:
        """How many calls were refused."""
        return int(self._library.faults_refusals())
