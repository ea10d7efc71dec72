"""`probe_peer`: the other machine is found by its name, and probed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

import trio

from ..._host.current import current_host
from ..._host.system import SystemHost
from ..._values.addresses import Endpoint
from ..._values.interface import Interface
from ..evidence import Question
from ..gather.ports import read_udp_sockets
from .ears import machine_addresses
from .measured import Peer
from .peer_name import parse_peer
from .prober import Prober

# So many ports are looked at for one that no program of this machine has.
_MOST_PORTS: Final = 20


async def probe_peer(
    question: Question, interfaces: Sequence[Interface], on_step: Callable[[str], None]
) -> Peer:
    """Probe the machine that a question names, and return what was found out.

    Args:
        question: The question.
        interfaces: This machine's interfaces to probe from.
        on_step: Called with what is being done, for people.

    Raises:
        McastError: This machine can have no control port.
    """
    assert question.peer is not None, "the question names a peer"
    assert question.port is not None, "a peer is probed with groups"
    named = parse_peer(question.peer)
    try:
        to = await _resolve(named, question)
    except OSError as error:
        problem = f"{named.host} has no address: {error}"
        return Peer(question.peer, problem=problem, failed="name")
    groups = [group.partition("%")[0] for group in question.groups]
    prober = Prober(
        question.peer,
        to,
        list(dict.fromkeys(groups)),
        question.port,
        interfaces,
        own_port=_free_port(to),
        seconds=question.listen_seconds,
        on_step=on_step,
    )
    return await prober.run()


async def _resolve(named: Endpoint, question: Question) -> Endpoint:
    try:
        ip_address(named.host)
    except ValueError:
        pass
    else:
        return named
    if not isinstance(current_host(), SystemHost):
        raise OSError("names are looked up on a real machine only")
    infos = await trio.socket.getaddrinfo(named.host, named.port, type=socket.SOCK_DGRAM)
    addresses = [str(info[4][0]) for info in infos if info[0] in (socket.AF_INET, socket.AF_INET6)]
    if not addresses:
        raise OSError("it has neither IPv4 nor IPv6")
    wanted = {ip_address(group.partition("%")[0]).version for group in question.groups}
    fitting = [each for each in addresses if ip_address(each.partition("%")[0]).version in wanted]
    return Endpoint((fitting or addresses)[0], named.port)


def _free_port(to: Endpoint) -> int:
    """Return the other machine's control port, or the next one that no program here has."""
    used: set[int] = set()
    if to.host.partition("%")[0] in machine_addresses():
        used.add(to.port)
    if type(current_host()) is SystemHost:
        with suppress(OSError):  # Not every system tells.
            used.update(each.port for each in read_udp_sockets())
    ports = range(to.port, min(to.port + _MOST_PORTS, 65_536))
    return next((port for port in ports if port not in used), to.port)
