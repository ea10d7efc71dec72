"""The tables of each operating system: option numbers, structure layouts, capabilities. Pure.

The platform is an argument everywhere; only `current_platform` looks at the running system.
"""

from __future__ import annotations

import struct
import sys
from typing import Final

from ._layout import SocketOption
from ._model import Platform, PlatformName
from .darwin import DARWIN
from .freebsd import FREEBSD
from .linux import LINUX, LINUX_32
from .windows import WINDOWS

__all__ = [
    "PLATFORMS",
    "Platform",
    "PlatformName",
    "SocketOption",
    "current_platform",
    "platform_named",
]

PLATFORMS: Final[dict[PlatformName, Platform]] = {
    "linux": LINUX,
    "darwin": DARWIN,
    "freebsd": FREEBSD,
    "windows": WINDOWS,
}


def current_platform() -> Platform:
    """Return the platform on which this process runs.

    Raises:
        RuntimeError: The platform is none of the four that there are tables for.
    """
    if sys.platform == "linux":
        return LINUX if struct.calcsize("P") == 8 else LINUX_32
    if sys.platform == "darwin":
        return DARWIN
    if sys.platform == "win32":
        return WINDOWS
    if sys.platform.startswith("freebsd"):
        return FREEBSD
    raise RuntimeError(
        f"trio_mcast has no tables for {sys.platform}: it knows {', '.join(sorted(PLATFORMS))}"
    )


def platform_named(name: PlatformName | None) -> Platform:
    """Return the platform of a name; `None` means the platform on which this process runs.

    Raises:
        ValueError: There is no platform of that name.
    """
    if name is None:
        return current_platform()
    if name not in PLATFORMS:
        raise ValueError(f"platform must be one of {', '.join(PLATFORMS)}, not {name!r}")
    return PLATFORMS[name]
