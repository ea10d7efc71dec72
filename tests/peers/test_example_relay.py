"""The relay of the documentation, with iperf as the source, and two relays side by side."""

from __future__ import annotations

import struct
import subprocess
from collections import Counter
from contextlib import ExitStack

import pytest
import trio

from tests.lab import Lab, Switch
from tests.lab.machine import on
from tests.support.examples import PATIENCE_SECONDS, example, interrupted
from tests.support.needs import needs_program
from tests.support.privileges import UNPRIVILEGED
from tests.support.traffic import address_of, family_of
from trio_mcast import McastReceiver, open_mcast_receiver, open_mcast_sender

pytestmark = pytest.mark.once

PORT = 5000
COUNT = 20
# iperf sends one more, with a negative number, to say that this is all.
SENT = {*range(1, COUNT + 1), -COUNT - 1}

IPERF = (
    f"iperf -u -c {{group}}%eth0 -p {PORT} -B {{source}} -T 2 -l 100 -n {COUNT * 100} -b 2000pps"
)


async def send_for_this_network_only(group: str) -> None:
    async with open_mcast_sender(group, PORT, interfaces="eth0") as sender:
        await sender.send(struct.pack("!i", 777))


async def joined(switch: Switch, group: str, *hosts: str) -> None:
    """Wait until a switch knows exactly which hosts want a group."""
    await switch.wait_for_async(
        lambda _: sorted(seen.host for seen in switch.subscriptions(group)) == sorted(hosts),
        PATIENCE_SECONDS,
    )


async def numbers(receiver: McastReceiver, count: int) -> Counter[int]:
    """The numbers of so many datagrams of iperf, and of those that come soon after."""
    payloads: list[bytes] = []
    with trio.fail_after(PATIENCE_SECONDS):
        while len(payloads) < count:
            payloads += [datagram.data for datagram in await receiver.receive_batch()]
    with trio.move_on_after(0.3):  # What goes round in circles comes within microseconds.
        while True:
            payloads += [datagram.data for datagram in await receiver.receive_batch()]
    return Counter(struct.unpack_from("!i", payload)[0] for payload in payloads)


@needs_program("iperf")
@pytest.mark.parametrize("group", ["239.1.2.3", "ff05::1:2:3"])
async def test_each_of_two_relays_carries_each_datagram_once(lab: Lab, group: str) -> None:
    lan1, lan2 = lab.switch("lan1"), lab.switch("lan2")
    source, listener = lab.host("source"), lab.host("listener")
    source.plug("eth0", lan1, "10.0.1.1/24", "fd00:1::1/64")
    listener.plug("eth0", lan2, "10.0.2.1/24", "fd00:2::1/64")
    names = ["relay1", "relay2"]
    relays = [lab.host(name) for name in names]
    for number, relay in enumerate(relays, start=2):
        relay.plug("eth0", lan1, f"10.0.1.{number}/24", f"fd00:1::{number}/64")
        relay.plug("eth1", lan2, f"10.0.2.{number}/24", f"fd00:2::{number}/64")
    command = UNPRIVILEGED + example("relay.py", group, str(PORT), "eth0", "eth1")
    with ExitStack() as stack:
        relaying = [
            stack.enter_context(relay.popen(*command, stderr=subprocess.STDOUT)) for relay in relays
        ]
        with on(listener):
            async with open_mcast_receiver(group, PORT) as receiver:
                await joined(lan1, group, *names)
                await joined(lan2, group, *names, "listener")
                with on(source):
                    await send_for_this_network_only(group)
                iperf = IPERF.format(group=group, source=address_of(family_of(group), 1)).split()
                version = ["-V"] if ":" in group else []
                with source.popen(*iperf, *version, stdout=subprocess.DEVNULL):
                    received = await numbers(receiver, len(names) * len(SENT))
        for process in relaying:
            assert await interrupted(process) == []
    assert received == dict.fromkeys(SENT, len(names))
