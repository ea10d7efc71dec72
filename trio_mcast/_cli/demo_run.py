"""The run of ``trio-mcast demo``, with real sockets on the loopback interface. Shows nothing."""

from __future__ import annotations

import secrets
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

import attrs
import trio

from .. import (
    Datagram,
    Interface,
    InterfaceNotFoundError,
    McastError,
    McastReceiver,
    McastSender,
    ReceiverStatistics,
    SenderStatistics,
    list_interfaces,
    open_mcast_receiver,
    open_mcast_sender,
)

# Two groups of the block for use within a site that has no scheme for them (RFC 2365, 6.1). Which
# ones is arbitrary: the port is a free one, so they meet nobody.
GROUPS = ("239.255.42.1", "239.255.42.2")
# Arbitrary: enough to see something happen, and few enough to read it all.
DATAGRAMS_PER_SENDER = 12
_INTERVAL_SECONDS = 0.1
# How long the last datagram may take; over the loopback interface it takes about 0.1 ms.
_PATIENCE_SECONDS = 0.5
# The wait after everything has arrived, for a datagram that arrives twice.
_AFTERWARDS_SECONDS = 0.1


@attrs.frozen
class Planned:
    """One datagram that a sender is to send.

    Attributes:
        sender: The sender's number, from 1.
        group: The sender's group.
        number: The datagram's number among the sender's, from 1.
        data: The payload.
    """

    sender: int
    group: str
    number: int
    data: bytes


@attrs.frozen
class DemoSetup:
    """The plan of the demo: where, and which datagrams.

    Attributes:
        interface: The loopback interface.
        port: The port of the groups.
        planned: Every datagram by payload; no two payloads are the same.
    """

    interface: Interface
    port: int
    planned: Mapping[bytes, Planned]


@attrs.frozen
class Arrival:
    """A datagram of the demo that arrived.

    Attributes:
        planned: The datagram as planned.
        datagram: The datagram as the receiver gave it.
        seconds: The time of arrival since the demo began.
    """

    planned: Planned
    datagram: Datagram
    seconds: float


@attrs.frozen
class DemoResult:
    """The result of the demo.

    Attributes:
        setup: The plan.
        arrivals: The planned datagrams that arrived, in the order of arrival.
        strangers: The number of datagrams of other programs that came to the groups and port.
        refusals: The errors with which senders gave up, by the sender's number.
        receiver: The counts of the receiver.
        senders: The counts of the senders.
    """

    setup: DemoSetup
    arrivals: tuple[Arrival, ...]
    strangers: int
    refusals: Mapping[int, McastError]
    receiver: ReceiverStatistics
    senders: tuple[SenderStatistics, ...]

    @property
    def missing(self) -> tuple[Planned, ...]:
        """The planned datagrams that did not arrive."""
        arrived = {arrival.planned for arrival in self.arrivals}
        all_planned = self.setup.planned.values()
        return tuple(planned for planned in all_planned if planned not in arrived)

    @property
    def doubled(self) -> tuple[Planned, ...]:
        """The planned datagrams that arrived more than once."""
        counts = Counter(arrival.planned for arrival in self.arrivals)
        return tuple(planned for planned, count in counts.items() if count > 1)

    @property
    def misplaced(self) -> tuple[Arrival, ...]:
        """The arrivals with another group or interface than planned."""
        return tuple(
            arrival
            for arrival in self.arrivals
            if arrival.datagram.group != arrival.planned.group
            or arrival.datagram.interface.index != self.setup.interface.index
        )

    @property
    def complete(self) -> bool:
        """Whether every datagram arrived once, with the right group and interface."""
        return not (self.missing or self.doubled or self.misplaced)


def prepare_demo() -> DemoSetup:
    """Find the loopback interface and a free port, and make up the datagrams.

    Raises:
        McastError: There is no loopback interface that is up, or no free port; or interfaces cannot
            be read on this platform.
    """
    interface = loopback_interface(list_interfaces())
    # The token tells the demo's datagrams from those of a second demo or another program.
    token = secrets.token_hex(8)
    return DemoSetup(interface, _free_port(), plan_datagrams(token))


def plan_datagrams(token: str) -> dict[bytes, Planned]:
    """Return every datagram of the demo by payload."""
    all_planned = [
        Planned(sender, group, number, _payload(token, sender, number))
        for sender, group in enumerate(GROUPS, start=1)
        for number in range(1, DATAGRAMS_PER_SENDER + 1)
    ]
    return {planned.data: planned for planned in all_planned}


