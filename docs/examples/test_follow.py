"""Tests of follow.py: pytest test_follow.py"""

import sys

import pytest
import trio

from follow import main
from trio_mcast import open_mcast_sender
from trio_mcast.testing import VirtualHost, VirtualNetwork, network_test


async def speak(host: VirtualHost, words: bytes) -> None:
    with host:
        async with open_mcast_sender(
            "239.1.2.3", 12345, interfaces="eth0"
        ) as sender:
            await sender.send(words)
    await trio.sleep(1)


@network_test
async def test_laptop_hears_where_it_is_plugged_in(
    network: VirtualNetwork,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = network.switch("home", delay=0.001)
    office = network.switch("office", delay=0.001)
    at_home, at_work = network.host("at_home"), network.host("at_work")
    at_home.plug("eth0", home, "10.0.0.1/24")
    at_work.plug("eth0", office, "172.16.0.1/24")
    laptop = network.host("laptop")
    monkeypatch.setattr(sys, "argv", ["", "wlan0", "eth0"])
    async with trio.open_nursery() as nursery:
        with laptop:
            nursery.start_soon(main)
        await speak(at_home, b"nobody is here")
        wlan0 = laptop.plug("wlan0", home, "10.0.0.7/24")
        await trio.sleep(1)
        await speak(at_home, b"good morning")
        wlan0.unplug()
        await speak(at_home, b"have a nice day")
        laptop.plug("eth0", office, "172.16.0.7/24")
        laptop.plug("wlan0", office, "172.16.0.8/24").take_down()
        await trio.sleep(1)
        await speak(at_work, b"hello")
        await speak(at_home, b"come home")
        nursery.cancel_scope.cancel()
    heard = [
        line for line in capsys.readouterr().out.splitlines() if "b'" in line
    ]
    assert heard == ["wlan0 b'good morning'", "eth0 b'hello'"]
