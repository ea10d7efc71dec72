"""A fixture for pytest-trio. To have the fixture in your tests, import it in ``conftest.py``.

This module needs the extra ``testing``, for ``pytest`` and ``pytest-trio``.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import AsyncIterator
from typing import Final

import trio
from trio.testing import MockClock

from ._network import VirtualNetwork

try:
    import pytest_trio  # type: ignore[import-untyped]  # It has no types.
except ImportError as _error:
    raise ImportError(
        f"the fixture needs {_error.name}, which is not installed: "
        'pip install "trio-mcast[testing]"',
        name=_error.name,
    ) from _error


# A test that takes longer than this in real time has waited for something.
_SHORT_SECONDS: Final = 1.0


@pytest_trio.trio_fixture  # type: ignore[misc,untyped-decorator,unused-ignore]
async def virtual_network() -> AsyncIterator[VirtualNetwork]:
    """Yield a `VirtualNetwork` with seed 0, for the length of a test.

    The clock is the test's: name ``autojump_clock`` among its arguments. pytest-trio sees it there
    only, and not among those of a fixture. A test that has waited in real time for more than a
    second gets a `UserWarning` that says so. `network_test` brings the clock.
    """
    start = time.monotonic()
    async with VirtualNetwork() as network:
        yield network
    seconds = time.monotonic() - start
    if seconds > _SHORT_SECONDS and not isinstance(trio.lowlevel.current_clock(), MockClock):
        warnings.warn(
            f"this test took {seconds:.1f} s, as its clock is the real one: name autojump_clock "
            "among the arguments of the test itself, or use @network_test",
            stacklevel=1,
        )
