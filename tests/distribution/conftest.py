"""Archives are installed only by ``tox -e dist``: that needs PyPI, and takes a minute or two."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.distribution import archives

collect_ignore = [] if os.environ.get("TRIO_MCAST_DIST") == "1" else ["test_installed.py"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    archives.copy_project(source)
    return source


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return archives.build(source, tmp_path_factory.mktemp("built"))
