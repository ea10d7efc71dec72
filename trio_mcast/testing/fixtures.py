"""A fixture for pytest-trio. To have the fixture in your tests, import it in ``conftest.py``.

This module needs the extra ``testing``, for ``pytest`` and ``pytest-trio``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from ._network import VirtualNetwork

try:
    import pytest_trio  # type: ignore[import-untyped]  # It has no types.
except ImportError as _error:
    raise ImportError(
        f"the fixture needs {_error.name}, which is not installed: "
        'pip install "trio-mcast[testing]"',
        name=_error.name,
    ) from _error


@pytest_trio.trio_fixture  # type: ignore[misc,untyped-decorator,unused-ignore]
async def virtual_network() -> AsyncIterator[VirtualNetwork]:
    """Yield a `VirtualNetwork` with seed 0, for the length of a test."""
    async with VirtualNetwork() as network:
        yield network
