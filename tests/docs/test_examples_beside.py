"""The programs of the documentation that stand beside others: loops, threads, keys, metrics."""

from __future__ import annotations

import os
import re
import runpy

import pytest
import trio

from tests.lab import Lab
from tests.lab.fixtures import TwoHosts
from tests.lab.machine import on
from tests.support.examples import (
    EXAMPLES,
    PATIENCE_SECONDS,
    example,
    interrupted,
    next_line,
    rest_of_output,
    subscribed,
)
from trio_mcast import open_mcast_receiver, open_mcast_sender

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 12345


@pytest.mark.parametrize("name", ["with_anyio.py", "asyncio_guest.py", "in_a_thread.py"])
async def test_datagrams_come_to_another_loop(two_hosts: TwoHosts, name: str) -> None:
    payloads = [b"number %d" % number for number in range(3)]
    with two_hosts.b.popen(*example(name, "eth0")) as receiving, on(two_hosts.a):
        await subscribed(two_hosts.lan, GROUP)
        async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
            await sender.send_batch(payloads)
        lines = await rest_of_output(receiving)
    assert [re.sub(r":\d+ ", ":PORT ", line) for line in lines] == [
        f"10.0.1.1:PORT {payload!r}" for payload in payloads
    ]


@pytest.mark.parametrize("name", ["with_anyio.py", "asyncio_guest.py", "in_a_thread.py"])
def test_error_of_the_receiver_ends_the_program(lab: Lab, name: str) -> None:
    ended = lab.host("a").run(*example(name, "nope"), check=False)
    assert ended.returncode == 1
    assert "InterfaceNotFoundError: no interface is called 'nope'" in ended.stderr


async def test_signed_datagrams_come_once_and_others_not(two_hosts: TwoHosts) -> None:
    env = {**os.environ, "SIGNED_KEY": "secret"}
    with two_hosts.b.popen(*example("signed_receiver.py", "eth0"), env=env) as receiving:
        await subscribed(two_hosts.lan, GROUP)
        with on(two_hosts.a):
            async with (
                open_mcast_sender(GROUP, PORT, interfaces="eth0") as forger,
                open_mcast_receiver(GROUP, PORT, interfaces="eth0") as listening,
            ):
                with two_hosts.a.popen(*example("signed_sender.py", "eth0"), env=env) as sending:
                    assert await rest_of_output(sending) == []
                with trio.fail_after(PATIENCE_SECONDS):
                    overheard = [(await listening.receive()).data for _ in range(3)]
                changed = bytes([overheard[0][0] ^ 1]) + overheard[0][1:]
                await forger.send_batch([*overheard, changed, b"", b"x" * 40])
        lines = [await next_line(receiving) for _ in range(3 + 3 + 3)]
        assert await interrupted(receiving) == []
    assert [line.partition("b'")[2] for line in lines[:3]] == [f"number {n}'" for n in range(3)]
    assert all(line.startswith("refused, from 10.0.1.1:") for line in lines[3:])


def test_gate_lets_each_number_of_its_window_through_once() -> None:
    signed = runpy.run_path(str(EXAMPLES / "signed.py"))
    gate, seal = signed["Gate"](), signed["seal"]
    assert gate.open(seal(1, 100, b"first")) == b"first"
    assert gate.open(seal(1, 37, b"late")) == b"late"
    assert gate.open(seal(2, 5, b"of another")) == b"of another"
    refused = [(1, 100), (1, 37), (1, 36), (2, 5)]
    assert [gate.open(seal(*numbers, b"again")) for numbers in refused] == [None] * 4
    for number in range(101, 2_000):
        assert gate.open(seal(1, number, b"")) == b""
    assert len(gate._seen[1]) == 64


async def test_metrics_are_answered(two_hosts: TwoHosts) -> None:
    with two_hosts.b.popen(*example("metrics.py", "9100", "eth0")) as receiving:
        await subscribed(two_hosts.lan, GROUP)
        with on(two_hosts.a):
            async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
                await sender.send(b"hello")
        await next_line(receiving)
        with two_hosts.b.inside():
            stream = await trio.open_tcp_stream("127.0.0.1", 9100)
        async with stream:
            await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join([part async for part in stream]).decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.0 200 OK\r\n")
    where = 'group="239.1.2.3",interface="eth0"'
    assert body.splitlines() == [
        f"mcast_delivered_total{{{where}}} 1",
        f"mcast_dropped_by_kernel_total{{{where}}} 0",
        f"mcast_dropped_by_policy_total{{{where}}} 0",
        f"mcast_rejected_total{{{where}}} 0",
    ]
