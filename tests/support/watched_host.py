"""A host whose interfaces change and are watched, and a follower of what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trio

from tests.lab import Host, Lab
from tests.lab.machine import LabMachine
from trio_mcast import Interface, InterfaceChange
from trio_mcast._host.current import host_variable
from trio_mcast._host.protocols import LookSteps

Changes = trio.abc.ReceiveChannel[InterfaceChange]


@pytest.fixture
def host(lab: Lab) -> Host:
    """Give a host with lo, and with x0, which is down and has no address."""
    host = lab.host("a")
    ip(host, "link add x0 type bridge")
    return host


def ip(host: Host, *commands: str) -> None:
    """Carry out commands of ``ip`` in one process."""
    host.run("ip", "-batch", "-", input="".join(f"{command}\n" for command in commands))


class Machine(LabMachine):
    """A lab host that counts how often somebody looks, and does something else on a look."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.looks = 0
        self.before_look: Callable[[], object] = lambda: None
        self.after_look: Callable[[], object] = lambda: None

    def look(self) -> LookSteps:
        self.looks += 1
        self.before_look()
        for interfaces in super().look():
            if interfaces is not None:
                self.after_look()
            yield interfaces

    @contextmanager
    def used(self) -> Iterator[None]:
        token = host_variable.set(self)
        try:
            yield
        finally:
            host_variable.reset(token)


class Follower:
    """The interfaces as changes tell of them; fails if a change does not fit the ones before."""

    def __init__(self, known: list[Interface]) -> None:
        self._known = {interface.index: interface for interface in known}

    @property
    def known(self) -> list[Interface]:
        return [self._known[index] for index in sorted(self._known)]

    def tell(self, change: InterfaceChange) -> None:
        assert change.before != change.after
        if change.before is not None:
            assert self._known.pop(change.before.index) == change.before
        if change.after is not None:
            assert change.after.index not in self._known
            self._known[change.after.index] = change.after


async def take(changes: Changes, count: int) -> list[InterfaceChange]:
    with trio.fail_after(10):
        return [await changes.receive() for _ in range(count)]


def summary(changes: list[InterfaceChange]) -> list[tuple[str, str]]:
    return [(change.kind, change.interface.name) for change in changes]
