"""Capabilities that programs, or the tests' own thread for a while, do without."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

# How a program is run without any privilege: no capability, and no way to get one.
UNPRIVILEGED = (
    "setpriv",
    "--bounding-set=-all",
    "--inh-caps=-all",
    "--securebits=+noroot",
    "--no-new-privs",
)

# The same, but for ports below 1024.
LOW_PORTS_ONLY = (
    "setpriv",
    "--bounding-set=-all,+net_bind_service",
    "--inh-caps=-all,+net_bind_service",
    "--ambient-caps=-all,+net_bind_service",
    "--securebits=+noroot",
    "--no-new-privs",
)

# linux/capability.h
CAP_NET_ADMIN = 12
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _call(name: str, data: ctypes.Array[_Data]) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(ctypes.byref(_Header(_VERSION_3, 0)), data) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def has_capability(number: int) -> bool:
    """Tell whether the calling thread has a capability of the first 32."""
    data = (_Data * 2)()
    _call("capget", data)
    return bool(data[0].effective >> number & 1)


@contextmanager
def without_capability(number: int) -> Iterator[None]:
    """Have the calling thread do without a capability of the first 32 in a ``with`` block."""
    data = (_Data * 2)()
    _call("capget", data)
    before = data[0].effective
    data[0].effective = before & ~(1 << number)
    _call("capset", data)
    try:
        yield
    finally:
        data[0].effective = before
        _call("capset", data)
