"""The routers of the documentation, configured as its page says, with smcroute and FRR."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from operator import methodcaller

import pytest

from tests.cli.test_demo import COMMAND, environment
from tests.lab import Host, Lab, Switch
from tests.lab._polling import wait_until_async
from tests.support.examples import EXAMPLES, next_line, subscribed
from tests.support.needs import needs_program

pytestmark = pytest.mark.once

ROUTERS = EXAMPLES / "routers"
# Neighbours that say hello each second have met by then, on a busy machine too.
PATIENCE_SECONDS = 30.0

# What the daemons write is nowhere but in folders of their own, which are gone with them.
PRIVATE = "mount -t tmpfs lab /run && mount -t tmpfs lab /var/tmp && "
SMCROUTE = PRIVATE + 'exec smcrouted -n -l warning -f "$1"'
# Not as the user and the group that Debian has for them: a user namespace has nobody but root.
FRR = (
    PRIVATE
    + r"""
printf 'root:x:0:root\nfrrvty:x:0:root\n' >/run/group && mount --bind /run/group /etc/group
mkdir /run/frr
for daemon in zebra staticd pimd; do
  /usr/lib/frr/$daemon -d -u root -g root -A 127.0.0.1 -f /dev/null --vty_socket /run/frr \
    -z /run/frr/zserv.api -i /run/frr/$daemon.pid
done
vtysh --vty_socket /run/frr -f "$1" >&2 && echo ready
while read -r command; do vtysh --vty_socket /run/frr -c "$command"; echo .; done
"""
)


class Frr:
    """FRR on one router, which can be asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._answer("ready")

    def ask(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._answer(".")

    def _answer(self, end: str) -> str:
        assert self._process.stdout is not None
        lines: list[str] = []
        for line in self._process.stdout:
            if line.strip() == end:
                return "".join(lines)
            lines.append(line)
        raise AssertionError("FRR has ended; see what it wrote to stderr")


@contextmanager
def run(router: Host, script: str, file: str) -> Iterator[subprocess.Popen[str]]:
    """Run daemons in a process namespace of their own, with which they end."""
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    command = (*alone, "sh", "-euc", script, "sh", str(ROUTERS / file))
    with router.popen(*command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield process


@dataclass(frozen=True)
class Path:
    """A host that sends, and one that receives, with routers between."""

    sender: Host
    receiver: Host
    far: Switch

    @asynccontextmanager
    async def hears(self, target: str, *, ttl: int, sent: str) -> AsyncIterator[None]:
        """Check that what is sent as the page says comes, and keep the listener for the block."""
        listen = (*COMMAND, "listen", target, "--interface", "eth0", "--ttl")
        send = (*COMMAND, "send", sent, "--interface", "eth0", "--ttl", "8", "--rate", "5", "-")
        with self.receiver.popen(*listen, env=environment()) as listening:
            (group,) = re.findall(r"[0-9a-f.:]+(?=\]?:\d+$)", sent)
            await subscribed(self.far, group)
            with self.sender.popen(*send, env=environment(), stdin=subprocess.PIPE) as sending:
                assert sending.stdin is not None
                sending.stdin.write("hello\n" * 100)
                sending.stdin.flush()
                line = await next_line(listening)
            assert f" ttl {ttl} " in line
            assert line.endswith(": hello")
            yield


@needs_program("smcrouted")
async def test_groups_pass_a_router_with_smcroute(lab: Lab) -> None:
    near, far = lab.switch("near"), lab.switch("far")
    sender, receiver, router = lab.host("sender"), lab.host("receiver"), lab.router("router")
    sender.plug("eth0", near, "10.0.1.1/24", "fd00:1::1/64")
    receiver.plug("eth0", far, "10.0.2.1/24", "fd00:2::1/64")
    router.plug("eth0", near, "10.0.1.254/24", "fd00:1::254/64")
    router.plug("eth1", far, "10.0.2.254/24", "fd00:2::254/64")
    with run(router, SMCROUTE, "smcroute.conf"):
        await subscribed(near, "239.1.2.3", "ff15::1234")
        path = Path(sender, receiver, far)
        for target in ("239.1.2.3:5000", "[ff15::1234]:5000"):
            async with path.hears(target, ttl=7, sent=target):
                pass


@needs_program("/usr/lib/frr/pimd", "vtysh")
async def test_groups_pass_two_routers_with_frr(lab: Lab) -> None:
    near, middle, far = (lab.switch(name) for name in ("near", "middle", "far"))
    sender, receiver = lab.host("sender"), lab.host("receiver")
    sender.plug("eth0", near, "10.0.1.1/24")
    receiver.plug("eth0", far, "10.0.2.1/24")
    path = Path(sender, receiver, far)
    with ExitStack() as stack:
        daemons = []
        for number, network in enumerate((near, far), start=1):
            router = lab.router(f"router{number}")
            router.plug("eth0", network, f"10.0.{number}.254/24")
            router.plug("eth1", middle, f"10.0.9.{number}/24")
            daemons.append(stack.enter_context(run(router, FRR, f"frr-{number}.conf")))
        routers = [Frr(process) for process in daemons]
        for daemon, neighbour in zip(routers, ("10.0.9.2", "10.0.9.1"), strict=True):
            await wait_until_async(
                partial(daemon.ask, "show ip pim neighbor"),
                methodcaller("__contains__", neighbour),
                f"{neighbour} to be a neighbour",
                PATIENCE_SECONDS,
            )
        async with path.hears("239.1.2.3:5000", ttl=6, sent="239.1.2.3:5000"):
            table = routers[1].ask("show ip mroute")
        assert re.search(r"\* +239\.1\.2\.3 +SC +IGMP +eth1", table), table
        assert re.search(r"10\.0\.1\.1 +239\.1\.2\.3 +ST? +STAR +eth1 +eth0", table), table
        async with path.hears("10.0.1.1@232.1.2.3:5000", ttl=6, sent="232.1.2.3:5000"):
            table = routers[1].ask("show ip mroute")
        assert re.search(r"10\.0\.1\.1 +232\.1\.2\.3 +SC +IGMP +eth1 +eth0", table), table
