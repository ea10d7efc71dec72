"""``ALL_INTERFACES``: every candidate, as they come and go, for receivers and for senders."""

from __future__ import annotations

import copy
import errno
import pickle
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from tests.lab.fixtures import TwoLans
from tests.support.interfaces import ETH1, LO, MACHINE
from tests.support.senders import lan_of, plug_again, until_on
from tests.support.traffic import BOTH, receiver_on, refusals_in, sender_on
from tests.support.virtual_hosts import (
    GROUP4,
    GROUP6,
    PLATFORMS,
    PORT,
    add_second_lan,
    drain,
    receiving,
    sending,
    two_on_lan,
)
from tests.support.waiting import until
from trio_mcast import (
    ALL_INTERFACES,
    Datagram,
    Endpoint,
    InterfaceNotFoundError,
    McastReceiverSpec,
    McastSenderSpec,
    SocketSetupError,
    find_interfaces,
    open_mcast_channel,
)
from trio_mcast._platform.model import PlatformName
from trio_mcast.testing import VirtualNetwork

pytestmark = pytest.mark.once

MIXED = [GROUP4, GROUP6]


def test_all_interfaces_is_one_value_however_it_is_copied() -> None:
    assert copy.copy(ALL_INTERFACES) is ALL_INTERFACES
    assert copy.deepcopy(ALL_INTERFACES) is ALL_INTERFACES
    assert pickle.loads(pickle.dumps(ALL_INTERFACES)) is ALL_INTERFACES
    assert repr(ALL_INTERFACES) == str(ALL_INTERFACES) == "ALL_INTERFACES"
    spec = McastSenderSpec(GROUP4, PORT, interfaces=ALL_INTERFACES)
    assert copy.deepcopy(spec) == pickle.loads(pickle.dumps(spec)) == spec
    assert pickle.loads(pickle.dumps(spec)).interfaces is ALL_INTERFACES
    assert "interfaces=ALL_INTERFACES" in repr(spec)
    assert spec != McastSenderSpec(GROUP4, PORT)


@pytest.mark.parametrize("kind", [McastReceiverSpec, McastSenderSpec])
def test_all_interfaces_stands_alone(kind: Any) -> None:
    for interfaces in ([ALL_INTERFACES], ["eth0", ALL_INTERFACES]):
        with pytest.raises(TypeError, match="ALL_INTERFACES stands alone"):
            kind(GROUP4, PORT, interfaces=interfaces)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_plan_of_all_interfaces_is_that_of_every_candidate_named(platform: PlatformName) -> None:
    down = attrs.evolve(ETH1, name="eth2", index=20, is_up=False)
    bridged = attrs.evolve(ETH1, name="eth3", index=21, master="br0")
    machine = [*MACHINE, down, bridged]
    for kind in (McastReceiverSpec, McastSenderSpec):
        candidates = ["eth0", "eth1", "bare0"]
        if platform == "darwin" and kind is McastReceiverSpec:
            # It has no address, so macOS would join nothing there.
            candidates.remove("bare0")
        plan = kind(MIXED, PORT, interfaces=ALL_INTERFACES).plan(machine, platform)
        assert plan == kind(MIXED, PORT, interfaces=candidates).plan(machine, platform)


def test_zone_and_source_address_restrict_all_interfaces() -> None:
    def where(groups: Any, **options: Any) -> list[tuple[str, str]]:
        spec = McastSenderSpec(groups, PORT, interfaces=ALL_INTERFACES, **options)
        return [(socket.family, socket.interface.name) for socket in spec.plan(MACHINE, "linux")]

    assert where([GROUP4, f"{GROUP6}%eth1"]) == [
        ("ipv4", "eth0"),
        ("ipv4", "eth1"),
        ("ipv6", "eth1"),
    ]
    assert where(GROUP4, source_address="10.1.0.1") == [("ipv4", "eth1")]
    with pytest.raises(ValueError, match=r"source_address 10\.7\.7\.7 is not an address of"):
        where(GROUP4, source_address="10.7.7.7")
    with pytest.raises(InterfaceNotFoundError, match="eth9"):
        where([GROUP4, f"{GROUP6}%eth9"])


