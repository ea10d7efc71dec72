"""The values of the systems' own headers, beside the tables of the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.platforms import NAMES
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._platform.linux import LINUX_32
from trio_mcast._platform.model import Platform

DATA = Path(__file__).parents[1] / "data"

# The targets of the table for which `LINUX_32` stands.
LINUX_32_TARGETS = ("x86-linux-gnu", "arm-linux-gnueabihf")


def _read_headers() -> dict[str, dict[str, dict[str, int]]]:
    """Read the values by platform or target, then by kind: "constants", "sizeof", "offsets"."""
    table: dict[str, Any] = json.loads((DATA / "platform-abi.json").read_text())
    more: dict[str, Any] = json.loads((DATA / "platform-abi-more.json").read_text())
    headers: dict[str, dict[str, dict[str, int]]] = {}
    for name in NAMES:
        headers[name] = {
            kind: {**table[name][kind], **more[name].get(kind, {})}
            for kind in ("constants", "sizeof", "offsets")
        }
        headers[name]["constants"].update(table[name].get("errno", {}))
    for target in LINUX_32_TARGETS:
        variant = table["variants"][target]
        headers[target] = {
            kind: {**headers["linux"][kind], **variant.get(kind, {})}
            for kind in ("constants", "sizeof", "offsets")
        }
    return headers


HEADERS = _read_headers()
TABLES: dict[str, Platform] = {
    **{name: PLATFORMS[name] for name in NAMES},
    **dict.fromkeys(LINUX_32_TARGETS, LINUX_32),
}
EVERY_TABLE = pytest.mark.parametrize("target", TABLES)
