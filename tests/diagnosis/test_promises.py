"""The doctor keeps its word: its time, its end, and nothing left behind when it is cancelled."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import trio

from tests.lab import Host
from tests.lab.fixtures import TwoHosts, require_lab
from tests.support.virtual_hosts import GROUP4, GROUP6, PORT, two_on_lan
from trio_mcast import Diagnosis, diagnose, open_mcast_sender
from trio_mcast.testing import VirtualHost

pytestmark = pytest.mark.once

DOCTOR = ("-m", "trio_mcast", "doctor", "--duration", "0.3", "--json")


async def send(host: VirtualHost, group: str, pause: float) -> None:
    with host:
        async with open_mcast_sender(group, PORT) as sender:
            while True:
                await sender.send(b"hello")
                await trio.sleep(pause)


@pytest.mark.parametrize(
    ("pause", "most"),
    [
        (1.5, 1.5 * 6),  # All of the time, and no more.
        (0.1, 0.5 * 6 + 2.3),  # Twenty datagrams are enough.
        (None, 3.5 * 6),  # Nothing comes: twice the time for looking more widely.
    ],
)
async def test_answer_comes_in_the_time_that_is_promised(
    autojump_clock: trio.abc.Clock, pause: float | None, most: float
) -> None:
    async with two_on_lan() as lan, trio.open_nursery() as nursery:
        if pause is not None:
            nursery.start_soon(send, lan.b, GROUP4, pause)
        start = trio.current_time()
        with lan.a:
            await diagnose(GROUP4, PORT, listen_seconds=6)
        assert trio.current_time() - start <= most + 0.2
        nursery.cancel_scope.cancel()


async def test_every_membership_has_to_get_its_twenty(autojump_clock: trio.abc.Clock) -> None:
    async with two_on_lan() as lan, trio.open_nursery() as nursery:
        nursery.start_soon(send, lan.b, GROUP4, 0.01)
        nursery.start_soon(send, lan.b, GROUP6, 0.15)
        with lan.a:
            diagnosis = await diagnose([GROUP4, GROUP6], PORT, listen_seconds=6)
        nursery.cancel_scope.cancel()
    counts = {heard.group: heard.count for heard in diagnosis.evidence.heard or ()}
    assert counts[GROUP4] > 100
    assert 20 <= counts[GROUP6] <= 23


def joined_on(host: VirtualHost) -> set[tuple[int, bytes]]:
    interfaces = host.list_interfaces()
    parts = [host.kernel_memberships(family, interfaces) for family in ("ipv4", "ipv6")]
    return {membership for part in parts if part is not None for one in part for membership in one}


@pytest.mark.parametrize(
    "question", [{}, {"role": "sender", "send": 30}, {"sources": "10.0.0.77"}], ids=str
)
async def test_cancelled_at_any_time_it_leaves_nothing(
    autojump_clock: trio.abc.Clock, question: dict[str, Any]
) -> None:
    async with two_on_lan() as lan:
        before = joined_on(lan.a)
        for step in range(45):
            with lan.a, trio.move_on_after(step * 0.07) as scope:
                await diagnose(GROUP4, PORT, listen_seconds=1, **question)
            assert scope.cancelled_caught or step > 12
            assert joined_on(lan.a) == before


# Where the system tells nothing, or nonsense ---------------------------------------------------


def look_without_proc(host: Host, *arguments: str, spoil: str = "") -> Diagnosis:
    """Run the doctor where /proc is empty, or has files that no kernel writes."""
    script = f'mount -t tmpfs none /proc && {spoil or "true"} && exec "$@"'

    command = ("unshare", "--mount", "sh", "-c", script, "sh", sys.executable, *DOCTOR)
    result = host.run(*command, *arguments, check=False, timeout=60)
    assert "Traceback" not in result.stderr
    return Diagnosis.from_json(result.stdout)


SPOIL = (
    "mkdir -p /proc/thread-self/net /proc/sys/net/ipv4/conf/all && "
    "for name in igmp igmp6 udp udp6 snmp netstat snmp6 mcfilter mcfilter6; do "
    "printf 'Ip: a b\\nIp: q w\\n 3: zz yy\\n' > /proc/thread-self/net/$name; done && "
    "echo yes > /proc/sys/net/ipv4/conf/all/rp_filter"
)


@pytest.mark.parametrize("spoil", ["", SPOIL], ids=["missing", "spoilt"])
@pytest.mark.parametrize(
    "arguments", [("239.1.2.3:5000",), ("239.1.2.3:5000", "--sender", "--send", "3"), ()], ids=str
)
def test_without_proc_it_tells_what_it_could_not_see(
    two_hosts: TwoHosts, arguments: tuple[str, ...], spoil: str
) -> None:
    diagnosis = look_without_proc(two_hosts.a, *arguments, spoil=spoil)
    assert diagnosis.errors == ()
    assert {"who had joined the groups before", "the sockets of other programs"} <= {
        one.what for one in diagnosis.not_checked
    }


def test_machine_that_may_not_list_its_processes_is_looked_at(two_hosts: TwoHosts) -> None:
    require_lab()
    script = 'mount -t proc -o hidepid=invisible,subset=pid none /proc; exec "$@"'

    command = ("unshare", "--mount", "sh", "-c", script, "sh", "setpriv", "--bounding-set=-all")
    result = two_hosts.a.run(
        *command, "--inh-caps=-all", sys.executable, *DOCTOR, check=False, timeout=60
    )
    assert Diagnosis.from_json(result.stdout).errors == ()
