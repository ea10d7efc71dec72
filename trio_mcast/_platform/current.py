"""The platforms by name, and the platform on which the process runs."""

from __future__ import annotations

import struct
import sys
from platform import machine
from typing import Final

from .._values.errors import McastError
from .darwin import DARWIN
from .freebsd import FREEBSD
from .linux import LINUX, linux_on
from .model import Platform, PlatformName
from .windows import WINDOWS

PLATFORMS: Final[dict[PlatformName, Platform]] = {
    "linux": LINUX,
    "darwin": DARWIN,
    "freebsd": FREEBSD,
    "windows": WINDOWS,
}


def current_platform() -> Platform:
    """Return the platform on which this process runs.

    Raises:
        McastError: There are no tables for the platform.
    """
    if sys.platform in ("linux", "android"):  # Android says so from Python 3.13 on.
        return linux_on(machine(), struct.calcsize("P"))
    if sys.platform == "darwin":
        return DARWIN
    if sys.platform == "win32":
        return WINDOWS
    if sys.platform.startswith("freebsd"):
        return FREEBSD
    raise McastError(
        f"trio_mcast has no tables for {sys.platform}: it knows {', '.join(sorted(PLATFORMS))}"
    )


def platform_named(name: PlatformName | None) -> Platform:
    """Return the platform of a name; for `None`, the platform on which this process runs.

    Raises:
        ValueError: There is no platform of that name.
    """
    if name is None:
        return current_platform()
    if name not in PLATFORMS:
        raise ValueError(f"platform must be one of {', '.join(PLATFORMS)}, not {name!r}")
    return PLATFORMS[name]
