"""Tests that ask for a ``world`` run on virtual hosts of each platform, and on real Linux."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import pytest

from tests.lab.fixtures import require_lab
from trio_mcast._platform.model import PlatformName

from .worlds import World, lab_world, virtual_world

REAL = "real linux"
WORLDS = ("linux", "darwin", "freebsd", "windows", REAL)


@pytest.fixture(params=WORLDS)
def world_name(request: pytest.FixtureRequest) -> str:
    """The name of a world that can be had on this machine."""
    name = str(request.param)
    if name == REAL:
        require_lab()
    return name


@pytest.fixture
async def world(world_name: str) -> AsyncIterator[World]:
    """Three hosts on two LANs."""
    if world_name == REAL:
        with lab_world() as real:
            yield real
    else:
        async with virtual_world(cast(PlatformName, world_name)) as virtual:
            yield virtual
