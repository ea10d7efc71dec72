"""Who gets what on virtual hosts: by the planner's plans, each exactly what it asked for."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
import trio

from tests.support.virtual_hosts import add_second_lan
from trio_mcast import McastReceiverSpec, open_mcast_receiver, open_mcast_sender
from trio_mcast._host.protocols import Rejection
from trio_mcast._values.addresses import family_of

from ..support.virtual_hosts import (
    GROUP4,
    GROUP6,
    PLATFORMS,
    PORT,
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

pytestmark = pytest.mark.once

EVERY_PLATFORM = pytest.mark.parametrize("platform", PLATFORMS)
BOTH_GROUPS = pytest.mark.parametrize("group", [GROUP4, GROUP6])
ANY = {GROUP4: "0.0.0.0", GROUP6: "::"}


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
async def test_link_local_address_is_another_one_on_each_link(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        other = lan.network.switch("other")
        lan.a.plug("eth1", other, "fe80::1/64")
        lan.b.plug("eth1", other, "fe80::2/64")
        first, second = (open_plain(lan.b, "fe80::2", scope_id=index) for index in (2, 3))
        out = open_plain(lan.a, "::", port=6000)
        for index in (2, 3):
            out.send(str(index).encode(), ("fe80::2", PORT, 0, index))
        assert payloads(first) == [b"2"]
        assert payloads(second) == [b"3"]


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


async def test_neighbour_with_an_address_that_is_own_on_another_link_is_heard() -> None:
    async with two_on_lan() as lan:
        lan.a.plug("docker0", lan.network.switch("lan2"), "fe80::2/64")
        async with (
            receiving(lan.a, "ff02::5", interfaces="eth0", loopback=False) as receiver,
            sending(lan.a, "ff02::5", interfaces="eth0") as own,
            sending(lan.b, "ff02::5", interfaces="eth0") as router,
        ):
            await own.send(b"own")
            await router.send(b"from the router")
            datagram = await receiver.receive()
        assert (datagram.data, datagram.source.host) == (b"from the router", "fe80::2%eth0")
