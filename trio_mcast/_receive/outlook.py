"""One look at all interfaces of a receiver, to know which have something to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from .._host.protocols import Lookout, Poller
from .queue import MOST_LOOKED_AT
from .reader import InterfaceReader


class Outlook:
    """The readers of several interfaces, and the one look that tells which have something.

    There is such a look once there are more interfaces than are looked at one by one, and where the
    system has it. An interface that the system refuses to look at is read by its task only.
    """

    def __init__(self, readers: Iterable[InterfaceReader]) -> None:
        self._readers: dict[Poller, InterfaceReader] = {}
        self._lookout: Lookout | None = None
        for reader in readers:
            self.add(reader)

    def add(self, reader: InterfaceReader) -> None:
        """Look at an interface, too."""
        self._readers[reader.poller] = reader
        new: Sequence[Poller] = [reader.poller]
        with suppress(OSError):
            if self._lookout is None and len(self._readers) > MOST_LOOKED_AT:
                self._lookout = reader.poller.open_lookout()
                new = list(self._readers)
            if self._lookout is not None:
                for poller in new:
                    self._lookout.add(poller)

    def remove(self, reader: InterfaceReader) -> None:
        """Look at an interface no longer. To call before the reader is closed."""
        del self._readers[reader.poller]
        if self._lookout is not None:
            self._lookout.remove(reader.poller)

    def ready(self) -> Sequence[InterfaceReader]:
        """Return some readers that have something to read; others come first the next time."""
        if self._lookout is None:
            return ()
        return [self._readers[poller] for poller in self._lookout.ready()]

    def close(self) -> None:
        """Look at nothing any more. Idempotent."""
        self._readers.clear()
        if self._lookout is not None:
            self._lookout.close()
