"""Systems other than this machine's: Debian roots with another Python or for another processor."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

PROJECT = Path(__file__).parents[2]

# Pure Python: what is installed once serves every processor and every Python of the roots.
REQUIREMENTS = ("attrs", "ifaddr", "trio")

# Mounts what a program expects, in a mount namespace of its own, and runs it in the root.
_ENTER = """
mount -t proc proc "$ROOT/proc"
mount -t sysfs sysfs "$ROOT/sys"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs tmpfs "$ROOT/tmp"
ip link set lo up
exec chroot "$ROOT" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \\
    PYTHONPATH=/check/site:/check PYTHONDONTWRITEBYTECODE=1 sh -c 'cd /check && exec "$@"' sh "$@"
"""


class Unavailable(Exception):
    """A platform cannot be had on this machine, and why."""


def program(name: str, package: str | None = None) -> str:
    """Return the path of a program that is needed."""
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"there is no {name} (apt-get install {package or name})")
    return path


def archive_of_debian() -> list[str]:
    """Return where this machine's apt gets Debian; none where it gets something else.

    mmdebstrap then takes Debian's own.
    """
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    only = ["Origin: Debian", "Label: Debian"]
    process = subprocess.run([*command, *only], check=False, capture_output=True, text=True)
    return process.stdout.splitlines()[:1]


@attrs.frozen
class Root:
    """A Debian root, made by mmdebstrap of packages by name."""

    name: str
    suite: str
    packages: tuple[str, ...]
    architecture: str | None = None
    # "extract": unpacked, but not set up, which works for processors that this machine has not got.
    variant: str = "essential"

    def make(self, directory: Path) -> Path:
        """Return where the root is, made now unless it is there already."""
        path = directory / "roots" / self.name
        if (path / ".made").exists():
            return path
        mmdebstrap = program("mmdebstrap")
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [
            mmdebstrap,
            f"--variant={self.variant}",
            f"--include={','.join(self.packages)}",
            *([f"--architectures={self.architecture}"] if self.architecture else []),
            # A mirror may lag behind; the signature is looked at all the same.
            '--aptopt=Acquire::Check-Valid-Until "false"',
            *(self.suite, str(path), *archive_of_debian()),
        ]
        process = subprocess.run(command, check=False, capture_output=True, text=True)
        if process.returncode != 0:
            errors = [line for line in process.stderr.splitlines() if line.startswith("E:")]
            raise Unavailable(f"{self.name}: mmdebstrap: {' '.join(errors[:2])}")
        (path / ".made").touch()
        return path


def make_site(directory: Path, *more: str) -> Path:
    """Return a directory with what the package needs, installed now unless it is there already."""
    site = directory / ("site-of-tests" if more else "site")
    if not (site / ".made").exists():
        shutil.rmtree(site, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        # For no Python in particular but a new one.
        any_system = ("--only-binary=:all:", "--platform=any", "--python-version=3.13")
        any_python = ("--implementation=py", "--abi=none")
        target = ("--no-compile", "--target", str(site))
        command = [*pip, *any_system, *any_python, *target, *REQUIREMENTS, *more]
        process = subprocess.run(command, check=False, capture_output=True, text=True)
        if process.returncode != 0:
            raise Unavailable(f"pip: {process.stderr.strip()[-300:]}")
        (site / ".made").touch()
    return site


def put_project(root: Path, site: Path, *, everything: bool = False) -> None:
    """Put the package and its checks, or all its tests, as they are now, into a root."""
    check = root / "check"
    shutil.rmtree(check, ignore_errors=True)
    unwanted = shutil.ignore_patterns("__pycache__", "_build")
    shutil.copytree(site, check / "site", ignore=unwanted)
    names = ["trio_mcast", "tests/__init__.py", "tests/platform", "tests/platforms"]
    if everything:
        names = ["trio_mcast", "tests", "docs", "pyproject.toml"]
    for name in names:
        source, target = PROJECT / name, check / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=unwanted)
        else:
            shutil.copy(source, target)


def run_in_root(root: Path, words: Sequence[str], log: Path, limit: float) -> int:
    """Run a program in a root, in a network of its own; its exit status."""
    command = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-eufc", _ENTER]
    return run([*command, "sh", *words], log, limit, {**os.environ, "ROOT": str(root)})


def run(
    command: Sequence[str], log: Path, limit: float, environment: dict[str, str] | None = None
) -> int:
    """Run a program, with what it writes in a file; its exit status, 124 if it took too long."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            process = subprocess.run(
                command,
                cwd=PROJECT,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=limit,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            return 124
    return process.returncode
