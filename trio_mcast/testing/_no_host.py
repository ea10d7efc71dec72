"""The stand-in for the machine outside of every host of a virtual network."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NoReturn

from .._host.poller import OnFailure
from .._host.protocols import InterfaceWatcher, KernelMemberships, McastSocket, Poller
from .._plan.route import RouteAnswer
from .._plan.socket_spec import SocketSpec
from .._platform.model import Platform
from .._values.addresses import Family, IPAddress
from .._values.interface import Interface
from ._clock import VirtualClock
from ._core import Core


class NoHost:
    """The stand-in for the machine while a virtual network runs: refuses every call."""

    def __init__(self, core: Core) -> None:
        self.clock = VirtualClock(core, "the network")

    def __repr__(self) -> str:
        return "<no host: outside of every 'with host:' block>"

    def _refuse(self) -> NoReturn:
        raise RuntimeError(
            "a VirtualNetwork is running, and this was not called on one of its hosts: put it, or "
            "the start of the task that does it, into a 'with host:' block"
        )

    @property
    def platform(self) -> Platform:
        self._refuse()

    def list_interfaces(self) -> list[Interface]:
        self._refuse()

    def look(self) -> NoReturn:
        self._refuse()

    def find_route(self, address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
        self._refuse()

    def prefers_temporary(self, interface: Interface) -> bool:
        self._refuse()

    def watch(self, *, routes: bool = False) -> InterfaceWatcher:
        self._refuse()

    def kernel_memberships(
        self, family: Family, interfaces: Collection[Interface]
    ) -> KernelMemberships | None:
        self._refuse()

    def open_socket(self, spec: SocketSpec) -> McastSocket:
        self._refuse()

    def open_poller(self, fail: OnFailure) -> Poller:
        self._refuse()
