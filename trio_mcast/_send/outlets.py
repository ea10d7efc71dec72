"""The sockets of a sender, which follow the interfaces of the machine.

Decision: look at everything, then change as little as possible
================================================================

Whenever something may have changed, the plan is made anew from a list of all interfaces, and the
sockets are compared with it: those that carry it out already stay as they are, the others are
closed, and what is missing is opened. So nothing depends on which messages the system sends about a
change, in which order, and whether one was lost.

Decision: close first, then open
================================

A new socket mostly takes the port of the old one, so that answers still find the sender. Two
sockets cannot have it at once.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeAlias

import attrs
import trio

from .._follow import Backoff, Follower
from .._host.protocols import Host, InterfaceWatcher, McastSocket
from .._plan.common_options import DEFAULT_RECEIVE_BUFFER_BYTES
from .._plan.sender import Absence, SenderWant, plan_sender, replan_sender
from .._plan.socket_spec import BindAddress, SocketSpec
from .._plan.wanted import SendRequest
from .._receive.intake import Intake
from .._receive.queue import DatagramQueue
from .._values.addresses import Group
from .._values.errors import McastError, SocketSetupError
from .._values.interface import Interface
from .destinations import Ways

# How many replies may wait in a sender; then reading stops, and the kernel's buffers fill. As many
# as in a receiver unless told otherwise.
_MAX_BUFFERED_REPLIES = 1_024

# From the first to the longest pause after which it is tried again to open a socket, or to look at
# the interfaces, when that was refused. Both are arbitrary. A new IPv6 address can be used after
# about a second.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


@attrs.frozen
class Refusing:
    """Stands for a socket, and refuses whatever is to be sent.

    Attributes:
        spec: What the socket carries out, or did.
        errno: The error number with which it refuses.
        advice: Why, and what to do about it.
    """

    spec: SocketSpec
    errno: int
    advice: str

    def send(self, data: bytes, address: BindAddress) -> NoReturn:
        raise OSError(self.errno, os.strerror(self.errno))

    def send_batch(self, datagrams: Sequence[bytes], start: int, address: BindAddress) -> NoReturn:
        self.send(b"", address)

    async def wait_writable(self) -> None:
        """Return at once: it refuses for another reason."""


@attrs.frozen
class Gone(Refusing):
    """Stands for a socket that cannot be had now."""

    @classmethod
    def of(cls, spec: SocketSpec, absence: Absence) -> Gone:
        advice = f"{absence.reason}; the sender goes on there when that has changed"
        return cls(spec, absence.errno, advice)


Outlet: TypeAlias = McastSocket | Refusing


@attrs.define
class _Line:
    """What is wanted, the last plan for it, what carries it out, and the port that it last had."""

    want: SenderWant
    spec: SocketSpec
    outlet: Outlet
    port: int


class Outlets:
    """The sockets of a sender.

    Attributes:
        host: The machine that they are on.
        outlets: They themselves, and what stands for those that cannot be had now.
        ways: The same as values, in the same order.
        intake: What reads the replies, if they are wanted.
    """

    def __init__(self, host: Host, request: SendRequest) -> None:
        """Open all of them, or none.

        Raises:
            SocketSetupError: The system refused a step.
            McastError: The interfaces are not what the request asks for.
            ValueError: Groups, interfaces and source address do not go together.
        """
        self.outlets: tuple[Outlet, ...] = ()
        self.ways = Ways((), (), request.port)
        self.intake = _reply_intake(host) if request.receive_replies else None
        self.host = host
        self._request = request
        self._follower = Follower(None)
        self._lines: list[_Line] = []
        self._open: list[McastSocket] = []
        # Whether a socket was refused that might be had later, without anything else changing; and
        # when to try again.
        self._refused = False
        self._retry_at = math.inf
        self._backoff = _new_backoff()
        try:
            # Before the first look: what changes after it is then noticed, too.
            self._follower = Follower(_new_watcher(host, routes=request.selectors is None))
            interfaces = host.list_interfaces()
            plan = plan_sender(request, interfaces, host.platform, self._router(interfaces))
            opened = [self._open_socket(item) for item in plan.sockets]
            self._lines = [
                _Line(want, plan.sockets[number], opened[number], _port_of(opened[number]))
                for want, number in plan.wants
            ]
            self._publish()
        except BaseException:
            self.close()
            raise

    def _router(self, interfaces: Sequence[Interface]) -> Callable[[Group], Interface | None]:
        return lambda group: self.host.default_interface(group, interfaces)

    @property
    def open_sockets(self) -> tuple[McastSocket, ...]:
        """Those that are open, in the order of the groups and interfaces."""
        return tuple(item for item in self.outlets if not isinstance(item, Refusing))

    async def follow(self, changed: Callable[[], None]) -> None:
        """Keep the sockets as the interfaces are, until closed.

        Args:
            changed: Called whenever `outlets` and `ways` have changed.
        """

        async def look() -> None:
            if self._look():
                changed()

        await self._follower.follow(
            look,
            lambda: self._retry_at,
            _new_backoff(),
            complaint="a sender does not see how the interfaces change: %s",
        )

    def _look(self) -> bool:
        """Make the sockets what they should be now; return whether anything has changed.

        Raises:
            SocketSetupError: The system refused to show its interfaces or routes. Nothing has
                changed.
        """
        interfaces = self.host.list_interfaces()
        planned = replan_sender(
            [(item.want, item.spec, not isinstance(item.outlet, Refusing)) for item in self._lines],
            self._request,
            interfaces,
            self.host.platform,
            self._router(interfaces),
        )
        if self._follower.stale:
            self._backoff.reset()  # What was refused may be had now.
        self._refused = False
        ports: dict[SocketSpec, int] = {}
        for line, plan in zip(self._lines, planned, strict=True):
            if isinstance(plan, SocketSpec):
                ports.setdefault(plan, line.port)
        outlets = self._carry_out(ports)
        pause = self._backoff.next_pause() if self._refused else math.inf
        self._retry_at = trio.current_time() + pause
        for line, plan in zip(self._lines, planned, strict=True):
            if isinstance(plan, Absence):
                line.outlet = Gone.of(line.spec, plan)
            else:
                line.spec, line.outlet = plan, outlets[plan]
                if not isinstance(line.outlet, Refusing):
                    line.port = _port_of(line.outlet)
        return self._publish()

    def _carry_out(self, ports: dict[SocketSpec, int]) -> dict[SocketSpec, Outlet]:
        """The socket of each plan: an open one where it will do, else a new one."""
        found: dict[SocketSpec, Outlet] = {}
        removed = self._follower.removed
        for spec in ports:
            for socket in self._open:
                now = socket.spec
                if now.interface.index not in removed and _carries_out(now, spec):
                    found[spec] = socket
                    if now.interface != spec.interface:
                        socket.revise(attrs.evolve(now, interface=spec.interface), ())
                    break
        for socket in [item for item in self._open if item not in found.values()]:
            self._close_socket(socket)
        for spec, port in ports.items():
            if spec not in found:
                try:
                    found[spec] = self._open_again(spec, port)
                except SocketSetupError as error:
                    found[spec] = Gone.of(spec, Absence(error.errno or errno.EIO, str(error)))
                    self._refused = True
        return found

    def _open_again(self, spec: SocketSpec, port: int) -> McastSocket:
        """Open a socket, on the port that it had before if that can be."""
        if not self._request.source_port:
            bind: BindAddress = (spec.bind[0], port, *spec.bind[2:])
            try:
                return self._open_socket(attrs.evolve(spec, bind=bind))
            except SocketSetupError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        return self._open_socket(spec)

    def _open_socket(self, spec: SocketSpec) -> McastSocket:
        socket = self.host.open_socket(spec)
        try:
            if self.intake is not None:
                self.intake.add(socket)
        except BaseException:
            socket.close()
            raise
        self._open.append(socket)
        return socket

    def _close_socket(self, socket: McastSocket) -> None:
        self._open.remove(socket)
        if self.intake is not None:
            self.intake.close_socket(socket)  # Answers that have come already are not lost.
        else:
            socket.close()

    def _publish(self) -> bool:
        """Show what there is now; whether anything has changed."""
        numbers: dict[Outlet, int] = {}
        targets = {
            (line.want.group, numbers.setdefault(line.outlet, len(numbers))): None
            for line in self._lines
        }
        ways = Ways(
            tuple(item.spec for item in numbers),
            tuple(targets),
            self.ways.port,
            frozenset(number for item, number in numbers.items() if isinstance(item, Refusing)),
        )
        before = self.outlets, self.ways
        self.outlets, self.ways = tuple(numbers), ways
        return before != (self.outlets, self.ways)

    def close(self) -> None:
        """Close everything, and end `follow`. Idempotent."""
        self._follower.close()
        if self.intake is not None:
            self.intake.close()
        for socket in self._open:
            socket.close()


def _new_watcher(host: Host, *, routes: bool) -> InterfaceWatcher | None:
    """What notices changes; `None` where nothing does."""
    try:
        return host.watch(routes=routes)
    except SocketSetupError:
        raise
    except McastError:
        return None


def _new_backoff() -> Backoff:
    return Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)


def _reply_intake(host: Host) -> Intake:
    queue = DatagramQueue(_MAX_BUFFERED_REPLIES, "this sender, or its replies,")
    return Intake(host, queue, buffer_asked=DEFAULT_RECEIVE_BUFFER_BYTES)


def _port_of(socket: McastSocket) -> int:
    return socket.local_endpoint.port


def _carries_out(one: SocketSpec, other: SocketSpec) -> bool:
    """Whether a socket for one plan carries out the other, whatever its port is."""
    return _except_port(one) == _except_port(other)


def _except_port(spec: SocketSpec) -> tuple[object, ...]:
    interface, bind = spec.interface, spec.bind
    return interface.name, interface.index, spec.family, bind[0], bind[2:], spec.options
