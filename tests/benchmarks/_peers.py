"""Who this library is compared with, as far as it is there.

Programs in other languages, which drain a socket, are in ``peers/``. Each is called with the group,
the port, the size of the receive buffer, and the name and the address of the interface; it opens
its socket and writes ``ready``. Then it reads, for each line of standard input, so many datagrams,
and writes how many nanoseconds of processor time that took, and the number in the last one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ._instructions import callgrind_problem
from ._network import GROUP, PORT, RECEIVE_BUFFER_BYTES, RECEIVER_ADDRESS

_SOURCES = Path(__file__).parent / "peers"

# Where Debian puts the source code of Go's packages.
_DEBIAN_GO_PATH = Path("/usr/share/gocode")
_BATCHES_OF_GO = "src/golang.org/x/net/ipv4/batch.go"

# The variable with the folder of an earlier revision.
BEFORE = "TRIO_MCAST_BENCHMARKS_BEFORE"

_PROGRAMS = {"Go": ("go",), "Java": ("javac", "java"), "Node": ("node",)}


def peer_problem(peer: str) -> str | None:
    """Say why a peer cannot be measured here, or return None.

    Args:
        peer: ``"Go"``, ``"Java"``, ``"Node"``, ``"callgrind"``, ``"before"``, or a module of
            Python such as ``"uvloop"``.
    """
    if peer == "callgrind":
        return callgrind_problem()
    if peer == "before":
        return None if BEFORE in os.environ else "no revision was named (--before)"
    if peer not in _PROGRAMS:
        return None if find_spec(peer) else f"the package {peer} is not installed"
    for program in _PROGRAMS[peer]:
        if shutil.which(program) is None:
            return f"there is no {program} in PATH"
    if peer == "Go" and _go_path() is None:
        return "golang.org/x/net is in no GOPATH (Debian: golang-golang-x-net-dev)"
    return None


def _go_path() -> Path | None:
    folders = [Path(folder) for folder in os.environ.get("GOPATH", "").split(":") if folder]
    for folder in [*folders, Path.home() / "go", _DEBIAN_GO_PATH]:
        if (folder / _BATCHES_OF_GO).exists():
            return folder
    return None


@contextmanager
def code_before(revision: str) -> Iterator[None]:
    """Have the code of another revision of this repository measured, for the ``with`` block."""
    root = Path(__file__).parents[2]
    command = ["git", "-C", str(root), "archive", revision, "trio_mcast"]
    archive = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["tar", "-x", "-C", directory], check=True, input=archive)
        Path(directory, "tests").symlink_to(root / "tests")
        os.environ[BEFORE] = directory
        try:
            yield
        finally:
            del os.environ[BEFORE]


@contextmanager
def peer_running(peer: str) -> Iterator[subprocess.Popen[str]]:
    """Run a peer in the current network namespace, until the end of the block."""
    with tempfile.TemporaryDirectory() as directory:
        where = (GROUP, str(PORT), str(RECEIVE_BUFFER_BYTES), "eth0", RECEIVER_ADDRESS)
        with subprocess.Popen(
            # It ends with this process, also while it waits for datagrams that were lost.
            ["setpriv", "--pdeathsig", "KILL", *_built(peer, Path(directory)), *where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise


def _built(peer: str, directory: Path) -> list[str | Path]:
    """Compile a peer, and return the command that runs it."""
    if peer == "Node":
        return ["node", _SOURCES / "receive.js"]
    if peer == "Java":
        subprocess.run(["javac", "-d", directory, _SOURCES / "Receive.java"], check=True)
        return ["java", "-cp", directory, "Receive"]
    program = directory / "receive"
    settings = {
        "GO111MODULE": "off",  # Nothing is fetched.
        "GOPATH": str(_go_path()),
        "GOCACHE": str(directory / "cache"),
        "GOFLAGS": "",
    }
    command = ["go", "build", "-o", str(program), str(_SOURCES / "receive.go")]
    subprocess.run(command, check=True, env=os.environ | settings)
    return [program]
