"""Tests that ask for a ``world`` run on virtual hosts of each platform, and on real Linux."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import cast

import pytest

from tests.lab.fixtures import require_lab
from trio_mcast._platform.model import PlatformName

from .worlds import LabWorld, World, lab_world, virtual_world

REAL = "real linux"
# What differs between the virtual ones is data, on any Python.
WORLDS = (
    "linux",
    *(
        pytest.param(name, marks=pytest.mark.once)
        for name in ("darwin", "freebsd", "windows", REAL)
    ),
)


@pytest.fixture(scope="module")
def real_linux() -> Iterator[LabWorld]:
    """Give one world to all tests of a module, as it takes long to make: none may change it."""
    require_lab()
    with lab_world() as real:
        yield real


@pytest.fixture(params=WORLDS)
def world_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def real_world(request: pytest.FixtureRequest, world_name: str) -> LabWorld | None:
    """Make the real world now, if it is wanted: what is skipped inside Trio has no reason."""
    real: LabWorld | None = request.getfixturevalue("real_linux") if world_name == REAL else None
    return real


@pytest.fixture
async def world(world_name: str, real_world: LabWorld | None) -> AsyncIterator[World]:
    """Three hosts on two LANs."""
    if real_world is not None:
        yield real_world
    else:
        async with virtual_world(cast(PlatformName, world_name)) as virtual:
            yield virtual
