"""The checks under a seccomp filter: ``python -m tests.platforms.sandbox PROFILE [ARGUMENT...]``.

Without a network of its own the filter could not refuse what makes one, so that is made first.
Debian has libseccomp on every machine: apt needs it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Sequence

from tests.platform import __main__ as checks
from tests.platform.own_network import enter_own_network
from tests.platform.place import LeftOut

# seccomp.h
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EQUAL = 4
_AF_NETLINK = 16  # linux/socket.h

# System calls, and for some the value of the first argument, with the error that each gives.
Rule = tuple[str, int | None, int]

_IO_URING = ("io_uring_setup", "io_uring_enter", "io_uring_register")

PROFILES: dict[str, list[Rule]] = {
    # Docker's default profile since version 25, and containerd's.
    "docker": [(name, None, errno.EPERM) for name in _IO_URING],
    # systemd's RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX (seccomp-util.c).
    "systemd": [("socket", _AF_NETLINK, errno.EAFNOSUPPORT)],
    "no-recvmmsg": [("recvmmsg", None, errno.EPERM)],
    "no-sendmmsg": [("sendmmsg", None, errno.EPERM)],
    # As on a kernel that knows none of them.
    "old-kernel": [(name, None, errno.ENOSYS) for name in ("recvmmsg", "sendmmsg", *_IO_URING)],
}
PROFILES["everything"] = [rule for name in ("docker", "systemd") for rule in PROFILES[name]]
PROFILES["everything"] += PROFILES["no-recvmmsg"] + PROFILES["no-sendmmsg"]


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("other_value", ctypes.c_uint64),
    )


def refuse(rules: Sequence[Rule]) -> None:
    """Refuse system calls from now on, for this process and its children.

    Raises:
        LeftOut: There is no libseccomp.
        OSError: The kernel or libseccomp refuses.
    """
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        raise LeftOut("there is no libseccomp") from None
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    for name, value, number in rules:
        call = library.seccomp_syscall_resolve_name(name.encode())
        comparisons = () if value is None else (_Comparison(0, _EQUAL, value, 0),)
        array = (_Comparison * len(comparisons))(*comparisons)
        action = ctypes.c_uint32(_ERRNO | number)
        _succeed(
            library.seccomp_rule_add_array(context, action, call, len(comparisons), array), name
        )
    _succeed(library.seccomp_load(context), "seccomp_load")
    for name, value, number in rules:
        call = library.seccomp_syscall_resolve_name(name.encode())
        if call >= 0:  # Else it is a part of another one, such as socketcall.
            _be_refused(call, value or 0, number)


def _be_refused(call: int, value: int, number: int) -> None:
    result = ctypes.CDLL(None, use_errno=True).syscall(call, value, 0, 0, 0, 0, 0)
    if result != -1 or ctypes.get_errno() != number:
        raise OSError(0, f"system call {call} is not refused")


def _succeed(result: int, what: str) -> None:
    if result != 0:
        raise OSError(-result, f"{what}: {os.strerror(-result)}")


def main() -> int:
    profile, *arguments = sys.argv[1:]
    first, second = enter_own_network()
    refuse(PROFILES[profile])
    arguments += ["--interface", first]
    if second is not None:
        arguments += ["--second", second]
    return checks.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
