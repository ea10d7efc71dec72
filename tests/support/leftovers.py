"""Descriptors and tasks of this process, which no test and no block may leave over."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import trio
import trio.testing


def open_descriptors() -> set[tuple[int, str]]:
    """Return the number of each open file descriptor with the name of what is open."""
    descriptors = set()
    for number in os.listdir("/proc/self/fd"):
        # All but the descriptor of the listing itself, which is gone by now.
        with contextlib.suppress(FileNotFoundError):
            descriptors.add((int(number), os.readlink(f"/proc/self/fd/{number}")))
    return descriptors


def open_socket_names() -> set[str]:
    """Return the names of the sockets that have a port: one that was opened anew has another name.

    Those by which the library asks the kernel have none. They come and go whenever it looks.
    """
    return {
        name
        for number, name in open_descriptors()
        if name.startswith("socket:") and _has_port(number)
    }


def _has_port(descriptor: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        internet = sock.family in (socket.AF_INET, socket.AF_INET6)
        return internet and sock.getsockname()[1] != 0


def tasks_now() -> int:
    """Return how many tasks there are."""
    return trio.lowlevel.current_statistics().tasks_living


async def settled_tasks() -> int:
    """Return how many tasks there are when all that has just begun is under way."""
    await trio.testing.wait_all_tasks_blocked()
    return tasks_now()


@contextlib.contextmanager
def nothing_left_over() -> Iterator[None]:
    """Fail if a task or a file descriptor outlives the block."""
    before = open_descriptors(), tasks_now()
    yield
    assert (open_descriptors(), tasks_now()) == before
