"""Runs the tests of this directory under Wine, on Linux: ``python -m tests.windows DIRECTORY``.

The interpreter is made in the directory, which takes a minute or two the first time. Wine then runs
in a network namespace with one network card, and its peer, a Linux host, in another. Further
arguments go to pytest; without any that names tests, the tests that are worth it are run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.lab import Host, Lab, lab_problem

from ._interpreter import (
    WineError,
    find_wine,
    make_interpreter,
    make_prefix,
    run_quietly,
    wine_environment,
)

_ROOT = Path(__file__).parents[2]
_PEER = Path(__file__).with_name("peer.py")
_PEER_PORT = 7_000

# Besides those of this directory: what does not depend on Linux and can differ on Windows.
_TESTS = (
    "tests/windows",
    *(
        f"tests/{path}.py"
        for path in (
            "interfaces/test_changes",
            *("plan/test_receiver", "plan/test_selecting", "plan/test_sender"),
            *("platform/test_options", "platform/test_structures", "platform/test_tables"),
            *("receive/test_queue", "test_specs", "values/test_addresses", "values/test_errors"),
        )
    ),
)

# Until a run that hangs is ended. Arbitrary; it takes some 20 seconds (measured).
_LIMIT_SECONDS = 300.0


def main() -> int:
    directory, *arguments = sys.argv[1:]
    if all(item.startswith("-") for item in arguments):
        arguments += _TESTS
    try:
        loader, _ = find_wine()
        problem = lab_problem()
        if problem is not None:
            raise WineError(problem)
    except WineError as error:
        print(f"The tests under Wine are left out: {error}.")
        return 1 if os.environ.get("TRIO_MCAST_REQUIRE_LAB") == "1" else 0
    began = time.monotonic()
    where = Path(directory).resolve()
    python = make_interpreter(where)
    environment = wine_environment(where)
    with Lab() as lab:
        # A switch that sends everything everywhere: nobody has to wait until it has heard of a
        # join. What is not for a host is then kept out by the host itself, which is tested here.
        lan = lab.switch("lan", snooping=False)
        windows, linux = lab.host("windows"), lab.host("linux")
        for number, host in enumerate((windows, linux), start=1):
            host.plug("eth0", lan, f"10.0.1.{number}/24", f"fd00:1::{number}/64")
        windows.run("ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
        with windows.inside():
            make_prefix(environment)
        print(f"{loader} is ready after {time.monotonic() - began:.0f} s", flush=True)
        return _run(windows, linux, python, environment, arguments)


def _run(
    windows: Host, linux: Host, python: Path, environment: dict[str, str], arguments: list[str]
) -> int:
    loader, server = environment["WINELOADER"], environment["WINESERVER"]
    address = "10.0.1.2"
    peer = (sys.executable, str(_PEER), "eth0", address, "fd00:1::2", str(_PEER_PORT))
    with linux.popen(*peer) as running, windows.inside():
        assert running.stdout is not None
        running.stdout.readline()  # It is ready.
        # Sockets belong to Wine's server: it has to run in the namespace.
        run_quietly(server, "-p30", environment=environment)
        try:
            run_quietly(loader, "wineboot", environment=environment)
            return _show(
                [loader, str(python), "-m", "pytest", "-p", "no:cacheprovider", *arguments],
                {**environment, "TRIO_MCAST_PEER": f"{address}:{_PEER_PORT}"},
            )
        finally:
            subprocess.run([server, "-k"], env=environment, check=False)


def _show(command: list[str], environment: dict[str, str]) -> int:
    """Run a Windows program and show what it writes; its exit status.

    Python does not start under Wine unless its standard streams are pipes.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=_ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT
    ) as process:
        limit = threading.Timer(_LIMIT_SECONDS, process.kill)
        limit.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                print(line.decode(errors="replace").rstrip(), flush=True)
            return process.wait()
        finally:
            limit.cancel()


if __name__ == "__main__":
    sys.exit(main())
