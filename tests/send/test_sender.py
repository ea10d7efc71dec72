"""What a sender does: destinations, refusals, full buffers, counting, closing."""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from tests.lab import Host, Lab
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.lab.machine import on
from tests.support.traffic import refusals_in
from trio_mcast import (
    Endpoint,
    McastSender,
    SocketSetupError,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast._host.portable_socket import PosixSocket
from trio_mcast._plan.socket_spec import BindAddress

GROUP, PORT = "239.1.2.3", 5000


Call = Callable[[McastSender], Awaitable[object]]
CALLS: dict[str, Call] = {
    "send": lambda sender: sender.send(b"x"),
    "send_batch": lambda sender: sender.send_batch([b"x", b"y"]),
    "send to": lambda sender: sender.send(b"x", to=("127.0.0.1", 9)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_sending_is_a_checkpoint_and_an_error_after_closing(call: Call, host: Host) -> None:
    with on(host):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo") as sender:
            with trio.testing.assert_checkpoints():
                await call(sender)
            with trio.testing.assert_checkpoints():
                await sender.aclose()
            await sender.aclose()
            with pytest.raises(trio.ClosedResourceError):
                await call(sender)
        assert sender.statistics().sent >= 1


@pytest.mark.parametrize("data", [b"12", bytearray(b"12"), memoryview(b"1x2x")[::2]])
async def test_any_buffer_of_bytes_can_be_sent(
    data: bytes | bytearray | memoryview, host: Host
) -> None:
    with on(host), trio.fail_after(5):
        async with (
            open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver,
            open_mcast_sender(GROUP, PORT, interfaces="lo") as sender,
        ):
            await sender.send(data)
            await sender.send_batch([data, data])
            for _ in range(3):
                assert (await receiver.receive()).data == b"12"


@pytest.mark.parametrize(
    ("data", "kind", "parts"),
    [
        (b"x" * 65_508, ValueError, ["65508", "65507"]),
        ("text", TypeError, ["str", "text"]),
        (None, TypeError, ["NoneType"]),
        (17, TypeError, ["int"]),
    ],
)
async def test_wrong_data_is_refused_and_nothing_is_sent(
    data: object, kind: type[Exception], parts: list[str], host: Host
) -> None:
    with on(host):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo") as sender:
            with pytest.raises(kind) as caught:
                await sender.send(data)  # type: ignore[arg-type]
            with pytest.raises(kind):
                await sender.send_batch([b"fine", data])  # type: ignore[list-item]
            assert sender.statistics().sent == 0
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("datagrams", [b"one", bytearray(b"one"), memoryview(b"one"), "one", None])
async def test_a_batch_that_is_no_iterable_of_datagrams_is_refused_by_its_name(
    datagrams: object, host: Host
) -> None:
    says = f"datagrams must be an iterable of bytes-like.*not {type(datagrams).__name__}: "
    with on(host):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo") as sender:
            with pytest.raises(TypeError, match=says):
                await sender.send_batch(datagrams)  # type: ignore[arg-type]
            assert sender.statistics().sent == 0


@pytest.mark.parametrize(
    ("to", "kind", "parts"),
    [
        ("10.0.1.2", ValueError, ["10.0.1.2", "port"]),
        ("nowhere", ValueError, ["'nowhere'"]),
        (("239.1.2.3", 0), ValueError, ["port", "0"]),
        (("239.1.2.3", 70_000), ValueError, ["port", "70000"]),
        (("239.1.2.3", 1, 2), TypeError, ["pair"]),
        (["239.1.2.3", 1], TypeError, ["list"]),
        (5000, TypeError, ["int"]),
        ("ff05::1", ValueError, ["ff05::1", "IPv6"]),
        (Endpoint("239.1.2.3", 70_000), ValueError, ["port", "70000"]),
        (Endpoint("10.0.1.2", -1), ValueError, ["port", "-1"]),
        (Endpoint("nowhere", 5000), ValueError, ["'nowhere'"]),
        ("::ffff:239.1.2.3", ValueError, ["is not a group"]),
    ],
)
async def test_a_wrong_destination_is_refused(
    to: object, kind: type[Exception], parts: list[str], host: Host
) -> None:
    with on(host):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo") as sender:
            with pytest.raises(kind) as caught:
                await sender.send(b"x", to=to)  # type: ignore[arg-type]
            assert sender.statistics().sent == 0
    for part in parts:
        assert part in str(caught.value)


async def test_a_link_local_destination_needs_a_zone_among_several_interfaces(
    two_lans: TwoLans,
) -> None:
    peer = two_lans.b.link_local("eth1")
    with on(two_lans.a), trio.fail_after(5):
        async with open_mcast_sender("ff02::123", PORT, interfaces=["eth0", "eth1"]) as sender:
            with pytest.raises(ValueError, match=r"needs a zone.*%eth0"):
                await sender.send(b"x", to=(peer, PORT))
            # A datagram can come from there: it is no wrong argument.
            with pytest.raises(SocketSetupError, match=r"needs a zone.*%eth0"):
                await sender.send(b"x", to=Endpoint(peer, PORT))
            with pytest.raises(SocketSetupError, match=r"eth7 is not an interface.*eth0, eth1"):
                await sender.send(b"x", to=(f"{peer}%eth7", PORT))
            with pytest.raises(ValueError, match=r"eth7 is not an interface.*eth0, eth1"):
                await sender.send(b"x", to="ff02::7%eth7")
            await sender.send(b"x", to=Endpoint(f"{peer}%eth1", PORT))
            await sender.send(b"x", to="ff02::7%eth1")
            assert sender.statistics().sent == 2


async def test_a_refused_datagram_is_an_error_that_says_why(lab: Lab) -> None:
    with on(lab.host("without a route")):
        async with open_mcast_sender("ff05::1", PORT, interfaces="lo") as sender:
            with pytest.raises(SocketSetupError, match="ip -6 route add local") as caught:
                await sender.send(b"x")
            assert (caught.value.errno, caught.value.step) == (errno.ENETUNREACH, "send")
            with pytest.raises(SocketSetupError, match="0 of 3 datagrams had been sent"):
                await sender.send_batch([b"1", b"2", b"3"])
            statistics = sender.statistics()
            assert (statistics.sent, statistics.failed) == (0, 4)


async def test_where_only_some_refuse_the_others_are_served(
    two_lans: TwoLans, caplog: pytest.LogCaptureFixture
) -> None:
    with on(two_lans.a), caplog.at_level(logging.WARNING, "trio_mcast"):
        async with open_mcast_sender(GROUP, PORT, interfaces=["eth0", "eth1"]) as sender:
            two_lans.a.down("eth1")
            await sender.send(b"first")
            await sender.send(b"second")
            statistics = sender.statistics()
            assert (statistics.sent, statistics.failed) == (2, 2)
            assert len(caplog.records) == 1, "logged once"
            assert "eth1" in caplog.text
            two_lans.a.down("eth0")
            with pytest.raises(Exception, match="any of 2 groups and interfaces") as caught:
                await sender.send(b"third")
            failures = refusals_in(caught.value)
            assert [item.interface for item in failures] == ["eth0", "eth1"]
            with pytest.raises(Exception, match="any of 2 groups and interfaces") as caught:
                await sender.send_batch([b"fourth", b"fifth"])
            for failure in refusals_in(caught.value):
                assert "0 of 2 datagrams had been sent" in str(failure)
            statistics = sender.statistics()
            assert (statistics.sent, statistics.failed) == (2, 2 + 2 + 4)
            counts = statistics.interfaces
            assert {name: item.sent for name, item in counts.items()} == {"eth0": 2, "eth1": 0}
            assert {name: item.failed for name, item in counts.items()} == {"eth0": 3, "eth1": 5}
            last_error = counts["eth1"].last_error
            assert last_error is not None
            assert (last_error.errno, last_error.group) == (errno.ENETUNREACH, GROUP)
            assert len(caplog.records) == 1, "what is raised is not logged"


async def test_group_that_is_sent_to_only_now_and_then_is_logged_for_itself(
    two_lans: TwoLans, caplog: pytest.LogCaptureFixture
) -> None:
    with on(two_lans.a), caplog.at_level(logging.INFO, "trio_mcast"):
        async with open_mcast_sender(GROUP, PORT, interfaces=["eth0", "eth1"]) as sender:
            two_lans.a.down("eth1")
            for _ in range(3):
                await sender.send(b"?")
                await sender.send(b"?", to="239.9.9.9")
            two_lans.a.up("eth1")
            await sender.send(b"?")
            await sender.send_batch([b"?", b"?"], to="239.9.9.9")
            await sender.send(b"?")
    assert [item.levelname for item in caplog.records] == ["WARNING"] * 2 + ["INFO"] * 2
    for number, group in enumerate([GROUP, "239.9.9.9"] * 2):
        assert group in caplog.messages[number]
        assert "eth1" in caplog.messages[number]


async def test_a_full_send_buffer_is_waited_for(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [BlockingIOError()] * 3
    real_send = PosixSocket.send

    def send(self: PosixSocket, data: bytes, address: BindAddress) -> None:
        if refusals:
            raise refusals.pop()
        real_send(self, data, address)

    monkeypatch.setattr(PosixSocket, "send", send)
    with on(host), trio.fail_after(5):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo") as sender:
            await sender.send(b"x")
            assert not refusals
            assert sender.statistics().sent == 1


async def test_interfaces_endpoints_and_buffers_can_be_asked_for(two_hosts: TwoHosts) -> None:
    with on(two_hosts.a):
        async with open_mcast_sender(
            [GROUP, "ff05::1", "ff02::1"],
            PORT,
            interfaces="eth0",
            source_port=6000,
            send_buffer_size=70_000,
        ) as sender:
            assert [item.name for item in sender.interfaces] == ["eth0"]
            local = f"{two_hosts.a.link_local('eth0')}%eth0"
            assert sender.local_endpoints == (
                Endpoint("10.0.1.1", 6000),
                Endpoint("fd00:1::1", 6000),
                Endpoint(local, 6000),
            )
            statistics = sender.statistics()
            assert statistics.send_buffer_asked == statistics.send_buffer_granted == 70_000


async def test_send_batch_keeps_the_order(host: Host) -> None:
    numbers = [str(number).encode() for number in range(200)]
    with on(host), trio.fail_after(5):
        async with (
            open_mcast_receiver(GROUP, PORT, interfaces="lo") as receiver,
            open_mcast_sender(GROUP, PORT, interfaces="lo") as sender,
        ):
            await sender.send_batch(numbers)
            assert [(await receiver.receive()).data for _ in numbers] == numbers
