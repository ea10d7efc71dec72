"""Interfaces: plugged and unplugged, down and up, with other addresses, while programs run."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from trio_mcast import (
    SocketSetupError,
    default_interface,
    find_interfaces,
    list_interfaces,
    open_mcast_sender,
    watch_interfaces,
)
from trio_mcast._host.protocols import Ended
from trio_mcast.testing import VirtualNetwork

from ..support.virtual_hosts import (
    GROUP4,
    GROUP6,
    PLATFORMS,
    PORT,
    drain,
    joining,
    open_plain,
    payloads,
    receiving,
    send_from,
    sending,
    two_on_lan,
)

pytestmark = pytest.mark.once

EVERY_PLATFORM = pytest.mark.parametrize("platform", PLATFORMS)


@EVERY_PLATFORM
async def test_interfaces_are_listed_and_found(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        with lan.b:
            loopback, eth0 = list_interfaces()
            assert find_interfaces(None) == find_interfaces("10.0.0.2") == [eth0]
            assert find_interfaces("fe80::2") == [eth0]
        assert loopback.is_loopback
        assert str(loopback.ipv4_addresses[0]) == "127.0.0.1/8"
        assert (eth0.name, eth0.index, eth0.mtu, eth0.is_up) == ("eth0", 2, 1500, True)
        assert eth0.link_address == "02:00:00:00:00:04"
        assert list(map(str, eth0.ipv6_addresses)) == ["fd00::2/64", "fe80::2/64"]


@EVERY_PLATFORM
async def test_new_loopback_interface_is_as_after_a_change_back(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        loopback = next(each for each in lan.b._interfaces if each.is_loopback)
        first = loopback.value
        loopback.set_mtu(9_000)
        assert loopback.value.mtu == 9_000
        loopback.set_mtu(first.mtu)
        assert loopback.value is not first
        assert loopback.value == first


@pytest.mark.parametrize(
    ("platform", "ipv4", "ipv6"),
    [
        ("linux", None, "eth0"),
        ("darwin", None, None),
        ("freebsd", None, None),
        ("windows", "eth0", "eth0"),
    ],
)
async def test_default_interface_is_that_of_the_routes(
    platform: str, ipv4: str | None, ipv6: str | None
) -> None:
    async with two_on_lan(platform) as lan:
        with lan.b:
            found = [default_interface(group) for group in (GROUP4, GROUP6, "ff02::5")]
        assert [item and item.name for item in found] == [ipv4, ipv6, None]


async def test_changes_are_told() -> None:
    async with two_on_lan() as lan:
        with lan.b:
            async with watch_interfaces() as changes:
                interface = lan.b.interface("eth0")
                told = []
                steps: list[Callable[[], object]] = [
                    lambda: interface.add_address("10.0.5.2/24"),
                    lambda: interface.remove_address("10.0.0.2"),
                    interface.take_down,
                    interface.take_up,
                    interface.unplug,
                    lambda: lan.b.plug("eth0", lan.switch, "10.0.0.2/24"),
                ]
                for change in steps:
                    change()
                    told.append(await changes.receive())
        assert [item.kind for item in told] == ["changed"] * 4 + ["removed", "added"]
        assert told[-1].interface.index == 3


async def test_watcher_tells_which_interface_was_removed() -> None:
    async with two_on_lan() as lan:
        watcher = lan.b.watch()
        lan.b.interface("eth0").unplug()
        lan.b.plug("eth0", lan.switch)
        assert await watcher.wait() == Ended(frozenset({2}))
        with trio.move_on_after(0):
            await watcher.wait()
        lan.b.interface("eth0").take_down()
        assert await watcher.wait() == Ended()
        watcher.close()
        with pytest.raises(trio.ClosedResourceError):
            await watcher.wait()


async def test_down_interface_carries_nothing_and_comes_back() -> None:
    async with (
        two_on_lan(snooping=True) as lan,
        receiving(lan.b, [GROUP4, GROUP6]) as receiver,
        sending(lan.a, [GROUP4, GROUP6], interfaces="eth0") as sender,
    ):
        interface = lan.b.interface("eth0")
        interface.take_down()
        assert lan.switch.members(GROUP4) == []
        await sender.send(b"lost")
        interface.take_up()
        assert lan.switch.members(GROUP4) == lan.switch.members(GROUP6) == ["b/eth0"]
        await sender.send(b"back")
        assert [item.data for item in await drain(receiver)] == [b"back"] * 2


async def test_linux_loses_ipv6_addresses_with_the_link_and_others_do_not() -> None:
    for platform, left in [("linux", ["fe80::2/64"]), ("darwin", ["fd00::2/64", "fe80::2/64"])]:
        async with two_on_lan(platform) as lan:
            interface = lan.b.interface("eth0")
            interface.take_down()
            interface.take_up()
            assert list(map(str, interface.value.ipv6_addresses)) == left


async def test_unplugged_interface_leaves_sockets_that_get_nothing() -> None:
    async with two_on_lan() as lan:
        sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        lan.b.interface("eth0").unplug()
        lan.b.plug("eth0", lan.switch, "10.0.0.2/24")
        send_from(lan.a, GROUP4, b"to the new one")
        assert payloads(sock) == []
        sock.close()
        again = open_plain(lan.b, "0.0.0.0", joining(lan.b, 3, GROUP4))
        send_from(lan.a, GROUP4, b"to the new one")
        assert payloads(again) == [b"to the new one"]


@pytest.mark.parametrize(
    ("platform", "gone", "down"),
    [
        # On Linux as measured on 6.18: the address is what is looked for first.
        ("linux", "ENETUNREACH", "ENETUNREACH"),
        ("darwin", "EADDRNOTAVAIL", "ENETDOWN"),
        ("freebsd", "EADDRNOTAVAIL", "ENETDOWN"),
        ("windows", "EADDRNOTAVAIL", "ENETUNREACH"),
    ],
)
async def test_sending_on_an_interface_that_is_down_or_gone_is_refused(
    platform: str, gone: str, down: str
) -> None:
    async with two_on_lan(platform) as lan, sending(lan.b, interfaces="eth0") as sender:
        interface = lan.b.interface("eth0")
        for change, symbol in [(interface.take_down, down), (interface.unplug, gone)]:
            change()
            with pytest.raises(SocketSetupError) as caught:
                await sender.send(b"x")
            assert errno.errorcode[caught.value.errno or 0] == symbol
        reasons = [item.reason for item in lan.network.trace if item.what == "refused"]
        assert set(reasons) == {gone, down}


async def test_linux_drops_what_claims_to_come_from_itself() -> None:
    async with two_on_lan() as lan:
        lan.a.plug("eth1", lan.switch, "10.0.1.1/24")
        sock = open_plain(lan.a, "0.0.0.0", joining(lan.a, 3, GROUP4), interface="eth1")
        send_from(lan.a, GROUP4, b"from eth0")
        assert payloads(sock) == []
        reasons = [item.reason for item in lan.network.trace if item.where == "a" and item.reason]
        assert "its source is an address of this host" in reasons


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("10.0.0.5", "has no prefix length: write it as in '10.0.0.5/24'"),
        ("x", "is not an interface address"),
        ("10.0.0.1/99", "is not an interface address"),
        ("239.1.2.3/24", "not an address that an interface can have"),
        ("0.0.0.0/0", "not an address that an interface can have"),
        ("fe80::1%eth0/64", "has a zone"),
        ("10.0.0.1/24", "10.0.0.1 is on a/eth0 already"),
    ],
)
async def test_what_is_no_address_of_an_interface_is_refused(address: str, error: str) -> None:
    async with two_on_lan() as lan:
        c = lan.network.host("c")
        with pytest.raises(ValueError, match=error):
            c.plug("eth0", lan.switch, address)
        c.plug("eth0", lan.switch)  # Nothing is left of the attempt.
        with pytest.raises(ValueError, match=error):
            c.interface("eth0").add_address(address)
        assert c.interface("eth0").networks == ()


async def test_misuse_of_interfaces_is_an_error() -> None:
    async with two_on_lan() as lan, VirtualNetwork() as other:
        foreign = other.switch("elsewhere")
        with pytest.raises(ValueError, match="elsewhere is a switch of another network"):
            lan.a.plug("eth1", foreign)
        with pytest.raises(ValueError, match="a has an interface 'eth0' already"):
            lan.a.plug("eth0", lan.switch)
        with pytest.raises(ValueError, match="a has an interface 'lo' already"):
            lan.a.plug("lo", lan.switch)
        with pytest.raises(TypeError, match="switch must be a VirtualSwitch, not str: 'lan'"):
            lan.a.plug("eth1", "lan")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="an interface's address must be a str"):
            lan.a.plug("eth1", lan.switch, 7)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="a has no interface 'eth9'; there are: lo, eth0"):
            lan.a.interface("eth9")
        with pytest.raises(ValueError, match="a/lo is a loopback interface"):
            lan.a.interface("lo").unplug()
        eth0 = lan.a.interface("eth0")
        with pytest.raises(ValueError, match=r"a/eth0 does not have the address 10\.0\.0\.9"):
            eth0.remove_address("10.0.0.9")
        with pytest.raises(ValueError, match=r"a/eth0 has the address 10\.0\.0\.1 already"):
            eth0.add_address("10.0.0.1/8")
        eth0.unplug()
        for use in (eth0.unplug, eth0.take_down, eth0.take_up):
            with pytest.raises(RuntimeError, match="a/eth0 is unplugged: plug in a new one"):
                use()


async def test_plain_socket_has_no_route_to_a_group_on_linux() -> None:
    async with two_on_lan() as lan:
        plain = open_plain(lan.b, "0.0.0.0", port=0)
        with pytest.raises(OSError, match="unreachable"):
            plain.send(b"x", (GROUP4, PORT))
        bound = open_plain(lan.b, "10.0.0.2", port=0)
        bound.send(b"x", (GROUP4, PORT))  # Its address tells the interface.


# --- Programs that run on -----------------------------------------------------------------------


@EVERY_PLATFORM
async def test_receiver_follows_interfaces_as_they_come_and_go(platform: str) -> None:
    async with (
        two_on_lan(platform, snooping=True) as lan,
        receiving(lan.b, [GROUP4, GROUP6]) as receiver,
        sending(lan.a, [GROUP4, GROUP6], interfaces="eth0") as sender,
    ):
        lan.b.interface("eth0").unplug()
        await wait_all_tasks_blocked()
        assert receiver.memberships == ()
        await sender.send(b"to nobody")
        lan.b.plug("en7", lan.switch, "10.0.0.7/24", "fd00::7/64")
        await wait_all_tasks_blocked()
        await sender.send(b"to en7")
        found = await drain(receiver)
        assert [item.data for item in found] == [b"to en7"] * 2
        assert {item.interface.name for item in found} == {"en7"}


async def test_task_of_an_interface_that_goes_ends_though_the_queue_is_full() -> None:
    def reading() -> list[str]:
        assert receiver._tasks is not None
        return [task.name for task in receiver._tasks.child_tasks if task.name.startswith("read")]

    async with (
        two_on_lan() as lan,
        receiving(lan.b, max_buffered=1) as receiver,
        sending(lan.a, interfaces="eth0") as sender,
    ):
        await sender.send(b"fills the queue")
        await wait_all_tasks_blocked()
        assert receiver._intake.queue.full
        assert reading() == ["read eth0"]
        lan.b.interface("eth0").unplug()
        await wait_all_tasks_blocked()
        assert receiver._intake.queue.full
        assert reading() == []


@EVERY_PLATFORM
async def test_receiver_waits_for_an_interface(platform: str) -> None:
    async with (
        two_on_lan(platform) as lan,
        receiving(lan.b, interfaces="wlan0", allow_missing=True) as receiver,
        sending(lan.a, interfaces="eth0") as sender,
    ):
        await sender.send(b"not yet")
        lan.b.plug("wlan0", lan.switch, "10.0.0.7/24")
        await wait_all_tasks_blocked()
        await sender.send(b"now")
        assert [item.data for item in await drain(receiver)] == [b"now"]


@EVERY_PLATFORM
async def test_receiver_joins_leaves_and_blocks_while_it_runs(platform: str) -> None:
    other = "239.1.2.4"
    async with (
        two_on_lan(platform, snooping=True, last_member_seconds=0) as lan,
        receiving(lan.b) as receiver,
        sending(lan.a, [GROUP4, other], interfaces="eth0") as sender,
    ):
        steps: list[tuple[Callable[[], Awaitable[None]], list[str]]] = [
            (lambda: receiver.join(other), [GROUP4, other]),
            (lambda: receiver.block_source("10.0.0.1", groups=GROUP4), [other]),
            (lambda: receiver.unblock_source("10.0.0.1", groups=GROUP4), [GROUP4, other]),
            (lambda: receiver.leave(GROUP4), [other]),
        ]
        for step, expected in steps:
            await step()
            await sender.send(b"x")
            assert [item.group for item in await drain(receiver)] == expected
        assert lan.switch.members(GROUP4) == []
        assert lan.switch.members(other) == ["b/eth0"]


# What Linux tells of an interface and its addresses ----------------------------------------------


async def test_linux_tells_the_details_of_addresses() -> None:
    async with two_on_lan("linux") as lan:
        eth0 = lan.b.interface("eth0")
        eth0.add_address("169.254.1.1/16")
        eth0.add_address("10.9.9.9/32", scope="host", state="deprecated")
        eth0.add_address("2001:db8::1/64", state="tentative", temporary=True)
        details = [
            (str(detail.address), detail.scope, detail.state, detail.temporary)
            for detail in eth0.value.address_details
        ]
    assert details == [
        ("10.9.9.9/32", "host", "deprecated", False),
        ("169.254.1.1/16", "link", "preferred", False),
        ("10.0.0.2/24", "global", "preferred", False),
        ("2001:db8::1/64", "global", "tentative", True),
        ("fd00::2/64", "global", "preferred", False),
        ("fe80::2/64", "link", "preferred", False),
    ]


@pytest.mark.parametrize("platform", ["darwin", "freebsd", "windows"])
async def test_other_systems_tell_no_details(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        eth0 = lan.b.interface("eth0")
        details = [
            (str(detail.address), detail.scope, detail.state)
            for detail in eth0.value.address_details
        ]
        with pytest.raises(ValueError, match="only Linux"):
            eth0.add_address("10.9.9.9/32", state="deprecated")
        with pytest.raises(ValueError, match="only Linux"):
            eth0.change_address("10.0.0.2/24", "deprecated")
        with pytest.raises(ValueError, match="only Linux"):
            eth0.set_master("br0")
        with pytest.raises(ValueError, match="only Linux"):
            lan.b.plug("eth1", lan.switch, alternative_names=["enp1s0"])
        assert lan.b.interface("eth0").value.ipv4_addresses == eth0.value.ipv4_addresses
    assert details == [
        ("10.0.0.2/24", "global", None),
        ("fd00::2/64", "global", None),
        ("fe80::2/64", "link", None),
    ]


async def test_change_of_a_state_or_master_is_told() -> None:
    async with two_on_lan("linux") as lan:
        eth0 = lan.b.interface("eth0")
        with lan.b:
            async with watch_interfaces() as changes:
                eth0.change_address("10.0.0.2/24", "deprecated")
                change = await changes.receive()
                assert change.after is not None
                assert change.after.address_details[0].state == "deprecated"
                eth0.set_master("br0")
                change = await changes.receive()
                assert change.after is not None
                assert change.before is not None
                assert (change.before.master, change.after.master) == (None, "br0")


async def test_alternative_names_mean_the_interface() -> None:
    async with two_on_lan("linux") as lan:
        eth1 = lan.b.plug("eth1", lan.switch, "10.0.0.3/24", alternative_names=["enp1s0"])
        with lan.b:
            assert find_interfaces("enp1s0") == [eth1.value]
        async with receiving(lan.b, GROUP4, interfaces="enp1s0") as receiver:
            assert [each.interface.name for each in receiver.memberships] == ["eth1"]
            await receiver.leave(GROUP4, interfaces="enp1s0")
            assert receiver.memberships == ()


async def test_address_cannot_be_bound_to_before_it_is_usable() -> None:
    async with two_on_lan("linux") as lan:
        eth0 = lan.b.interface("eth0")
        eth0.add_address("2001:db8::1/64", state="tentative")
        async with sending(lan.b, "ff05::1", interfaces="2001:db8::1") as sender:
            with pytest.raises(SocketSetupError) as caught:
                await sender.send(b"x")
            assert caught.value.errno == errno.EADDRNOTAVAIL
        eth0.change_address("2001:db8::1/64", "preferred")
        async with sending(lan.b, "ff05::1", interfaces="2001:db8::1") as sender:
            assert sender.local_endpoints[0].host == "2001:db8::1"


async def test_new_address_is_tentative_until_it_has_been_checked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with VirtualNetwork() as network:
        host = network.host("a")
        eth0 = host.plug("eth0", network.switch("lan"))

        def state_of(address: str) -> str | None:
            by_text = {str(each.address.ip): each.state for each in eth0.value.address_details}
            return by_text[address]

        eth0.add_address("fd00::1/64", check_seconds=1.5)
        eth0.add_address("fd00::2/64", state="failed", check_seconds=1)
        eth0.add_address("fe80::3/64", check_seconds=2)
        start = trio.current_time()
        with host:
            async with open_mcast_sender("ff05::1", PORT, interfaces="eth0") as sender:
                assert trio.current_time() - start == pytest.approx(1.55, abs=0.1)
                assert [endpoint.host for endpoint in sender.local_endpoints] == ["fd00::1"]
        assert [state_of(f"fd00::{number}") for number in (1, 2)] == ["preferred", "failed"]
        assert state_of("fe80::3") == "tentative"
        # A check that is interrupted begins anew when the interface is up.
        eth0.take_down()
        await trio.sleep(5)
        assert state_of("fe80::3") == "tentative"
        eth0.take_up()
        await trio.sleep(1.9)
        assert state_of("fe80::3") == "tentative"
        await trio.sleep(0.2)
        assert state_of("fe80::3") == "preferred"


async def test_check_of_an_address_that_has_changed_or_gone_changes_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with VirtualNetwork() as network:
        host = network.host("a")
        eth0 = host.plug("eth0", network.switch("lan"))
        for number in range(3):
            eth0.add_address(f"fd00::{number + 1}/64", check_seconds=1)
        eth0.change_address("fd00::1", "deprecated")
        eth0.remove_address("fd00::2/64")
        eth0.remove_address("fd00::3/64")
        eth0.add_address("fd00::3/64", check_seconds=2)
        await trio.sleep(1.5)
        states = [detail.state for detail in eth0.value.address_details]
        assert states == ["tentative", "deprecated"]  # The newest comes first.
        await trio.sleep(1)
        assert eth0.value.address_details[0].state == "preferred"
        eth0.add_address("fd00::4/64", check_seconds=1)
        eth0.unplug()
        await trio.sleep(2)
        assert "fd00::4 is preferred" not in [event.reason for event in network.trace]


@pytest.mark.parametrize(
    ("address", "arguments", "platform", "says"),
    [
        ("10.0.0.1/24", {"check_seconds": 1}, "linux", "only IPv6 addresses are checked"),
        ("fd00::1/64", {"check_seconds": 1, "state": "tentative"}, "linux", "not 'tentative'"),
        ("fd00::1/64", {"check_seconds": 0}, "linux", "more than 0 seconds, not 0"),
        ("fd00::1/64", {"check_seconds": float("nan")}, "linux", "more than 0 seconds, not nan"),
        ("fd00::1/64", {"check_seconds": 1}, "darwin", "only Linux has"),
    ],
)
async def test_check_that_is_not_possible_is_refused(
    address: str, arguments: dict[str, Any], platform: Any, says: str
) -> None:
    async with VirtualNetwork() as network:
        host = network.host("a", platform=platform)
        eth0 = host.plug("eth0", network.switch("lan"))
        with pytest.raises(ValueError, match=says):
            eth0.add_address(address, **arguments)
