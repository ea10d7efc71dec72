"""The messages of rtnetlink(7): asking the kernel, and taking its answers apart."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

assert not TYPE_CHECKING or sys.platform == "linux"

# linux/netlink.h. Messages and attributes begin at multiples of four bytes.
HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_NLM_F_REQUEST: Final = 0x1
_NLM_F_DUMP: Final = 0x300
_NLM_F_DUMP_INTR: Final = 0x10
NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_NLA_TYPE_MASK: Final = 0x3FFF  # The type of an attribute without its two flags.

# linux/netlink.h and linux/sock_diag.h
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20

# linux/rtnetlink.h: the types of messages.
RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18
RTM_NEWADDR: Final = 20
RTM_GETADDR: Final = 22
RTM_NEWROUTE: Final = 24
RTM_GETROUTE: Final = 26

# linux/if_link.h
IFLA_MTU: Final = 4

# The structures that messages about links, addresses and routes begin with.
LINK: Final = struct.Struct("=BxHiII")  # ifinfomsg: family, hardware type, index, flags, changed
ADDRESS: Final = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
ROUTE: Final = struct.Struct("=8BI")  # rtmsg: family, length of the destination, others, flags

# linux/rtnetlink.h and linux/if_link.h
_IFLA_EXT_MASK: Final = 29
_RTEXT_FILTER_SKIP_STATS: Final = 8

# struct rtgenmsg, with which a list is asked for: the family, 0 for any, and padding.
_ANY_FAMILY: Final = bytes(4)

# The kernel fills answers of up to 32 KiB, when there is room for that (netlink_recvmsg).
_ANSWER_BYTES: Final = 65_536
# Room for one answer, such as a route with all its nexthops; what is looked at stands before them.
_ONE_ANSWER_BYTES: Final = 4_096

# Linux has no higher error number (MAX_ERRNO in linux/err.h).
_MOST_ERRNO: Final = 4_095


def open_netlink() -> socket.socket:
    """Open a socket to the kernel, for the network namespace of the calling thread."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)


def ask(query: socket.socket, question: int, content: bytes) -> tuple[int, bytes]:
    """Ask for one thing, and return the type and the content of the answer.

    Raises:
        OSError: The kernel refuses, or there is no message in the answer.
    """
    _send(query, question, 0, content)
    for kind, _flags, answer in split_messages(query.recv(_ONE_ANSWER_BYTES)):
        return kind, answer
    raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))


def dump(query: socket.socket, question: int) -> tuple[list[bytes], bool]:
    """Ask for a list of links or addresses.

    Returns:
        The contents of the list's messages, and whether nothing changed while the kernel listed.

    Raises:
        OSError: The kernel refuses.
    """
    messages: list[bytes] = []
    whole = True
    for part, unchanged in dump_parts(query, question):
        messages += part
        whole = whole and unchanged
    return messages, whole


def dump_parts(
    query: socket.socket, question: int, content: bytes = _ANY_FAMILY
) -> Iterator[tuple[list[bytes], bool]]:
    """Ask for a list of links or addresses, and yield it as it comes.

    Args:
        query: The socket to ask on; nothing else may be asked until the list is at its end.
        question: The type of the question.
        content: The content of the question.

    Yields:
        The contents of the messages of one answer, and whether nothing changed while the kernel
        made the answer.

    Raises:
        OSError: The kernel refuses.
    """
    _send(query, question, _NLM_F_DUMP, content)
    is_done = False
    while not is_done:
        messages: list[bytes] = []
        unchanged = True
        for kind, flags, message in split_messages(query.recv(_ANSWER_BYTES)):
            unchanged = unchanged and not flags & _NLM_F_DUMP_INTR
            if kind in (NLMSG_ERROR, _NLMSG_DONE):
                # Both begin with a negative errno, or 0.
                number = -int.from_bytes(message[:4], sys.byteorder, signed=True)
                number = min(number, _MOST_ERRNO)
                if number:
                    raise OSError(number, os.strerror(number))
                is_done = True
                break
            if kind in (RTM_NEWLINK, RTM_NEWADDR):
                messages.append(message)
        yield messages, unchanged


def dump_sockets(question: bytes) -> list[bytes]:
    """Return what the kernel says of sockets: sock_diag(7).

    Args:
        question: The content of the question: an ``inet_diag_req_v2``.

    Raises:
        OSError: The kernel refuses.
    """
    answers: list[bytes] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as query:
        _send(query, _SOCK_DIAG_BY_FAMILY, _NLM_F_DUMP, question)
        while True:
            for kind, _flags, answer in split_messages(query.recv(_ANSWER_BYTES)):
                if kind == _NLMSG_DONE:
                    return answers
                if kind == NLMSG_ERROR:
                    number = -int.from_bytes(answer[:4], sys.byteorder, signed=True)
                    raise OSError(number, os.strerror(number))
                answers.append(answer)


def _send(query: socket.socket, question: int, flags: int, content: bytes) -> None:
    size = HEADER.size + len(content)
    query.send(HEADER.pack(size, question, _NLM_F_REQUEST | flags, 1, 0) + content)


def split_messages(answer: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield the type, the flags and the content of each message in an answer."""
    position, content, end = 0, HEADER.size, len(answer)
    while position + content <= end:
        size, kind, flags, _sequence, _port = HEADER.unpack_from(answer, position)
        yield kind, flags, answer[position + content : position + size]
        position += max(content, (size + 3) & ~3)


def pack_attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute as bytes. The length of the value has to be a multiple of four."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value


# The question for all links without the counts of IPv6, which take a fifth of the answer. Kernels
# before 4.4 give the counts all the same.
SHORT_LINKS: Final = bytes(LINK.size) + pack_attribute(
    _IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS.to_bytes(4, sys.byteorder)
)


def read_attributes(message: bytes, start: int, wanted: frozenset[int]) -> dict[int, bytes]:
    """Return the values of some attributes, by type, as far as a message has them.

    Args:
        message: The content of the message.
        start: The length of the structure that the message begins with.
        wanted: The types of the attributes.
    """
    attributes: dict[int, bytes] = {}
    position = start
    while len(attributes) < len(wanted) and position + ATTRIBUTE.size <= len(message):
        size, kind = ATTRIBUTE.unpack_from(message, position)
        kind &= _NLA_TYPE_MASK
        if kind in wanted:
            attributes[kind] = message[position + ATTRIBUTE.size : position + size]
        position += max(ATTRIBUTE.size, (size + 3) & ~3)
    return attributes


def read_list(value: bytes, wanted: int) -> list[bytes]:
    """Return the values of all attributes of one type in an attribute that is a list of them."""
    values = []
    position = 0
    while position + ATTRIBUTE.size <= len(value):
        size, kind = ATTRIBUTE.unpack_from(value, position)
        if kind & _NLA_TYPE_MASK == wanted:
            values.append(value[position + ATTRIBUTE.size : position + size])
        position += max(ATTRIBUTE.size, (size + 3) & ~3)
    return values
