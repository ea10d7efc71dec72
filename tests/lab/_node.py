"""What hosts, routers and switches have in common: a namespace, and programs that run in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from ._namespace import LabError, Namespace
from ._polling import wait_until

# Arbitrary: nothing that the lab runs to its end takes long.
_RUN_TIMEOUT_SECONDS = 30.0
# Arbitrary: how long a program may take to end after SIGTERM.
_GRACE_SECONDS = 2.0


class Programs:
    """The long-running programs of one lab."""

    def __init__(self) -> None:
        """Run no program yet."""
        # The kernel sends a child its "parent death signal" when the *thread* that started it ends.
        # So all are started by one thread that lives as long as the lab, whichever thread of a test
        # asks for it.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="lab programs")
        self._running: list[subprocess.Popen[str]] = []

    def start(
        self,
        namespace: Namespace,
        command: Sequence[str],
        stdin: int,
        stdout: int,
        stderr: int | None,
        env: Mapping[str, str] | None,
    ) -> subprocess.Popen[str]:
        """Start a program that gets SIGKILL when this process dies, however it dies."""
        if shutil.which(command[0]) is None:
            raise FileNotFoundError(f"no such program: {command[0]}")

        def start() -> subprocess.Popen[str]:
            with namespace.inside():
                return subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", *command],
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    env=env,
                    text=True,
                    # A group of its own, so that its children can be terminated along with it.
                    start_new_session=True,
                )

        process = self._starter.submit(start).result()
        self._running.append(process)
        # setpriv asks for the signal some moments after it was started, and then becomes the
        # program.
        command_line = Path(f"/proc/{process.pid}/cmdline")
        wait_until(
            command_line.read_bytes,
            lambda line: not line.startswith(b"setpriv\0"),
            f"setpriv to start {command[0]}",
        )
        return process

    def stop(self, process: subprocess.Popen[str]) -> None:
        """Terminate a program, kill it if it does not end soon, and close its pipes."""
        if process.poll() is None:
            _signal_group(process, "SIGTERM")
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                _signal_group(process, "SIGKILL")
                process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                # What could not be written to a program that has ended is of no interest.
                with suppress(BrokenPipeError):
                    pipe.close()
        if process in self._running:
            self._running.remove(process)

    def close(self) -> None:
        """Stop all that still run."""
        for process in reversed(tuple(self._running)):
            self.stop(process)
        self._starter.shutdown()


def _signal_group(process: subprocess.Popen[str], name: str) -> None:
    """Send a signal to a program and its children."""
    if sys.platform != "win32":  # There is no lab on Windows, but types are checked for it.
        os.killpg(process.pid, signal.Signals[name])


class Node:
    """A namespace with a name."""

    def __init__(self, name: str, programs: Programs, parameters: Mapping[str, str]) -> None:
        """Make the namespace, set its kernel parameters, and bring ``lo`` up."""
        self.name = name
        self.namespace = Namespace()
        self._programs = programs
        try:
            self.namespace.set_parameters(dict(parameters))
            self.namespace.bring_up_loopback()
        except BaseException:
            self.namespace.close()
            raise

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def inside(self) -> AbstractContextManager[None]:
        """Let the calling *thread* run in this namespace for the length of a ``with`` block.

        Sockets created in the block stay in the namespace; nothing else needs to be done in it.
        Blocks nest. Do not await in one: the other Trio tasks of the thread would be moved, too.
        ``/sys`` and ``/proc/net`` do not follow; ``/proc/thread-self/net`` and ``/proc/sys/net``
        do.
        """
        return self.namespace.inside()

    def read(self, path: str) -> str:
        """Return the text of a file, say ``/proc/net/igmp``, as it is in this namespace."""
        return self.namespace.read(path)

    def run(
        self,
        *command: str,
        check: bool = True,
        input: str | None = None,
        timeout: float = _RUN_TIMEOUT_SECONDS,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in this namespace to its end, and return what it wrote.

        Raises:
            LabError: it ended with another status than 0 and ``check`` is true; shows its stderr.
        """
        with self.inside():
            result = subprocess.run(
                command,
                check=False,
                input=input,
                timeout=timeout,
                env=env,
                text=True,
                capture_output=True,
            )
        if check and result.returncode != 0:
            raise LabError(
                f"{' '.join(command)} in {self!r} ended with status {result.returncode}\n"
                f"{result.stderr}{result.stdout}"
            )
        return result

    @contextmanager
    def popen(
        self,
        *command: str,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a program in this namespace for the length of a ``with`` block.

        It is terminated, with its children, at the end of the block, killed if that does not help,
        and killed if this process dies. Its stdout is a pipe, stdin is empty, and stderr is this
        process's own.
        """
        process = self._programs.start(self.namespace, command, stdin, stdout, stderr, env)
        try:
            yield process
        finally:
            self._programs.stop(process)

    def _ip(self, *commands: str) -> None:
        """Carry out ``ip`` commands, all in one process: each process takes some 4 ms."""
        if not commands:
            return
        batch = "\n".join(commands) + "\n"
        result = self.run("ip", "-batch", "-", input=batch, check=False)
        if result.returncode != 0:
            raise LabError(f"ip in {self!r}: {result.stderr.strip()}\n{batch}")
