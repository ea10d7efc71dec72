"""One datagram of a sender whose departure is timed."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import trio

from .._host.protocols import DepartureTime
from .._plan.socket_spec import BindAddress
from .._values.errors import SocketSetupError, printable
from .stand_ins import Outlet
from .targets import Target


def only_target(targets: Sequence[Target]) -> Target:
    """Return the one target of a datagram.

    Raises:
        ValueError: There are several targets, or none.
    """
    if len(targets) == 1:
        return targets[0]
    names = dict.fromkeys(str(target[0].socket_spec.interface) for target in targets)
    raise ValueError(
        f"{len(targets)} datagrams would result, and one time is to be told: name one group in "
        f"to=, and one interface in interface= (there are: {', '.join(names)})"
    )


class Departure:
    """One datagram on its way to a socket, and then the wait for the time at which it left."""

    def __init__(self) -> None:
        self._time: DepartureTime | None = None

    def hand_over(
        self, outlet: Outlet, address: BindAddress, payloads: Sequence[bytes], start: int
    ) -> int:
        """Have the system take the datagram; return 1, or 0 if there is no room."""
        try:
            self._time = outlet.send_timed(payloads[start], address)
        except BlockingIOError:
            return 0
        return 1

    async def wait(self, target: Target) -> int:
        """Wait for the time.

        Raises:
            SocketSetupError: There is none: the datagram was dropped for want of room, or the
                socket was replaced before the time was known.
        """
        name = target[0].socket_spec.interface.name
        if self._time is None:
            raise SocketSetupError(
                errno.EAGAIN,
                f"send failed on interface {printable(name)}: the send buffer is full, and "
                'overflow="drop" drops what finds no room',
                step="send",
                interface=name,
            )
        try:
            return await self._time.wait()
        except trio.ClosedResourceError as error:
            raise SocketSetupError(
                errno.ECANCELED,
                f"the time of a datagram on interface {printable(name)} is not known: it was sent, "
                "and then the interface or its address changed",
                step="send",
                interface=name,
            ) from error
