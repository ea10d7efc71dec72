"""The C library on Linux: functions and system calls that the standard library does not have."""

from __future__ import annotations

import ctypes
import sys
from platform import machine
from typing import TYPE_CHECKING, Final

assert not TYPE_CHECKING or sys.platform == "linux"

# PyPy has no PyDLL.
_Library: Final[type[ctypes.CDLL]] = getattr(ctypes, "PyDLL", ctypes.CDLL)

# Since Linux 5.1 a system call has one number on every architecture, but these count from elsewhere
# (arch/alpha/kernel/syscalls, arch/mips/include/uapi/asm/unistd.h). MIPS has a beginning for each
# size of pointers and registers.
_ALPHA_BEGINS: Final = 110
_MIPS_BEGINS: Final = {4: 4000, 8: 5000}


def c_library() -> ctypes.CDLL:
    """Return the C library, whose functions are called with the interpreter locked if possible.

    Each time it is another object, with functions whose types of arguments are its own.
    """
    return _Library(None, use_errno=True)


def system_call(number: int, architecture: str | None = None, pointer_bytes: int = 0) -> int:
    """Return the number that a system call of Linux 5.1 or later has on an architecture.

    Args:
        number: The number on most architectures, 424 or more.
        architecture: The architecture, as uname names it; `None` for that of this process.
        pointer_bytes: The size of a pointer; 0 for that of this process.
    """
    architecture = architecture or machine()
    if architecture.startswith("alpha"):
        return number + _ALPHA_BEGINS
    if architecture.startswith("mips"):
        return number + _MIPS_BEGINS[pointer_bytes or ctypes.sizeof(ctypes.c_void_p)]
    return number
