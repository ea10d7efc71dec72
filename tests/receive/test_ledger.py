"""The ledger: what became of every datagram, by group and interface; sockets are made up here."""

from __future__ import annotations

import attrs
import pytest

from tests.support.books import GROUP, OTHER, Books
from tests.support.interfaces import ETH0, ETH1
from trio_mcast import (
    DatagramCounts,
    MembershipStatistics,
)
from trio_mcast._host.protocols import Rejection
from trio_mcast._receive.ledger import ENDED_KEPT
from trio_mcast._receive.store import Overflow

# What is counted -------------------------------------------------------------------------------


def test_counts_of_a_socket_are_its_membership_s() -> None:
    books = Books()
    sock = books.open()
    books.queue.put(sock.read(5, size=100))
    books.queue.get_nowait()
    sock.drop(7)
    sock.rejected.update({Rejection.OWN: 2, Rejection.UNICAST: 1})
    assert books.only() == MembershipStatistics(
        group=GROUP,
        interface=ETH0,
        received=5,
        received_bytes=500,
        delivered=1,
        waiting=4,
        dropped_by_kernel=7,
        rejections={"own": 2, "unicast": 1},
    )


def test_sockets_of_one_membership_are_added_up() -> None:
    books = Books()
    for count in (1, 2, 3):
        books.queue.put(books.open().read(count))
    assert books.only().received == 6


def test_memberships_are_told_apart_by_group_and_interface() -> None:
    books = Books()
    expected: dict[tuple[str | None, str], int] = {}
    for group in (GROUP, OTHER, None):
        for interface in (ETH0, ETH1):
            count = len(expected) + 1
            expected[group, interface.name] = count
            books.queue.put(books.open(group, interface).read(count))
    books.queue.get_nowait()  # Of the first that was put.
    found = books.memberships()
    assert {key: item.received for key, item in found.items()} == expected
    assert {key: item.delivered for key, item in found.items() if item.delivered} == {
        (GROUP, "eth0"): 1
    }


@pytest.mark.parametrize("reason", Rejection)
def test_every_reason_is_told_by_its_name(reason: Rejection) -> None:
    books = Books()
    books.open().rejected[reason] += 3
    assert books.only().rejected_by_reason == {reason.value: 3}
    assert f'``"{reason.value}"``' in str(DatagramCounts.rejected_by_reason.__doc__)


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
def test_drops_of_the_queue_are_the_membership_s_they_belong_to(overflow: Overflow) -> None:
    books = Books(max_buffered=10, overflow=overflow)
    first, second = books.open(GROUP), books.open(OTHER)
    books.queue.put(first.read(8))
    books.queue.put(second.read(7))
    found = books.memberships()
    one, other = found[GROUP, "eth0"], found[OTHER, "eth0"]
    dropped = (5, 0) if overflow == "drop_oldest" else (0, 5)
    assert (one.dropped_by_policy, other.dropped_by_policy) == dropped
    assert (one.waiting, other.waiting) == (8 - dropped[0], 7 - dropped[1])
    assert one.delivered == other.delivered == 0


# Sockets that are closed -----------------------------------------------------------------------


def test_counts_of_a_closed_socket_stay() -> None:
    books = Books()
    sock = books.open()
    books.queue.put(sock.read(5))
    sock.drop(3)
    sock.rejected[Rejection.OWN] += 2
    before = books.only()
    books.close(sock)
    assert books.only() == before
    books.queue.get_nowait()
    assert (books.only().delivered, books.only().waiting) == (1, 4)


def test_drops_between_the_last_look_and_the_closing_count() -> None:
    books = Books()
    sock = books.open()
    sock.drop(3)
    assert books.only().dropped_by_kernel == 3
    sock.drop(4)
    books.close(sock)
    assert books.only().dropped_by_kernel == 7


def test_socket_that_comes_back_adds_to_what_was_counted() -> None:
    books = Books()
    for _ in range(3):
        sock = books.open()
        books.queue.put(sock.read(5))
        sock.drop(2)
        books.close(sock)
    books.queue.put(books.open().read(1))
    assert (books.only().received, books.only().dropped_by_kernel) == (16, 6)


def test_interface_that_comes_back_under_its_name_is_counted_as_the_same() -> None:
    books = Books()
    sock = books.open(interface=ETH0)
    books.queue.put(sock.read(2))
    books.close(sock)
    again = attrs.evolve(ETH0, index=ETH0.index + 100)
    sock = books.open(interface=again)
    books.queue.put(sock.read(3))
    for _ in range(2):
        assert (books.only().received, books.only().waiting) == (5, 5)
        assert books.only().interface == again
        if sock in books.sockets:
            books.close(sock)


