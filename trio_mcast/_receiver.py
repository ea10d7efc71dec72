"""`McastReceiver` and its memberships."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from ._channel import DatagramChannel
from ._errors import SocketSetupError
from ._host import McastSocket
from ._intake import Intake
from ._interface import Interface
from ._plan import MembershipPlan
from ._reader import InterfaceReader
from ._statistics import ReceiverStatistics


@attrs.frozen
class Membership:
    """A group on an interface, and how it stands.

    Attributes:
        group: The group, as text; `None` stands for unicast to the interface's own addresses, with
            ``accept_unicast``.
        interface: The interface.
        sources: The only sources that are received, as text; empty for any source.
        excluded_sources: The sources that are left out.
        state: ``"joined"``, or ``"failed"`` if the system refused it.
        error: Why it failed; else `None`.
    """

    group: str | None
    interface: Interface
    sources: tuple[str, ...]
    excluded_sources: tuple[str, ...]
    state: Literal["joined", "failed"]
    error: SocketSetupError | None = None


def describe_membership(plan: MembershipPlan, error: SocketSetupError | None = None) -> Membership:
    state: Literal["joined", "failed"] = "joined" if error is None else "failed"
    return Membership(plan.group, plan.interface, plan.sources, plan.excluded_sources, state, error)


class McastReceiver(DatagramChannel):
    """Receives datagrams of multicast groups; made by `open_mcast_receiver`.

    It is a `trio.abc.ReceiveChannel`: ``async for datagram in receiver`` and ``await
    receiver.receive()`` give one datagram at a time, `receive_batch` and `batches` lists of them,
    which costs less. Several tasks may receive from one receiver: each datagram goes to one of
    them. A receiver never ends by itself, so there is no `trio.EndOfChannel`.
    """

    def __init__(self, intake: Intake, memberships: Sequence[Membership]) -> None:
        super().__init__(intake)
        self._memberships = tuple(memberships)
        self._last_statistics: ReceiverStatistics | None = None

    async def _run(self) -> None:
        """The interface tasks, until the receiver is closed."""
        await self._intake.run(self._fail)

    def _fail(self, reader: InterfaceReader, socket: McastSocket, error: SocketSetupError) -> None:
        """A socket can no longer be read: its membership failed, the others go on."""
        group, interface = socket.spec.group, socket.spec.interface
        self._memberships = tuple(
            attrs.evolve(item, state="failed", error=error)
            if (item.group, item.interface) == (group, interface)
            else item
            for item in self._memberships
        )
        for other in [item for item in reader.sockets if item.spec.group == group]:
            self._intake.discard(reader, other)

    @property
    def memberships(self) -> tuple[Membership, ...]:
        """Every group on every interface that was asked for, and how it stands.

        Ordered by group as given, then by interface. With ``accept_unicast``, one with a group of
        `None` follows for each interface that has an address.
        """
        return self._memberships

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """The interfaces with at least one membership that is joined."""
        joined = (item.interface for item in self._memberships if item.state == "joined")
        return tuple(dict.fromkeys(joined))

    def statistics(self) -> ReceiverStatistics:
        """What this receiver has counted so far, as a frozen snapshot.

        It can still be asked for after closing: then it tells how things stood at the end.
        """
        return self._last_statistics or self._intake.statistics()

    def close(self) -> None:
        """Leave every group and close every socket, at once. Idempotent, and not a checkpoint.

        The kernel sends an IGMP or MLD report for each group that nobody else on this machine has
        joined. Datagrams that were read and not received are discarded.
        """
        if self._last_statistics is None:
            self._last_statistics = self.statistics()
            self._intake.close()
