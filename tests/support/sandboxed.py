"""A program under a seccomp filter: follows interfaces, and prints what it has seen as JSON.

Its argument is the rules as JSON. A rule is the number of a system call,
the number of an argument and its value, and the errno to give.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import struct
import sys
from typing import Any

import trio

from trio_mcast import (
    default_interface,
    list_interfaces,
    open_mcast_receiver,
    open_mcast_sender,
    watch_interfaces,
)

GROUP = "239.1.2.3"

# linux/bpf_common.h, linux/seccomp.h, linux/prctl.h
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_FILTER = 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def refuse(rules: list[tuple[int, int, int, int]]) -> None:
    """Refuse system calls from now on, for this process and its children."""
    instructions = []
    for call, argument, value, number in rules:
        instructions += [
            (_LOAD, 0, 0, 0),
            (_JUMP_IF_EQUAL, 0, 3, call),
            (_LOAD, 0, 0, 16 + 8 * argument),
            (_JUMP_IF_EQUAL, 0, 1, value),
            (_RETURN, 0, 0, _ERRNO | number),
        ]
    instructions.append((_RETURN, 0, 0, _ALLOW))
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code)
    program = _Program(len(instructions), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


async def _follow(seen: dict[str, Any]) -> None:
    async with (
        watch_interfaces() as changes,
        open_mcast_receiver(GROUP, 5000) as receiver,
        open_mcast_sender(GROUP, 5000) as sender,
    ):
        await sender.send(b"hello")
        datagram = await receiver.receive()
        seen["received"] = [datagram.data.decode(), datagram.interface.name]
        print("open", flush=True)
        while True:
            change = await changes.receive()
            if change.interface.name == "y0" and change.interface.is_up:
                break
        while "y0" not in {each.interface.name for each in receiver.memberships}:  # noqa: ASYNC110  # No event tells of it.
            await trio.sleep(0.05)
        seen["memberships"] = [[each.interface.name, each.state] for each in receiver.memberships]


async def _main(rules: list[tuple[int, int, int, int]]) -> None:
    refuse(rules)
    interfaces = list_interfaces()
    default = default_interface()
    seen: dict[str, Any] = {
        "interfaces": list(map(repr, interfaces)),
        "default": default and default.name,
    }
    with trio.fail_after(20):
        await _follow(seen)
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(name)s %(message)s")
    trio.run(_main, json.loads(sys.argv[1]))