def _payload(token: str, sender: int, number: int) -> bytes:
    """Return a line for people, the token, and padding, so that the sizes vary."""
    text = f"sender {sender}: {number} of {DATAGRAMS_PER_SENDER}\n{token}\n"
    return text.encode().ljust(64 * number + 32 * (sender - 1), b".")


def loopback_interface(interfaces: list[Interface]) -> Interface:
    """Return the loopback interface, under any name, if the interface is up.

    Raises:
        McastError: There is no loopback interface, or the interface is down.
    """
    for interface in interfaces:
        if interface.is_loopback:
            if not interface.is_up:
                raise McastError(
                    f"the loopback interface {interface} is down: bring it up "
                    f"(on Linux: sudo ip link set {interface} up)"
                )
            return interface
    names = ", ".join(map(str, interfaces)) or "none"
    raise InterfaceNotFoundError(f"this machine has no loopback interface; there are: {names}")


def _free_port() -> int:
    """Return a UDP port that nobody uses now.

    A receiver cannot be opened for "any port": senders have to know the port, and all sockets of
    the receiver, one per group, have to be bound to the same port. So the system is asked for a
    port by way of a socket that is closed again. The system hands out another port each time, so
    that nobody else is given this port soon.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError as error:
            raise McastError(f"no UDP port on 127.0.0.1 is to be had: {error.strerror}") from error
        return int(probe.getsockname()[1])


async def run_demo(setup: DemoSetup, on_arrival: Callable[[Arrival], None]) -> DemoResult:
    """Open a receiver and the senders, let the senders send, and return the result.

    Args:
        setup: The plan that `prepare_demo` returned.
        on_arrival: Called with each datagram of the demo on arrival.

    Raises:
        McastError: The receiver or a sender could not be opened. A sender that cannot send is no
            error here, but part of the result.
    """
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(
            open_mcast_receiver(GROUPS, setup.port, interfaces=setup.interface, receive_ttl=True)
        )
        senders = {
            number: await stack.enter_async_context(
                open_mcast_sender(group, setup.port, interfaces=setup.interface)
            )
            for number, group in enumerate(GROUPS, start=1)
        }
        collector = _Collector(setup, receiver, on_arrival)
        refusals = await _send_and_collect(setup, senders, collector)
        return DemoResult(
            setup,
            tuple(collector.arrivals),
            collector.strangers,
            refusals,
            receiver.statistics(),
            tuple(sender.statistics() for sender in senders.values()),
        )


async def _send_and_collect(
    setup: DemoSetup, senders: Mapping[int, McastSender], collector: _Collector
) -> dict[int, McastError]:
    """Run the senders and the collector to the end, and return the errors of refused senders."""
    refusals: dict[int, McastError] = {}

    async def send_all(number: int, sender: McastSender) -> None:
        all_planned = [planned for planned in setup.planned.values() if planned.sender == number]
        try:
            await _send_in_turn(all_planned, sender)
        except McastError as error:
            refusals[number] = error

    async with trio.open_nursery() as collecting:
        collecting.start_soon(collector.run)
        async with trio.open_nursery() as sending:
            for number, sender in senders.items():
                sending.start_soon(send_all, number, sender)
        with trio.move_on_after(_PATIENCE_SECONDS):
            await collector.everything_arrived.wait()
        await trio.sleep(_AFTERWARDS_SECONDS)
        collecting.cancel_scope.cancel()
    return refusals


async def _send_in_turn(all_planned: list[Planned], sender: McastSender) -> None:
    """Send datagrams at equal intervals, the senders one after another within each interval."""
    start = trio.current_time()
    for planned in all_planned:
        intervals = planned.number - 1 + (planned.sender - 1) / len(GROUPS)
        await trio.sleep_until(start + intervals * _INTERVAL_SECONDS)
        await sender.send(planned.data)


class _Collector:
    """The collector of arrivals, which tells the demo's own datagrams from strangers."""

    def __init__(
        self, setup: DemoSetup, receiver: McastReceiver, on_arrival: Callable[[Arrival], None]
    ) -> None:
        self.arrivals: list[Arrival] = []
        self.strangers = 0
        self.everything_arrived = trio.Event()
        self._setup = setup
        self._receiver = receiver
        self._on_arrival = on_arrival
        self._outstanding = set(setup.planned)

    async def run(self) -> None:
        """Collect until cancelled."""
        start = trio.current_time()
        async for datagram in self._receiver:
            planned = self._setup.planned.get(datagram.data)
            if planned is None:
                self.strangers += 1
                continue
            arrival = Arrival(planned, datagram, trio.current_time() - start)
            self.arrivals.append(arrival)
            self._on_arrival(arrival)
            self._outstanding.discard(datagram.data)
            if not self._outstanding:
                self.everything_arrived.set()
