"""The ledger counts each datagram of each membership exactly, whatever happens to the sockets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.books import GROUP, OTHER, Books
from tests.support.interfaces import ETH0, ETH1
from trio_mcast import (
    Datagram,
    DatagramCounts,
)
from trio_mcast._host.protocols import Rejection
from trio_mcast._receive.store import Overflow

pytestmark = pytest.mark.once

OVERFLOWS: list[Overflow] = ["wait", "drop_oldest", "drop_newest"]


KEYS = [(group, interface) for group in (GROUP, OTHER, None) for interface in (ETH0, ETH1)]
Step: TypeAlias = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "close", "read", "take", "drop", "reject", "look"]),
        st.integers(0, len(KEYS) - 1),
        st.integers(0, 5),
    ),
    max_size=60,
)


class Witness:
    """Keeps count of what happens, datagram by datagram, in the plainest way."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.counts: dict[str, Counter[tuple[str | None, str]]] = {}

    def note(self, what: str, key: tuple[str | None, str], count: int) -> None:
        self.counts.setdefault(what, Counter())[key] += count

    def noted(self, what: str) -> Counter[tuple[str | None, str]]:
        return +self.counts.get(what, Counter())

    def do(self, step: Step) -> None:
        what, place, count = step
        books, (group, interface) = self.books, KEYS[place]
        key = (group, interface.name)
        if what == "open":
            books.open(group, interface)
        elif what == "take":
            for item in self._taken(count):
                self.note("delivered", (item.group, item.interface.name), 1)
        elif what == "look":
            books.memberships()
        for sock in [
            item
            for item in books.sockets
            if (item.socket_spec.group, item.socket_spec.interface) == KEYS[place]
        ][:1]:
            if what == "close":
                books.close(sock)
            elif what == "read" and count:
                self.note("received", key, count)
                self.note("received_bytes", key, 9 * count)
                books.queue.put(sock.read(count, size=9))
            elif what == "drop":
                self.note("dropped_by_kernel", key, count)
                sock.drop(count)
            elif what == "reject":
                self.note("rejected", key, count)
                sock.rejected[Rejection.OWN] += count

    def _taken(self, count: int) -> Iterator[Datagram]:
        for _ in range(min(count, self.books.queue.waiting)):
            yield self.books.queue.get_nowait()


def assert_right(counts: DatagramCounts) -> None:
    assert counts.received == counts.delivered + counts.waiting + counts.dropped_by_policy
    fields = attrs.asdict(counts, filter=lambda field, value: isinstance(value, int))
    assert min(fields.values()) >= 0


WHATS = ["received", "received_bytes", "delivered", "dropped_by_kernel", "rejected"]
EVERY_POLICY = pytest.mark.parametrize("overflow", OVERFLOWS)


@EVERY_POLICY
@given(steps=STEPS)
def test_every_membership_is_counted_exactly_whatever_happens(
    overflow: Overflow, steps: list[Step]
) -> None:
    books = Books(4 if overflow != "wait" else 1_000, overflow)
    witness = Witness(books)
    for step in steps:
        witness.do(step)
        found = books.memberships()
        for what in WHATS:
            counted = Counter({key: getattr(item, what) for key, item in found.items()})
            assert +counted == witness.noted(what)
        waiting = Counter(
            (item.group, item.interface.name) for item in books.queue.waiting_datagrams()
        )
        assert {key: item.waiting for key, item in found.items() if item.waiting} == waiting
        for counts in [*found.values(), books.total()]:
            assert_right(counts)


@EVERY_POLICY
@given(steps=STEPS)
def test_total_is_exact_though_memberships_are_told_apart_no_longer(
    overflow: Overflow, steps: list[Step]
) -> None:
    books = Books(4 if overflow != "wait" else 1_000, overflow, ended_kept=1)
    witness = Witness(books)
    for step in steps:
        witness.do(step)
        for counts in [*books.ledger.memberships(), books.ledger.earlier, books.total()]:
            assert_right(counts)
        total, queue = books.total(), books.queue
        for what in WHATS:
            assert getattr(total, what) == witness.noted(what).total()
        assert (total.received, total.delivered, total.waiting) == (
            queue.received,
            queue.delivered,
            queue.waiting,
        )
        assert total.dropped_by_policy == queue.dropped.total()
