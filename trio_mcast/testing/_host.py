"""`VirtualHost`: a machine on a virtual network, with the rules of its platform."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Final

from .._host.current import host_variable
from .._host.protocols import Host
from .._values.addresses import parse_address
from ._arguments import check_mtu, check_name
from ._host_system import HostSystem
from ._interface import VirtualInterface
from ._interface_address import AddressWithPrefix
from ._router import connect
from ._switch import VirtualSwitch
from ._users import user_variable

# The hosts that were current before each of the blocks that this task is in, outermost first.
_entered: Final[ContextVar[tuple[Host, ...]]] = ContextVar("trio_mcast.testing.entered", default=())


class VirtualHost(HostSystem):
    """A machine on a virtual network; made by `VirtualNetwork.host`.

    ``with host:`` makes the host the machine on which this task, and every task that is started
    inside the block, opens receivers and senders and lists interfaces. A host has a loopback
    interface from the start.

    A host also has the methods of the library's internal ``Host`` protocol: ``open_socket`` and the
    others are for tests of the library itself.
    """

    def __repr__(self) -> str:
        return f"<VirtualHost {self.name} ({self._platform.name})>"

    def __enter__(self) -> VirtualHost:
        self._enter()
        _entered.set((*_entered.get(), host_variable.get()))
        host_variable.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        *outer, before = _entered.get()
        _entered.set(tuple(outer))
        host_variable.set(before)

    # --- Called by tests

    @contextmanager
    def user(self, name: str) -> Iterator[VirtualHost]:
        """Open receivers and senders on the host, in a ``with`` block, as programs of a user.

        Outside of such blocks, all programs of a host are of one user, who is not root. On macOS
        and FreeBSD, a port at an address of the host cannot be shared with another user's program:
        binding is refused with EADDRINUSE. Groups can be shared, and ``"root"`` may share anything.

        Args:
            name: The user's name, such as ``"_mdnsresponder"``.

        Yields:
            The host.

        Raises:
            TypeError: The name is not a `str`.
            ValueError: The name is empty, contains a slash, or cannot be printed.
            RuntimeError: The network has ended, or the host has crashed.
        """
        check_name(name)
        token = user_variable.set(name)
        try:
            with self:
                yield self
        finally:
            user_variable.reset(token)

    def plug(
        self,
        name: str,
        switch: VirtualSwitch,
        *addresses: AddressWithPrefix,
        mtu: int = 1500,
        gateway: str | None = None,
        master: str | None = None,
        alternative_names: Iterable[str] = (),
    ) -> VirtualInterface:
        """Plug an interface into a switch: from now on the host has the interface, which is up.

        Args:
            name: The interface's name, such as ``"eth0"``.
            switch: A switch of the same network.
            addresses: The interface's addresses with prefix lengths, such as ``"10.0.0.1/24"`` or
                ``"fe80::1/64"``. No address is added automatically.
            mtu: The largest packet, in bytes. Larger datagrams go out in fragments, which are one
                event of the trace. On Linux an mtu below 1,280 takes IPv6 off the interface.
            gateway: The address of a router through which the host reaches all other networks.
                Linux and the BSDs then send groups that way, too, where no interface is named.
            master: As for `VirtualInterface.set_master`.
            alternative_names: Other names of the interface. Linux only.

        Returns:
            The interface.

        Raises:
            TypeError: The name, the switch, the mtu or an address is of the wrong type.
            ValueError: The name or an address is taken or cannot be one, the mtu is less than 1,
                the gateway is in none of the interface's networks or cannot be a router's, the
                switch is of another network, or what is Linux's is given to another.
            RuntimeError: The network has ended.
        """
        self._core.enter(self.name)
        self._interfaces.check_free(name)
        router = None if gateway is None else parse_address(gateway, "gateway")
        check_mtu(mtu)
        interface = VirtualInterface(
            self._core,
            self,
            name,
            self._new_index(),
            switch,
            mtu=mtu,
            is_linux=self._platform.name == "linux",
            tells_carrier=self._platform.name == "windows",
            master=master,
            alternative_names=alternative_names,
        )
        connect(self._core, interface, switch, addresses, router)
        if self._has_crashed:
            interface.set_power(on=False)
        self._interfaces.add(interface)
        if router is not None:
            self._gateways[name] = router
        self.interface_changed(interface)
        return interface

    def rename(self, interface: str, name: str) -> None:
        """Give an interface another name, as ``ip link set NAME name NEW`` does.

        Its index, its addresses and its routes stay, and so does what programs have joined there.
        A receiver whose ``interfaces`` name it waits for an interface of the old name.

        Args:
            interface: The interface's name.
            name: The new name.

        Raises:
            TypeError: The new name is not a `str`.
            ValueError: There is no such interface, or the new name is taken or cannot be one.
            RuntimeError: The network has ended.
        """
        self._core.enter(self.name)
        renamed = self.interface(interface)
        self._interfaces.check_free(name)
        self._interfaces.rename(interface, name)
        if interface in self._gateways:
            self._gateways[name] = self._gateways.pop(interface)
        self.routes.rename_interface(interface, name)
        renamed.be_renamed(name)

    def crash(self) -> None:
        """Let the host go down at once, as without power: nothing is left, closed or said.

        What its programs have open is dead from now on: receiving waits for ever, and what is sent
        goes nowhere. Their tasks cannot be stopped from here. Cancel them after this call: what
        they still do while they end reaches nobody. The interfaces have no link, so a switch that
        snoops forgets their reports.

        Raises:
            RuntimeError: The network has ended, or the host has crashed already.
        """
        self._enter()
        self._core.record(self.name, "crashed")
        self._has_crashed = True
        for opened in self._opened:
            opened.die()
        self._remains = [
            *self._remains,
            *(watcher.close for watcher in self._watchers),
            *(poller.close for poller in self._pollers),
            *(opened.close for opened in self._opened),
        ]
        self._opened.clear()
        self._watchers.clear()
        self._pollers.clear()
        self._sockets.clear()
        for interface in self._interfaces:
            interface.set_power(on=False)

    def restart(self) -> None:
        """Start the host after a `crash`: it has its interfaces and addresses, and nothing open.

        Start its programs anew in a ``with host:`` block.

        Raises:
            RuntimeError: The network has ended, or the host has not crashed.
        """
        self._core.enter(self.name)
        if not self._has_crashed:
            raise RuntimeError(f"{self.name} has not crashed")
        self._has_crashed = False
        self._core.record(self.name, "restarted")
        for interface in self._interfaces:
            interface.set_power(on=True)
