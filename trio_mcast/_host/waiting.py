"""What the pollers of epoll and of kqueue share: waiting for a file descriptor that may change."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from .protocols import McastSocket


class Wait:
    """The waiting of one task, which others may have to choose again, or to end.

    What it waits for may be closed meanwhile, and something else take its number. So the number is
    forgotten as soon as the task is about to be woken.
    """

    def __init__(self) -> None:
        self._is_waiting = False
        self._waiting_for: int | None = None
        self._interrupted = False

    def choose_again(self) -> None:
        """Have who waits choose again what to wait for. Before anything is closed."""
        if self._waiting_for is not None:
            trio.lowlevel.notify_closing(self._waiting_for)
            self._waiting_for = None

    def interrupt(self) -> None:
        """Have who waits find nothing. Nothing happens if nobody waits."""
        if self._is_waiting:
            self._interrupted = True
            self.choose_again()

    async def until_found(
        self,
        what_tells: Callable[[], int | None],
        find: Callable[[], Sequence[McastSocket]],
    ) -> Sequence[McastSocket]:
        """Wait until something is found; nothing if interrupted. A checkpoint.

        Args:
            what_tells: The file descriptor that can be read when something may be found; `None`
                once there is none any more.
            find: What is asked then.

        Raises:
            trio.ClosedResourceError: There is nothing to wait for any more.
        """
        self._interrupted = False
        while (number := what_tells()) is not None:
            self._waiting_for, self._is_waiting = number, True
            try:
                await trio.lowlevel.wait_readable(number)
            except trio.ClosedResourceError:
                if self._interrupted:
                    return []
                continue
            finally:
                self._is_waiting, self._waiting_for = False, None
            found = find()
            if found:
                return found
        raise trio.ClosedResourceError
