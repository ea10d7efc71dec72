"""A send buffer that is full, behind an interface with a rate: virtual, and on real Linux."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
import trio
from trio.testing import MockClock

from tests.lab import Lab
from tests.lab.fixtures import TwoHosts, require_lab
from tests.lab.machine import LabMachine
from trio_mcast import open_mcast_sender
from trio_mcast._host.protocols import Host, McastSocket
from trio_mcast._plan.socket_spec import SocketSpec, bind_address
from trio_mcast._platform import options as layout
from trio_mcast._values.addresses import Family
from trio_mcast.testing import VirtualNetwork, network_test
from trio_mcast.testing._charges import linux_charge

from ..support.virtual_hosts import PORT, open_plain, sending, two_on_lan

pytestmark = pytest.mark.once

GROUPS: dict[Family, str] = {"ipv4": "239.1.2.3", "ipv6": "ff05::1234"}
# 1,000 bytes a second: nothing leaves while a test counts what finds room.
SLOW = 8_000

# The buffer asked for (0: the default), the payload, how many find room, and the error then.
# Measured on Linux 6.18.
ROOM: list[tuple[Family, int, int, int, int]] = [
    ("ipv4", 0, 0, 256, errno.EAGAIN),
    ("ipv4", 0, 1_472, 93, errno.EAGAIN),
    ("ipv4", 0, 3_000, 40, errno.EAGAIN),
    ("ipv4", 0, 65_507, 3, errno.EAGAIN),
    ("ipv4", 1, 100, 6, errno.EAGAIN),
    ("ipv4", 1, 1_000, 2, errno.EAGAIN),
    ("ipv4", 1, 3_000, 1, errno.EAGAIN),
    ("ipv4", 1, 9_000, 0, errno.ENOBUFS),
    ("ipv4", 10_000, 9_000, 2, errno.EAGAIN),
    ("ipv4", 10_000, 65_507, 0, errno.ENOBUFS),
    ("ipv6", 0, 184, 256, errno.EAGAIN),
    ("ipv6", 0, 1_472, 68, errno.EAGAIN),
    ("ipv6", 1, 1_472, 2, errno.EAGAIN),
    ("ipv6", 1, 9_000, 0, errno.ENOBUFS),
    ("ipv6", 50_000, 20_000, 4, errno.EAGAIN),
    ("ipv6", 50_000, 65_527, 1, errno.EAGAIN),
    # The last fragment may be where twice the buffer ends.
    ("ipv4", 1, 5_912, 1, errno.EAGAIN),
    ("ipv4", 1, 5_913, 0, errno.ENOBUFS),
]


def sender_on(host: Host, family: Family, buffer: int) -> McastSocket:
    by_name = {interface.name: interface for interface in host.list_interfaces()}
    eth0 = by_name["eth0"]
    options = [layout.multicast_interface(host.platform, family, eth0.index)]
    if buffer:
        asked = layout.option(host.platform, "SO_SNDBUF", buffer, "send buffer", family=family)
        options.append(asked)
    where = bind_address(ip_address("0.0.0.0" if family == "ipv4" else "::"), 0, 0)
    return host.open_socket(SocketSpec(family, eth0, None, (), where, tuple(options)))


def room(host: Host, family: Family, buffer: int, size: int) -> tuple[int, int]:
    """Return how many datagrams find room, and the error of the next one."""
    to = bind_address(ip_address(GROUPS[family]), 5_000, 0)
    # What is under way already lets the token bucket pass nothing more.
    other, sock = sender_on(host, family, 0), sender_on(host, family, buffer)
    try:
        for _ in range(2):
            other.send(bytes(1_400), to)
        for sent in range(1_000):
            try:
                sock.send(bytes(size), to)
            except OSError as error:
                return sent, error.errno or 0
    finally:
        other.close()
        sock.close()
    raise AssertionError("the buffer is never full")


@pytest.mark.parametrize(("family", "buffer", "size", "sent", "error"), ROOM)
async def test_send_buffer_holds_so_many(
    family: Family, buffer: int, size: int, sent: int, error: int
) -> None:
    async with two_on_lan() as lan:
        lan.a.interface("eth0").outgoing.rate = SLOW
        assert room(lan.a, family, buffer, size) == (sent, error)


@pytest.fixture(scope="module")
def slow_host() -> Iterator[LabMachine]:
    """A real host whose interface passes 1,000 bytes a second."""
    require_lab("tc")
    with Lab() as lab:
        lan, host = lab.switch("lan"), lab.host("a")
        host.plug("eth0", lan, "10.0.1.1/24", "fd00:1::1/64")
        shape = f"tc qdisc add dev eth0 root tbf rate {SLOW}bit burst 1540 limit 100000000"
        host.run(*shape.split())
        yield LabMachine(host)


@pytest.mark.parametrize(("family", "buffer", "size", "sent", "error"), ROOM)
async def test_send_buffer_of_real_linux_holds_as_many(
    slow_host: LabMachine, family: Family, buffer: int, size: int, sent: int, error: int
) -> None:
    assert room(slow_host, family, buffer, size) == (sent, error)


async def test_datagram_with_too_many_fragments_is_refused_without_a_rate_as_well(
    two_hosts: TwoHosts,
) -> None:
    def check(host: Host) -> None:
        sock, to = sender_on(host, "ipv4", 1), bind_address(ip_address("239.1.2.3"), 5_000, 0)
        sock.send(bytes(5_912), to)
        with pytest.raises(OSError, match=r"buffer space") as caught:
            sock.send(bytes(5_913), to)
        assert caught.value.errno == errno.ENOBUFS
        sock.close()

    async with two_on_lan() as lan:
        check(lan.a)
    check(LabMachine(two_hosts.a))


async def test_sender_waits_until_half_of_the_buffer_is_free(autojump_clock: MockClock) -> None:
    async with two_on_lan() as lan, sending(lan.a, send_buffer_size=5_000) as sender:
        lan.a.interface("eth0").outgoing.rate = 8_000_000  # A byte in a microsecond.
        began, times = trio.current_time(), []
        for _ in range(9):
            await sender.send(bytes(1_000))
            times.append(round((trio.current_time() - began) * 1e6))
        # 1,066 us each on the wire, and 2,304 bytes of 10,000: five find room, and then the next
        # one waits until less than 5,000 are taken, so until three have left.
        assert times[:5] == [0] * 5
        assert times[5:8] == [3_198] * 3
        assert times[8] > 3_198
        assert lan.network.trace.refused() == []


async def test_closing_ends_the_wait_for_room(autojump_clock: MockClock) -> None:
    async with two_on_lan() as lan:
        lan.a.interface("eth0").outgoing.rate = SLOW
        sock = sender_on(lan.a, "ipv4", 1)
        to = bind_address(ip_address("239.1.2.3"), 5_000, 0)
        for _ in range(2):
            sock.send(bytes(1_000), to)
        with pytest.raises(BlockingIOError):
            sock.send(bytes(1_000), to)
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await sock.wait_writable()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            sock.close()
        assert trio.current_time() < 1


async def test_lost_link_ends_the_wait_for_room(autojump_clock: MockClock) -> None:
    async with two_on_lan() as lan:
        eth0 = lan.a.interface("eth0")
        eth0.outgoing.rate = SLOW
        with lan.a:
            async with (
                open_mcast_sender(
                    GROUPS["ipv4"], PORT, interfaces="eth0", send_buffer_size=10_000
                ) as sender,
                trio.open_nursery() as nursery,
            ):
                sent: list[float] = []

                async def send() -> None:
                    for _ in range(12):
                        await sender.send(bytes(1_000))
                        sent.append(trio.current_time())

                start = trio.current_time()
                nursery.start_soon(send)
                await trio.sleep(0.5)
                assert len(sent) < 12
                eth0.lose_carrier()  # What is sent now is lost at once.
        assert {time - start for time in sent} == {0, 0.5}


@pytest.mark.parametrize("platform", ["darwin", "freebsd", "windows"])
async def test_other_systems_have_room_always(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        lan.b.interface("eth0").outgoing.rate = SLOW
        sock = open_plain(lan.b, "10.0.0.2", port=0)
        assert sock.send_batch([bytes(1_000)] * 500, 0, ("10.0.0.1", 5_000)) == 500


# --- Fragments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "mtu", "size", "arrived", "sent"),
    # As measured on Linux 6.18: sk_rmem_alloc and sk_wmem_alloc after one datagram.
    [
        ("ipv4", 1_500, 1_472, 2_304, 2_304),
        ("ipv4", 1_500, 1_473, 2_304, 3_136),
        ("ipv4", 1_500, 1_678, 2_304, 3_584),
        ("ipv4", 1_280, 1_684, 2_304, 3_584),
        ("ipv4", 1_280, 1_902, 4_608, 4_608),
        ("ipv4", 1_000, 1_684, 2_304, 4_608),
        ("ipv4", 1_000, 1_685, 4_608, 4_608),
        ("ipv4", 576, 660, 1_280, 2_112),
        ("ipv4", 576, 661, 2_112, 2_112),
        ("ipv4", 576, 1_100, 2_560, 2_560),
        ("ipv4", 576, 1_101, 3_392, 3_392),
        ("ipv4", 9_000, 1_670, 4_352, 4_352),
        ("ipv4", 9_000, 9_000, 16_640, 17_472),
        ("ipv4", 65_536, 65_507, 66_339, 66_339),
        ("ipv6", 1_280, 1_656, 2_304, 3_584),
        ("ipv6", 1_280, 2_457, 5_440, 5_440),
        ("ipv6", 9_000, 60_000, 108_288, 108_288),
        ("ipv6", 65_536, 65_507, 67_144, 67_144),
    ],
)
def test_charge_of_linux_depends_on_the_fragments(
    family: Family, mtu: int, size: int, arrived: int, sent: int
) -> None:
    assert linux_charge(family, size, mtu, arrived=True) == arrived
    assert linux_charge(family, size, mtu, arrived=False) == sent


@network_test
async def test_interface_takes_in_nothing_that_is_larger_than_its_mtu(
    network: VirtualNetwork,
) -> None:
    lan, a, b = network.switch("lan"), network.host("a"), network.host("b")
    a.plug("eth0", lan, "10.0.0.1/24", mtu=9_000)
    b.plug("eth0", lan, "10.0.0.2/24")
    sock = open_plain(b, "10.0.0.2")
    with a:
        async with open_mcast_sender("239.1.2.3", 5_000, interfaces="eth0") as sender:
            await sender.send(bytes(1_472), to=("10.0.0.2", PORT))
            await sender.send(bytes(1_477), to=("10.0.0.2", PORT))
            a.interface("eth0").set_mtu(1_500)
            await sender.send(bytes(9_000), to=("10.0.0.2", PORT))
    assert [len(each.data) for each in sock.receive(10)] == [1_472, 9_000]
    (dropped,) = network.trace.dropped()
    assert dropped.reason == "it is larger than the mtu of 1500"
