"""The twelve programs of the documentation: their tests pass in a project of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.fixtures import TwoHosts
from tests.support.examples import (
    DOCS,
    EXAMPLES,
    ROOT,
    example,
    next_line,
    rest_of_output,
    subscribed,
)

pytestmark = pytest.mark.once

GROUP = "239.1.2.3"

# The tests, each with the programs that its file imports.
TESTS = {
    "test_mdns_responder.py": ["mdns_responder.py"],
    "test_sacn_levels.py": ["sacn_levels.py"],
    "test_two_feeds.py": ["two_feeds.py"],
    "test_election.py": ["election.py", "presence.py"],
    "test_ptp_offset.py": ["ptp_offset.py"],
    "test_telemetry.py": ["telemetry.py"],
    "test_chat.py": ["chat.py"],
    "test_file_transfer.py": ["file_transfer.py"],
    "test_chosen_sources.py": ["chosen_sources.py"],
    "test_follow.py": ["follow.py"],
}


def test_tests_of_the_programs_pass_without_a_configuration(tmp_path: Path) -> None:
    for test, programs in TESTS.items():
        for name in (test, *programs):
            shutil.copy(EXAMPLES / name, tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert re.search(r"^11 passed in", ended.stdout, re.MULTILINE), ended.stdout


def test_table_has_twelve_kinds_and_each_program() -> None:
    page = (DOCS / "programs.rst").read_text()
    table = page.partition(".. list-table::")[2].partition(".. _")[0]
    kinds = re.findall(r"^   \* - (.+)$", table, re.MULTILINE)
    assert len(kinds) == 1 + 12
    for name in sorted({name for programs in TESTS.values() for name in programs}):
        assert f"``{name}``" in table


async def test_telemetry_shows_what_others_send(two_hosts: TwoHosts) -> None:
    with two_hosts.b.popen(*example("telemetry.py", "show", "eth0")) as shown:
        await subscribed(two_hosts.lan, GROUP)
        with two_hosts.a.popen(*example("telemetry.py", "send", "lamp", "eth0")):
            line = await next_line(shown)
    assert re.fullmatch(r"lamp: 2\d\.\d, missed 0", line)


async def test_file_is_fetched_whole(two_hosts: TwoHosts, tmp_path: Path) -> None:
    file, copy = tmp_path / "file", tmp_path / "copy"
    file.write_bytes(os.urandom(100_000))
    with two_hosts.b.popen(*example("file_transfer.py", "fetch", str(copy), "eth0")) as fetching:
        await subscribed(two_hosts.lan, GROUP)
        two_hosts.a.run(*example("file_transfer.py", "send", str(file), "eth0"))
        assert await rest_of_output(fetching) == []
    assert copy.read_bytes() == file.read_bytes()


async def test_chat_shows_what_others_say(two_hosts: TwoHosts) -> None:
    with two_hosts.b.popen(*example("chat.py", "bert", "eth0"), stdin=subprocess.PIPE) as bert:
        await subscribed(two_hosts.lan, GROUP)
        two_hosts.a.run(*example("chat.py", "anna", "eth0"), input="hello\nis anybody there?\n")
        lines = [await next_line(bert) for _ in range(2)]
        assert bert.stdin is not None
        bert.stdin.close()
        assert await rest_of_output(bert) == []
    assert lines == ["anna: hello", "anna: is anybody there?"]


async def test_first_one_is_elected(two_hosts: TwoHosts) -> None:
    with two_hosts.b.popen(*example("election.py", "bert", "eth0")) as bert:
        assert await next_line(bert) == "the leader is bert"
        with two_hosts.a.popen(*example("election.py", "anna", "eth0")):
            assert await next_line(bert) == "the leader is anna"
        assert await next_line(bert) == "the leader is bert"
