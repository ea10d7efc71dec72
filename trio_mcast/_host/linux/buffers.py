"""The arguments of recvmmsg and sendmmsg on Linux: layouts, and the buffers to read into."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ..portable_socket import CONTROL_BYTES, READ_BYTES

if not TYPE_CHECKING or sys.platform == "linux":
    from .libc import c_library
    from .messages import MESSAGES

assert not TYPE_CHECKING or sys.platform == "linux"

# Datagrams per recvmmsg. The call itself gains nothing past 64, but what Python does for each call
# does: 256 cost 3 to 5 per cent less per datagram (measured).
BATCH: Final = 256

# How many payloads one call cuts out of the slots; the remaining ones follow one by one. Arbitrary:
# large enough, and then few calls for the remaining ones.
_BLOCKS: Final = (64, 8)

# For how many sizes of datagrams the headers of a whole batch are remembered. Arbitrary.
_REMEMBERED_SIZES: Final = 64

# From one slot for a datagram to the next. Not a power of two: then the slots would all begin in
# the same set of the processor's caches and push each other out. 21 cache lines more than the
# largest datagram keep apart what datagrams of some 1,300 bytes take.
SLOT_BYTES: Final = READ_BYTES + 21 * 64

_LAYOUT: Final = MESSAGES[struct.calcsize("P")]
MMSGHDR: Final = _LAYOUT.mmsghdr
IOVEC: Final = _LAYOUT.iovec
NAME_BYTES: Final = 28


# The errors with which an old kernel, or a seccomp filter, refuses a system call.
CALL_REFUSED: Final = frozenset({errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP})


def libc_function(name: str) -> ctypes._NamedFuncPointer | None:
    """Return a function of the C library that takes messages; `None` if it is not there."""
    function: ctypes._NamedFuncPointer | None = getattr(c_library(), name, None)
    if function is not None:
        pointer, number = ctypes.c_void_p, ctypes.c_uint
        arguments = (ctypes.c_int, pointer, number, ctypes.c_int, pointer)
        function.argtypes = arguments if name == "recvmmsg" else arguments[:4]
    return function


_recvmmsg: Final = libc_function("recvmmsg")
READS_BATCHES: Final = _recvmmsg is not None


def address_of(buffer: bytearray | mmap.mmap) -> int:
    """Return the place of a buffer in memory."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


@lru_cache(maxsize=_REMEMBERED_SIZES * len(_BLOCKS))
def _block(count: int, size: int) -> struct.Struct:
    """Return the layout of payloads of one size, each at the start of a slot."""
    gap = SLOT_BYTES - size
    return struct.Struct(f"{size}s{gap}x" * (count - 1) + f"{size}s")


@lru_cache(maxsize=_REMEMBERED_SIZES)
def unit_layout(count: int, size: int) -> struct.Struct:
    """Return the layout of payloads of one size, one behind the other."""
    return struct.Struct(f"{size}s" * count)


# An address of either family, by its length: the start of a name.
_NAMES: Final = {size: struct.Struct(f"{size}s{NAME_BYTES - size}x") for size in (16, NAME_BYTES)}


