"""Wheel and sdist, installed into fresh environments of each Python there is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.distribution.archives import files_problem
from tests.lab import lab_problem
from tests.support.needs import needs, require

pytestmark = needs(files_problem)

PYTHONS = (*(f"python3.{minor}" for minor in range(10, 15)), "pypy3")
# What trio, attrs and ifaddr need in turn, on some Python or other.
ALLOWED = {"attrs", "ifaddr", "trio", "idna", "outcome", "sniffio", "sortedcontainers"}
OLD_ALLOWED = {"exceptiongroup", "typing-extensions"}


def _interpreters() -> list[str]:
    """Return those of the variable TRIO_MCAST_PYTHONS, or else those of the PATH that run."""
    listed = os.environ.get("TRIO_MCAST_PYTHONS")
    if listed:
        return listed.split(os.pathsep)
    return [path for path in map(shutil.which, PYTHONS) if path and _runs(path)] or [sys.executable]


def _runs(path: str) -> bool:
    probe = "import sys; sys.exit(sys.version_info < (3, 10))"
    return subprocess.run([path, "-c", probe], capture_output=True, check=False).returncode == 0


def _run(*command: str | Path, directory: Path) -> str:
    process = subprocess.run(
        [str(word) for word in command], cwd=directory, check=False, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.mark.parametrize("python", _interpreters(), ids=lambda path: Path(path).name)
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_archive_installs_and_the_demo_runs(
    python: str, kind: str, built: dict[str, Path], tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    _run(python, "-m", "venv", environment, directory=tmp_path)
    bin_directory = environment / "bin"
    pip = (bin_directory / "python", "-m", "pip", "--disable-pip-version-check")

    install = (*pip, "install", "--no-compile", "--quiet")
    _run(*install, built[kind], directory=tmp_path)
    listed = json.loads(_run(*pip, "list", "--format", "json", directory=tmp_path))
    installed = {entry["name"].lower().replace("_", "-") for entry in listed}
    assert {"trio-mcast", "attrs", "ifaddr", "trio"} <= installed
    assert installed - {"trio-mcast", "pip", "setuptools"} <= ALLOWED | OLD_ALLOWED
    _run(*pip, "check", directory=tmp_path)

    _run(*install, f"{built[kind]}[cli]", directory=tmp_path)
    require(lab_problem())
    # The demo is for the loopback interface; what it might do else stays in a network of its own.
    alone = ("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh")
    output = _run(*alone, bin_directory / "trio-mcast", "demo", directory=tmp_path)
    assert "24 of 24 datagrams arrived, each once." in output


def test_archives_are_as_pypi_wants_them(built: dict[str, Path], tmp_path: Path) -> None:
    _run(sys.executable, "-m", "twine", "check", "--strict", *built.values(), directory=tmp_path)
