"""``trio-mcast status``, as root and as others, beside ``ip maddr`` and ``ss``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import Host
from tests.lab.fixtures import TwoHosts
from trio_mcast import McastError
from trio_mcast._cli.status import read_ownership
from trio_mcast._cli.status_view import describe_sources
from trio_mcast._diagnosis.ownership import Owner

from .test_demo import COMMAND, environment

pytestmark = pytest.mark.once

STATUS = (*COMMAND, "status")
# What has no capability cannot look at programs that have some, just as not at another user's.
UNPRIVILEGED = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")

PROGRAM = """
import trio, trio_mcast
async def main():
    async with trio_mcast.open_mcast_receiver("232.1.2.3", 5001, sources=["10.0.1.8", "10.0.1.9"]):
        async with trio_mcast.open_mcast_receiver("ff15::1", 5000, excluded_sources="fd00::9"):
            print("joined", flush=True)
            await trio.sleep_forever()
trio.run(main)
"""


@contextmanager
def program_of(host: Host, *before: str) -> Iterator[subprocess.Popen[str]]:
    """Run a receiver of two groups."""
    command = (*before, sys.executable, "-c", PROGRAM)
    with host.popen(*command, env=environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "joined\n"
        yield process


@pytest.mark.parametrize(
    ("owner", "text"),
    [
        (Owner(1, "", 0, excludes=True), "any"),
        (Owner(1, "", 0, excludes=True, sources=("10.0.0.1",)), "all but 10.0.0.1"),
        (
            Owner(1, "", 0, excludes=False, sources=("10.0.0.1", "10.0.0.2")),
            "only 10.0.0.1, 10.0.0.2",
        ),
        (Owner(1, "", 0, excludes=False), "none"),
    ],
)
def test_sources_are_told(owner: Owner, text: str) -> None:
    assert describe_sources(owner) == text


def test_status_tells_whose_each_membership_is(two_hosts: TwoHosts) -> None:
    host = two_hosts.a
    with program_of(host) as program:
        result = host.run(*STATUS, "--json", env=environment())
        table = host.run(*STATUS, env=environment()).stdout
        maddr = json.loads(host.run("ip", "-j", "maddr", "show").stdout)
        sockets = host.run("ss", "-unap").stdout
    assert result.stdout.count("\n") == 1
    answer = json.loads(result.stdout)
    by_place = {(it["interface"], it["group"]): it for it in answer["memberships"]}
    expected = {
        ("eth0", "232.1.2.3"): (5001, "include", ["10.0.1.8", "10.0.1.9"]),
        ("eth0", "ff15::1"): (5000, "exclude", ["fd00::9"]),
    }
    for place, (port, mode, sources) in expected.items():
        (owner,) = by_place[place]["joined_by"]
        assert (owner["port"], owner["mode"], sorted(owner["sources"])) == (port, mode, sources)
        assert [it["pid"] for it in owner["programs"]] == [program.pid]
        assert owner["certain"]
        # The second opinions.
        assert re.search(rf":{port}\b.*pid={program.pid},", sockets)
    users = Counter(
        (link["ifname"], entry["address"])
        for link in maddr
        for entry in link["maddr"]
        if entry.get("family") in ("inet", "inet6")
    )
    assert set(by_place) == set(users)
    assert answer["not_told"] == []
    assert {it["untold"] for it in answer["memberships"]} == {0}
    assert not set(table) & {chr(code) for code in range(32) if code != 10}
    assert max(map(len, table.splitlines())) <= 80
    assert re.search(rf"^eth0 +232\.1\.2\.3 +only 10\.0\.1\.8,? .*\(pid {program.pid}", table, re.M)
    assert re.search(r"^eth0 +224\.0\.0\.1 +any +the system itself", table, re.M)


def test_status_of_others_programs_is_told_as_far_as_it_goes(two_hosts: TwoHosts) -> None:
    host = two_hosts.a
    with program_of(host):
        result = host.run(*UNPRIVILEGED, *STATUS, "--json", env=environment())
        table = host.run(*UNPRIVILEGED, *STATUS, env=environment()).stdout
    answer = json.loads(result.stdout)
    by_place = {(it["interface"], it["group"]): it for it in answer["memberships"]}
    membership = by_place["eth0", "232.1.2.3"]
    assert membership["untold"] == 1
    assert sorted(membership["included_sources"]) == ["10.0.1.8", "10.0.1.9"]
    (owner,) = membership["joined_by"]
    assert (owner["certain"], owner["user"], owner["programs"]) == (False, "root", [])
    assert owner["port"] == 5001
    assert "processes of other users cannot be looked at; root can" in answer["not_told"][0]
    assert by_place["eth0", "224.0.0.1"]["untold"] == 0
    assert re.search(r"^eth0 +232\.1\.2\.3 +only 10\.\S+ +.* 5001 +likely a", table, re.M)
    assert "\nNot told:\n" in table


def test_own_programs_are_told_without_root(two_hosts: TwoHosts) -> None:
    host = two_hosts.a
    with program_of(host, *UNPRIVILEGED) as program:
        result = host.run(*UNPRIVILEGED, *STATUS, "--json", env=environment())
    memberships = json.loads(result.stdout)["memberships"]
    (owner,) = (it for one in memberships if one["group"] == "ff15::1" for it in one["joined_by"])
    (holder,) = owner["programs"]
    assert (holder["pid"], holder["user"]) == (program.pid, "root")
    # Where Yama keeps programs from tracing others, the address of the socket has to tell.
    yama = Path("/proc/sys/kernel/yama/ptrace_scope")
    assert owner["certain"] is (not yama.exists() or yama.read_text().strip() == "0")


@pytest.mark.parametrize("platform", ["darwin", "freebsd", "windows"])
def test_other_systems_are_named_as_not_read(platform: str) -> None:
    with pytest.raises(McastError, match=r"on Linux only; .* listed here by: \w+"):
        read_ownership(platform)  # type: ignore[arg-type]
