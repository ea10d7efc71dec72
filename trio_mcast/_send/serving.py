"""The open sockets of a sender that carry out new plans, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .._host.protocols import McastSocket
from .._plan.socket_spec import SocketSpec


def find_serving(
    socket_specs: Iterable[SocketSpec], sockets: Iterable[McastSocket]
) -> Iterator[tuple[SocketSpec, McastSocket | None]]:
    """Yield each plan with the socket that carries it out already; `None` if there is none.

    Args:
        socket_specs: The plans.
        sockets: The sockets that may go on.
    """
    open_there: dict[tuple[int, str], list[McastSocket]] = {}
    for socket in sockets:
        before = socket.socket_spec
        open_there.setdefault((before.interface.index, before.bind[0]), []).append(socket)
    for socket_spec in socket_specs:
        alike = (
            socket
            for socket in open_there.get((socket_spec.interface.index, socket_spec.bind[0]), ())
            if _is_alike(socket.socket_spec, socket_spec)
        )
        yield socket_spec, next(alike, None)


def _is_alike(one: SocketSpec, other: SocketSpec) -> bool:
    """Tell whether a socket for one plan carries out the other, whatever the ports are."""
    return _except_port(one) == _except_port(other)


def _except_port(socket_spec: SocketSpec) -> tuple[object, ...]:
    interface, bind = socket_spec.interface, socket_spec.bind
    family, options = socket_spec.family, socket_spec.options
    return interface.name, interface.index, family, bind[0], bind[2:], options
