"""Reading one datagram from each of many sockets by one system call: io_uring, through ctypes.

Decision: why io_uring
======================

``recvmmsg`` reads many datagrams of one socket. With thousands of sockets that have one datagram
each, every datagram takes a call, and Python's part of a call costs as much as the kernel's work.
One ``io_uring_enter`` carries out up to 128 ``recvmsg``, one for each socket, into the buffers that
serve recvmmsg too. Measured on Linux 6.18 with 4,000 sockets: 2,250 ns per datagram, from looking
for the sockets that are ready to the `Datagram`; 3,100 ns with ``socket.recvmsg``; and 1,900 ns for
the same system calls from C.

Nothing is ever left in the ring: all requests have ``MSG_DONTWAIT``, so each is complete when the
system call returns, and no other thread, no signal and no memory barrier is involved. A ring costs
three file descriptors and some 12 kB. Many containers and some systems refuse to make a ring; then
sockets are read one by one.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ..._live import call_each

if not TYPE_CHECKING or sys.platform == "linux":
    from .buffers import MMSGHDR, Buffers
    from .libc import c_library, system_call

assert not TYPE_CHECKING or sys.platform == "linux"

# How many sockets are read by one call. Measured: 256 gain nothing more, 64 cost 5 per cent more.
SOCKETS_AT_ONCE: Final = 128

_SETUP: Final = system_call(425)
_ENTER: Final = system_call(426)

# linux/io_uring.h
_OFFSET_RINGS: Final = 0
_OFFSET_REQUESTS: Final = 0x10000000
_OP_RECVMSG: Final = 10
_ENTER_GETEVENTS: Final = 1
_FEATURES_NEEDED: Final = 0b111  # SINGLE_MMAP, NODROP, SUBMIT_STABLE: Linux 5.5.

# struct io_uring_params: entries, entries, flags, thread, idle, features, fd, three reserved; the
# offsets of the submission ring (head, tail, mask, entries, flags, dropped, array, one reserved, an
# address), and those of the completion ring (head, tail, mask, entries, overflow, entries, flags).
_PARAMS: Final = struct.Struct("=10I8IQ8IQ")
# struct io_uring_sqe: opcode, flags, priority, file, offset, address, length, flags of the call,
# the caller's own number, and fields that are not used.
_REQUEST: Final = struct.Struct("=BBHiQQIIQ24x")
# struct io_uring_cqe: the caller's own number, the result, flags.
_COMPLETION: Final = struct.Struct("=Qi4x")

# The indexes twice in a row: the submission ring gets a copy of one part of them.
_INDEXES: Final = struct.pack(
    f"={2 * SOCKETS_AT_ONCE}I", *range(SOCKETS_AT_ONCE), *range(SOCKETS_AT_ONCE)
)


@lru_cache(maxsize=256)
def _alike(count: int, result: bytes) -> bytes:
    """Return the completions of the first slots, in order, with one result for all."""
    return b"".join(slot.to_bytes(8, sys.byteorder) + result + bytes(4) for slot in range(count))


def _system_call() -> ctypes._NamedFuncPointer:
    function = c_library().syscall
    number = ctypes.c_uint
    arguments = (ctypes.c_int, number, number, number, ctypes.c_void_p, ctypes.c_size_t)
    function.argtypes = (ctypes.c_long, *arguments)
    function.restype = ctypes.c_long
    return function


_syscall: Final = _system_call()


def _enter(ring: int, count: int) -> int:
    """Carry out so many requests, and return how many were taken, or -1."""
    return int(_syscall(_ENTER, ring, count, count, _ENTER_GETEVENTS, None, 0))


def _set_up(params: bytearray) -> int:
    """Make a ring, and return the file descriptor, or -1."""
    pointer = ctypes.addressof(ctypes.c_char.from_buffer(params))
    setup = c_library().syscall
    setup.argtypes = (ctypes.c_long, ctypes.c_uint, ctypes.c_void_p)
    return int(setup(_SETUP, SOCKETS_AT_ONCE, pointer))


class Ring:
    """An io_uring that reads from sockets, each into one slot of the thread's buffers."""

    def __init__(self, buffers: Buffers) -> None:
        """Make a ring.

        Raises:
            OSError: The system refused.
        """
        params = bytearray(_PARAMS.size)
        self._number = _set_up(params)
        if self._number < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._buffers = buffers
        self._maps: list[mmap.mmap] = []
        self._broken = False
        try:
            self._map(_PARAMS.unpack(params))
        except BaseException:
            self.close()
            raise

    def _map(self, params: Sequence[int]) -> None:
        features = params[5]
        submission, completion = params[10:19], params[19:28]
        if features & _FEATURES_NEEDED != _FEATURES_NEEDED:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._completions = params[1]
        self._array, self._results = submission[6], completion[5]
        end_of_array = self._array + 4 * params[0]
        end = max(end_of_array, self._results + _COMPLETION.size * self._completions)
        self._rings = self._mapped(end, _OFFSET_RINGS)
        requests = self._mapped(params[0] * _REQUEST.size, _OFFSET_REQUESTS)
        for slot in range(SOCKETS_AT_ONCE):
            header = self._buffers.headers_address + slot * MMSGHDR.size
            request = (_OP_RECVMSG, 0, 0, -1, 0, header, 1, socket.MSG_DONTWAIT, slot)
            _REQUEST.pack_into(requests, slot * _REQUEST.size, *request)
        self._words = memoryview(self._rings).cast("I")
        self._tail, self._head = submission[1] // 4, completion[0] // 4
        # The places of the sockets in the requests.
        self._sockets = memoryview(requests).cast("i")[1 :: _REQUEST.size // 4]
        self._shift = -1

    def _mapped(self, size: int, offset: int) -> mmap.mmap:
        mapped = mmap.mmap(self._number, size, mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=offset)
        self._maps.append(mapped)
        return mapped

    def read(self, sockets: memoryview, name_bytes: int) -> Sequence[int]:
        """Read one datagram or unit from each socket into the slot of the socket's position.

        Args:
            sockets: The file descriptors, as an array of C's ints, `SOCKETS_AT_ONCE` at the most.
            name_bytes: The length of the addresses of the sockets' family.

        Returns:
            The size of each datagram or unit, or a negative error number; ``-EAGAIN`` where there
            was nothing.
        """
        count = len(sockets)
        if self._broken:
            return [-errno.EAGAIN] * count
        self._buffers.prepare(count, name_bytes)
        self._sockets[:count] = sockets
        words, tail = self._words, self._words[self._tail]
        shift = tail % SOCKETS_AT_ONCE
        if shift != self._shift:
            # The next requests are to be the first ones, wherever the ring stands.
            start = 4 * (SOCKETS_AT_ONCE - shift)
            order = _INDEXES[start : start + 4 * SOCKETS_AT_ONCE]
            self._rings[self._array : self._array + len(order)] = order
            self._shift = shift
        words[self._tail] = (tail + count) & 0xFFFFFFFF
        taken = _enter(self._number, count)
        if taken != count:
            self._broken = True  # The others would come the next time, for other sockets.
            taken = max(0, taken)
        return self._completed(taken, count)

    def _completed(self, taken: int, count: int) -> Sequence[int]:
        """Return the results, by slot."""
        head = self._words[self._head]
        self._words[self._head] = (head + taken) & 0xFFFFFFFF
        first = head % self._completions
        start, end = self._results, self._results + _COMPLETION.size * self._completions
        raw = self._rings[start + first * _COMPLETION.size : end][: taken * _COMPLETION.size]
        raw += self._rings[start : start + taken * _COMPLETION.size - len(raw)]
        # Mostly all slots come in order, and all datagrams have one size.
        if taken == count and raw == _alike(count, raw[8:12]):
            return [_COMPLETION.unpack_from(raw)[1]] * count
        results = [-errno.EAGAIN] * count
        for slot, result in _COMPLETION.iter_unpack(raw):
            results[slot] = result
        return results

    @property
    def is_broken(self) -> bool:
        """Whether the system has refused a call: nothing can be read any more."""
        return self._broken

    def close(self) -> None:
        """Close the ring. Idempotent."""
        self._words = self._sockets = memoryview(b"")
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)
        call_each([mapped.close for mapped in self._maps])
        self._maps.clear()
