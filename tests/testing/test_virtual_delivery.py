"""Who gets what: naive plans misbehave as on the real platform, and the planner's are exact."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
import trio

from trio_mcast import McastReceiverSpec, open_mcast_receiver, open_mcast_sender
from trio_mcast._host.protocols import McastSocket, Rejection
from trio_mcast._platform.options import multicast_interface, unblock_source
from trio_mcast._values.addresses import family_of
from trio_mcast.testing import VirtualHost

from ..support.virtual_hosts import (
    GROUP4,
    GROUP6,
    PLATFORMS,
    PORT,
    Lan,
    blocking,
    drain,
    joining,
    open_plain,
    option,
    payloads,
    receiving,
    send_from,
    sending,
    two_on_lan,
)

EVERY_PLATFORM = pytest.mark.parametrize("platform", PLATFORMS)
BOTH_GROUPS = pytest.mark.parametrize("group", [GROUP4, GROUP6])
ANY = {GROUP4: "0.0.0.0", GROUP6: "::"}


def member(host: VirtualHost, group: str, *, index: int = 2, port: int = 6000) -> McastSocket:
    """Another program on the host, that has joined a group for a port of its own."""
    return open_plain(host, ANY[group], joining(host, index, group), port=port)


# --- What naive plans get -----------------------------------------------------------------------


@EVERY_PLATFORM
@BOTH_GROUPS
async def test_socket_without_membership_gets_what_others_joined(platform: str, group: str) -> None:
    async with two_on_lan(platform) as lan:
        naive = open_plain(lan.b, ANY[group])
        member(lan.b, group)
        send_from(lan.a, group, b"not asked for")
        gets = platform == "linux" or (group == GROUP6 and platform in ("darwin", "freebsd"))
        assert payloads(naive) == ([b"not asked for"] if gets else [])


@BOTH_GROUPS
async def test_linux_delivers_only_what_was_joined_if_told_so(group: str) -> None:
    async with two_on_lan() as lan:
        all_groups = (
            option(lan.b, "IP_MULTICAST_ALL", 0, "ipv4")
            if group == GROUP4
            else option(lan.b, "IPV6_MULTICAST_ALL", 0, "ipv6")
        )
        exact = open_plain(lan.b, ANY[group], all_groups)
        member(lan.b, group)
        send_from(lan.a, group, b"not asked for")
        assert payloads(exact) == []


@EVERY_PLATFORM
@BOTH_GROUPS
async def test_nothing_is_delivered_if_nobody_joined(platform: str, group: str) -> None:
    async with two_on_lan(platform) as lan:
        naive = open_plain(lan.b, ANY[group])
        send_from(lan.a, group, b"to nobody")
        assert payloads(naive) == []
        (event,) = [item for item in lan.network.trace if item.what == "dropped"]
        assert event.where == "b"
        assert event.reason == "nobody on this host wants it on this interface"


def add_second_lan(lan: Lan) -> None:
    """Connect both hosts by another switch, as eth1."""
    other = lan.network.switch("lan1")
    lan.a.plug("eth1", other, "10.0.1.1/24", "fd00:1::1/64")
    lan.b.plug("eth1", other, "10.0.1.2/24", "fd00:1::2/64")


@EVERY_PLATFORM
@BOTH_GROUPS
async def test_linux_ipv6_does_not_compare_the_interface(platform: str, group: str) -> None:
    async with two_on_lan(platform) as lan:
        add_second_lan(lan)
        one = open_plain(lan.b, ANY[group], joining(lan.b, 2, group))
        other = open_plain(lan.b, ANY[group], joining(lan.b, 3, group), interface="eth1")
        for name in ("eth0", "eth1"):
            send_from(lan.a, group, name.encode(), interface=name)
        if platform == "linux":  # For IPv4, it is IP_MULTICAST_ALL that lets the others in.
            assert payloads(one) == payloads(other) == [b"eth0", b"eth1"]
        else:
            assert (payloads(one), payloads(other)) == ([b"eth0"], [b"eth1"])


async def test_two_linux_sockets_bound_to_an_ipv6_group_get_four_for_two() -> None:
    async with two_on_lan() as lan:
        add_second_lan(lan)
        exact = option(lan.b, "IPV6_MULTICAST_ALL", 0, "ipv6")
        naive = [
            open_plain(lan.b, GROUP6, exact, joining(lan.b, index, GROUP6), scope_id=index)
            for index in (2, 3)
        ]
        bound = [
            open_plain(
                lan.b,
                GROUP6,
                exact,
                option(lan.b, "SO_BINDTODEVICE", name, "ipv6"),
                joining(lan.b, index, GROUP6),
            )
            for index, name in ((2, b"eth0\0"), (3, b"eth1\0"))
        ]
        for name in ("eth0", "eth1"):
            send_from(lan.a, GROUP6, name.encode(), interface=name)
        assert [payloads(item) for item in naive] == [[b"eth0", b"eth1"]] * 2
        assert [payloads(item) for item in bound] == [[b"eth0"], [b"eth1"]]


@EVERY_PLATFORM
async def test_source_filter_is_defeated_by_the_wildcard_of_linux(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        chosen = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4, "10.0.0.9"))
        other = open_plain(lan.b, "0.0.0.0")
        member(lan.b, GROUP4)
        send_from(lan.a, GROUP4, b"from a")
        assert payloads(chosen) == []
        assert payloads(other) == ([b"from a"] if platform == "linux" else [])


@EVERY_PLATFORM
@BOTH_GROUPS
async def test_sources_are_included_and_excluded(platform: str, group: str) -> None:
    async with two_on_lan(platform) as lan:
        a = "10.0.0.1" if group == GROUP4 else "fd00::1"
        c = lan.network.host("c")
        c.plug("eth0", lan.switch, "10.0.0.3/24", "fd00::3/64")
        only_a = open_plain(lan.b, ANY[group], joining(lan.b, 2, group, a))
        not_a = open_plain(
            lan.b, ANY[group], joining(lan.b, 2, group), blocking(lan.b, 2, group, a)
        )
        send_from(lan.a, group, b"a")
        send_from(c, group, b"c")
        assert payloads(only_a) == [b"a"]
        # The kernels of macOS and FreeBSD let a blocked source through, as they do (measured with
        # the code of FreeBSD 13).
        lets_through = platform in ("darwin", "freebsd")
        assert payloads(not_a) == ([b"a", b"c"] if lets_through else [b"c"])


@EVERY_PLATFORM
@BOTH_GROUPS
async def test_blocked_source_comes_again_when_it_is_unblocked(platform: str, group: str) -> None:
    async with two_on_lan(platform) as lan:
        a = "10.0.0.1" if group == GROUP4 else "fd00::1"
        block = blocking(lan.b, 2, group, a)
        sock = open_plain(lan.b, ANY[group], joining(lan.b, 2, group), block)
        sock.revise(sock.spec, [unblock_source(lan.b.platform, option) for option in block])
        send_from(lan.a, group, b"a")
        assert payloads(sock) == [b"a"]


@pytest.mark.parametrize(("platform", "dropped"), [("linux", 1), ("darwin", 0), ("freebsd", 0)])
async def test_host_takes_in_what_its_sockets_are_to_sort_out(platform: str, dropped: int) -> None:
    async with two_on_lan(platform) as lan:
        # Linux looks at the sources when a datagram comes in, the others socket by socket.
        sock = open_plain(lan.b, ANY[GROUP4], joining(lan.b, 2, GROUP4, "10.9.9.9"))
        send_from(lan.a, GROUP4, b"a")
        assert payloads(sock) == []
        reasons = [event.reason for event in lan.network.trace if event.what == "dropped"]
        assert len(reasons) == 1
        nobody = "nobody on this host wants it on this interface"
        assert reasons.count(nobody) == dropped


@pytest.mark.parametrize(("platform", "forwarded"), [("darwin", 1), ("freebsd", 0)])
async def test_freebsd_tells_the_network_who_is_not_wanted(platform: str, forwarded: int) -> None:
    async with (
        two_on_lan(platform, snooping=True) as lan,
        receiving(lan.b, excluded_sources="10.0.0.1") as receiver,
        sending(lan.a, interfaces="eth0") as sender,
    ):
        await sender.send(b"from a")
        assert await drain(receiver) == []
        assert receiver.statistics().rejected == forwarded


@EVERY_PLATFORM
async def test_wildcard_takes_unicast_away_and_a_bind_to_the_group_does_not(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        first = open_plain(lan.b, "0.0.0.0")
        if platform != "windows":
            group = open_plain(lan.b, GROUP4, joining(lan.b, 2, GROUP4))
        sender = open_plain(lan.a, "10.0.0.1", port=0)
        sender.send(b"one", ("10.0.0.2", PORT))
        assert payloads(first) == [b"one"]
        second = open_plain(lan.b, "0.0.0.0")
        sender.send(b"two", ("10.0.0.2", PORT))
        stolen = platform != "windows"
        assert (payloads(first), payloads(second)) == (([], [b"two"]) if stolen else ([b"two"], []))
        exact = open_plain(lan.b, "10.0.0.2")
        sender.send(b"three", ("10.0.0.2", PORT))
        assert payloads(exact) == [b"three"]
        if platform != "windows":
            assert payloads(group) == []


@EVERY_PLATFORM
async def test_loopback_is_switched_off_where_the_platform_has_it(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        off = option(lan.b, "IP_MULTICAST_LOOP", 0, "ipv4")
        taking = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        refusing = open_plain(lan.b, "0.0.0.0", off, joining(lan.b, 2, GROUP4))
        out = multicast_interface(lan.b.platform, "ipv4", 2)
        on_sender = open_plain(lan.b, "10.0.0.2", off, out, port=0)
        on_sender.send(b"off where it is sent", (GROUP4, PORT))
        send_from(lan.b, GROUP4, b"on where it is sent")
        if platform == "windows":
            both = [b"off where it is sent", b"on where it is sent"]
            assert (payloads(taking), payloads(refusing)) == (both, [])
        else:
            assert payloads(taking) == payloads(refusing) == [b"on where it is sent"]


async def test_dual_stack_wildcard_of_linux_gets_unicast_of_ipv4_and_no_groups() -> None:
    async with two_on_lan() as lan:
        naive = open_plain(lan.b, "::")
        member(lan.b, GROUP4)
        send_from(lan.a, GROUP4, b"group")
        open_plain(lan.a, "10.0.0.1", port=0).send(b"unicast", ("10.0.0.2", PORT))
        (datagram,) = naive.receive(10)
        assert datagram.data == b"unicast"
        assert ip_address(datagram.source.host) == ip_address("::ffff:10.0.0.1")


async def test_ttl_zero_leaves_a_linux_host_that_has_not_joined() -> None:
    for platform in PLATFORMS:
        async with two_on_lan(platform) as lan:
            there = open_plain(lan.a, "0.0.0.0", joining(lan.a, 2, GROUP4))
            zero = option(lan.b, "IP_MULTICAST_TTL", 0, "ipv4")
            out = multicast_interface(lan.b.platform, "ipv4", 2)
            sender = open_plain(lan.b, "10.0.0.2", zero, out, port=0)
            sender.send(b"not joined", (GROUP4, PORT))
            member(lan.b, GROUP4)
            sender.send(b"joined", (GROUP4, PORT))
            assert payloads(there) == ([b"not joined"] if platform == "linux" else [])


async def test_ttl_zero_and_interface_scope_stay_on_the_host() -> None:
    async with two_on_lan() as lan:
        here = open_plain(lan.a, "::", joining(lan.a, 2, "ff01::5"), joining(lan.a, 2, GROUP6))
        there = open_plain(lan.b, "::", joining(lan.b, 2, "ff01::5"), joining(lan.b, 2, GROUP6))
        send_from(lan.a, "ff01::5", b"interface scope")
        zero = option(lan.a, "IPV6_MULTICAST_HOPS", 0, "ipv6")
        out = option(lan.a, "IPV6_MULTICAST_IF", 2, "ipv6")
        open_plain(lan.a, "fd00::1", zero, out, port=0).send(b"ttl 0", (GROUP6, PORT, 0, 0))
        assert payloads(here) == [b"interface scope", b"ttl 0"]
        assert payloads(there) == []


# --- What the planner's get ---------------------------------------------------------------------


@EVERY_PLATFORM
async def test_receiver_gets_exactly_its_groups_on_its_interfaces(platform: str) -> None:
    groups = [GROUP4, GROUP6, "ff02::99", "232.1.1.1"]
    async with two_on_lan(platform) as lan:
        add_second_lan(lan)
        others = [*groups, "239.1.2.4", "ff05::1235"]
        for group in others:
            for index in (2, 3):
                bind = "0.0.0.0" if "." in group else "::"
                open_plain(lan.b, bind, joining(lan.b, index, group), port=6000)
        async with (
            receiving(lan.b, groups) as everywhere,
            receiving(lan.b, GROUP6, interfaces="eth1") as one,
            sending(lan.a, others, interfaces=["eth0", "eth1"]) as sender,
        ):
            await sender.send(b"x")
            found = [(item.group, item.interface.name) for item in await drain(everywhere)]
            assert sorted(found) == sorted((g, name) for g in groups for name in ("eth0", "eth1"))
            assert [(d.group, d.interface.name) for d in await drain(one)] == [(GROUP6, "eth1")]
            assert everywhere.statistics().rejected == 0


@EVERY_PLATFORM
async def test_receiver_leaves_other_programs_their_unicast(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        program = open_plain(lan.b, "0.0.0.0")
        async with receiving(lan.b) as receiver, sending(lan.a, interfaces="eth0") as sender:
            await sender.send(b"unicast", to=("10.0.0.2", PORT))
            await sender.send(b"group")
            assert [item.data for item in await drain(receiver)] == [b"group"]
            # On Windows it is bound to the address: it takes it away, and rejects it.
            taken = platform == "windows"
            assert receiver.statistics().rejected == int(taken)
            also = [b"group"] if platform == "linux" else []  # Which delivers what others joined.
            assert payloads(program) == ([] if taken else [b"unicast", *also])


async def test_unicast_that_windows_lets_in_is_counted_as_such() -> None:
    async with two_on_lan("windows") as lan:
        (planned,) = McastReceiverSpec(GROUP4, PORT).plan(lan.b.list_interfaces(), "windows")
        sock = lan.b.open_socket(planned)
        async with sending(lan.a, interfaces="eth0") as sender:
            await sender.send(b"unicast", to=("10.0.0.2", PORT))
        assert payloads(sock) == []
        assert sock.rejected == {Rejection.UNICAST: 1}


@EVERY_PLATFORM
async def test_receiver_takes_chosen_sources_and_leaves_out_others(platform: str) -> None:
    many = [f"10.0.9.{number}" for number in range(1, 200)]
    async with (
        two_on_lan(platform) as lan,
        receiving(lan.b, sources=[*many, "10.0.0.1"]) as chosen,
        receiving(lan.b, sources=many) as not_chosen,
        receiving(lan.b, excluded_sources=[*many, "10.0.0.1"]) as excluding,
        receiving(lan.b, excluded_sources=many) as not_excluding,
        sending(lan.a, interfaces="eth0") as sender,
    ):
        await sender.send(b"from a")
        counts = [len(await drain(item)) for item in (chosen, not_chosen, excluding, not_excluding)]
        assert counts == [1, 0, 0, 1]


@EVERY_PLATFORM
@BOTH_GROUPS
async def test_receiver_hears_this_machine_unless_told_otherwise(platform: str, group: str) -> None:
    async with (
        two_on_lan(platform) as lan,
        receiving(lan.b, group) as hearing,
        receiving(lan.b, group, loopback=False) as deaf,
        sending(lan.b, group, interfaces="eth0") as sender,
        sending(lan.a, group, interfaces="eth0") as other,
    ):
        await sender.send(b"from b")
        await other.send(b"from a")
        assert [item.data for item in await drain(hearing)] == [b"from b", b"from a"]
        assert [item.data for item in await drain(deaf)] == [b"from a"]


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd"])
async def test_sender_keeps_from_this_machine_what_it_is_told_to(platform: str) -> None:
    async with (
        two_on_lan(platform) as lan,
        receiving(lan.b) as here,
        receiving(lan.a) as there,
        sending(lan.b, interfaces="eth0", loopback=False) as sender,
    ):
        await sender.send(b"not here")
        assert await drain(here) == []
        assert len(await drain(there)) == 1


@EVERY_PLATFORM
async def test_loopback_interface_delivers(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        name = lan.b.list_interfaces()[0].name
        async with (
            receiving(lan.b, interfaces=name, loopback=platform == "windows") as receiver,
            sending(lan.b, interfaces=name, loopback=False) as sender,
        ):
            await sender.send(b"over loopback")
            (datagram,) = await drain(receiver)
            assert datagram.source.host == "127.0.0.1"
            assert datagram.interface.is_loopback


@EVERY_PLATFORM
async def test_ttl_and_arrival_time_are_told(platform: str, autojump_clock: object) -> None:
    stamps = platform != "windows"
    async with (
        two_on_lan(platform, delay=0.5) as lan,
        receiving(lan.b, [GROUP4, GROUP6], receive_ttl=True, receive_timestamp=stamps) as receiver,
        sending(lan.a, [GROUP4, GROUP6], interfaces="eth0", ttl=7) as sender,
    ):
        await sender.send(b"x")
        for _ in range(2):
            datagram = await receiver.receive()
            assert datagram.ttl == 7
            told = datagram.timestamp_ns
            assert told == (946_684_800_500_000_000 if stamps else None)


@EVERY_PLATFORM
async def test_question_to_a_group_is_answered(platform: str) -> None:
    async def answer(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with (
            open_mcast_receiver([GROUP4, GROUP6], PORT) as questions,
            open_mcast_sender([GROUP4, GROUP6], PORT, interfaces="eth0") as sender,
        ):
            task_status.started()
            async for question in questions:
                await sender.send(b"re: " + question.data, to=question.source)

    async with two_on_lan(platform) as lan, trio.open_nursery() as nursery:
        with lan.a:
            await nursery.start(answer)
        groups = [GROUP4, GROUP6]
        async with sending(lan.b, groups, interfaces="eth0", receive_replies=True) as asking:
            await asking.send(b"anybody?")
            hosts = set()
            for _ in range(2):
                reply = await asking.replies.receive()
                assert reply.data == b"re: anybody?"
                hosts.add(reply.source.host)
            assert hosts == {"10.0.0.1", "fd00::1"}
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd"])
async def test_accepted_unicast_comes_and_groups_that_others_joined_do_not(platform: str) -> None:
    groups = [GROUP4, GROUP6]
    async with (
        two_on_lan(platform) as lan,
        receiving(lan.b, groups, accept_unicast=True) as receiver,
        sending(lan.a, groups, interfaces="eth0") as sender,
    ):
        for group in ("239.9.9.9", "ff05::99"):
            bind = "0.0.0.0" if "." in group else "::"
            open_plain(lan.b, bind, joining(lan.b, 2, group), port=6000)
            await sender.send(b"not asked for", to=group)
        await sender.send(b"group")
        for address in ("10.0.0.2", "fd00::2", "fe80::2%eth0"):
            await sender.send(b"unicast", to=(address, PORT))
        found = [(item.group, item.data) for item in await drain(receiver)]
        assert found == [(GROUP4, b"group"), (GROUP6, b"group"), *[(None, b"unicast")] * 3]


@EVERY_PLATFORM
@BOTH_GROUPS
async def test_packet_information_tells_the_interface(platform: str, group: str) -> None:
    async with two_on_lan(platform) as lan:
        add_second_lan(lan)
        family = family_of(ip_address(group))
        told = [option(lan.b, item, 1, family) for item in lan.b.platform.packet_info[family]]
        joins = [joining(lan.b, index, group) for index in (2, 3)]
        sock = open_plain(lan.b, ANY[group], told, *joins, interface="eth1")
        for name in ("eth0", "eth1"):
            send_from(lan.a, group, name.encode(), interface=name)
        assert payloads(sock) == [b"eth1"]
        assert sock.rejected == {Rejection.OTHER_INTERFACE: 1}
