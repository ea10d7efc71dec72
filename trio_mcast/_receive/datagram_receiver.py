"""`DatagramReceiver`: takes datagrams from a receiver, or from the replies of a sender."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any

import trio
from trio.lowlevel import enable_ki_protection

from .._live import Closeable, OpenedOnly
from .._values.datagram import Datagram
from .._values.numbers import parse_int
from .intake import Intake


class DatagramReceiver(Closeable, trio.abc.ReceiveChannel[Datagram], metaclass=OpenedOnly):
    """Gives the datagrams that were received: what `McastReceiver` is, and `McastSender.replies`.

    A `trio.abc.ReceiveChannel`: ``async for datagram in receiver`` and ``await receiver.receive()``
    give one datagram at a time; `receive_batch` and `batches` give lists, at less cost. Several
    tasks may receive from one receiver: each datagram goes to one task. A receiver never ends by
    itself, so there is no `trio.EndOfChannel`.
    """

    def __init__(self, intake: Intake) -> None:
        super().__init__()
        self._intake = intake
        # Whether closing has come to its end. If a step fails, the next call has to go on.
        self._ended = False

    def __repr__(self) -> str:
        waiting = self._intake.queue.waiting
        state = "closed" if self._intake.is_stopped else f"{waiting:,} datagrams waiting"
        return f"<{type(self).__name__}: {state}>"

    async def receive(self) -> Datagram:
        """Wait for the next datagram.

        Returns:
            A `Datagram`. Datagrams from one source to one group on one interface come in the order
            in which the kernel took them in.

        Raises:
            trio.ClosedResourceError: The receiver was closed, before or while waiting.

        Cancellation:
            A checkpoint. If receiving is cancelled, no datagram has been taken: the next call gives
            the same one.
        """
        return await self._intake.queue.get()

    # The inherited one would wait for the end of the channel, and there is none. This one gives the
    # coroutine of the queue as it is: one frame less to run for each datagram.
    def __anext__(self) -> Coroutine[Any, Any, Datagram]:
        return self._intake.queue.get()

    def receive_nowait(self) -> Datagram:
        """Return the next datagram, if one has been read already.

        The call does not look for datagrams that wait in the kernel; the tasks of the receiver read
        these when your program awaits something.

        Raises:
            trio.WouldBlock: There is none right now.
            trio.ClosedResourceError: The receiver was closed.
        """
        return self._intake.queue.get_nowait()

    async def receive_batch(self, max_datagrams: int | None = None) -> list[Datagram]:
        """Wait for one datagram, and return it with all others that have been read already.

        Args:
            max_datagrams: The most to return, from 1; `None` for as many as were read in one go.

        Raises:
            TypeError: ``max_datagrams`` is not an int.
            ValueError: ``max_datagrams`` is less than 1.
            trio.ClosedResourceError: The receiver was closed, before or while waiting.

        Cancellation:
            A checkpoint. If receiving is cancelled, no datagram has been taken.
        """
        if max_datagrams is not None:
            parse_int(max_datagrams, "max_datagrams", 1)
        return await self._intake.queue.get_batch(max_datagrams)

    def batches(self) -> AsyncIterator[list[Datagram]]:
        """Iterate over lists of datagrams: ``async for batch in receiver.batches()``.

        Each step is a `receive_batch`, with the same errors and the same cancellation promise.
        """
        return _Batches(self)

    @enable_ki_protection
    def close(self) -> None:
        """Stop receiving, at once. Idempotent, and not a checkpoint.

        Datagrams that were read and not received are discarded. A sender whose replies are closed
        goes on sending.

        If a step fails, the others are done all the same; another call does what is left.

        Raises:
            RuntimeError: This is not the thread, or not the run of Trio, of the opening. Then
                nothing has been closed: use `trio.from_thread.run_sync`.
        """
        if not self._ended:
            self._check_run()
            self._intake.stop()
            self._ended = True

    async def aclose(self) -> None:
        """`close`, then a checkpoint.

        Leaving the ``async with`` block of the opening does the same; closing earlier is allowed.
        Afterwards, receiving gives `trio.ClosedResourceError`.

        Cancellation:
            Everything is closed even if the call is cancelled.
        """
        self.close()
        await trio.lowlevel.checkpoint()


class _Batches:
    """The iterator behind `DatagramReceiver.batches`."""

    def __init__(self, channel: DatagramReceiver) -> None:
        self._channel = channel

    def __aiter__(self) -> _Batches:
        return self

    async def __anext__(self) -> list[Datagram]:
        return await self._channel.receive_batch()
