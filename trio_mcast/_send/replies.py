"""The unicast answers to a sender: read from the sender's own sockets, while it sends from them."""

from __future__ import annotations

from collections.abc import Callable

import trio

from .._host.protocols import Host, McastSocket
from .._plan.common_options import DEFAULT_RECEIVE_BUFFER_BYTES
from .._receive.datagram_receiver import DatagramReceiver
from .._receive.intake import Intake
from .._receive.queue import DatagramQueue
from .._values.errors import SocketSetupError
from .._values.statistics import ReceiverStatistics

# The number of replies that may wait in a sender. At the bound reading stops, and the kernel's
# buffers fill. As many as in a receiver unless told otherwise.
_MAX_BUFFERED_REPLIES = 1_024


class Replies:
    """The replies of one sender.

    Attributes:
        receiver: The object from which the user takes the replies.
    """

    def __init__(self, host: Host, unreadable: Callable[[McastSocket], None]) -> None:
        """Read nothing yet.

        Args:
            host: The machine that the sockets are on.
            unreadable: Called for a socket that the system refuses to read, and that is read no
                longer.
        """
        queue = DatagramQueue(_MAX_BUFFERED_REPLIES, "this sender, or its replies,")
        self._intake = Intake(host, queue, buffer_asked=DEFAULT_RECEIVE_BUFFER_BYTES)
        self._unreadable = unreadable
        self.receiver: DatagramReceiver = DatagramReceiver._create(self._intake)

    async def start(self, nursery: trio.Nursery) -> None:
        """Begin to read the sockets, until closed."""
        await self._intake.start(nursery, self._on_failure)

    def _on_failure(self, socket: McastSocket, error: SocketSetupError) -> None:
        # It can still be sent from, so it stays open until there is another.
        self._intake.stop_socket(socket)
        self._unreadable(socket)

    def add(self, socket: McastSocket) -> None:
        """Take over a socket of the sender: read the socket from now on, and close it in the end.

        Raises:
            SocketSetupError: The system refused to watch the socket, which is not closed then.
        """
        self._intake.add(socket)

    async def drain(self, socket: McastSocket) -> None:
        """Read a socket of the sender to the end, which is about to be closed.

        Other tasks have their turns meanwhile. Cannot be cancelled.
        """
        await self._intake.drain(socket)

    def close_socket(self, socket: McastSocket) -> None:
        """Close a socket of the sender."""
        self._intake.close_socket(socket)

    def statistics(self) -> ReceiverStatistics | None:
        """Return the counts of the replies so far, or until closed."""
        return self._intake.statistics()

    def close(self) -> None:
        """Stop reading, and close the sockets. Idempotent."""
        self._intake.close()
