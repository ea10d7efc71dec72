"""The library on a lab host: what is opened inside ``with on(host)`` is opened in its namespace."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from trio_mcast import Interface
from trio_mcast._host.current import host_variable
from trio_mcast._host.poller import OnFailure
from trio_mcast._host.protocols import (
    InterfaceWatcher,
    KernelMemberships,
    LookSteps,
    McastSocket,
    Poller,
)
from trio_mcast._host.system import SystemHost
from trio_mcast._plan.route import RouteAnswer
from trio_mcast._plan.socket_spec import SocketSpec
from trio_mcast._values.addresses import Family, IPAddress

from ._host import Host


class LabMachine(SystemHost):
    """The real `SystemHost`, in a lab host's namespace.

    A socket stays in the namespace in which it was opened, so only opening and looking up have to
    happen inside; none of that waits, so no other task runs meanwhile.
    """

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host

    def look(self) -> LookSteps:
        with self._host.inside():
            return super().look()

    def find_route(self, address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
        with self._host.inside():
            return super().find_route(address, interfaces)

    def prefers_temporary(self, interface: Interface) -> bool:
        with self._host.inside():
            return super().prefers_temporary(interface)

    def watch(self, *, routes: bool = False) -> InterfaceWatcher:
        with self._host.inside():
            return super().watch(routes=routes)

    def kernel_memberships(
        self, family: Family, interfaces: Collection[Interface]
    ) -> KernelMemberships | None:
        with self._host.inside():
            return super().kernel_memberships(family, interfaces)

    def open_socket(self, socket_spec: SocketSpec) -> McastSocket:
        with self._host.inside():
            return super().open_socket(socket_spec)

    def open_poller(self, fail: OnFailure) -> Poller:
        with self._host.inside():
            return super().open_poller(fail)


@contextmanager
def on(host: Host) -> Iterator[None]:
    """Open receivers and senders on this lab host instead of this machine."""
    token = host_variable.set(LabMachine(host))
    try:
        yield
    finally:
        host_variable.reset(token)
