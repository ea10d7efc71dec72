"""A channel beside a real avahi-daemon, which has the same port, and the same addresses."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.lab import Host
from tests.lab.fixtures import TwoHosts
from tests.lab.machine import on
from tests.support.needs import needs_program
from tests.support.traffic import plain_socket
from trio_mcast import Datagram, Endpoint, McastReceiver, open_mcast_channel

pytestmark = [pytest.mark.once, needs_program("avahi-daemon")]

GROUPS, PORT = ["224.0.0.251", "ff02::fb"], 5353
NAME = b"\x04peer\x05local\x00"

CONFIG = """
[server]
host-name=peer
use-ipv4=yes
use-ipv6=yes
enable-dbus=no
allow-interfaces=eth0
[publish]
publish-workstation=no
publish-hinfo=no
"""


@contextmanager
def avahi_on(host: Host, folder: Path) -> Iterator[None]:
    """Run avahi-daemon on a host, with a /run of its own, where it keeps a file of its number."""
    config = folder / "avahi.conf"
    config.write_text(CONFIG)
    avahi = f"avahi-daemon --no-drop-root --no-chroot --no-rlimits -f {config}"
    script = f"mount -t tmpfs none /run && mkdir /run/avahi-daemon && exec {avahi}"
    command = ("unshare", "--mount", "sh", "-c", script)
    with host.popen(*command, stderr=subprocess.DEVNULL):
        yield


def question(number: int) -> bytes:
    return struct.pack("!6H", number, 0, 1, 0, 0, 0) + NAME + struct.pack("!HH", 1, 1)


def is_answer(data: bytes) -> bool:
    return len(data) > 12 and bool(data[2] & 0x80) and NAME in data


async def ask_avahi(asking: socket.socket, number: int) -> bool:
    """Ask by unicast; tell whether it was answered."""
    asking.sendto(question(number), ("10.0.1.1", PORT))
    with trio.move_on_after(2):
        while True:
            answer = await trio.to_thread.run_sync(asking.recv, 1500, abandon_on_cancel=True)
            if is_answer(answer) and answer[:2] == struct.pack("!H", number):
                return True
    return False


async def announced(receiver: McastReceiver) -> Datagram:
    """Return the next answer that comes with avahi's own name."""
    async for datagram in receiver:
        if is_answer(datagram.data):
            return datagram
    raise AssertionError


async def test_channel_beside_avahi_robs_it_of_nothing_and_hears_it(
    two_hosts: TwoHosts, tmp_path: Path
) -> None:
    a, b = two_hosts.a, two_hosts.b
    with avahi_on(a, tmp_path), plain_socket(b, "ipv4") as asking:
        asking.settimeout(2)
        with on(b), trio.fail_after(20):
            async with open_mcast_channel(GROUPS, PORT) as remote:
                await announced(remote)  # So it is there.
        before = [await ask_avahi(asking, number) for number in range(1, 4)]
        assert before == [True] * 3
        with on(a):
            async with open_mcast_channel(GROUPS, PORT, ttl=255) as channel:
                beside = [await ask_avahi(asking, number) for number in range(4, 7)]
                assert beside == [True] * 3
                assert channel.statistics().received == 0
                # A question of this channel comes back from avahi alone, with the same endpoint.
                await channel.send(question(0), to=GROUPS[0])
                with trio.fail_after(10):
                    answer = await announced(channel)
                assert answer.source == Endpoint("10.0.1.1", PORT)
                assert answer.source in channel.local_endpoints
                assert channel.statistics().rejected_by_reason["own"] == 1
        assert await ask_avahi(asking, 7)
