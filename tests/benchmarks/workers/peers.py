"""Programs in other languages; see `_peers`."""

from __future__ import annotations

from .._drain import Drain
from .._peers import peer_running
from .._turns import Lost

# What just-in-time compilers take until they are done with a loop.
_WARM_UP_FILLS = 5


def _drain(task: Drain, peer: str) -> None:
    with peer_running(peer) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        commands, answers = process.stdin, process.stdout

        def next_answer() -> list[str]:
            line = answers.readline()
            if not line:
                raise Lost(f"{peer} has ended with status {process.wait()}")
            return line.split()

        def drain(count: int) -> tuple[float, int]:
            commands.write(f"{count}\n")
            commands.flush()
            elapsed_ns, number = next_answer()
            return float(elapsed_ns), int(number)

        assert next_answer() == ["ready"]
        for _ in range(_WARM_UP_FILLS):
            task.fill(task.full)
            drain(task.full)
        task.run_timed(drain)


def drain_go(task: Drain) -> None:
    _drain(task, "Go")


def drain_java(task: Drain) -> None:
    _drain(task, "Java")


def drain_node(task: Drain) -> None:
    _drain(task, "Node")
