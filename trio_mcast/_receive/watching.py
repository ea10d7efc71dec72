"""The changes of a receiver's memberships, as a channel; and the wait until all groups are joined.

Nothing runs in between, as with `watch_interfaces`: `receive` itself waits until something may have
changed, looks, and works out the differences to its last look. So nothing piles up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import attrs
import trio

from .._live import Closeable, closing_each
from .._plan.selecting import in_zone
from .._plan.socket_spec import MembershipKey
from .._values.interface import Interface
from .membership import Membership
from .memberships import Memberships


@attrs.frozen
class MembershipChange:
    """A membership of a receiver that came, went or changed.

    A membership is known by its group and the name of its interface.
    """

    before: Membership | None
    """The membership before the change; `None` for a new one."""
    after: Membership | None
    """The membership after the change; `None` for one that was left or is waited for no longer."""

    def __attrs_post_init__(self) -> None:
        if self.before is None and self.after is None:
            raise ValueError("a change has a before, an after, or both, not neither")

    @property
    def membership(self) -> Membership:
        """The membership as it is now or, if it has ended, as it was last."""
        either = self.after or self.before
        assert either is not None
        return either


def membership_changes(
    before: Mapping[MembershipKey, Membership], after: Mapping[MembershipKey, Membership]
) -> list[MembershipChange]:
    """Return the changes that lead from some memberships to others: ended, changed, new ones."""
    ended = [
        MembershipChange(membership, None) for key, membership in before.items() if key not in after
    ]
    changed = [
        MembershipChange(before[key], membership)
        for key, membership in after.items()
        if key in before and _differ(before[key], membership)
    ]
    new = [
        MembershipChange(None, membership) for key, membership in after.items() if key not in before
    ]
    return [*ended, *changed, *new]


def _differ(one: Membership, other: Membership) -> bool:
    """Tell whether memberships differ. Each attempt to join has an error of its own."""
    if str(one.error) != str(other.error):
        return True
    return attrs.evolve(one, error=None) != attrs.evolve(other, error=None)


@asynccontextmanager
async def watch_memberships(
    memberships: Memberships,
) -> AsyncIterator[trio.abc.ReceiveChannel[MembershipChange]]:
    """Watch memberships for the length of a block; see `McastReceiver.watch_memberships`."""
    memberships.check_open()
    await trio.lowlevel.checkpoint()
    memberships.check_open()
    changes = _MembershipChanges(memberships)
    with closing_each(changes):
        yield changes
    await trio.lowlevel.checkpoint()


class _MembershipChanges(Closeable, trio.abc.ReceiveChannel[MembershipChange]):
    def __init__(self, memberships: Memberships) -> None:
        super().__init__()
        self._memberships = memberships
        self._last = memberships.describe()
        self._seen = memberships.changes
        # What the last look has shown and nobody has taken yet.
        self._pending: deque[MembershipChange] = deque()
        self._closed = False
        # One task at a time waits and looks; the others then find what it has left.
        self._turn = trio.StrictFIFOLock()

    async def receive(self) -> MembershipChange:
        async with self._turn:
            while True:
                if self._closed:
                    raise trio.ClosedResourceError("watching the memberships has ended")
                if not self._pending:
                    self._look()
                if self._pending:
                    return self._pending.popleft()
                if self._memberships.is_closed:
                    raise trio.EndOfChannel
                await self._memberships.wait_for_change(self._seen)

    def _look(self) -> None:
        if self._seen == self._memberships.changes:
            return
        self._seen = self._memberships.changes
        now = self._memberships.describe()
        self._pending.extend(membership_changes(self._last, now))
        self._last = now

    def close(self) -> None:
        if not self._closed:
            self._check_run()
            self._closed = True
            self._pending.clear()
            self._memberships.notice()  # Ends the waiting of other tasks.

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()


async def wait_joined(memberships: Memberships) -> None:
    """Wait until each group is joined somewhere; see `McastReceiver.wait_joined`."""
    await trio.lowlevel.checkpoint()
    while True:
        memberships.check_open()
        seen = memberships.changes
        if _all_joined(memberships):
            return
        await memberships.wait_for_change(seen)


def _all_joined(memberships: Memberships) -> bool:
    joined: dict[str | None, list[Interface]] = {}
    for (text, _), membership in memberships.live.items():
        if membership.state == "joined":
            joined.setdefault(text, []).append(membership.plan.interface)
    for request in memberships.requests:
        for group in request.groups_left_over():
            interfaces = joined.get(group.text, [])
            if not (interfaces if group.zone is None else in_zone(group.zone, interfaces)):
                return False
    return True
