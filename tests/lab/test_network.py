"""The lab's switches and routers are what the tests built on it take them for."""

from __future__ import annotations

import sys

import pytest

from tests.lab import Host, Lab, Subscription, Switch
from tests.lab.fixtures import TwoHosts
from tests.lab.sockets import (
    MCAST_BLOCK_SOURCE,
    MCAST_JOIN_GROUP,
    MCAST_JOIN_SOURCE_GROUP,
    PORT,
    Sockets,
    frames_before,
    is_ipv6,
    join,
)
from tests.support.needs import needs_program

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

pytestmark = pytest.mark.once

FAMILIES = pytest.mark.parametrize("group", ["239.1.2.3", "ff05::1:2:3"])


def three_hosts(lab: Lab, lan: Switch) -> tuple[Host, Host, Host]:
    """Make hosts a, b, c on a switch."""
    hosts = (lab.host("a"), lab.host("b"), lab.host("c"))
    for number, host in enumerate(hosts, start=1):
        host.plug("eth0", lan, f"10.0.1.{number}/24", f"fd00:1::{number}/64")
    return hosts


# --- Switches --------------------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize(
    ("options", "seen"),
    [({}, 0), ({"flood": True}, 5), ({"snooping": False}, 5), ({"querier": False}, 0)],
    ids=["snooping", "flood", "no-snooping", "no-querier"],
)
def test_switch_sends_a_group_where_it_should(
    lab: Lab, sockets: Sockets, group: str, options: dict[str, bool], seen: int
) -> None:
    lan = lab.switch("lan", **options)
    a, b, c = three_hosts(lab, lan)
    receiver = sockets.receiver(b, group)
    if options.get("snooping", True):
        lan.wait_for(lambda _: lan.subscriptions(group) != ())
    sniffer = sockets.sniffer(c)
    sender = sockets.sender(a, group)
    for number in range(5):
        sender.sendto(b"datagram %d" % number, (group, PORT))
    # Every host is a member of this one, whatever the switch thinks.
    sender.sendto(b"marker", ("ff02::1" if is_ipv6(group) else "224.0.0.1", PORT))
    assert [receiver.recv(100) for _ in range(5)] == [b"datagram %d" % n for n in range(5)]
    assert sum(b"datagram" in frame for frame in frames_before(sniffer, b"marker")) == seen


@pytest.mark.parametrize("group", ["224.0.0.251", "ff02::fb"])
def test_switch_delivers_link_local_groups(
    two_hosts: TwoHosts, sockets: Sockets, group: str
) -> None:
    receiver = sockets.receiver(two_hosts.b, group) if not is_ipv6(group) else None
    if receiver is None:
        receiver = sockets.plain(two_hosts.b, group)
        index = two_hosts.b.index("eth0")
        receiver.bind((group, PORT, 0, index))
        join(receiver, MCAST_JOIN_GROUP, index, group)
        two_hosts.lan.wait_for(lambda _: two_hosts.lan.subscriptions(group) != ())
    sockets.sender(two_hosts.a, group).sendto(b"hello", (group, PORT))
    assert receiver.recv(100) == b"hello"


@FAMILIES
def test_switch_shows_joins_and_leaves(two_hosts: TwoHosts, sockets: Sockets, group: str) -> None:
    lan = two_hosts.lan
    receivers = [sockets.receiver(host, group) for host in (two_hosts.a, two_hosts.b)]
    expected = {Subscription(group, name, "eth0", "exclude", frozenset()) for name in ("a", "b")}
    lan.wait_for(lambda _: set(lan.subscriptions(group)) == expected)
    receivers[0].close()
    lan.wait_for(lambda seen: [s.host for s in seen if s.group == group] == ["b"])
    receivers[1].close()
    lan.wait_for(lambda _: lan.subscriptions(group) == ())


@FAMILIES
@pytest.mark.parametrize("mode", ["include", "exclude"])
def test_switch_shows_sources(two_hosts: TwoHosts, sockets: Sockets, group: str, mode: str) -> None:
    lan, b = two_hosts.lan, two_hosts.b
    sources = ["fd00:1::77", "fd00:1::78"] if is_ipv6(group) else ["10.0.1.77", "10.0.1.78"]
    sock = sockets.plain(b, group)
    option = MCAST_JOIN_SOURCE_GROUP
    if mode == "exclude":
        join(sock, MCAST_JOIN_GROUP, b.index("eth0"), group)
        option = MCAST_BLOCK_SOURCE
    for source in sources:
        join(sock, option, b.index("eth0"), group, source)
    lan.wait_for(
        lambda seen: (
            [(s.filter_mode, s.sources) for s in seen if s.group == group]
            == [(mode, frozenset(sources))]
        )
    )
    sock.close()
    lan.wait_for(lambda _: lan.subscriptions(group) == ())


