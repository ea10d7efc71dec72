"""Opening and closing: all or nothing, and nothing stays open."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
import trio.testing

import trio_mcast
from tests.support.leftovers import open_descriptors, tasks_now
from trio_mcast import (
    AmbiguousInterfaceError,
    InterfaceNotFoundError,
    McastError,
    SocketSetupError,
    open_mcast_receiver,
    open_mcast_sender,
)

from .lab import Lab
from .lab.fixtures import TwoHosts
from .lab.machine import on

Opening = Callable[[], AbstractAsyncContextManager[object]]

# Twelve sources take two sockets, so a membership can fail when it is half open.
TWELVE = [f"127.0.0.{number}" for number in range(1, 13)]


class Faults:
    """Counts the system calls of an opening, and makes one of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail_at: int) -> None:
        self._fail_at = fail_at
        self.count = 0
        self.failed: str | None = None
        for name in ("__init__", "setsockopt", "getsockopt", "bind", "getsockname", "setblocking"):
            original = getattr(socket.socket, name)
            monkeypatch.setattr(socket.socket, name, self._faulty(name, original))
        if sys.platform == "linux":
            for name in ("send", "recv"):  # How interfaces are listed.
                original = getattr(socket.socket, name)
                monkeypatch.setattr(socket.socket, name, self._faulty(name, original))
            faults, real_epoll = self, select.epoll

            class FaultyEpoll:
                def __init__(self) -> None:
                    faults.step("epoll_create")
                    self._real = real_epoll()

                def register(self, *args: int) -> None:
                    faults.step("epoll_ctl")
                    self._real.register(*args)

                def __getattr__(self, name: str) -> Any:
                    return getattr(self._real, name)

            monkeypatch.setattr(select, "epoll", FaultyEpoll)

    def _faulty(self, name: str, original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            self.step(name)
            return original(*args, **kwargs)

        return call

    def step(self, name: str) -> None:
        self.count += 1
        if self.count == self._fail_at:
            self.failed = name
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))


def check_refusal(error: McastError) -> None:
    assert isinstance(error, SocketSetupError)
    assert error.errno == errno.ENOBUFS
    assert "ENOBUFS" in str(error)


OPENINGS: dict[str, Opening] = {
    "receiver": lambda: open_mcast_receiver(
        ["239.1.2.3", "ff05::123"], 5000, interfaces="lo", receive_ttl=True
    ),
    "receiver from many sources": lambda: open_mcast_receiver(
        "239.1.2.3", 5000, interfaces="lo", sources=TWELVE
    ),
    "receiver without some sources": lambda: open_mcast_receiver(
        "239.1.2.3", 5000, interfaces=["lo"], excluded_sources=TWELVE, receive_timestamp=True
    ),
    "sender": lambda: open_mcast_sender(
        ["239.1.2.3", "ff05::123"], 5000, interfaces="lo", traffic_class=8, send_buffer_size=50_000
    ),
    "sender that receives replies": lambda: open_mcast_sender(
        ["239.1.2.3", "ff05::123"], 5000, interfaces="lo", receive_replies=True
    ),
}


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
async def test_opening_leaves_nothing_open_whichever_system_call_fails(
    opening: Opening, lab: Lab
) -> None:
    failures: list[str] = []
    with on(lab.host("a")):
        async with opening():
            pass
        while True:
            before = open_descriptors()
            tasks = tasks_now()
            with pytest.MonkeyPatch.context() as monkeypatch:
                faults = Faults(monkeypatch, fail_at=len(failures) + 1)
                # Some calls have something to fall back to, and then nothing fails.
                try:
                    async with opening():
                        pass
                except McastError as error:
                    check_refusal(error)
            assert open_descriptors() == before
            assert tasks_now() == tasks
            if faults.failed is None:
                break
            failures.append(faults.failed)
    assert {"__init__", "setsockopt", "bind", "send", "recv"} <= set(failures)
    assert len(failures) > 20


async def test_opening_says_which_step_failed_and_what_to_do(two_hosts: TwoHosts) -> None:
    with two_hosts.a.inside():
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        taken.bind(("0.0.0.0", 5000))
    with taken, on(two_hosts.a), pytest.raises(SocketSetupError) as caught:
        async with open_mcast_receiver("239.1.2.3", 5000, interfaces="eth0"):
            pytest.fail("entered")
    error = caught.value
    assert (error.errno, error.step) == (errno.EADDRINUSE, "bind")
    assert (error.group, error.interface) == ("239.1.2.3", "eth0")
    for part in ("239.1.2.3", "5000", "eth0", "EADDRINUSE", "another program"):
        assert part in str(error)


