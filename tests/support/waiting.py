"""Waiting, while other tasks run, until something is seen to be so."""

from __future__ import annotations

from collections.abc import Callable

from tests.lab._polling import wait_until_async


async def until(look: Callable[[], object], wanted: object) -> None:
    """Wait until a look gives what is wanted."""
    await wait_until_async(look, lambda seen: seen == wanted, f"it to be {wanted!r}")


async def wait_for(look: Callable[[], bool], what: str) -> None:
    """Wait until a look gives True; on a timeout, say what was waited for."""
    await wait_until_async(look, bool, what)
