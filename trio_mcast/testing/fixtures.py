"""A fixture for pytest-trio. To have the fixture in your tests, import it in ``conftest.py``.

This module needs ``pytest`` and ``pytest-trio``; nothing else of the library does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_trio  # type: ignore[import-untyped]  # It has no types.

from ._network import VirtualNetwork


@pytest_trio.trio_fixture  # type: ignore[misc,untyped-decorator,unused-ignore]
async def virtual_network() -> AsyncIterator[VirtualNetwork]:
    """Yield a `VirtualNetwork` with seed 0, for the length of a test."""
    async with VirtualNetwork() as network:
        yield network
