"""Sending until everything is sent or refused: waiting for room, trying again, explaining."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Sequence

import trio

from .._plan.socket_spec import BindAddress
from .._platform.advice import explain_refusal
from .._platform.model import PlatformName
from .._values.addresses import Endpoint, parse_address
from .._values.errors import SocketSetupError, none_sent
from .destinations import Destination
from .outlets import Refusing
from .targets import Target, Targets
from .turns import Turns

logger = logging.getLogger("trio_mcast")

# How many datagrams of a batch are sent before other tasks have their turn. Arbitrary; sent one by
# one they take about a millisecond.
_SENT_AT_ONCE = 256

# How often, and with what pauses, sending is tried again while an interface's queue is full: some
# two seconds in all, from one millisecond on.
_MAX_PAUSES = 11
_FIRST_PAUSE_SECONDS = 0.001


class Transmitter:
    """Sends payloads to the targets of one sender, and tells of those that were refused.

    Attributes:
        turns: The order in which tasks wait for room.
        refused: The last refusal of each group and interface where sending does not work now. It
            was counted and logged.
    """

    def __init__(
        self, targets: Targets, platform: PlatformName, check_open: Callable[[], None]
    ) -> None:
        """Begin with nothing refused.

        Args:
            targets: The targets of the sender.
            platform: The platform, for the advice in errors.
            check_open: Raises `trio.ClosedResourceError` once the sender was closed.
        """
        self.turns = Turns(check_open)
        self.refused: dict[tuple[str | None, str | None], SocketSetupError] = {}
        self._targets = targets
        self._platform = platform
        self._check_open = check_open

    def forget_unused(self, interfaces: set[str]) -> None:
        """Forget refusals on interfaces that are no longer sent on: they cannot recover.

        Args:
            interfaces: The names of the interfaces that are sent on.
        """
        self.refused = {
            where: failure for where, failure in self.refused.items() if where[1] in interfaces
        }

    async def send_all(
        self,
        payloads: Sequence[bytes],
        targets: Sequence[Target],
        to: Destination | None,
        served: int = 0,
    ) -> None:
        """Send all payloads to each target; raise only if no target takes all of them.

        Args:
            payloads: The payloads.
            targets: The targets.
            to: The destination that the targets are for, in case that sockets are replaced.
            served: How many other targets have taken all of the payloads already.
        """
        failures = []
        for target in targets:
            failure = await self._send_to(target, payloads, to)
            if failure is not None:
                failures.append(failure)
        if failures and not served and len(failures) == len(targets):
            raise none_sent(failures)
        for failure in failures:
            where = (failure.group, failure.interface)
            if where not in self.refused:
                logger.warning("%s", failure)
            self.refused[where] = failure

    async def _send_to(
        self, target: Target, payloads: Sequence[bytes], to: Destination | None
    ) -> SocketSetupError | None:
        """Send to one target, in order, until all is sent or a payload is refused.

        Returns:
            The refusal, explained and counted; `None` if all is sent.
        """
        outlet, address, tally = target
        sent, pauses = 0, 0
        while sent < len(payloads):
            try:
                count = await self.turns.hand_over(outlet, address, payloads, sent)
                sent += count
                tally.sent += count
                pauses = 0  # The queue is being emptied, however slowly.
                # Other tasks have their turn whenever another so many have been sent.
                if sent // _SENT_AT_ONCE != (sent - count) // _SENT_AT_ONCE:
                    await trio.lowlevel.checkpoint()
            except OSError as error:
                self._check_open()
                successor = self._targets.successor_of(target, to)
                if successor is not None:
                    outlet, address, tally = target = successor
                elif (
                    error.errno != errno.ENOBUFS
                    or pauses == _MAX_PAUSES
                    or isinstance(outlet, Refusing)
                ):
                    failure = self._explain(error, target, sent, len(payloads))
                    tally.failed += len(payloads) - sent
                    tally.last_error = failure
                    return failure
                else:
                    # The interface's queue is full, of which readiness does not tell.
                    await trio.sleep(_FIRST_PAUSE_SECONDS * 2**pauses)
                    self._check_open()
                    pauses += 1
        if self.refused:
            self.note_recovered([target])
        return None

    def _explain(self, error: OSError, target: Target, sent: int, wanted: int) -> SocketSetupError:
        outlet, address, _ = target
        endpoint = Endpoint(str(address[0]), address[1])
        failure = explain_refusal(
            error,
            step="send",
            detail=f"to {endpoint}",
            group=_group_of(address),
            interface=outlet.socket_spec.interface.name,
            platform=self._platform,
            advice=outlet.advice if isinstance(outlet, Refusing) else None,
        )
        if wanted == 1:
            return failure
        return SocketSetupError(
            failure.errno,
            f"{failure}; {sent} of {wanted} datagrams had been sent",
            step=failure.step,
            group=failure.group,
            interface=failure.interface,
        )

    def note_recovered(self, targets: Iterable[Target]) -> None:
        """Take note that targets take datagrams; log those that had refused them."""
        for outlet, address, _ in targets:
            group, interface = _group_of(address), outlet.socket_spec.interface
            if self.refused.pop((group, interface.name), None) is not None:
                logger.info("datagrams to group %s go out on interface %s again", group, interface)


def _group_of(address: BindAddress) -> str | None:
    """Return the group of an address to send to; `None` if the address is one peer's."""
    host = str(address[0])
    return host if parse_address(host, "address").is_multicast else None
