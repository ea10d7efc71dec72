"""What each operating system calls things: option numbers, structure layouts, capabilities. Pure.

The platform is an argument everywhere; `current_platform` is where the running one is found out.
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
    """The platform this process runs on.

    Raises:
        RuntimeError: It is none of the four that there are tables for.
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
    """The platform of that name; `None` means the one this process runs on.

    Raises:
        ValueError: There is none of that name.
    """
    if name is None:
        return current_platform()
    if name not in PLATFORMS:
        raise ValueError(f"platform must be one of {', '.join(PLATFORMS)}, not {name!r}")
    return PLATFORMS[name]
