"""The doctor on the virtual network: what the joins and the listening tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from tests.support.virtual_hosts import GROUP4, GROUP6, PLATFORMS, PORT, two_on_lan
from trio_mcast import Diagnosis, diagnose, open_mcast_sender
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
        (lambda: diagnose((), PORT), "group"),
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


async def test_wrong_type_is_an_error() -> None:
    with pytest.raises(TypeError, match="listen_seconds must be a number"):
        await diagnose(GROUP4, PORT, listen_seconds="6")  # type: ignore[arg-type]
