"""What the page on environments says was tried: containers, macvlan, and a cable home."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from tests.lab import Host
from tests.lab.fixtures import TwoHosts
from tests.lab.machine import on
from tests.support.examples import PATIENCE_SECONDS, subscribed
from tests.support.needs import needs_program
from trio_mcast import McastReceiver, open_mcast_receiver, open_mcast_sender

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 5000
NAT = """\
table ip docker {
  chain leaving {
    type nat hook postrouting priority 100;
    ip saddr 172.17.0.0/16 oifname eth0 masquerade;
  }
}
"""


@asynccontextmanager
async def receiver_on(host: Host, interface: str) -> AsyncIterator[McastReceiver]:
    async with AsyncExitStack() as stack:
        with on(host):
            opening = open_mcast_receiver(GROUP, PORT, interfaces=interface)
            receiver = await stack.enter_async_context(opening)
        yield receiver


async def send(host: Host, interface: str, payload: bytes) -> None:
    with on(host):
        async with open_mcast_sender(GROUP, PORT, interfaces=interface, ttl=8) as sender:
            await sender.send(payload)


async def heard(receiver: McastReceiver) -> tuple[str, bytes]:
    with trio.fail_after(PATIENCE_SECONDS):
        datagram = await receiver.receive()
    return datagram.source.host, datagram.data


def ip(host: Host, command: str) -> None:
    host.run("ip", *command.split())


def give(machine: Host, container: Host, kind: str, address: str) -> None:
    """Give a container its eth0, of a kind that the machine makes, as Docker does."""
    end = f"netns {container.namespace.path}"
    if kind == "veth":
        name = f"veth-{container.name}"
        ip(machine, f"link add {name} type veth peer name eth0 {end}")
        ip(machine, f"link set {name} master docker0 up")
    else:
        ip(machine, f"link add link eth0 name eth0 {end} type macvlan mode bridge")
    ip(container, f"address add {address} dev eth0")
    ip(container, "link set eth0 up")


@needs_program("nft")
async def test_bridge_with_nat_connects_containers_and_not_the_network(
    two_hosts: TwoHosts,
) -> None:
    machine, outside = two_hosts.a, two_hosts.b
    machine.namespace.set_parameters({"ipv4/ip_forward": "1"})
    ip(machine, "link add docker0 type bridge")
    ip(machine, "address add 172.17.0.1/16 dev docker0")
    ip(machine, "link set docker0 up")
    machine.run("nft", "-f", "-", input=NAT)
    first, second = two_hosts.lab.host("first"), two_hosts.lab.host("second")
    for number, container in enumerate((first, second), start=2):
        give(machine, container, "veth", f"172.17.0.{number}/16")
        ip(container, "route add default via 172.17.0.1")
    first.run("ping", "-c1", "-W5", "10.0.1.2")  # Unicast passes.
    async with receiver_on(first, "eth0") as inside, receiver_on(outside, "eth0") as away:
        await subscribed(two_hosts.lan, GROUP)
        await send(outside, "eth0", b"from outside")
        await send(second, "eth0", b"from a container")
        await send(machine, "docker0", b"from the machine")
        await send(machine, "eth0", b"from the machine, to outside")
        assert [await heard(inside) for _ in range(2)] == [
            ("172.17.0.3", b"from a container"),
            ("172.17.0.1", b"from the machine"),
        ]
        assert [await heard(away) for _ in range(2)] == [
            ("10.0.1.2", b"from outside"),
            ("10.0.1.1", b"from the machine, to outside"),
        ]


async def test_macvlan_connects_a_container_with_the_network_and_not_its_machine(
    two_hosts: TwoHosts,
) -> None:
    machine, outside = two_hosts.a, two_hosts.b
    container, beside = two_hosts.lab.host("container"), two_hosts.lab.host("beside")
    give(machine, container, "macvlan", "10.0.1.21/24")
    give(machine, beside, "macvlan", "10.0.1.22/24")
    async with (
        receiver_on(container, "eth0") as inside,
        receiver_on(machine, "eth0") as at_machine,
        receiver_on(outside, "eth0") as away,
    ):
        await two_hosts.lan.wait_for_async(
            lambda seen: {"a", "b"} <= {item.host for item in seen if item.group == GROUP},
            PATIENCE_SECONDS,
        )
        await send(machine, "eth0", b"machine")
        await send(container, "eth0", b"container")
        await send(beside, "eth0", b"beside")
        await send(outside, "eth0", b"outside")
        heard_by: list[list[bytes]] = []
        for hearer, count in ((inside, 3), (at_machine, 2), (away, 4)):
            heard_by.append([(await heard(hearer))[1] for _ in range(count)])
    assert heard_by == [
        [b"container", b"beside", b"outside"],
        [b"machine", b"outside"],
        [b"machine", b"container", b"beside", b"outside"],
    ]


@pytest.mark.parametrize("accept", [False, True])
async def test_two_cards_of_one_machine_need_accept_local(
    two_hosts: TwoHosts, accept: bool
) -> None:
    machine = two_hosts.a
    machine.plug("eth1", two_hosts.lan, "10.0.3.1/24")
    if accept:
        machine.namespace.set_parameters({"ipv4/conf/eth0/accept_local": "1"})
    async with receiver_on(machine, "eth0") as receiver:
        await subscribed(two_hosts.lan, GROUP)
        await send(machine, "eth1", b"across the cable")
        await send(two_hosts.b, "eth0", b"of another machine")
        sources = [(await heard(receiver))[0] for _ in range(1 + accept)]
    assert sources == ["10.0.3.1", "10.0.1.2"][not accept :]
