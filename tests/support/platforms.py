"""The platforms by name, for tests that are the same on each."""

from __future__ import annotations

import pytest

from trio_mcast._platform.model import PlatformName

NAMES: tuple[PlatformName, ...] = ("linux", "darwin", "freebsd", "windows")
EVERY_PLATFORM = pytest.mark.parametrize("name", NAMES)
