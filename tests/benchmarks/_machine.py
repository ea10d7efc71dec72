"""The machine that is measured on: what the figures depend on."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("trio", "uvloop", "multicast_expert")

_TICKS_PER_SECOND = 100  # USER_HZ, what /proc counts in, whatever the kernel's own

# Below this share of the processors' time, taken by other programs, a machine is quiet.
QUIET_SHARE = 0.05


def describe_machine() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "Processor": _processor(),
        "Kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Packages": ", ".join(text for name in _PACKAGES if (text := _package(name))),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} x {models[0]}" if models else platform.processor()


def _package(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return ""


def busy_share(seconds: float = 1.0) -> float:
    """The share of the processors' time that other programs take, while this one sleeps."""
    start, idle = time.monotonic(), _idle_seconds()
    time.sleep(seconds)
    elapsed = (time.monotonic() - start) * (os.cpu_count() or 1)
    return min(max(1 - (_idle_seconds() - idle) / elapsed, 0.0), 1.0)


def _idle_seconds() -> float:
    fields = (
        Path("/proc/stat").read_text().split(maxsplit=6)
    )  # "cpu", user, nice, system, idle, ...
    return (int(fields[4]) + int(fields[5])) / _TICKS_PER_SECOND