@pytest.mark.parametrize("opener", [open_mcast_receiver, open_mcast_sender])
@pytest.mark.parametrize(
    ("groups", "interfaces", "kind", "parts"),
    [
        ("239.1.2.3", "eth7", InterfaceNotFoundError, ["'eth7'", "eth0", "10.0.1.1/24"]),
        ("239.1.2.3", 99, InterfaceNotFoundError, ["99", "eth0"]),
        ("239.1.2.3", "10.9.9.9", InterfaceNotFoundError, ["10.9.9.9", "eth0"]),
        ("ff02::1%eth7", None, InterfaceNotFoundError, ["'eth7'", "eth0"]),
        ("239.1.2.3", "fd00:1::1", ValueError, ["239.1.2.3", "fd00:1::1", "IPv4"]),
        ("ff05::1", "10.0.1.1", ValueError, ["ff05::1", "10.0.1.1", "IPv6"]),
        ("ff02::1%eth0", "lo", ValueError, ["ff02::1%eth0", "lo"]),
    ],
)
async def test_opening_refuses_interfaces_that_do_not_fit(
    opener: Callable[..., AbstractAsyncContextManager[object]],
    groups: str,
    interfaces: str | int | None,
    kind: type[Exception],
    parts: list[str],
    two_hosts: TwoHosts,
) -> None:
    before = open_descriptors()
    with on(two_hosts.a), pytest.raises(kind) as caught:
        async with opener(groups, 5000, interfaces=interfaces):
            pytest.fail("entered")
    assert open_descriptors() == before
    for part in parts:
        assert part in str(caught.value)


async def test_opening_refuses_an_address_that_two_interfaces_share(two_hosts: TwoHosts) -> None:
    two_hosts.a.plug("eth1", two_hosts.lan, "10.0.1.1/24")
    with on(two_hosts.a), pytest.raises(AmbiguousInterfaceError, match=r"eth0, eth1.*name one"):
        async with open_mcast_receiver("239.1.2.3", 5000, interfaces="10.0.1.1"):
            pytest.fail("entered")


async def test_opening_needs_an_interface_that_is_fit_unless_one_is_named(lab: Lab) -> None:
    with on(lab.host("lonely")):
        with pytest.raises(InterfaceNotFoundError, match=r"interfaces=.*lo"):
            async with open_mcast_receiver("239.1.2.3", 5000):
                pytest.fail("entered")
        with pytest.raises(InterfaceNotFoundError, match=r"interfaces=.*lo"):
            async with open_mcast_sender("239.1.2.3", 5000):
                pytest.fail("entered")
        async with open_mcast_receiver("239.1.2.3", 5000, interfaces="lo") as receiver:
            assert [item.state for item in receiver.memberships] == ["joined"]


async def test_opening_names_the_limit_when_file_descriptors_run_out(lab: Lab) -> None:
    if sys.platform != "linux":
        pytest.fail("there is no lab anywhere else")
    import resource

    groups = [f"239.1.{number // 250}.{number % 250}" for number in range(600)]
    host = lab.host("a")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = open_descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
    try:
        said = r"ulimit -n.* \(needed here: 600 for the sockets, .* may have 400 in all"
        with on(host), pytest.raises(SocketSetupError, match=said) as caught:
            async with open_mcast_receiver(groups, 5000, interfaces="lo"):
                pytest.fail("entered")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
    assert open_descriptors() == before


async def test_opening_lets_other_tasks_run_and_can_be_cancelled_midway(lab: Lab) -> None:
    groups = [f"239.1.0.{number}" for number in range(200)]
    host = lab.host("a")
    before = open_descriptors()
    with on(host):
        async with trio.open_nursery() as nursery:
            for passes in range(1, 6):
                with trio.CancelScope() as scope:
                    nursery.start_soon(_cancel_after, passes, scope)
                    async with open_mcast_receiver(groups, 5000, interfaces="lo"):
                        pytest.fail("entered")
                assert scope.cancelled_caught
                assert len(open_descriptors()) == len(before)


async def _cancel_after(passes: int, scope: trio.CancelScope) -> None:
    for _ in range(passes):
        await trio.lowlevel.checkpoint()
    scope.cancel()


class Oddity(BaseException):
    """An exception that nothing else raises."""


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
@pytest.mark.parametrize("kind", [KeyError, Oddity, KeyboardInterrupt])
async def test_the_bodys_exception_comes_out_unwrapped(
    opening: Opening, kind: type[BaseException], lab: Lab
) -> None:
    host = lab.host("a")
    before = open_descriptors()
    raised = kind("from the body")
    with on(host), pytest.raises(kind) as caught:
        async with opening():
            raise raised
    assert caught.value is raised
    assert open_descriptors() == before


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
async def test_cancelling_the_body_closes_everything(opening: Opening, lab: Lab) -> None:
    host = lab.host("a")
    before = open_descriptors()
    tasks = tasks_now()
    with on(host), trio.CancelScope() as scope:
        async with opening():
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert open_descriptors() == before
    assert tasks_now() == tasks


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
async def test_entering_and_leaving_are_checkpoints(opening: Opening, lab: Lab) -> None:
    with on(lab.host("a")):
        manager = opening()
        with trio.testing.assert_checkpoints():
            await manager.__aenter__()
        with trio.testing.assert_checkpoints():
            await manager.__aexit__(None, None, None)


async def test_a_spec_can_be_opened_again_and_again(lab: Lab) -> None:
    spec = trio_mcast.McastReceiverSpec("239.1.2.3", 5000, interfaces="lo")
    with on(lab.host("a")):
        for _ in range(3):
            async with spec.open() as first, spec.open() as second:
                assert first.memberships == second.memberships
