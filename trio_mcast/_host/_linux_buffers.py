"""What recvmmsg and sendmmsg are given on Linux: the layouts, and the buffers to read into."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import threading
from functools import lru_cache
from typing import Final

from ._posix_io import CONTROL_BYTES, READ_BYTES

# Datagrams per recvmmsg or sendmmsg. Past 64 nothing more is gained (measured).
BATCH: Final = 64

# For how many sizes of datagrams what whole batches look like is remembered. Arbitrary.
_REMEMBERED_SIZES: Final = 64

# From one slot for a datagram to the next. Not a power of two: then the slots would all begin in
# the same set of the processor's caches and push each other out. 21 cache lines more than the
# largest datagram keep apart what datagrams of some 1,300 bytes take.
SLOT_BYTES: Final = READ_BYTES + 21 * 64

# struct mmsghdr of 64-bit Linux: a msghdr of 56 bytes, then the length of what was read.
MMSGHDR: Final = struct.Struct("=QI4xQQQQi4xI4x")
IOVEC: Final = struct.Struct("=QQ")
NAME_BYTES: Final = 28

_DONT_WAIT: Final[int] = getattr(socket, "MSG_DONTWAIT", 0)  # Not on Windows.


def libc_function(name: str) -> ctypes._NamedFuncPointer | None:
    """A function of the C library; `None` if it has none of that name, or on a 32-bit system."""
    if struct.calcsize("P") != 8:
        return None  # The layouts here are those of 64-bit systems.
    function = getattr(ctypes.PyDLL(None, use_errno=True), name, None)
    if function is not None:
        pointer, number = ctypes.c_void_p, ctypes.c_uint
        arguments = (ctypes.c_int, pointer, number, ctypes.c_int, pointer)
        function.argtypes = arguments if name == "recvmmsg" else arguments[:4]
    return function


_recvmmsg: Final = libc_function("recvmmsg")
READS_BATCHES: Final = _recvmmsg is not None


def address_of(buffer: bytearray | mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


@lru_cache(maxsize=_REMEMBERED_SIZES)
def full_batch(size: int) -> struct.Struct:
    """A whole batch of payloads of one size, each at the start of a slot."""
    gap = SLOT_BYTES - size
    return struct.Struct(f"{size}s{gap}x" * (BATCH - 1) + f"{size}s")


@lru_cache(maxsize=_REMEMBERED_SIZES)
def unit_layout(count: int, size: int) -> struct.Struct:
    """Payloads of one size, one behind the other."""
    return struct.Struct(f"{size}s" * count)


# By count: length of control data and length of payload of each header; addresses of either family.
LENGTHS: Final = [struct.Struct("=" + "40xQ8xI4x" * count) for count in range(BATCH + 1)]
NAMES: Final[dict[int, list[struct.Struct]]] = {
    size: [struct.Struct(f"{size}s{NAME_BYTES - size}x" * count) for count in range(BATCH + 1)]
    for size in (16, 28)
}


class _Buffers:
    """What the sockets of one thread read into. Pages that are never written take no memory."""

    def __init__(self) -> None:
        self.data = mmap.mmap(-1, BATCH * SLOT_BYTES)
        self.names = bytearray(BATCH * NAME_BYTES)
        self.controls = bytearray(BATCH * CONTROL_BYTES)
        self.headers = bytearray(BATCH * MMSGHDR.size)
        self._vectors = bytearray(BATCH * IOVEC.size)
        data, names = address_of(self.data), address_of(self.names)
        controls, vectors = address_of(self.controls), address_of(self._vectors)
        for slot in range(BATCH):
            IOVEC.pack_into(self._vectors, slot * IOVEC.size, data + slot * SLOT_BYTES, READ_BYTES)
            MMSGHDR.pack_into(
                self.headers,
                slot * MMSGHDR.size,
                names + slot * NAME_BYTES,
                NAME_BYTES,
                vectors + slot * IOVEC.size,
                1,
                controls + slot * CONTROL_BYTES,
                CONTROL_BYTES,
                0,
                0,
            )
        self._fresh = bytes(self.headers)
        self._uniform: dict[tuple[int, int], bytes] = {}
        self._headers_address = address_of(self.headers)
        self._used = 0
        self._name_bytes = 0

    def uniform(self, size: int, name_bytes: int) -> bytes:
        """What the headers of a whole batch are if all payloads have one size and nothing else."""
        key = (size, name_bytes)
        headers = self._uniform.get(key)
        if headers is None:
            if len(self._uniform) >= _REMEMBERED_SIZES:
                self._uniform.clear()
            made = bytearray(self._fresh)
            for start in range(0, len(made), MMSGHDR.size):
                fields = list(MMSGHDR.unpack_from(made, start))
                fields[1], fields[5], fields[7] = name_bytes, 0, size
                MMSGHDR.pack_into(made, start, *fields)
            headers = self._uniform[key] = bytes(made)
        return headers

    def read(self, number: int, count: int, name_bytes: int) -> int:
        """Read up to ``count`` datagrams or units; how many were read. OSError if refused."""
        assert _recvmmsg is not None
        if name_bytes != self._name_bytes:
            self.names[:] = bytes(len(self.names))  # The ends of the longer names of IPv6.
            self._name_bytes = name_bytes
        if self._used:
            # The kernel has overwritten the lengths of names and control data.
            end = self._used * MMSGHDR.size
            self.headers[:end] = self._fresh[:end]
        self._used = count
        got: int = _recvmmsg(number, self._headers_address, count, _DONT_WAIT, None)
        if got < 0:
            self._used = 0
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return 0
            raise OSError(number, os.strerror(number))
        self._used = got
        return got


_of_thread: Final = threading.local()


def thread_buffers() -> _Buffers:
    """The buffers of this thread, in which a socket is opened and read."""
    if not hasattr(_of_thread, "buffers"):
        _of_thread.buffers = _Buffers()
    buffers: _Buffers = _of_thread.buffers
    return buffers
