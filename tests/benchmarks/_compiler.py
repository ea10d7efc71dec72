"""The C programs that show the limit: compiled on the spot."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

_SOURCES = Path(__file__).parent / "c"


def compiler_problem() -> str | None:
    """Say why C cannot be compiled here, or return None."""
    if shutil.which("cc") is None:
        return "there is no C compiler (cc) in PATH, and they compare with C"
    return None


def compiled(source: str) -> ctypes.CDLL:
    """A C file as a library."""
    with tempfile.TemporaryDirectory() as directory:
        library = Path(directory, "library.so")
        subprocess.run(
            ["cc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, _SOURCES / source], check=True
        )
        return ctypes.CDLL(str(library))
