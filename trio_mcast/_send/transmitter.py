"""Sending until everything is sent or refused: waiting for room, trying again, explaining."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Final, Literal, TypeAlias, get_args

import attrs
import trio

from .._values.errors import SocketSetupError, none_sent
from .explaining import explain_send, group_of
from .full import FullOutlets
from .outlets import Outlets
from .stand_ins import Outlet, Refusing
from .targets import Target, Targets
from .turns import Take, Turns, take_now

logger = logging.getLogger("trio_mcast")

# How many datagrams of a batch are sent before other tasks have their turn. Arbitrary; sent one by
# one they take about a millisecond. In units of more than 64 they take a fraction: four count as
# one: then 1,024 are sent at once (measured: a sixth less for each).
_SENT_AT_ONCE = 256
_LARGE_UNIT = 64
_ONE_OF = 4

# How often, and with what pauses, sending is tried again while an interface's queue is full: some
# two seconds in all, from one millisecond on.
_MAX_PAUSES = 11
_FIRST_PAUSE_SECONDS = 0.001


# The refusals that are remembered: those of the last so many groups and interfaces. Each takes some
# 0.8 kB, and a program may send to any number of groups. Arbitrary.
_REMEMBERED_REFUSALS = 256

FindTargets: TypeAlias = Callable[[], tuple[Target, ...]]
SenderOverflow: TypeAlias = Literal["wait", "drop"]
SENDER_OVERFLOWS: Final[tuple[SenderOverflow, ...]] = get_args(SenderOverflow)


def _no_room() -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


@attrs.define(eq=False)
class _Batch:
    """Payloads on their way to one target.

    Attributes:
        target: The target; another one, if its socket is replaced meanwhile.
        payloads: The payloads.
        find: Finds the targets anew, in case that the socket is replaced.
        take: Has the system take some of the payloads.
        sent: The number of payloads that the system has taken.
        work: The work since other tasks had their turn, as a number of payloads sent one by one.
        pauses: How often sending was tried again in a row while the interface's queue was full.
        no_room: The error of the system where it has no room.
        failure: The refusal that has ended the batch, explained and counted.
    """

    target: Target
    payloads: Sequence[bytes]
    find: FindTargets
    take: Take = take_now
    sent: int = 0
    work: int = 0
    pauses: int = 0
    no_room: OSError = attrs.Factory(_no_room)
    failure: SocketSetupError | None = None

    @property
    def is_over(self) -> bool:
        """Whether all payloads are sent, or one was refused."""
        return self.failure is not None or self.sent == len(self.payloads)


class Transmitter:
    """Sends payloads to the targets of one sender, and tells of those that were refused.

    Attributes:
        turns: The order in which tasks wait for room.
        full: The sockets without room that a sender which drops passes over.
        refused: The last refusal of each group and interface where sending does not work now, as
            far as remembered. It was counted and logged.
    """

    def __init__(
        self,
        targets: Targets,
        outlets: Outlets,
        check_open: Callable[[], None],
        overflow: SenderOverflow,
    ) -> None:
        """Begin with nothing refused.

        Args:
            targets: The targets of the sender.
            outlets: The sockets of the sender.
            check_open: Raises `trio.ClosedResourceError` once the sender was closed.
            overflow: Whether what finds no room waits or is dropped.
        """
        self.turns = Turns(check_open)
        self.full = FullOutlets()
        self._drops = overflow == "drop"
        self.refused: dict[tuple[str | None, str | None], SocketSetupError] = {}
        self._targets = targets
        self._outlets = outlets
        self._platform = outlets.host.platform.name
        self._check_open = check_open

    def forget_unused(self, interfaces: set[str]) -> None:
        """Forget refusals on interfaces that are no longer sent on: they cannot recover.

        Args:
            interfaces: The names of the interfaces that are sent on.
        """
        self.refused = {
            where: failure for where, failure in self.refused.items() if where[1] in interfaces
        }

    def send_now(self, payload: bytes, targets: Sequence[Target]) -> list[Target]:
        """Send a payload to each target that has room for it.

        Returns:
            The other targets: of full sockets, and of those that refuse.
        """
        taken, full = self.turns.taken, self.full.errors
        remaining: list[Target] = []
        for target in targets:
            outlet, address, tally = target
            if outlet in full:
                tally.failed += 1
                continue
            # The targets of one socket keep their order.
            if outlet in taken or (remaining and any(outlet is other[0] for other in remaining)):
                remaining.append(target)
                continue
            try:
                outlet.send(payload, address)
            except OSError:
                remaining.append(target)
                continue
            tally.sent += 1
            if self.refused:
                self.note_recovered([target])
        return remaining

    async def send_all(
        self,
        payloads: Sequence[bytes],
        targets: Sequence[Target],
        find: FindTargets,
        served: int = 0,
        take: Take = take_now,
    ) -> None:
        """Send all payloads to each target; raise only if no target takes all of them.

        Targets of different sockets are waited for together, targets of one socket in turn. A
        sender that drops does not wait: what finds no room counts as failed.

        Args:
            payloads: The payloads.
            targets: The targets.
            find: Finds the targets anew, in case that sockets are replaced.
            served: How many other targets have taken all of the payloads already, or dropped them.
            take: Has the system take some of the payloads.
        """
        batches = [_Batch(target, payloads, find, take) for target in targets]
        lanes: dict[Outlet, list[_Batch]] = {}
        for batch in batches:
            lanes.setdefault(batch.target[0], []).append(batch)
        waiting = list(lanes.values())
        if self._drops or len(waiting) > 1:
            # Mostly there is room, and then there is no need for tasks.
            waiting = [lane for lane in waiting if not await self._send_in_turn(lane)]
        if self._drops:
            served += sum(map(self._drop_what_waits, chain.from_iterable(waiting)))
        elif len(waiting) == 1:
            await self._send_in_turn(waiting[0], wait=True)
        elif waiting:
            await self._send_together(waiting)
        self._report(batches, is_served=served > 0)

    def send_nowait(self, payload: bytes, targets: Sequence[Target], find: FindTargets) -> None:
        """Send a payload to each target that has room for it, without waiting.

        What finds no room counts as failed, if the payload could be sent to another target, or the
        sender drops. The arguments are those of `send_all`.

        Raises:
            trio.WouldBlock: Nothing was sent, and somewhere there was no room, or sockets are being
                changed. Nothing is counted.
        """
        if self._outlets.change is not None:
            raise trio.WouldBlock
        batches = [_Batch(target, [payload], find) for target in targets]
        waiting: list[_Batch] = []
        refusals: list[tuple[_Batch, OSError]] = []
        for batch in batches:
            try:
                if not self._try_now(batch):
                    waiting.append(batch)
            except OSError as error:
                refusals.append((batch, error))
        is_served = len(waiting) + len(refusals) < len(batches)
        if waiting and not is_served and not self._drops:
            raise trio.WouldBlock
        for batch, refusal in refusals:
            self._fail(batch, refusal)
        self._report(batches, is_served=is_served or bool(waiting))
        for batch in waiting:
            if self._drops:
                self._drop_what_waits(batch)
            else:
                self._fail(batch, batch.no_room)

    def _try_now(self, batch: _Batch) -> bool:
        """Send the one payload of a batch; return whether there was room, and it is sent.

        Raises:
            OSError: The payload was refused.
        """
        while True:
            outlet, address, tally = batch.target
            if outlet in self.full.errors:
                return False
            try:
                if not self.turns.hand_over_now(outlet, address, batch.payloads, 0):
                    return False
            except OSError as error:
                self._check_open()
                successor = self._targets.successor_of(batch.target, batch.find)
                if successor is not None:
                    batch.target = successor
                    continue
                if error.errno != errno.ENOBUFS or isinstance(outlet, Refusing):
                    raise
                batch.no_room = error
                return False
            batch.sent = 1
            tally.sent += 1
            if self.refused:
                self.note_recovered([batch.target])
            return True

    def _report(self, batches: Sequence[_Batch], *, is_served: bool) -> None:
        """Raise the refusals if there is nothing else, else log those that are new."""
        failures = [batch.failure for batch in batches if batch.failure is not None]
        if failures and not is_served and len(failures) == len(batches):
            raise none_sent(failures)
        for failure in failures:
            where = (failure.group, failure.interface)
            if self.refused.pop(where, None) is None:
                logger.warning("%s", failure)
                if len(self.refused) >= _REMEMBERED_REFUSALS:
                    del self.refused[next(iter(self.refused))]  # The one of longest ago.
            self.refused[where] = failure

    async def _send_together(self, lanes: Sequence[Sequence[_Batch]]) -> None:
        """Send what waits for different sockets, each socket in a task of its own."""
        failures: list[BaseException] = []

        async def send_lane(lane: Sequence[_Batch]) -> None:
            try:
                await self._send_in_turn(lane, wait=True)
            except BaseException as error:
                failures.append(error)
                nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                for lane in lanes:
                    nursery.start_soon(send_lane, lane)
        except BaseException as error:  # The tasks raise nothing: the wait for them was cancelled.
            failures += getattr(error, "exceptions", [error])
        if failures:
            # The others were cancelled because of the first, or by the same as the first.
            causes = [error for error in failures if not isinstance(error, trio.Cancelled)]
            raise (causes or failures)[0]

    async def _send_in_turn(self, lane: Sequence[_Batch], *, wait: bool = False) -> bool:
        """Send the batches for one socket, in order; return whether all are sent or refused.

        Without ``wait``, what finds no room stays for later.
        """
        work = 0
        for batch in lane:
            if batch.is_over:
                continue
            batch.work = max(batch.work, work)
            if not await self._send_batch(batch, wait=wait):
                return False
            work = batch.work
        return True

    async def _send_batch(self, batch: _Batch, *, wait: bool) -> bool:
        """Send to one target, in order, until all is sent, or a payload is refused or has no room.

        Returns:
            Whether all is sent or refused; a refusal is explained and counted.
        """
        payloads = batch.payloads
        while batch.sent < len(payloads):
            # Other tasks have their turn whenever so many have been sent, and more are to be: a
            # call that is cancelled there has not sent everything.
            if batch.work >= _SENT_AT_ONCE:
                batch.work = 0
                await trio.lowlevel.checkpoint()
            outlet, address, tally = batch.target
            if outlet in self.full.errors:
                return False
            arguments = (outlet, address, payloads, batch.sent, batch.take)
            try:
                if wait:
                    count = await self.turns.hand_over(*arguments)
                else:
                    count = self.turns.hand_over_now(*arguments)
                    if not count:
                        return False
                batch.sent += count
                batch.work += count if count <= _LARGE_UNIT else count // _ONE_OF
                tally.sent += count
                batch.pauses = 0  # The queue is being emptied, however slowly.
            except OSError as error:
                await self._outlets.settled()
                self._check_open()
                successor = self._targets.successor_of(batch.target, batch.find)
                if successor is not None:
                    batch.target = successor
                elif (
                    error.errno != errno.ENOBUFS
                    or batch.pauses == _MAX_PAUSES
                    or isinstance(outlet, Refusing)
                ):
                    self._fail(batch, error)
                    return True
                elif not wait:
                    batch.no_room = error
                    return False
                else:
                    # The interface's queue is full, of which readiness does not tell.
                    await trio.sleep(_FIRST_PAUSE_SECONDS * 2**batch.pauses)
                    self._check_open()
                    batch.pauses += 1
        if self.refused:
            self.note_recovered([batch.target])
        return True

    def _fail(self, batch: _Batch, error: OSError) -> SocketSetupError:
        """Explain and count what is not sent of a batch."""
        tally = batch.target[2]
        batch.failure = explain_send(
            error, batch.target, batch.sent, len(batch.payloads), self._platform
        )
        tally.failed += len(batch.payloads) - batch.sent
        tally.last_error = batch.failure
        return batch.failure

    def _drop_what_waits(self, batch: _Batch) -> bool:
        """Count what has found no room as failed; return whether there was any."""
        if batch.is_over:
            return False
        outlet, _, tally = batch.target
        if outlet in self.full.errors:
            tally.failed += len(batch.payloads) - batch.sent
        else:
            self.full.add(outlet, self._fail(batch, batch.no_room))
            batch.failure = None  # As the user has asked for it: no error.
        return True

    def note_recovered(self, targets: Iterable[Target]) -> None:
        """Take note that targets take datagrams; log those that had refused them."""
        for outlet, address, _ in targets:
            group, interface = group_of(address), outlet.socket_spec.interface
            if self.refused.pop((group, interface.name), None) is not None:
                logger.info("datagrams to group %s go out on interface %s again", group, interface)
