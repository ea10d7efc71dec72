"""A Python whose ctypes has no PyDLL, as PyPy: the package is imported and reads all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the functions that are called are those of Linux", allow_module_level=True)

PROGRAM = """
import ctypes
del ctypes.PyDLL
import trio
from trio_mcast import open_mcast_receiver, open_mcast_sender
from trio_mcast._host.linux import buffers

async def main():
    async with (
        open_mcast_receiver(["239.1.2.3", "239.1.2.4"], 5000, interfaces="lo") as receiver,
        open_mcast_sender("239.1.2.3", 5000, interfaces="lo") as sender,
    ):
        for number in range(20):
            await sender.send(b"%d" % number)
        with trio.fail_after(5):
            print(*[(await receiver.receive()).data.decode() for _ in range(20)])
    print(buffers.READS_BATCHES)

trio.run(main)
"""


def test_python_without_pydll_receives() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=30
    )
    assert run.stderr == ""
    assert run.stdout.splitlines() == [" ".join(map(str, range(20))), "True"]
