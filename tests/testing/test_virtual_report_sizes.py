"""The size of an IGMPv3 report as the error of a join, on a virtual host with macOS.

The numbers were measured with XNU's one line in FreeBSD 13's igmp.c, run in user space.
"""

from __future__ import annotations

import errno
from ipaddress import ip_address
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from tests.support.virtual_hosts import GROUP4, GROUP6, PORT, drain, two_on_lan
from trio_mcast import (
    McastReceiverSpec,
    SocketSetupError,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast._host.protocols import McastSocket
from trio_mcast._platform import options as layout
from trio_mcast._values.addresses import parse_groups
from trio_mcast.testing import VirtualHost

pytestmark = pytest.mark.once

SOURCES = ["10.0.0.1", "10.0.0.3"]


def opened(host: VirtualHost, sources: list[str] | None = None) -> McastSocket:
    """Open a socket by its plan, as it is after the first try."""
    spec = McastReceiverSpec(GROUP4, PORT, interfaces="eth0", sources=sources)
    (socket_spec,) = spec.plan(host.list_interfaces(), host.platform.name)
    return host.open_socket(socket_spec)


def again(sock: McastSocket) -> int | None:
    """Try the pending joins again, and return the error."""
    try:
        sock.revise(sock.socket_spec, sock.pending)
    except SocketSetupError as error:
        return error.errno
    return None


def block(host: VirtualHost, sock: McastSocket) -> int | None:
    (group,) = parse_groups(GROUP4)
    index, source = sock.socket_spec.interface.index, ip_address(SOURCES[1])
    option = layout.block_source(host.platform, index, group.address, source, None)
    try:
        sock.revise(sock.socket_spec, [option])
    except SocketSetupError as error:
        return error.errno
    return None


async def test_second_source_is_refused_until_the_first_report_has_left(
    autojump_clock: MockClock,
) -> None:
    async with two_on_lan("darwin") as lan:
        sock = opened(lan.b, SOURCES)
        assert [option.symbol for option in sock.pending] == ["MCAST_JOIN_SOURCE_GROUP"]
        assert again(sock) == 12  # At once: the report still waits.
        await trio.sleep(0.005)
        assert again(sock) is None


async def test_numbers_are_those_that_were_measured(autojump_clock: MockClock) -> None:
    async with two_on_lan("darwin") as lan:
        first = opened(lan.b, SOURCES[:1])
        assert not first.pending
        # From any source where another socket has a source; then any beside any.
        anyone = opened(lan.b)
        assert again(anyone) == 8
        await trio.sleep(0.005)
        assert again(anyone) is None
        assert not opened(lan.b).pending


@pytest.mark.parametrize(("sources", "error"), [(SOURCES[:1], 16), (None, None)])
async def test_group_that_was_left_is_remembered(
    sources: list[str] | None, error: int | None, autojump_clock: MockClock
) -> None:
    async with two_on_lan("darwin") as lan:
        opened(lan.b).close()
        assert again(opened(lan.b, sources)) == error
    async with two_on_lan("darwin") as lan:
        opened(lan.b).close()
        await trio.sleep(3)
        assert not opened(lan.b, sources).pending


async def test_blocked_source_is_refused_as_well(autojump_clock: MockClock) -> None:
    async with two_on_lan("darwin") as lan:
        assert block(lan.b, opened(lan.b)) == 12


async def test_freebsd_and_ipv6_have_no_such_errors(autojump_clock: MockClock) -> None:
    async with two_on_lan("freebsd") as lan:
        assert not opened(lan.b, SOURCES).pending
    async with two_on_lan("darwin") as lan:
        spec = McastReceiverSpec(
            GROUP6, PORT, interfaces="eth0", sources=["fd00::7", "fd00::8", "fd00::9"]
        )
        (socket_spec,) = spec.plan(lan.b.list_interfaces(), "darwin")
        assert not lan.b.open_socket(socket_spec).pending


async def test_crash_forgets_what_was_refused(autojump_clock: MockClock) -> None:
    async with two_on_lan("darwin", snooping=True) as lan:
        assert opened(lan.b, SOURCES).pending
        lan.b.crash()
        lan.b.restart()
        assert not opened(lan.b, SOURCES[:1]).pending
        asked = [event.reason for event in lan.network.trace.select(what="learned")]
        one, both = f"only from {SOURCES[0]}", f"only from {', '.join(SOURCES)}"
        assert asked == [one, both, one], "the second one stayed until the crash"


# The library beside it ---------------------------------------------------------------------------


async def test_receiver_with_two_sources_opens_and_receives(autojump_clock: MockClock) -> None:
    async with two_on_lan("darwin") as lan:
        with lan.b:
            async with open_mcast_receiver(
                GROUP4, PORT, interfaces="eth0", sources=SOURCES
            ) as receiver:
                assert [membership.state for membership in receiver.memberships] == ["joined"]
                with lan.a:
                    async with open_mcast_sender(GROUP4, PORT, interfaces="eth0") as sender:
                        await sender.send(b"hello")
                assert [datagram.data for datagram in await drain(receiver)] == [b"hello"]


async def test_receivers_with_and_without_sources_open_beside_each_other(
    autojump_clock: MockClock,
) -> None:
    async with two_on_lan("darwin") as lan:
        with lan.b:
            async with (
                open_mcast_receiver(GROUP4, PORT, interfaces="eth0", sources=SOURCES) as some,
                open_mcast_receiver(GROUP4, PORT, interfaces="eth0") as everyone,
                open_mcast_receiver(GROUP4, PORT, interfaces="eth0", sources=SOURCES[1]) as other,
                open_mcast_receiver(
                    GROUP4, PORT, interfaces="eth0", excluded_sources=SOURCES
                ) as without,
            ):
                await everyone.block_source(SOURCES[1])
                with lan.a:
                    async with open_mcast_sender(GROUP4, PORT, interfaces="eth0") as sender:
                        await sender.send(b"hello")
                got = [len(await drain(each)) for each in (some, everyone, other, without)]
                assert got == [1, 1, 0, 0]


async def test_join_that_is_refused_to_the_end_says_so(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_on_lan("darwin") as lan:
        tries: list[float] = []

        def refuse(*arguments: object) -> int:
            if arguments[2] is None:
                return 0
            tries.append(trio.current_time())
            return errno.ENOMEM

        monkeypatch.setattr(lan.b._report_sizes, "error_after", refuse)
        with lan.b, pytest.raises(SocketSetupError, match="although nothing is wrong") as caught:
            async with open_mcast_receiver(GROUP4, PORT, interfaces="eth0"):
                pass
        assert caught.value.errno == errno.ENOMEM
        pauses = [after - before for before, after in pairwise(tries)]
        assert pauses == pytest.approx([0.005, 0.02, 0.08, 0.3, 1.1])
        assert not lan.b._opened