def test_memberships_that_stand_come_before_those_that_ended() -> None:
    books = Books()
    left = books.open(GROUP)
    books.open(OTHER)
    books.close(left)
    assert list(books.memberships()) == [(OTHER, "eth0"), (GROUP, "eth0")]


# What the kernel drops -------------------------------------------------------------------------


def test_count_of_the_kernel_s_drops_goes_on_when_the_kernel_s_own_wraps() -> None:
    books = Books()
    sock = books.open()
    total = 0
    for dropped in (2**32 - 1, 1, 1, 2**31, 2**31, 2**32 - 1, 0, 5):
        sock.drop(dropped)
        total += dropped
        assert books.only().dropped_by_kernel == total
    assert total > 3 * 2**32
    sock.drop(2**32 - 1)
    books.close(sock)
    assert books.only().dropped_by_kernel == total + 2**32 - 1


def test_drops_are_unknown_where_the_system_does_not_tell() -> None:
    books = Books()
    sock = books.open(drops=None)
    assert books.only().dropped_by_kernel is None
    books.close(sock)
    assert books.only().dropped_by_kernel is None
    assert books.total().dropped_by_kernel is None


def test_drops_that_are_unknown_of_one_socket_are_unknown_in_its_sums_only() -> None:
    books = Books()
    books.open(GROUP, drops=None)
    books.open(GROUP).drop(1)
    books.open(OTHER).drop(2)
    found = books.memberships()
    assert found[GROUP, "eth0"].dropped_by_kernel is None
    assert found[OTHER, "eth0"].dropped_by_kernel == 2
    assert books.total().dropped_by_kernel is None


def test_drops_that_were_told_stay_when_the_system_tells_no_more() -> None:
    books = Books()
    sock = books.open()
    sock.drop(3)
    assert books.only().dropped_by_kernel == 3
    sock.drops = None
    assert books.only().dropped_by_kernel == 3
    sock.drops = 5
    assert books.only().dropped_by_kernel == 5


def test_without_any_socket_nothing_was_dropped() -> None:
    assert Books().total() == DatagramCounts()
    assert DatagramCounts().dropped_by_kernel == 0


# Many that come and go -------------------------------------------------------------------------


def visit(books: Books, number: int) -> None:
    """An interface comes, is read from, and goes."""
    sock = books.open(interface=attrs.evolve(ETH0, name=f"veth{number}", index=number + 100))
    books.queue.put(sock.read(2))
    sock.drop(1)
    sock.rejected[Rejection.OWN] += 1
    books.close(sock)


def test_ten_thousand_interfaces_that_come_and_go_are_all_counted() -> None:
    books = Books(max_buffered=2, overflow="drop_oldest")
    stays = books.open()
    books.queue.put(stays.read(2))
    for number in range(10_000):
        visit(books, number)
        assert len(books.queue.dropped) <= ENDED_KEPT + 2
    found = books.memberships()
    assert ENDED_KEPT // 2 <= len(found) <= ENDED_KEPT + 1
    assert found[GROUP, "eth0"].received == found[GROUP, "eth0"].dropped_by_policy == 2
    kept = list(found)[1:]
    assert kept == [(GROUP, f"veth{number}") for number in range(10_000 - len(kept), 10_000)]
    assert books.total() == DatagramCounts(
        received=20_002,
        received_bytes=20_002,
        waiting=2,
        dropped_by_policy=20_000,
        dropped_by_kernel=10_000,
        rejections={"own": 10_000},
    )
    assert books.ledger.earlier.received == 2 * (10_000 - len(kept))
    assert books.queue.dropped.total() == 20_000


def test_membership_is_told_apart_as_long_as_its_datagrams_wait() -> None:
    books = Books(ended_kept=2)
    visit(books, 0)
    for number in range(1, 50):
        visit(books, number)
        taken = [books.queue.get_nowait() for _ in range(2)] if number > 1 else []
        assert all(item.interface.name == f"veth{number - 2}" for item in taken)
        found = books.memberships()
        assert found[GROUP, f"veth{number}"].waiting == 2
        assert found[GROUP, f"veth{number - 1}"].waiting == 2
        assert len(found) <= 6
    assert books.total().delivered == 2 * 48


def test_membership_that_has_a_socket_again_is_told_apart() -> None:
    books = Books(ended_kept=2)
    sock = books.open()
    books.queue.put(sock.read(1))
    books.close(sock)
    books.open()
    books.queue.get_nowait()
    for number in range(10):
        visit(books, number)
        books.queue.get_nowait(), books.queue.get_nowait()
    assert books.memberships()[GROUP, "eth0"].delivered == 1
