"""The protocols of a machine: its sockets, pollers and interfaces.

Receivers and senders know only these protocols. `SystemHost` is the real machine.
"""

from __future__ import annotations

import enum
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Generator, Sequence
from typing import Final, Protocol, TypeAlias

import attrs

from .._plan.route import RouteAnswer
from .._plan.socket_spec import BindAddress, SocketSpec
from .._platform.model import Platform
from .._platform.options import SocketOption
from .._values.addresses import Endpoint, Family, IPAddress
from .._values.datagram import Datagram
from .._values.interface import Interface

# The index of an interface, and the bytes of the address of a group. They come in parts of some
# hundred, each read when it is asked for; who does not ask for all has to close the generator.
KernelMembership: TypeAlias = tuple[int, bytes]
KernelMemberships: TypeAlias = Generator[list[KernelMembership], None, None]
# The steps of a look at the interfaces: `None` after each, and in the end the interfaces, by index.
LookSteps: TypeAlias = Generator["list[Interface] | None", None, None]


class Rejection(enum.Enum):
    """The reason why a datagram that was read is not delivered."""

    EXCLUDED_SOURCE = "excluded_source"
    OTHER_SOURCE = "other_source"
    OWN = "own"
    OTHER_INTERFACE = "other_interface"
    OTHER_GROUP = "other_group"
    UNICAST = "unicast"
    UNTOLD = "untold"


class DepartureTime(Protocol):
    """The time at which one datagram left this machine."""

    async def wait(self) -> int:
        """Wait for the time, in nanoseconds since 1970 (UTC). If cancelled, the time is dropped.

        Raises:
            trio.ClosedResourceError: The socket was closed before the time was known.
        """


class McastSocket(Protocol):
    """An open socket that carries out a `SocketSpec`. Only `wait_writable` waits."""

    socket_spec: SocketSpec
    # The datagrams and bytes of payload that `receive` has returned so far.
    received: int
    received_bytes: int
    # The joins of the plan that the system has refused for now: to be tried again a little later.
    pending: tuple[SocketOption, ...]

    @property
    def rejected(self) -> Counter[Rejection]:
        """The datagrams that were held back after reading, by reason."""

    @property
    def receive_buffer_granted(self) -> int:
        """The size that the system has granted to the receive buffer."""

    @property
    def send_buffer_granted(self) -> int:
        """The size that the system has granted to the send buffer."""

    @property
    def local_endpoint(self) -> Endpoint:
        """The address and port that the socket has now; of a closed one, those that it had."""

    def receive(self, max_datagrams: int) -> list[Datagram]:
        """Return what has arrived, up to so many datagrams; maybe none. OSError if refused."""

    def revise(self, socket_spec: SocketSpec, options: Sequence[SocketOption]) -> None:
        """Carry out another plan from now on, which needs no other socket.

        Args:
            socket_spec: The plan: for the same interface and group, and bound alike.
            options: The options to set for the plan, in this order.

        Raises:
            SocketSetupError: An option was refused; those before it are set.
        """

    def send(self, data: bytes, address: BindAddress) -> None:
        """Send one datagram; BlockingIOError if there is no room for it now."""

    def send_batch(self, datagrams: Sequence[bytes], start: int, address: BindAddress) -> int:
        """Send some datagrams from position ``start`` on, and return how many, at least one.

        BlockingIOError if there is no room now, another OSError if the first datagram is refused.
        """

    def send_timed(self, data: bytes, address: BindAddress) -> DepartureTime:
        """Send one datagram as `send`, and return what waits for the time at which it leaves.

        OSError as for `send`; EOPNOTSUPP, and nothing is sent, where the system takes no such time.
        """

    async def wait_writable(self) -> None:
        """Wait until there may be room to send. One task at a time."""

    def dropped(self) -> int | None:
        """Return how many datagrams were dropped for want of room; `None` if unknown."""

    def leave(self) -> None:
        """End the membership, as far as the system lets it; what has come can still be read."""

    def close(self) -> None:
        """Close the socket; its memberships end. Idempotent."""


class Poller(Protocol):
    """Waits for any of many sockets at once, and reads the sockets."""

    def add(self, socket: McastSocket) -> None:
        """Watch a socket from now on."""

    def remove(self, socket: McastSocket) -> None:
        """Stop watching a socket."""

    def wait(self) -> Awaitable[object]:
        """Wait until sockets can be read, or until interrupted. A checkpoint. One task at a time.

        Raises:
            trio.ClosedResourceError: The poller was closed.
        """

    def wait_behind(self) -> Awaitable[object]:
        """Wait until sockets can be read, and nobody is in `wait`. A checkpoint.

        One task at a time, beside the one in `wait`.

        Raises:
            trio.ClosedResourceError: The poller was closed.
        """

    def read(self, room: int) -> list[Datagram]:
        """Read from the sockets, in one pass that is fair to all, without waiting.

        Args:
            room: How many datagrams there is room for. A unit may exceed the room.
        """

    def interrupt(self) -> None:
        """End a `wait` that is going on, or just ending, without a further checkpoint."""

    def open_lookout(self) -> Lookout | None:
        """Return a lookout for pollers like this one; `None` if there is no such thing.

        OSError if the system refuses.
        """

    def close(self) -> None:
        """Close the poller and wake the waiting task. Idempotent."""


