"""Sockets of other programs on Linux: a copy of the descriptor is asked what the socket has joined.

The kernel lists which groups are joined on an interface, and not by whom. The socket itself knows:
MCAST_MSFILTER, with a group and an interface, gives the sources, or EADDRNOTAVAIL if the socket has
not joined. pidfd_getfd(2), of Linux 5.6, copies the descriptor of another process, to whoever may
trace that process: root, and the user whose process it is, unless Yama forbids that. The copy is
closed at once; nothing about the socket changes.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from ..._platform.current import current_platform
from ..._platform.linux import LINUX
from ..._values.addresses import IPAddress, encode_sockaddr
from ..fact_values import SocketFacts, SourceChoice

if not TYPE_CHECKING or sys.platform == "linux":
    from .libc import system_call

assert not TYPE_CHECKING or sys.platform == "linux"

_libc: Final = ctypes.CDLL(None, use_errno=True)

# The number of the system call since Linux 5.6.
_PIDFD_GETFD: Final = system_call(438)
# linux/in.h
_MCAST_MSFILTER: Final = 48
_MCAST_EXCLUDE: Final = 0
# struct group_filter: the index; the group at the next multiple of a pointer's size, a struct
# sockaddr_storage; the mode and the number of sources; and the sources, which are such structures.
_STORAGE_BYTES: Final = 128
_GROUP_OFFSET: Final = struct.calcsize("P")
_MODE_OFFSET: Final = _GROUP_OFFSET + _STORAGE_BYTES
_SOURCES_OFFSET: Final = _MODE_OFFSET + 8
# The limit of Linux for IPv6; that for IPv4 is 10. Sysctls may say more: then the rest is left out.
_MOST_SOURCES: Final = 64


def ask_socket(
    pid: int, number: int, questions: Sequence[tuple[int, IPAddress]], *, is_listed: bool
) -> SocketFacts | None:
    """Ask a socket of another process what it has joined.

    Args:
        pid: The process.
        number: The number of the socket's descriptor there.
        questions: Groups, each with the index of an interface before it.
        is_listed: Whether the tables of this network namespace list the socket.

    Returns:
        The facts; `None` if it is no socket for datagrams, or of another network namespace.

    Raises:
        OSError: The process may not be traced (EPERM), the process or the descriptor was closed,
            or the kernel is too old (ENOSYS).
    """
    with _copy_socket(pid, number) as sock:
        if not (is_listed or _may_have_joined(sock)):
            return None
        choices = tuple(_read_choice(sock, index, group) for index, group in questions)
        host, port = sock.getsockname()[:2]
        user = os.fstat(sock.fileno()).st_uid
        return SocketFacts(user, host if port else "", port, choices)


@cache
def user_name(number: int) -> str:
    """Return the name of a user; the number as text if there is none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


@contextmanager
def _copy_socket(pid: int, number: int) -> Iterator[socket.socket]:
    process = os.pidfd_open(pid)
    try:
        copy: int = _libc.syscall(_PIDFD_GETFD, process, number, 0)
        code = ctypes.get_errno()
    finally:
        os.close(process)
    if copy < 0:
        raise OSError(code, os.strerror(code))
    try:
        sock = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
    with sock:
        yield sock


def _may_have_joined(sock: socket.socket) -> bool:
    """Tell whether a socket is for datagrams, and of the network namespace of this thread."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    if sock.type not in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        return False
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            return _network_of(sock) == _network_of(own)
    except OSError:
        return False  # Before Linux 5.14.


def _network_of(sock: socket.socket) -> bytes:
    """Return what tells a socket's network namespace from others. OSError before Linux 5.14."""
    return sock.getsockopt(socket.SOL_SOCKET, current_platform().constants["SO_NETNS_COOKIE"], 8)


def _read_choice(sock: socket.socket, index: int, group: IPAddress) -> SourceChoice | None:
    """Return the sources from which a socket has joined a group; `None` if it has not."""
    size = _SOURCES_OFFSET + _MOST_SOURCES * _STORAGE_BYTES
    question = bytearray(size)
    struct.pack_into("=I", question, 0, index)
    encoded = encode_sockaddr(LINUX.sockaddr, group)
    question[_GROUP_OFFSET : _GROUP_OFFSET + len(encoded)] = encoded
    struct.pack_into("=II", question, _MODE_OFFSET, 0, _MOST_SOURCES)
    answer = (ctypes.c_char * size).from_buffer(question)
    length = ctypes.c_uint(size)
    level = socket.IPPROTO_IP if group.version == 4 else socket.IPPROTO_IPV6
    # It is refused for a group that was not joined, and for one of the other family.
    if _libc.getsockopt(sock.fileno(), level, _MCAST_MSFILTER, answer, ctypes.byref(length)):
        return None
    mode, count = struct.unpack_from("=II", question, _MODE_OFFSET)
    offsets = range(_SOURCES_OFFSET, size, _STORAGE_BYTES)[: min(count, _MOST_SOURCES)]
    sources = tuple(_read_address(question, offset, group.version) for offset in offsets)
    return SourceChoice(mode == _MCAST_EXCLUDE, sources)


def _read_address(raw: bytearray, offset: int, version: int) -> str:
    # struct sockaddr_in has the address at 4, struct sockaddr_in6 at 8.
    start, length = (4, 4) if version == 4 else (8, 16)
    return str(ip_address(bytes(raw[offset + start : offset + start + length])))
