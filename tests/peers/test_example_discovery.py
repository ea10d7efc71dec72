"""The responders of the documentation, and the programs that look for such."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import Host
from tests.lab._polling import wait_until_async
from tests.lab.fixtures import TwoLans
from tests.support.examples import PATIENCE_SECONDS, example, interrupted, next_line, subscribed
from tests.support.needs import needs_module, needs_program
from tests.support.privileges import UNPRIVILEGED

pytestmark = pytest.mark.once

LAMP = example("mdns_responder.py", "lamp", "_http._tcp", "80")

AVAHI = """\
[server]
host-name=asker
allow-interfaces=eth0
use-ipv6=no
[publish]
publish-workstation=no
publish-hinfo=no
"""


@contextmanager
def avahi_on(host: Host, folder: Path) -> Iterator[Mapping[str, str]]:
    """Run avahi-daemon on a host, and give the environment in which it can be asked.

    It has a D-Bus and a /run of its own.
    """
    (folder / "avahi.conf").write_text(AVAHI)
    bus = f"unix:path={folder}/bus"
    avahi = f"avahi-daemon --no-drop-root --no-chroot --no-rlimits -f {folder}/avahi.conf"
    script = (
        f"dbus-daemon --session --nofork --nopidfile --address={bus} & "
        f"until [ -e {folder}/bus ]; do sleep 0.02; done; "
        f"mount -t tmpfs none /run && mkdir /run/avahi-daemon && exec {avahi}"
    )
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": bus}
    command = ("unshare", "--mount", "sh", "-c", script)
    with host.popen(*command, stderr=subprocess.DEVNULL, env=environment):
        yield environment


@needs_program("avahi-daemon", "avahi-browse", "dbus-daemon")
async def test_avahi_browses_and_resolves_a_service(two_lans: TwoLans, tmp_path: Path) -> None:
    with (
        two_lans.b.popen(*UNPRIVILEGED, *LAMP, stderr=subprocess.STDOUT) as responding,
        avahi_on(two_lans.a, tmp_path) as environment,
    ):

        def browse() -> str:
            """Look for services once; nothing comes of it before both have started."""
            command = ("avahi-browse", "--resolve", "--parsable", "--terminate", "_http._tcp")
            return two_lans.a.run(*command, env=environment, check=False).stdout

        await wait_until_async(
            browse,
            lambda lines: "=;eth0;IPv4;lamp;Web Site;local;lamp.local;10.0.1.2;80;" in lines,
            "the service that the responder has",
            PATIENCE_SECONDS,
        )
        name = two_lans.a.run("avahi-resolve", "-4", "-n", "lamp.local", env=environment).stdout
        assert name.split() == ["lamp.local", "10.0.1.2"]
        assert await interrupted(responding) == []


@needs_module("zeroconf")
async def test_zeroconf_gets_the_address_of_the_network_it_asks_in(two_lans: TwoLans) -> None:
    script = str(Path(__file__).with_name("zeroconf_lookup.py"))
    with two_lans.b.popen(*UNPRIVILEGED, *LAMP, stderr=subprocess.STDOUT) as responding:
        for network in (1, 2):
            command = (sys.executable, script, f"10.0.{network}.1", "_http._tcp", "lamp")
            answer = two_lans.a.run(*command).stdout.split()
            assert {f"10.0.{network}.2", f"fd00:{network}::2", "80"} <= set(answer)
            assert f"10.0.{3 - network}.2" not in answer
        assert await interrupted(responding) == []


LAMP_KIND = "urn:example-org:device:Lamp:1"


async def resource(process: subprocess.Popen[str]) -> tuple[str, ...]:
    """What gssdp-discover writes of the next resource: what happened, its name and location."""
    while not (happened := await next_line(process)).startswith("resource "):
        assert process.poll() is None
    lines = [await next_line(process) for _ in range(1 if "unavailable" in happened else 2)]
    return (happened, *(line.split()[1] for line in lines))


@needs_program("gssdp-discover")
@pytest.mark.parametrize("network", [1, 2])
async def test_gssdp_finds_a_device_in_the_network_where_it_looks(
    two_lans: TwoLans, network: int
) -> None:
    group, lans = "239.255.255.250", (two_lans.lan1, two_lans.lan2)
    device = example("ssdp_device.py", LAMP_KIND, "8080")
    look = ("stdbuf", "-oL", "gssdp-discover", "-i", f"eth{network - 1}", "-t", LAMP_KIND)
    with two_lans.b.popen(*UNPRIVILEGED, *device, stderr=subprocess.STDOUT) as lamp:
        for lan in lans:
            await subscribed(lan, group)
        with two_lans.a.popen(*look, "--message-type=all") as looking:
            what, name, location = await resource(looking)
            assert what == "resource available"
            assert name.startswith("uuid:")
            assert name.endswith(f"::{LAMP_KIND}")
            assert location == f"http://10.0.{network}.2:8080/"
            lan = lans[network - 1]
            await lan.wait_for_async(
                lambda _: {seen.host for seen in lan.subscriptions(group)} == {"a", "b"},
                PATIENCE_SECONDS,
            )
            # It says goodbye, where it can.
            two_lans.b.down(f"eth{2 - network}")
            assert await interrupted(lamp) == []
            assert await resource(looking) == ("resource unavailable", name)
