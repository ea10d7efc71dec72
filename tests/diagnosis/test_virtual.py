"""The doctor on the virtual network: what the joins and the listening tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from tests.support.virtual_hosts import GROUP4, GROUP6, PLATFORMS, PORT, two_on_lan
from trio_mcast import (
    Diagnosis,
    diagnose,
    open_mcast_channel,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast.testing import VirtualHost

pytestmark = pytest.mark.once

EVERY_GROUP = pytest.mark.parametrize("group", [GROUP4, GROUP6])


async def send_until_cancelled(host: VirtualHost, group: str, port: int = PORT) -> None:
    with host:
        async with open_mcast_sender(group, port) as sender:
            while True:
                await sender.send(b"hello")
                await trio.sleep(0.1)


def codes_of(diagnosis: Diagnosis) -> list[str]:
    return [finding.code for finding in diagnosis.findings]


async def look(host: VirtualHost, *arguments: Any, **more: Any) -> Diagnosis:
    with host:
        return await diagnose(*arguments, **more)


@EVERY_GROUP
async def test_what_comes_is_counted(autojump_clock: trio.abc.Clock, group: str) -> None:
    async with two_on_lan() as lan, trio.open_nursery() as nursery:
        nursery.start_soon(send_until_cancelled, lan.b, group)
        diagnosis = await look(lan.a, group, PORT)
        nursery.cancel_scope.cancel()
    assert diagnosis.received >= 20
    assert diagnosis.findings == ()
    assert diagnosis.verdict.endswith("no error was found.")


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_what_comes_is_counted_on_each_platform(
    autojump_clock: trio.abc.Clock, platform: str
) -> None:
    async with two_on_lan(platform) as lan, trio.open_nursery() as nursery:
        nursery.start_soon(send_until_cancelled, lan.a, GROUP4)
        diagnosis = await look(lan.b, GROUP4, PORT)
        nursery.cancel_scope.cancel()
    assert diagnosis.received >= 20
    assert diagnosis.findings == ()
    assert diagnosis.evidence.system == platform


@EVERY_GROUP
async def test_another_port_is_named(autojump_clock: trio.abc.Clock, group: str) -> None:
    async with two_on_lan() as lan, trio.open_nursery() as nursery:
        nursery.start_soon(send_until_cancelled, lan.b, group, PORT + 1)
        diagnosis = await look(lan.a, group, PORT)
        nursery.cancel_scope.cancel()
    assert codes_of(diagnosis) == ["other-port"]
    assert "5001" in diagnosis.findings[0].what


async def test_another_source_is_named(autojump_clock: trio.abc.Clock) -> None:
    async with two_on_lan() as lan, trio.open_nursery() as nursery:
        nursery.start_soon(send_until_cancelled, lan.b, GROUP4)
        diagnosis = await look(lan.a, GROUP4, PORT, sources="10.0.0.77")
        nursery.cancel_scope.cancel()
    assert codes_of(diagnosis) == ["other-source"]


async def test_silence_is_noted_and_what_was_not_looked_at(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with two_on_lan() as lan:
        start = trio.current_time()
        diagnosis = await look(lan.a, GROUP4, PORT, listen_seconds=4)
        assert trio.current_time() - start <= 4 * 3.5 + 0.1
    assert codes_of(diagnosis) == ["nothing-arrived"]
    assert diagnosis.errors == ()
    assert {one.what for one in diagnosis.not_checked} >= {
        "the system's counters",
        "the frames on the network",
    }
    assert Diagnosis.from_json(diagnosis.to_json()) == diagnosis


async def test_interface_that_is_not_there_is_a_finding(autojump_clock: trio.abc.Clock) -> None:
    async with two_on_lan() as lan:
        diagnosis = await look(lan.a, GROUP4, PORT, interfaces=["eth9"])
    assert codes_of(diagnosis) == ["no-such-interface"]
    assert diagnosis.findings[0].interface == "eth9"


async def test_machine_without_a_fit_interface_is_a_finding(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with two_on_lan() as lan:
        diagnosis = await look(lan.network.host("c"), GROUP4, PORT)
    assert codes_of(diagnosis) == ["no-such-interface"]
    assert diagnosis.findings[0].interface is None
    assert "This machine has no interface fit for multicast; it has: lo." in diagnosis.verdict


async def test_long_listening_goes_on_to_its_end(autojump_clock: trio.abc.Clock) -> None:
    async with two_on_lan() as lan, trio.open_nursery() as nursery:
        nursery.start_soon(send_until_cancelled, lan.b, GROUP4)
        diagnosis = await look(lan.a, GROUP4, PORT, listen_seconds=61)
        nursery.cancel_scope.cancel()
    assert diagnosis.received >= 600


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: diagnose(GROUP4, 0), "port"),
        (lambda: diagnose("10.0.0.1", PORT), "10.0.0.1"),
        (lambda: diagnose((), PORT), "groups and port go together"),
        (lambda: diagnose(GROUP4, None), "groups and port go together"),
        (lambda: diagnose((), None, sources="10.0.0.1"), "sources"),
        (lambda: diagnose((), None, role="sender"), "role and routed are about groups"),
        (lambda: diagnose((), None, routed=True), "role and routed are about groups"),
        (lambda: diagnose(GROUP4, PORT, send=3), "send is for senders"),
        (lambda: diagnose(GROUP4, PORT, send=0, role="sender"), "send must be from 1 to 10000"),
        (lambda: diagnose(GROUP4, PORT, listen_seconds=0), "listen_seconds must be more than 0"),
        (lambda: diagnose(GROUP4, PORT, listen_seconds=float("inf")), "listen_seconds"),
        (lambda: diagnose(GROUP4, PORT, role="router"), "role must be 'receiver' or 'sender'"),  # type: ignore[arg-type]
        (lambda: diagnose(GROUP4, PORT, interfaces=[]), "interfaces is empty"),
        (lambda: diagnose(GROUP4, PORT, sources="239.0.0.1"), "239.0.0.1"),
    ],
)
async def test_wrong_argument_is_an_error(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        await call()


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_machine_tells_its_interfaces_and_what_is_joined(
    autojump_clock: trio.abc.Clock, platform: str
) -> None:
    async with two_on_lan(platform) as lan:
        with lan.a:
            async with open_mcast_receiver(GROUP4, PORT):
                diagnosis = await diagnose((), None)
    evidence = diagnosis.evidence
    assert diagnosis.errors == ()
    assert diagnosis.verdict.startswith("1 of 2 interfaces are fit for multicast")
    assert [(link.is_fit, link.against) for link in evidence.links or ()] == [
        (False, ("loopback",)),
        (True, ()),
    ]
    assert GROUP4 in {one.group for one in evidence.joined_before or ()}
    told = {one.what for one in diagnosis.not_checked}
    assert told >= {"the sockets of other programs", "the rules of the packet filter"}
    assert Diagnosis.from_json(diagnosis.to_json()) == diagnosis


async def test_machine_joins_and_sends_nothing(autojump_clock: trio.abc.Clock) -> None:
    async with two_on_lan() as lan:
        before = len(lan.network.trace)
        await look(lan.a, (), None)
        assert len(lan.network.trace) == before


@EVERY_GROUP
async def test_sender_sends_what_it_is_asked_to_and_no_more(
    autojump_clock: trio.abc.Clock, group: str
) -> None:
    async with two_on_lan() as lan:
        with lan.b:
            async with open_mcast_receiver(group, PORT) as receiver:
                await look(lan.a, group, PORT, role="sender")
                assert receiver.statistics().received == 0
                diagnosis = await look(lan.a, group, PORT, role="sender", send=5)
                assert receiver.statistics().received == 5
    (sent,) = diagnosis.evidence.sent or ()
    assert (sent.interface, sent.tried, sent.count, sent.refusal) == ("eth0", 5, 5, None)
    assert diagnosis.findings == ()
    assert diagnosis.verdict.startswith(f"5 datagrams sent to {group} port {PORT}")


async def test_answers_to_what_was_sent_are_counted(autojump_clock: trio.abc.Clock) -> None:
    async def answer() -> None:
        with lan.b:
            async with open_mcast_channel(GROUP4, PORT) as channel:
                async for datagram in channel:
                    await channel.send(b"here", to=datagram.source)

    async with two_on_lan() as lan, trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        await trio.testing.wait_all_tasks_blocked()
        diagnosis = await look(lan.a, GROUP4, PORT, role="sender", send=5)
        nursery.cancel_scope.cancel()
    (sent,) = diagnosis.evidence.sent or ()
    assert sent.replies == 5


async def test_wrong_type_is_an_error() -> None:
    with pytest.raises(TypeError, match="listen_seconds must be a number"):
        await diagnose(GROUP4, PORT, listen_seconds="6")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="send must be an int, or None"):
        await diagnose(GROUP4, PORT, role="sender", send="6")  # type: ignore[arg-type]
