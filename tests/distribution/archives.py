"""The project's files, and what is built of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

# 2026-11-29 00:00 UTC, for a release's commit; an even number, as zip archives want.
EPOCH = 1_795_910_400


def files_problem() -> str | None:
    """Return why the project's files cannot be listed, if they cannot."""
    if not (ROOT / ".git").exists():
        return "this is no clone of the repository: git has to tell which files it has"
    return None


def project_files() -> list[str]:
    """Return all files of the project that are there, also those that git does not know yet."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(name for name in set(output.split("\0")) if name and (ROOT / name).exists())


def copy_project(directory: Path) -> None:
    for name in project_files():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
        target.chmod(0o755 if os.access(ROOT / name, os.X_OK) else 0o644)


def build(source: Path, target: Path) -> dict[str, Path]:
    """Build both archives and return where they are: ``sdist`` and ``wheel``."""
    _hatch(source, target)
    (sdist,) = target.glob("*.tar.gz")
    (wheel,) = target.glob("*.whl")
    return {"sdist": sdist, "wheel": wheel}


def build_wheel(source: Path, target: Path) -> Path:
    _hatch(source, target, "--target", "wheel")
    (wheel,) = target.iterdir()
    return wheel


def _hatch(source: Path, target: Path, *options: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(target), *options]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
    subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True)


def sdist_files(path: Path) -> dict[str, bytes]:
    """Return the content of an sdist by name, without the directory that it is in."""
    contents = {}
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None, f"{member.name} is no file"
            contents[member.name.partition("/")[2]] = file.read()
    return contents


def wheel_files(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
