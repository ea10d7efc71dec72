"""Completion by the shells themselves, set up by the lines that the page of the command has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.examples import DOCS
from tests.support.needs import needs_program

from .test_demo import environment

pytestmark = pytest.mark.once

# At the start of a line: what was typed is echoed, too.
PRINTED = re.compile(r"\n::(.*)::\r?\n")
PAGE = (DOCS / "command.rst").read_text()


def line_for(shell: str) -> str:
    """Return the command of the page that sets a shell up."""
    pattern = rf"^    (.*\b_TRIO_MCAST_COMPLETE={shell}_source (?:.*\\\n)*.*)$"
    match = re.search(pattern, PAGE, re.MULTILINE)
    assert match is not None
    return match[1]


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a shell that finds the command under its name."""
    command = tmp_path / "trio-mcast"
    command.write_text(f"#!{sys.executable}\nfrom trio_mcast._cli import main\nmain()\n")
    command.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    return environment(PATH=path, HOME=str(tmp_path), TERM="dumb", PS1="> ", HISTFILE="")


def typed(command: list[str], env: dict[str, str], setup: str, keys: str) -> str:
    """Return what a shell on a terminal makes of some keys: a line between colons."""
    if sys.platform == "win32":
        pytest.skip("Windows has no pseudo-terminals")
    terminal, its_side = os.openpty()

    def read_until(found: Callable[[str], object]) -> str:
        output = ""
        while not found(output):
            output += os.read(terminal, 4096).decode(errors="replace")
        return output

    with subprocess.Popen(
        command, stdin=its_side, stdout=its_side, stderr=its_side, env=env, start_new_session=True
    ) as shell:
        os.close(its_side)
        try:
            os.write(terminal, f"{setup}; echo rea''dy\n".encode())
            read_until(lambda output: "\nready" in output)
            os.write(terminal, keys.encode())
            output = read_until(PRINTED.search)
        finally:
            shell.kill()
            os.close(terminal)
    match = PRINTED.search(output)
    assert match is not None
    return match[1].strip()


# In the end the line is printed, between colons: to its start, to its end.
KEYS = "trio-mcast interfaces --li\t\x01echo :: \x05 ::\n"


@needs_program("bash")
def test_bash_completes_options(variables: dict[str, str]) -> None:
    shell = ["bash", "--norc", "--noprofile", "-i"]
    setup = f"set -o emacs; bind 'set enable-bracketed-paste off'; {line_for('bash')}"
    assert typed(shell, variables, setup, KEYS) == "trio-mcast interfaces --live"


@needs_program("zsh")
def test_zsh_completes_options(variables: dict[str, str]) -> None:
    setup = f"bindkey -e; autoload -U compinit; compinit -u -D; {line_for('zsh')}"
    assert typed(["zsh", "-f", "-i"], variables, setup, KEYS) == "trio-mcast interfaces --live"


@needs_program("fish")
def test_fish_completes_commands(variables: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "fish" / "completions"
    folder.mkdir(parents=True)
    question = f"{line_for('fish')}; complete -C 'trio-mcast interf'"
    answer = subprocess.run(
        ["fish", "-c", question],
        check=True,
        capture_output=True,
        text=True,
        env={**variables, "XDG_CONFIG_HOME": str(tmp_path / ".config")},
        timeout=60,
    )
    assert [line.split("\t")[0] for line in answer.stdout.splitlines()] == ["interfaces"]
