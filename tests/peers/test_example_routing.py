"""The RIP listener of the documentation, beside one BIRD, and with another as the router."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab import Host
from tests.lab.fixtures import TwoHosts
from tests.support.examples import example, interrupted, next_line
from tests.support.needs import needs_program
from tests.support.privileges import LOW_PORTS_ONLY

pytestmark = pytest.mark.once

BIRD = """\
router id {router};
protocol device {{}}
protocol static announced {{ ipv4; {routes} }}
protocol rip {{
  ipv4 {{ import all; export all; }};
  interface "eth0" {{ version 2; update time 1; }};
}}
"""
ROUTES = "route 192.0.2.0/24 blackhole; route 198.51.100.128/25 blackhole;"


class Bird:
    """The files of a BIRD: it is told where each is, so that several do not meet."""

    def __init__(self, folder: Path, router: str, routes: str = "") -> None:
        self._configuration, self._control = folder / f"{router}.conf", folder / f"{router}.ctl"
        self._configuration.write_text(BIRD.format(router=router, routes=routes))

    @property
    def command(self) -> tuple[str, ...]:
        return ("bird", "-f", "-c", str(self._configuration), "-s", str(self._control))

    def control(self, host: Host, *words: str) -> str:
        return host.run("birdc", "-s", str(self._control), *words).stdout


@needs_program("bird")
async def test_routes_are_shown_and_the_daemon_beside_learns_them_too(
    two_hosts: TwoHosts, tmp_path: Path
) -> None:
    router = Bird(tmp_path, "10.0.1.1", ROUTES)
    beside = Bird(tmp_path, "10.0.1.2")
    listen = example("rip_listener.py", "eth0")
    with (
        two_hosts.b.popen(*beside.command),
        two_hosts.b.popen(*LOW_PORTS_ONLY, *listen, stderr=subprocess.STDOUT) as listening,
        two_hosts.a.popen(*router.command),
    ):
        for state in ("metric 1", "gone"):
            assert {await next_line(listening), await next_line(listening)} == {
                f"192.0.2.0/24 by 10.0.1.1 on eth0: {state}",
                f"198.51.100.128/25 by 10.0.1.1 on eth0: {state}",
            }
            if state == "metric 1":
                assert beside.control(two_hosts.b, "show", "route").count("via 10.0.1.1") == 2
                router.control(two_hosts.a, "disable", "announced")
        assert await interrupted(listening) == []
