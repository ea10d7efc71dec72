"""`watch_interfaces`: the changes of this machine's interfaces, as a channel.

Decision: no task
=================

A task that looks and fills a channel needs a bound: changes that nobody takes would pile up, and a
program that takes few would get old ones. So nothing runs in between. `receive` itself waits until
the system says that something happened, looks, and works out the differences to the last look.
While nobody receives, the system's messages wait in a socket, and one look answers any number of
messages: an interface that has come and gone in the meantime is not told. And nothing can outlive
the block.

A receiver or sender that follows the interfaces is different: it has to act whether anybody
receives or not, and so it has a task for that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

import attrs
import trio

from ._follow import Follower
from ._host.current import current_host
from ._host.protocols import Host
from ._live import Closeable, Opening, closing_each
from ._plan.route import Route
from ._plan.selecting import by_zone, parse_named, select_interfaces
from ._values.addresses import AddressLike, parse_group
from ._values.interface import Interface, InterfaceSelectors


@attrs.frozen
class InterfaceChange:
    """An interface of this machine that came, went or changed.

    An interface is known by its index. An interface that was renamed has ``"changed"``. When an
    interface is removed and made again under the same name, the index is another one: that gives
    ``"removed"`` and then ``"added"``.
    """

    before: Interface | None = attrs.field(repr=str)
    """The interface before the change; `None` for ``"added"``."""
    after: Interface | None = attrs.field(repr=str)
    """The interface after the change; `None` for ``"removed"``."""
    kind: Literal["added", "removed", "changed"] = attrs.field(init=False)
    """``"added"``, ``"removed"`` or ``"changed"``, as follows from the other two."""

    @kind.default
    def _kind_of_the_two(self) -> Literal["added", "removed", "changed"]:
        if self.before is None and self.after is None:
            raise ValueError("a change has a before, an after, or both, not neither")
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"

    @property
    def interface(self) -> Interface:
        """The interface as it is now or, if it was removed, as it was last."""
        either = self.after or self.before
        assert either is not None
        return either


def interface_changes(
    before: Iterable[Interface], after: Iterable[Interface]
) -> tuple[InterfaceChange, ...]:
    """Return the changes that lead from one list of interfaces to another.

    Removals come first, then changes, then additions, each by index: whoever keeps interfaces by
    name meets no name twice, unless interfaces have swapped names.
    """
    old = {interface.index: interface for interface in before}
    new = {interface.index: interface for interface in after}
    removed = [InterfaceChange(old[index], None) for index in sorted(old.keys() - new.keys())]
    changed = [
        InterfaceChange(old[index], new[index])
        for index in sorted(old.keys() & new.keys())
        if old[index] is not new[index] and old[index] != new[index]
    ]
    added = [InterfaceChange(None, new[index]) for index in sorted(new.keys() - old.keys())]
    return (*removed, *changed, *added)


def list_interfaces() -> list[Interface]:
    """List the network interfaces of this machine, by index; also those down or without address.

    Returns:
        A list of `Interface` values, as things are now. The values do not follow later changes.

    Raises:
        McastError: The system refused.

    Platforms:
        Where a sandbox on Linux refuses netlink sockets, the list is made by other means. These do
        not tell which interface is a port of a team, nor alternative names, nor the scope and state
        of IPv4 addresses. The logger ``trio_mcast`` says so once: allow AF_NETLINK, in a unit of
        systemd with ``RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK``.
    """
    return current_host().list_interfaces()


def find_interfaces(selector: InterfaceSelectors | None) -> list[Interface]:
    """Return the interfaces that ``interfaces=selector`` means to `open_mcast_receiver`.

    Args:
        selector: A name (or description), an index, an address, an `Interface`, or an iterable of
            these; `None` or `ALL_INTERFACES` for every interface that is up, capable of multicast,
            not loopback, and not a port of a bridge, bond or team.

    Returns:
        A list of `Interface` values in the order of the selectors, each once.

    Raises:
        TypeError: The selector is none of these.
        ValueError: The iterable is empty.
        InterfaceNotFoundError: Nothing matches; the message lists the interfaces that there are.
        AmbiguousInterfaceError: An address is on two interfaces.
    """
    selections = select_interfaces(parse_named(selector), list_interfaces())
    return list(dict.fromkeys(selection.interface for selection in selections))


def default_interface(group: AddressLike = "239.0.0.0") -> Interface | None:
    """Return the interface to which the system would send a group's datagrams. Sends nothing.

    Asks the system's routing. A default gateway is not needed, only a route that covers the group.

    Args:
        group: The group; the default stands for IPv4 groups at large. With a zone, the zone's
            interface is the answer.

    Returns:
        The interface, or `None` if the system has no route for the group, as always for an IPv6
        group of link-local scope without a zone, or if a route or rule refuses the group.

    Raises:
        TypeError: The group is not a `str` or an address object.
        ValueError: The group is not a multicast address.
        InterfaceNotFoundError: The zone names no interface.
    """
    parsed = parse_group(group)
    host = current_host()
    if parsed.zone is not None:
        return by_zone(parsed.zone, host.list_interfaces())
    route = host.find_route(parsed.address, host.list_interfaces())
    return route.interface if isinstance(route, Route) else None


def watch_interfaces() -> AbstractAsyncContextManager[trio.abc.ReceiveChannel[InterfaceChange]]:
    """Follow the interfaces of this machine as they come, go and change.

    ``async with watch_interfaces() as changes``: once the block has been entered, each change comes
    as an `InterfaceChange`: an interface was added or removed, or has another name, address, MTU or
    anything else that an `Interface` has. `list_interfaces` inside the block lists the interfaces
    of that moment. A change between entering and that call is in the list and comes as a change,
    too.

    ``changes.receive()`` and ``async for`` give one change at a time. Of several changes at
    the same time, removals come first, then changes, then additions, each by index. One after the
    other, the changes lead from how the interfaces were to how they are; none is empty or comes
    twice. But the changes are not a record of everything that happened: an interface that is there
    too briefly is not given, and of changes within some milliseconds, or while nobody receives,
    only the result is. So nothing piles up, and a program may receive as seldom as it likes.

    Several tasks may receive: each change goes to one of the tasks. ``changes`` never ends by
    itself. Nothing is sent, and no privilege and no task of its own is needed.

    Returns:
        An asynchronous context manager that gives a `trio.abc.ReceiveChannel` of `InterfaceChange`.

    Raises:
        SocketSetupError: The system refused. On entering, nothing stays open then. When receiving,
            nothing is lost: after this, or any other error, the next call looks again.
        trio.ClosedResourceError: When receiving: the block was left or ``changes`` was closed,
            before or while waiting.

    Cancellation:
        Entering, leaving and receiving are checkpoints. If entering is cancelled, nothing stays
        open. If receiving is cancelled, no change has been taken: the next call gives it.

    Platforms:
        Linux; Windows, run under Wine only; macOS and FreeBSD, where it was never run. A
        change comes some 20 milliseconds after it happened, and up to 100 when there are many. On
        macOS, a change that the routing socket does not report comes with the next one that it
        does. Under Wine, which reports none, and where a sandbox on Linux (of systemd, gVisor,
        Android) refuses to, interfaces are compared once a second.
    """
    return Opening(_watch_interfaces(), "watch_interfaces() as changes")


@asynccontextmanager
async def _watch_interfaces() -> AsyncIterator[trio.abc.ReceiveChannel[InterfaceChange]]:
    host = current_host()
    await trio.lowlevel.checkpoint()
    # Before the first look: what changes after it is then noticed, too.
    watcher = host.watch()
    with closing_each(watcher):  # Also if the first look is refused.
        changes = _InterfaceChanges(host, Follower(watcher, host))
        with closing_each(changes):
            yield changes
    await trio.lowlevel.checkpoint()


class _InterfaceChanges(Closeable, trio.abc.ReceiveChannel[InterfaceChange]):
    def __init__(self, host: Host, follower: Follower) -> None:
        super().__init__()
        self._follower = follower
        self._last = host.list_interfaces()
        # What the last look has shown and nobody has taken yet.
        self._pending: deque[InterfaceChange] = deque()
        # Whether closing has begun; and whether it has come to its end.
        self._closed = self._ended = False
        # One task at a time waits and looks; the others then find what it has left.
        self._turn = trio.StrictFIFOLock()

    async def receive(self) -> InterfaceChange:
        self._check_open()
        async with self._turn:
            self._check_open()
            while not self._pending:
                await self._follower.wait()
                await self._look()
            return self._pending.popleft()

    async def _look(self) -> None:
        now = await self._follower.look()
        self._pending.extend(interface_changes(self._last, now))
        self._last = now
        self._follower.looked()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("watching the interfaces has ended")

    def close(self) -> None:
        if not self._ended:
            self._check_run()
            self._closed = True
            self._pending.clear()
            self._follower.close()
            self._ended = True

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()