@pytest.mark.parametrize("kind", [McastReceiverSpec, McastSenderSpec])
def test_without_any_candidate_it_is_an_error_that_lists_what_there_is(kind: Any) -> None:
    with pytest.raises(InterfaceNotFoundError, match=r"capable of multicast.*there are: lo"):
        kind(GROUP4, PORT, interfaces=ALL_INTERFACES).plan([LO], "linux")


def names(interfaces: Any) -> list[str]:
    return [interface.name for interface in interfaces]


async def test_receiver_joins_and_leaves_on_all_interfaces_where_it_is_told_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_on_lan() as lan:
        add_second_lan(lan)
        async with receiving(lan.a, GROUP4, interfaces="eth0") as receiver:
            assert names(find_interfaces(ALL_INTERFACES)) == names(find_interfaces(None))
            await receiver.join("239.9.9.9", interfaces=ALL_INTERFACES)
            assert [it.interface.name for it in receiver.memberships] == ["eth0", "eth0", "eth1"]
            lan.a.plug("eth2", lan.network.switch("lan2"), "10.0.2.1/24")
            await trio.sleep(1)
            assert names(it.interface for it in receiver.memberships if it.group != GROUP4) == [
                "eth0",
                "eth1",
                "eth2",
            ]
            await receiver.block_source("10.0.0.2", groups="239.9.9.9", interfaces=ALL_INTERFACES)
            await receiver.leave("239.9.9.9", interfaces=ALL_INTERFACES)
            assert [it.group for it in receiver.memberships] == [GROUP4]


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_sender_follows_the_candidates(
    platform: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with (
        two_on_lan(platform) as lan,
        receiving(lan.a, MIXED) as receiver,
        sending(lan.b, MIXED, interfaces=ALL_INTERFACES) as sender,
    ):

        async def heard_on() -> set[tuple[str | None, str]]:
            await trio.sleep(10)  # Until all that has changed has been looked at.
            await sender.send(b"hello")
            return {(it.group, it.interface.name) for it in await drain(receiver)}

        def on_each(*interfaces: str) -> set[tuple[str | None, str]]:
            return {(group, name) for group in MIXED for name in interfaces}

        assert await heard_on() == on_each("eth0")
        add_second_lan(lan)
        assert await heard_on() == on_each("eth0", "eth1")
        before = sender.local_endpoints
        lan.b.interface("eth1").take_down()
        assert await heard_on() == on_each("eth0")
        assert names(sender.interfaces) == ["eth0"]
        lan.b.interface("eth1").take_up()
        if platform == "linux":  # Where a new link-local address is the only one.
            lan.b.interface("eth1").add_address("fd00:1::2/64")
        assert await heard_on() == on_each("eth0", "eth1")
        assert sender.local_endpoints == before
        lan.b.interface("eth0").unplug()
        assert await heard_on() == on_each("eth1")
        assert sender.statistics().failed == 0
        lan.b.interface("eth1").take_down()
        with pytest.raises(Exception, match="nothing could be sent") as caught:
            await heard_on()
        assert {error.interface for error in refusals_in(caught.value)} == {"eth1"}
        lan.b.interface("eth1").unplug()
        with pytest.raises(Exception, match="nothing could be sent") as caught:
            await heard_on()
        assert {error.errno for error in refusals_in(caught.value)} == {errno.ENODEV}
        lan.b.plug("eth9", lan.switch, "10.0.0.9/24", "fd00::9/64", "fe80::9/64")
        assert await heard_on() == on_each("eth0")
        assert names(sender.interfaces) == ["eth9"]


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_sender_that_may_wait_for_the_first_candidate_sends_when_it_comes(
    platform: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with VirtualNetwork() as network:
        lan = network.switch("lan")
        a, b = network.host("a"), network.host("b", platform=platform)  # type: ignore[arg-type]
        a.plug("eth0", lan, "10.0.0.1/24", "fd00::1/64", "fe80::1/64")
        with pytest.raises(InterfaceNotFoundError):
            async with sending(b, MIXED, interfaces=ALL_INTERFACES):
                pass
        async with (
            receiving(a, MIXED) as receiver,
            sending(b, MIXED, interfaces=ALL_INTERFACES, allow_missing=True) as sender,
        ):
            assert sender.interfaces == ()
            with pytest.raises(Exception, match="nothing could be sent") as caught:
                await sender.send(b"early")
            for error in refusals_in(caught.value):
                assert error.errno == errno.ENODEV
                assert "no interface is up, capable of multicast and not loopback" in str(error)
            b.plug("eth0", lan, "10.0.0.2/24", "fd00::2/64", "fe80::2/64")
            await trio.sleep(10)
            await sender.send(b"hello")
            assert {it.group for it in await drain(receiver)} == set(MIXED)


async def test_real_sender_follows_the_candidates(two_lans: TwoLans) -> None:
    a, b = two_lans.a, two_lans.b
    a.unplug("eth1")
    async with (
        receiver_on(two_lans, b, GROUP4) as receiver,
        sender_on(a, GROUP4, interfaces=ALL_INTERFACES) as sender,
    ):

        async def heard_on(*expected: str) -> None:
            await until_on(sender, *expected)
            await sender.send(b"hello")
            with trio.fail_after(5):
                heard = [await receiver.receive() for _ in expected]
            assert {it.interface.name for it in heard} == set(expected)

        await heard_on("eth0")
        plug_again(a, lan_of(two_lans, "eth1"), 2, "eth1")
        await heard_on("eth0", "eth1")
        before = sender.local_endpoints
        a.down("eth1")
        await heard_on("eth0")
        a.up("eth1")
        await heard_on("eth0", "eth1")
        assert sender.local_endpoints == before
        assert sender.statistics().failed == 0
        for name in BOTH:
            a.unplug(name)
        await until(lambda: sender.interfaces, ())
        with pytest.raises(Exception, match=r"eth0|could be sent") as caught:
            await sender.send(b"nowhere")
        errors = [caught.value, *getattr(caught.value, "exceptions", ())]
        refusals = [error for error in errors if isinstance(error, SocketSetupError)]
        assert {error.errno for error in refusals} == {errno.ENODEV}


async def test_interface_that_was_sent_on_and_has_gone_is_no_wrong_argument(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with VirtualNetwork() as network:
        switch = network.switch("lan")
        host = network.host("a")
        eth0, eth1 = (host.plug(f"eth{n}", switch, f"10.0.0.{n + 1}/24") for n in range(2))
        with host:
            async with open_mcast_channel(GROUP4, PORT) as channel:
                before = channel.interfaces[1]
                lost = Datagram(b"", Endpoint("10.0.0.9", 7), GROUP4, before)
                eth1.take_down()
                await until(lambda: [str(it) for it in channel.interfaces], ["eth0"])
                for selector in ("eth1", before, before.index, "10.0.0.2"):
                    with pytest.raises(
                        SocketSetupError, match=r"on interface eth1: .*has gone"
                    ) as caught:
                        await channel.send(b"lost", interface=selector)
                    assert caught.value.errno == errno.ENODEV
                eth1.unplug()
                for to in (f"{GROUP4}%eth1", (f"{GROUP4}%eth1", 7)):
                    with pytest.raises(SocketSetupError, match=r"on interface eth1: .*has gone"):
                        await channel.send(b"lost", to=to)
                with pytest.raises(SocketSetupError, match=r"on interface eth1: .*has gone"):
                    channel.send_nowait(b"lost", to=("10.0.0.9", 7), interface="eth1")
                await channel.answer(lost, b"")
                await channel.answer(lost, b"", to_group=True)
                sent = channel.statistics().sending.interfaces["eth1"]
                assert (sent.sent, sent.failed) == (0, 9)
                for selector in ("eth2", 77, "10.0.0.77"):
                    with pytest.raises(ValueError, match=r"which has eth0$"):
                        await channel.send(b"", interface=selector)
                with pytest.raises(ValueError, match=r"which has eth0$"):
                    await channel.send(b"", to=f"{GROUP4}%eth2")
                host.plug("eth1", switch, "10.0.0.2/24")
                await until(lambda: [str(it) for it in channel.interfaces], ["eth0", "eth1"])
                await channel.send(b"again", interface=before)
                assert channel.statistics().sending.interfaces["eth1"].sent == 1
        assert eth0.is_up
