"""One datagram on one interface, from an address of it that may have no socket yet: for answers."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from .._host.protocols import McastSocket
from .._plan.sender_socket import plan_sender_socket
from .._values.addresses import family_of, parse_address
from .._values.errors import SocketSetupError
from .._values.interface import Interface
from .destinations import Destination
from .outlets import Outlets
from .stand_ins import Refusing
from .targets import Tally, Targets
from .transmitter import Transmitter


async def send_one(
    data: bytes,
    to: Destination,
    place: tuple[str, str | None],
    sending: tuple[Outlets, Targets, Transmitter],
) -> None:
    """Send one datagram. A checkpoint only if it has to wait.

    Args:
        data: The payload.
        to: The destination.
        place: The name of the interface to send on, and the address to send from; `None` for the
            one that the sender has for it.
        sending: The parts of the sender.

    Raises:
        ValueError: The sender does not have the interface, or not for that family, or the address
            is of another family than the destination.
        SocketSetupError: The datagram could not be sent; that is counted.
    """
    (interface, address), (outlets, targets, transmitter) = place, sending
    find = partial(targets.of, to, interface)
    target = find()[0]
    outlet, where, tally = target
    with ExitStack() as stack:
        known = address in (None, outlet.socket_spec.bind[0])
        if not known and not isinstance(outlet, Refusing):
            if family_of(parse_address(str(address), "address")) != outlet.socket_spec.family:
                raise ValueError(f"{address} is no address that {to} can be answered from")
            socket = _find(outlets, interface, str(address))
            if socket is None:
                try:
                    socket = _open(outlets, outlet.socket_spec.interface, str(address))
                except SocketSetupError as error:
                    count_failed(targets, error)
                    raise
                stack.callback(socket.close)
            target = socket, where, tally
        if transmitter.send_now(data, [target]):
            await transmitter.send_all([data], [target], find)


def count_failed(targets: Targets, error: SocketSetupError) -> None:
    """Count a datagram that was refused before it came to a socket."""
    tally = targets.tallies.setdefault(error.interface or "", Tally())
    tally.failed += 1
    tally.last_error = error


def _find(outlets: Outlets, interface: str, address: str) -> McastSocket | None:
    """Return the open socket that sends from an address of an interface, if there is one."""
    for socket in outlets.open_sockets:
        spec = socket.socket_spec
        if (spec.interface.name, spec.bind[0]) == (interface, address):
            return socket
    return None


def _open(outlets: Outlets, interface: Interface, address: str) -> McastSocket:
    """Open a socket to send from another address of an interface."""
    local = parse_address(address, "address")
    key = family_of(local), local
    socket_spec = plan_sender_socket(interface, key, outlets.request, outlets.host.platform)
    return outlets.wrap(outlets.host.open_socket(socket_spec))
