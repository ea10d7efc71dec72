"""`Ears`: one end's sockets for what is probed, and the probes that came to them."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import trio

from ..._host.current import current_host
from ..._specs.receiver import McastReceiverSpec
from ..._values.datagram import Datagram
from ..._values.errors import McastError, SocketSetupError, error_name
from ..._values.interface import Interface
from . import broadcast
from .header import Header
from .tally import Tallies

_LARGEST = 65_535


@attrs.frozen
class Refused:
    """A join that was refused.

    Attributes:
        group: The group.
        interface: The interface.
        name: The name of the error number; empty if there is none.
        text: The error as text.
    """

    group: str
    interface: str
    name: str
    text: str


def usable_interfaces() -> list[Interface]:
    """Return the interfaces of this task's machine on which it can listen.

    Raises:
        SocketSetupError: The system refuses to list its interfaces.
    """
    return [one for one in current_host().list_interfaces() if one.is_up and one.master is None]


def machine_addresses() -> set[str]:
    """Return the addresses of this task's machine, without zones.

    Raises:
        SocketSetupError: The system refuses to list its interfaces.
    """
    addresses = set()
    for interface in current_host().list_interfaces():
        addresses |= {str(address.ip) for address in interface.ipv4_addresses}
        addresses |= {str(address.ip) for address in interface.ipv6_addresses}
    return addresses


def explain(error: McastError) -> tuple[str, str]:
    """Return the name of an error's number, and the error as text."""
    if not isinstance(error, SocketSetupError):
        return "", str(error)
    cause = error.causes[0] if error.causes else error
    return error_name(cause.errno), str(cause)


class Ears:
    """The groups that are joined on interfaces, with one socket each, and broadcast.

    Args:
        run: The number of the run whose probes are counted.
        control_port: The port of this end's control socket, to which broadcast goes.

    Attributes:
        tallies: The probes that came.
        refused: The joins that were refused.
    """

    def __init__(self, run: int, control_port: int) -> None:
        self.tallies = Tallies(run)
        self.refused: list[Refused] = []
        self._control_port = control_port

    async def listen(
        self,
        groups: Iterable[tuple[str, int]],
        interfaces: Iterable[Interface],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Join groups on their ports on each interface, and count until cancelled."""
        interfaces = list(interfaces)
        self.refused.clear()
        async with trio.open_nursery() as nursery:
            for group, port in groups:
                for interface in interfaces:
                    await nursery.start(self._join, group, port, interface)
            if broadcast.can_broadcast():
                for sock in broadcast.open_to_receive(interfaces, self._control_port):
                    nursery.start_soon(self._read_broadcast, sock)
            task_status.started()
            await trio.sleep_forever()

    async def _join(
        self, group: str, port: int, interface: Interface, *, task_status: trio.TaskStatus[None]
    ) -> None:
        has_started = False
        try:
            spec = McastReceiverSpec(
                group, port, interfaces=interface, follow_interfaces=False, receive_ttl=True
            )
            async with spec.open() as receiver:
                task_status.started()
                has_started = True
                async for datagram in receiver:
                    self.take(datagram)
        except McastError as error:
            self.refused.append(Refused(group, interface.name, *explain(error)))
        except ValueError:
            pass  # The group and the interface do not go together: it has not that family.
        if not has_started:
            task_status.started()

    async def _read_broadcast(self, sock: trio.socket.SocketType) -> None:
        with sock:
            while True:
                try:
                    data, source = await sock.recvfrom(_LARGEST)
                except OSError:
                    continue
                self._count(data, "", None, source[0])

    def take(self, datagram: Datagram) -> bool:
        """Count a datagram if it is a probe of the run, and tell whether it is."""
        source = datagram.source.host
        return self._count(datagram.data, datagram.interface.name, datagram.ttl, source)

    def _count(self, data: bytes, interface: str, ttl: int | None, source: str) -> bool:
        try:
            header = Header.unpack(data)
        except ValueError:
            return False
        return self.tallies.take(header, interface, ttl, source)