class Buffers:
    """The buffers for all sockets of one thread. Pages that are never written take no memory."""

    def __init__(self) -> None:
        # Private: datagrams that a forked child reads are not to appear in the parent.
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self.data = mmap.mmap(-1, BATCH * SLOT_BYTES, flags=private)
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
        self.headers_address = address_of(self.headers)
        self._control_lengths = memoryview(self.headers).cast(_LAYOUT.word)[_LAYOUT.control_length]
        self._lengths = memoryview(self.headers).cast("I")[_LAYOUT.length]
        self._fresh = bytes(self.headers)
        self._alike: dict[tuple[int, int], bytes] = {}
        self._used = 0
        self._name_bytes = 0

    def prepare(self, count: int, name_bytes: int) -> None:
        """Make the first headers ready to be read into, for addresses of one length."""
        if name_bytes != self._name_bytes:
            self.names[:] = bytes(len(self.names))  # The ends of the longer names of IPv6.
            self._name_bytes = name_bytes
        if self._used:
            # The kernel has overwritten the lengths of names and control data.
            end = self._used * MMSGHDR.size
            self.headers[:end] = self._fresh[:end]
        self._used = count

    def read(self, number: int, count: int, name_bytes: int) -> int:
        """Read up to ``count`` datagrams or units, and return how many. OSError if refused."""
        assert _recvmmsg is not None
        self.prepare(count, name_bytes)
        got: int = _recvmmsg(number, self.headers_address, count, socket.MSG_DONTWAIT, None)
        if got < 0:
            self._used = 0
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return 0
            raise OSError(number, os.strerror(number))
        self._used = got
        return got

    # --- The datagrams that were read last

    def first_size(self) -> int:
        """Return the size of the first datagram."""
        return self._lengths[0]

    def are_alike(self, count: int, size: int) -> bool:
        """Tell whether all datagrams have one size and no control data, as is common under load.

        In that case the headers are, byte for byte, the same as the last time.
        """
        key = (size, self._name_bytes)
        headers = self._alike.get(key)
        if headers is None:
            if len(self._alike) >= _REMEMBERED_SIZES:
                self._alike.clear()
            headers = self._alike[key] = self._alike_headers(size)
        end = count * MMSGHDR.size
        return self.headers.startswith(headers if count == BATCH else headers[:end])

    def _alike_headers(self, size: int) -> bytes:
        headers = bytearray(self._fresh)
        memoryview(headers).cast("I")[_LAYOUT.name_length] = _words("I", self._name_bytes)
        memoryview(headers).cast(_LAYOUT.word)[_LAYOUT.control_length] = _words(_LAYOUT.word, 0)
        memoryview(headers).cast("I")[_LAYOUT.length] = _words("I", size)
        return bytes(headers)

    def sizes(self, count: int) -> list[int]:
        """Return the size of each datagram."""
        return self._lengths[:count].tolist()

    def control_lengths(self, count: int) -> list[int]:
        """Return the length of each datagram's control data."""
        return self._control_lengths[:count].tolist()

    def payloads(self, slots: Iterable[int], sizes: Sequence[int]) -> list[bytes]:
        """Return the payloads in some slots, given the sizes of all slots."""
        data, gap = self.data, SLOT_BYTES
        return [data[slot * gap : slot * gap + sizes[slot]] for slot in slots]

    def payloads_alike(self, count: int, size: int) -> list[bytes]:
        """Return the payloads of the first ``count`` slots, which all have one size."""
        data, payloads = self.data, list[bytes]()
        start, end = 0, count * SLOT_BYTES
        for block in _BLOCKS:
            step = block * SLOT_BYTES
            while end - start >= step:
                payloads += _block(block, size).unpack_from(data, start)
                start += step
        payloads += [data[place : place + size] for place in range(start, end, SLOT_BYTES)]
        return payloads

    def control(self, slot: int, length: int) -> bytes:
        """Return the control data of one datagram."""
        start = slot * CONTROL_BYTES
        return bytes(self.controls[start : start + length])

    def name(self, slot: int) -> bytes:
        """Return the source of one datagram, as the bytes of an address."""
        start = slot * NAME_BYTES
        return bytes(self.names[start : start + self._name_bytes])

    def same_name(self, count: int) -> bytes | None:
        """Return the source of all datagrams, as the bytes of an address; `None` if it varies."""
        first = self.names[:NAME_BYTES]
        return bytes(first[: self._name_bytes]) if self.names.startswith(first * count) else None

    def each_name(self, count: int) -> Iterator[bytes]:
        """Return the source of each datagram, as the bytes of an address."""
        layout = _NAMES[self._name_bytes]
        names = layout.iter_unpack(memoryview(self.names)[: count * NAME_BYTES])
        return (name for (name,) in names)


def _words(kind: str, value: int) -> memoryview:
    return memoryview(array(kind, [value]) * BATCH)


_of_thread: Final = threading.local()
# The sockets that a forked child inherits belong to the parent; new sockets get new buffers.
os.register_at_fork(after_in_child=lambda: vars(_of_thread).clear())


def thread_buffers() -> Buffers:
    """Return the buffers of this thread, in which a socket is opened and read."""
    if not hasattr(_of_thread, "buffers"):
        _of_thread.buffers = Buffers()
    buffers: Buffers = _of_thread.buffers
    return buffers
