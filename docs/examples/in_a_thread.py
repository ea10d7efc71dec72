"""Receive in a thread of its own. Usage: python in_a_thread.py INTERFACE"""

import queue
import sys
import threading
from contextlib import suppress

import trio

from trio_mcast import Datagram, open_mcast_receiver


class Receiving:
    """A receiver for a program without Trio.

    ``datagrams`` has what came, and ``None`` when nothing more will come.
    """

    def __init__(self, interface: str) -> None:
        self.datagrams: queue.Queue[Datagram | None] = queue.Queue()
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None
        self._error: Exception | None = None
        self._joined = threading.Event()
        self._thread = threading.Thread(
            target=self._run,
            args=(interface,),
            daemon=True,  # Else Ctrl-C while it joins would leave it running.
        )
        self._thread.start()
        self._joined.wait()

    def _run(self, interface: str) -> None:
        try:
            trio.run(self._receive, interface)
        except Exception as error:
            self._error = error
        finally:
            self._joined.set()
            self.datagrams.put(None)

    async def _receive(self, interface: str) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with open_mcast_receiver(
                "239.1.2.3", 12345, interfaces=interface
            ) as receiver:
                self._joined.set()
                async for datagram in receiver:
                    self.datagrams.put(datagram)

    def close(self) -> None:
        """End the thread, and raise the error that has ended it, if one has."""
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._scope.cancel)
        self._thread.join()
        if self._error is not None:
            raise self._error


if len(sys.argv) != 2:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
    receiving = Receiving(sys.argv[1])
    try:
        for _ in range(3):
            datagram = receiving.datagrams.get()
            if datagram is None:
                break
            print(datagram.source, datagram.data)
    finally:
        receiving.close()