class Lookout(Protocol):
    """Tells which of several pollers have something to read, by one look at all."""

    def add(self, poller: Poller) -> None:
        """Look at a poller, too. OSError if the system refuses."""

    def remove(self, poller: Poller) -> None:
        """Look at a poller no longer. To call before the poller is closed."""

    def ready(self) -> Sequence[Poller]:
        """Return some pollers that have something to read; others come first the next time."""

    def close(self) -> None:
        """Look at nothing any more. Idempotent."""


class Shell(Protocol):
    """The parts of a system that `SystemHost` puts together. Its methods raise OSError."""

    platform: Platform

    def wrap_socket(
        self, sock: socket.socket, socket_spec: SocketSpec, applied: frozenset[str]
    ) -> McastSocket:
        """Make a `McastSocket` of a socket that is set up and bound.

        Args:
            sock: The socket; closed with the object that is made.
            socket_spec: The plan that the socket carries out.
            applied: The symbols of the options that were set, fallbacks included.
        """

    def look(self) -> LookSteps:
        """Look at the interfaces in steps; see `Host.look`."""

    def find_route(self, address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
        """Return the way of datagrams to an address; see `Host.find_route`."""

    def open_poller(self, fail: Callable[[McastSocket, OSError], None]) -> Poller:
        """Open a poller; see `Host.open_poller`."""

    def watch(self, *, routes: bool) -> InterfaceWatcher:
        """Open a watcher of the interfaces, and with ``routes`` of the routes."""

    def kernel_memberships(self, family: Family) -> KernelMemberships | None:
        """Return the groups that are joined on any interface; see `Host.kernel_memberships`."""


@attrs.frozen
class Ended:
    """The ends that no look at the interfaces can show, as far as the system told of them.

    A look may show the interface as it was before, or another one under the same index.

    Attributes:
        removed: The indexes of interfaces that were removed, and every membership with them.
        families: The families that were taken off an interface for a while, with its index. That
            ends the memberships of the family.
        unknown: Whether the system could not tell everything: any membership may have ended.
    """

    removed: frozenset[int] = frozenset()
    families: frozenset[tuple[int, Family]] = frozenset()
    unknown: bool = False

    def __bool__(self) -> bool:
        return bool(self.removed or self.families or self.unknown)

    def __or__(self, other: Ended) -> Ended:
        return Ended(
            self.removed | other.removed,
            self.families | other.families,
            self.unknown or other.unknown,
        )


# The same for all: an `Ended` does not change.
NOTHING_ENDED: Final = Ended()


class InterfaceWatcher(Protocol):
    """Notices when a machine's interfaces may have changed, from its making on."""

    async def wait(self) -> Ended:
        """Wait until something may have changed since the last wait ended: then look again.

        Returns:
            What has ended in the meantime.

        A checkpoint. One task at a time. A change before the end of the wait shows in a look; a
        later change ends the next wait. After a cancelled wait, the next one ends for the same
        changes.

        Raises:
            trio.ClosedResourceError: The watcher was closed, before or while waiting.
            SocketSetupError: The system refused to tell.
        """

    def take(self) -> Ended | None:
        """Take what the next wait would end for, without waiting: then look.

        Returns:
            The same as `wait`; `None` if nothing has been noticed. A `wait` that goes on does not
            end for what was taken.

        Raises:
            SocketSetupError: The system refused to tell.
        """

    def close(self) -> None:
        """Close the watcher and wake the waiting task. Idempotent."""


class Host(Protocol):
    """A machine: its platform, its interfaces, its sockets."""

    @property
    def platform(self) -> Platform:
        """The platform whose rules the machine follows."""

    def list_interfaces(self) -> list[Interface]:
        """Return the machine's interfaces, by index."""

    def look(self) -> LookSteps:
        """Look at the machine's interfaces in steps of a millisecond or less.

        The network namespace is that of the calling thread at this call.

        Returns:
            The steps, to be begun at once, and closed if not gone through.

        Raises:
            SocketSetupError: The system refused, at once or in a step.
        """

    def find_route(self, address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
        """Return the way of datagrams to an address. Nothing is sent.

        Args:
            address: The group, or the address of a peer, without a zone.
            interfaces: The interfaces that the answer can be one of.

        Raises:
            SocketSetupError: The system refused to tell.
        """

    def prefers_temporary(self, interface: Interface) -> bool:
        """Tell whether what is sent comes from the interface's temporary IPv6 addresses first."""

    def watch(self, *, routes: bool = False) -> InterfaceWatcher:
        """Open a watcher of the machine's interfaces.

        Args:
            routes: Whether to notice changes of the routes too.

        Raises:
            SocketSetupError: The system refused.
            McastError: This platform's interfaces cannot be watched.
        """

    def kernel_memberships(
        self, family: Family, interfaces: Collection[Interface]
    ) -> KernelMemberships | None:
        """Return the groups that any program of the machine has joined, as the system knows them.

        An interface on which the family is switched off for a time has none here, whatever the
        system keeps for it.

        Args:
            family: The family of the groups.
            interfaces: The interfaces to tell of, as just listed. Others may be told of too.

        Returns:
            The memberships; `None` where the system does not tell.
        """

    def open_socket(self, socket_spec: SocketSpec) -> McastSocket:
        """Carry out a plan for one socket, all or nothing.

        Raises:
            SocketSetupError: A step was refused; nothing stays open.
        """

    def open_poller(self, fail: Callable[[McastSocket, OSError], None]) -> Poller:
        """Open a poller.

        Args:
            fail: Called for a socket that the system refuses to read; has to have the poller
                `remove` the socket.

        Raises:
            SocketSetupError: The system refused.
        """
