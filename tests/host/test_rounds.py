"""Sockets that have several datagrams each: read one of each at a time, or each by itself."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from tests.lab import Host
from tests.support.linux_sockets import open_sockets, send_unit
from tests.support.readers import (
    groups_of,
    new_reader,
    one_pass,
    poller_of,
    read_now,
    send_each,
)
from tests.support.system_calls import Calls, change_results, count_enters
from tests.support.traffic import PORT, plain_sender
from trio_mcast import Datagram
from trio_mcast._host.protocols import McastSocket

if sys.platform != "linux":
    pytest.skip("the ring is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import chunk, io_uring

COUNT = 20
GROUPS = groups_of("ipv4", COUNT)
ROUNDS = chunk._ROUNDS

# Without a ring, the sockets would be read another way.
pytestmark = pytest.mark.usefixtures("ring")


def send_numbered(sender: Any, counts: Sequence[int]) -> dict[str, list[bytes]]:
    """Send so many to each group, to all in turn, and tell what each is to get, in order."""
    expected: dict[str, list[bytes]] = {group: [] for group in GROUPS}
    for turn in range(max(counts)):
        data = b"%d" % turn
        for group in (group for group, count in zip(GROUPS, counts, strict=True) if turn < count):
            send_each(sender, [group], data)
            expected[group].append(data)
    return expected


def by_group(datagrams: Sequence[Datagram]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {group: [] for group in GROUPS}
    for item in datagrams:
        found[str(item.group)].append(item.data)
    return found


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([5] * COUNT, [COUNT] * 5),
        ([3] * 10 + [1] * 10, [20, 10, 10]),
        ([1, 2] * 10, [20, 10]),
    ],
)
def test_few_more_of_each_are_read_one_of_each_at_a_time(
    host: Host, calls: Calls, enters: list[int], counts: list[int], expected: list[int]
) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS)
        reader = new_reader(stack, host, sockets)
        for number in range(1, 4):
            enters.clear()
            sent = send_numbered(sender, counts)
            assert by_group(one_pass(reader)) == sent
            assert enters == expected
            assert [sock.received for sock in sockets] == [number * count for count in counts]
        assert not calls.counts
        assert not read_now(reader)


def test_the_last_few_that_have_more_are_read_by_themselves(
    host: Host, calls: Calls, enters: list[int]
) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        reader = new_reader(stack, host, open_sockets(stack, host, GROUPS))
        sent = send_numbered(sender, [2] * (COUNT - 3) + [9] * 3)
        assert by_group(one_pass(reader)) == sent
        assert enters == [COUNT, COUNT]
        assert calls.counts["recvmmsg"] >= 3
        assert not calls.counts["recvmsg"]


def test_where_they_have_many_each_later_passes_read_each_by_itself_at_once(
    host: Host, calls: Calls, enters: list[int]
) -> None:
    counts = [ROUNDS + 10] * COUNT
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        reader = new_reader(stack, host, open_sockets(stack, host, GROUPS))
        found = []
        # After so many passes it is found out anew whether they still do.
        for _ in range(1 + chunk._ONCE_FOR + 1):
            enters.clear()
            calls.counts.clear()
            sent = send_numbered(sender, counts)
            assert by_group(one_pass(reader)) == sent
            assert calls.counts["recvmmsg"] >= COUNT
            found.append(len(enters))
        assert found == [ROUNDS, *[1] * chunk._ONCE_FOR, ROUNDS]


def test_what_finds_no_room_is_read_in_the_next_pass(host: Host, calls: Calls) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS)
        reader = new_reader(stack, host, sockets, max_buffered=50)
        sent = send_numbered(sender, [7] * COUNT)
        found: list[Datagram] = []
        while batch := one_pass(reader):
            assert len(batch) <= 50
            found += batch
        assert by_group(found) == sent
        assert [sock.received for sock in sockets] == [7] * COUNT


def test_room_is_used_up_to_the_last_datagram(host: Host) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        reader = new_reader(stack, host, open_sockets(stack, host, GROUPS), max_buffered=43)
        send_numbered(sender, [9] * COUNT)
        assert len(one_pass(reader)) == 43


def test_flood_of_rejected_ones_does_not_hold_a_pass_up(host: Host, enters: list[int]) -> None:
    # The kernel takes ten; the eleventh is rejected here.
    excluded = [f"10.9.9.{number}" for number in range(10)] + ["127.0.0.2"]
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo", "127.0.0.2") as sender:
        sockets = open_sockets(stack, host, GROUPS, excluded_sources=excluded)
        reader = new_reader(stack, host, sockets)
        send_numbered(sender, [30] * COUNT)
        for passes in range(1, 31):
            assert one_pass(reader) == []
            assert enters == [COUNT] * passes
            assert [sock.rejected.total() for sock in sockets] == [passes] * COUNT


def test_ring_that_fails_in_a_later_round_loses_nothing(
    host: Host, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    enters = count_enters(monkeypatch)
    real = io_uring._enter
    monkeypatch.setattr(
        io_uring, "_enter", lambda ring, count: -1 if len(enters) == 2 else real(ring, count)
    )
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS)
        reader = new_reader(stack, host, sockets)
        sent = send_numbered(sender, [5] * COUNT)
        found: list[Datagram] = []
        while batch := one_pass(reader):
            found += batch
        assert by_group(found) == sent
        assert enters == [COUNT, COUNT]
        assert calls.counts["recvmmsg"] >= COUNT
        assert [sock.received for sock in sockets] == [5] * COUNT


def test_error_in_a_later_round_is_told_and_others_go_on(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        sockets = open_sockets(stack, host, GROUPS)
        reader = new_reader(stack, host, sockets)
        failures: list[tuple[McastSocket, int | None]] = []

        def fail(failed: McastSocket, error: OSError) -> None:
            failures.append((failed, error.errno))
            reader.stop_socket(failed)

        poller_of(reader)._fail = fail
        failing, rounds = sockets[3], [0]

        def fail_third(sizes: dict[int, int]) -> None:
            rounds[0] += 1
            if rounds[0] == 3:
                sizes[failing.fileno()] = -errno.ENETDOWN

        change_results(monkeypatch, fail_third)
        sent = send_numbered(sender, [6] * COUNT)
        found = by_group(read_now(reader))
        assert failures == [(failing, errno.ENETDOWN)]
        # The third is lost here, as it was read, after all.
        assert found.pop(GROUPS[3]) == sent.pop(GROUPS[3])[:2]
        assert found == sent


def test_units_are_read_one_of_each_at_a_time(host: Host, enters: list[int]) -> None:
    with ExitStack() as stack, plain_sender(host, GROUPS[0], "lo") as sender:
        reader = new_reader(stack, host, open_sockets(stack, host, GROUPS))
        for number in range(3):
            for group in GROUPS:
                send_unit(sender, (group, PORT), (b"%d" % number) * (4 * 64 + 10), 64)
        found = by_group(read_now(reader))
        unit = [(b"%d" % number) * size for number in range(3) for size in [64] * 4 + [10]]
        assert found == dict.fromkeys(GROUPS, unit)
        assert enters[:3] == [COUNT] * 3
