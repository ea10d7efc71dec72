"""What the tests of a changing network share: waiting for a sender, and changing its network."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import trio

from tests.lab import Host, Switch
from tests.lab._polling import wait_until_async
from tests.lab.fixtures import TwoLans
from tests.support.traffic import TIMEOUT_SECONDS, address_of, member, refusals_in
from trio_mcast import McastSender

# One for each way in which the sender's address is chosen.
GROUPS = ["239.1.2.3", "ff05::123", "ff02::123"]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def until(look: Callable[[], object], wanted: object) -> None:
    """Let other tasks run until something is seen to be so."""
    await wait_until_async(look, lambda seen: seen == wanted, f"it to be {wanted!r}")


async def until_on(sender: McastSender, *interfaces: str) -> None:
    """Let other tasks run until the sender is on these interfaces."""
    await until(lambda: [item.name for item in sender.interfaces], list(interfaces))


async def send_until_it_works(sender: McastSender, data: bytes) -> None:
    """Send one datagram as soon as that can be done on every interface."""
    with trio.fail_after(TIMEOUT_SECONDS):
        while True:
            failed = sender.statistics().failed
            try:
                await sender.send(data)
            except OSError:
                pass
            except Exception as error:  # On 3.10 there are two kinds of groups.
                refusals_in(error)
            if sender.statistics().failed == failed:
                return
            await trio.sleep(0.01)


async def listening(host: Host, lan: Switch, group: str, interface: str = "eth0") -> socket.socket:
    """Another program that has joined the group, of which the switch knows."""
    sock = member(host, group, interface)
    await lan.wait_for_async(
        lambda seen: any((item.group, item.host) == (group, host.name) for item in seen)
    )
    return sock


def plug_again(host: Host, lan: Switch, number: int = 1, interface: str = "eth0") -> None:
    """Give a host a new interface with the name and addresses of the one that was unplugged."""
    host.plug(interface, lan, f"10.0.{number}.1/24", f"fd00:{number}::1/64")


def lan_of(network: TwoLans, interface: str) -> Switch:
    return {"eth0": network.lan1, "eth1": network.lan2}[interface]


def own_address(host: Host, group: str) -> str:
    """The address that datagrams to the group come from."""
    if group.startswith("ff02"):
        return host.link_local("eth0")
    return address_of("ipv6" if ":" in group else "ipv4", 1)
