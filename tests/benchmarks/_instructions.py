"""Instructions, counted by callgrind: they need no quiet machine.

What counts is what the program itself executes, not what the kernel does for it. Each thing is
done a few times, and then more often, and the difference counts; so neither starting nor warming up
does. What it takes to tell callgrind when to count is counted by doing nothing, and taken off.

A program runs some 50 times slower under callgrind. So what goes by the clock goes another way: as
if the program had been away between two datagrams.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.lab import Host

from ._network import network, plain_sender

# How often each thing is done.
LENGTHS = (5, 25)
# How many datagrams are received at once.
BURSTS = (2, 5, 100)

_HEADER = Path("/usr/include/valgrind/callgrind.h")


def callgrind_problem() -> str | None:
    """Say why instructions cannot be counted here, or return None."""
    if shutil.which("valgrind") is None:
        return "there is no valgrind in PATH"
    if not _HEADER.exists():
        return f"there is no {_HEADER} (Debian: valgrind)"
    return None


def count_instructions(subject: str) -> dict[str, float]:
    """Count what one datagram takes, by figure.

    Args:
        subject: Who receives it: ``"instructions-..."``.
    """
    with tempfile.TemporaryDirectory() as directory:
        run_counted(
            subject,
            LENGTHS,
            BURSTS,
            "valgrind",
            "--quiet",
            "--tool=callgrind",
            "--instr-atstart=no",
            "--collect-atstart=no",
            f"--callgrind-out-file={directory}/out",
        )
        counts = read_counts(path.read_text() for path in Path(directory).iterdir())
    return figures_of(counts, LENGTHS, BURSTS)


def run_counted(
    subject: str, lengths: Sequence[int], bursts: Sequence[int], *callgrind: str
) -> None:
    """Run what is counted, in a network of its own; without callgrind, nothing is counted.

    Args:
        subject: Who receives.
        lengths: How often each thing is done, first and then.
        bursts: How many datagrams are received at once.
        callgrind: What it is run by.
    """
    with network(1) as net, _sender_at(net.sender) as sender, net.receiver.inside():
        wanted = json.dumps([sender.fileno(), lengths, bursts])
        subprocess.run(
            [*callgrind, sys.executable, "-m", f"{__package__}.counted", subject, wanted],
            check=True,
            pass_fds=[sender.fileno()],
            # Else the order of sets, and with it the count, is another one each time.
            env=os.environ | {"PYTHONHASHSEED": "0"},
        )


def read_counts(texts: Iterable[str]) -> dict[tuple[str, int], int]:
    """Read what callgrind has written: how many instructions, by thing and length."""
    counts: dict[tuple[str, int], int] = {}
    for text in texts:
        section = re.search(r"^desc: Trigger: Client Request: (\w+) (\d+)$", text, re.MULTILINE)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if section and total:
            counts[section[1], int(section[2])] = int(total[1])
    return counts


def _sender_at(host: Host) -> socket.socket:
    with host.inside():
        return plain_sender()


def figures_of(
    counts: dict[tuple[str, int], int], lengths: tuple[int, int], bursts: Sequence[int]
) -> dict[str, float]:
    """Instructions for each datagram, from the counts of each thing and length."""
    less, more = lengths

    def of_one(figure: str) -> float:
        return (counts[figure, more] - counts[figure, less]) / (more - less)

    datagrams = {"self": 1} | {f"burst_{count}": count for count in bursts}
    return {
        figure: (of_one(figure) - of_one("nothing")) / count
        for figure, count in datagrams.items()
        if (figure, more) in counts
    }
