"""Senders on a changing network: waiting for what they do about it, and plugging it again."""

from __future__ import annotations

import socket

import trio

from tests.lab import Host, Switch
from tests.lab.fixtures import TwoLans
from tests.support.traffic import TIMEOUT_SECONDS, address_of, member, refusals_in
from tests.support.waiting import until
from trio_mcast import McastSender

# One for each way in which the sender's address is chosen.
GROUPS = ["239.1.2.3", "ff05::123", "ff02::123"]


async def until_on(sender: McastSender, *interfaces: str) -> None:
    """Wait until the sender is on these interfaces."""
    await until(lambda: [interface.name for interface in sender.interfaces], list(interfaces))


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
    """Open the socket of another program that has joined the group, of which the switch knows."""
    sock = member(host, group, interface)
    await lan.wait_for_async(
        lambda subscriptions: any(
            (subscription.group, subscription.host) == (group, host.name)
            for subscription in subscriptions
        )
    )
    return sock


def plug_again(host: Host, lan: Switch, number: int = 1, interface: str = "eth0") -> None:
    """Give a host a new interface with the name and addresses of the one that was unplugged."""
    host.plug(interface, lan, f"10.0.{number}.1/24", f"fd00:{number}::1/64")


def lan_of(network: TwoLans, interface: str) -> Switch:
    return {"eth0": network.lan1, "eth1": network.lan2}[interface]


def sending_address(host: Host, group: str) -> str:
    """Return the address that datagrams from the host to the group come from."""
    if group.startswith("ff02"):
        return host.link_local("eth0")
    return address_of("ipv6" if ":" in group else "ipv4", 1)