def test_switch_without_querier_forgets_subscriptions(lab: Lab, sockets: Sockets) -> None:
    lan = lab.switch("lan", querier=False)
    a = lab.host("a")
    a.plug("eth0", lan)
    sockets.receiver(a, "239.1.2.3")
    lan.wait_for(lambda _: lan.subscriptions("239.1.2.3") != ())
    lan.wait_for(lambda _: lan.subscriptions("239.1.2.3") == (), timeout=10)


def test_wait_for_shows_what_it_saw_last(two_hosts: TwoHosts, sockets: Sockets) -> None:
    sockets.receiver(two_hosts.a, "239.1.2.3")
    two_hosts.lan.wait_for(lambda seen: any(s.group == "239.1.2.3" for s in seen))
    with pytest.raises(TimeoutError, match=r"<Switch 'lan'>.*239\.1\.2\.3"):
        two_hosts.lan.wait_for(lambda seen: False, timeout=0)


async def test_wait_for_async_returns_what_it_waited_for(
    two_hosts: TwoHosts, sockets: Sockets
) -> None:
    sockets.receiver(two_hosts.a, "239.1.2.3")
    seen = await two_hosts.lan.wait_for_async(
        lambda seen: any(s.group == "239.1.2.3" for s in seen)
    )
    assert Subscription("239.1.2.3", "a", "eth0", "exclude", frozenset()) in seen
    with pytest.raises(TimeoutError, match="subscriptions"):
        await two_hosts.lan.wait_for_async(lambda seen: False, timeout=0)


# --- Routers ---------------------------------------------------------------------------------


@needs_program("smcrouted")
@pytest.mark.parametrize("when", ["before start", "after start"])
@FAMILIES
def test_router_passes_on_what_has_ttl_left(
    lab: Lab, sockets: Sockets, group: str, when: str
) -> None:
    lan1, lan2 = lab.switch("lan1"), lab.switch("lan2")
    a, b, router = lab.host("a"), lab.host("b"), lab.router("router")
    a.plug("eth0", lan1, "10.0.1.1/24", "fd00:1::1/64")
    b.plug("eth0", lan2, "10.0.2.1/24", "fd00:2::1/64")
    router.plug("lan1", lan1, "10.0.1.254/24", "fd00:1::fe/64")
    router.plug("lan2", lan2, "10.0.2.254/24", "fd00:2::fe/64")
    if when == "after start":
        router.start()
    router.forward(group, inbound="lan1", outbound="lan2")
    if when == "before start":
        router.start()

    receiver = sockets.receiver(b, group)
    lan2.wait_for(lambda _: lan2.subscriptions(group) != ())
    # Without a route a host has no source address for a group of larger scope than link-local.
    a.run("ip", "-6", "route", "add", "default", "via", "fd00:1::fe")
    sockets.sender(a, group, ttl=1).sendto(b"ttl 1", (group, PORT))
    sockets.sender(a, group, ttl=2).sendto(b"ttl 2", (group, PORT))
    assert receiver.recv(100) == b"ttl 2"


@needs_program("ping")
def test_router_passes_on_unicast(lab: Lab) -> None:
    lan1, lan2 = lab.switch("lan1"), lab.switch("lan2")
    router = lab.router("router")
    for number, lan in enumerate((lan1, lan2), start=1):
        router.plug(f"lan{number}", lan, f"10.0.{number}.254/24", f"fd00:{number}::fe/64")
        host = lab.host(f"host{number}")
        host.plug("eth0", lan, f"10.0.{number}.1/24", f"fd00:{number}::1/64")
        host.run("ip", "route", "add", "default", "via", f"10.0.{number}.254")
        host.run("ip", "-6", "route", "add", "default", "via", f"fd00:{number}::fe")
    host.run("ping", "-c1", "-W2", "10.0.1.1")
    host.run("ping", "-c1", "-W2", "fd00:1::1")
