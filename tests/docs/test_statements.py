"""The statements of the page on testing are true in an empty project, and in every process."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.examples import DOCS, EXAMPLES, ROOT

pytestmark = pytest.mark.once

STATEMENTS = Path(__file__).with_name("statements.py")
PAGE = " ".join((DOCS / "testing.rst").read_text().split())


def quotes() -> dict[str, str]:
    """Return the docstring of each test and test class: words of the page."""
    return {
        node.name: ast.get_docstring(node) or ""
        for node in ast.parse(STATEMENTS.read_text()).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and node.name.lower().startswith("test")
    }


@pytest.mark.parametrize("name", quotes())
def test_page_says_what_is_tested(name: str) -> None:
    assert quotes()[name]
    assert quotes()[name] in PAGE


def test_statements_are_true_in_an_empty_project(tmp_path: Path) -> None:
    hashes: set[str] = set()
    for seed in ("1", "2"):
        project = tmp_path / seed
        project.mkdir()
        shutil.copy(STATEMENTS, project / "test_statements.py")
        shutil.copy(EXAMPLES / "virtual_network_fixture.py", project / "conftest.py")
        page = (DOCS / "testing.rst").read_text()
        (ini,) = re.findall(r"^\.\. code-block:: ini\n\n((?:    .*\n)+)", page, re.MULTILINE)
        (project / "pytest.ini").write_text(textwrap.dedent(ini))
        path = os.pathsep.join([str(ROOT), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        if hashes:
            command += ["-k", "same_seed"]  # The same in another process.
        ended = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True
        )
        assert re.search(r"^\d+ passed(, 1 deselected|, \d+ deselected)? in", ended.stdout, re.M), (
            ended.stdout
        )
        hashes.add((project / "trace-hash").read_text())
    assert len(hashes) == 1
