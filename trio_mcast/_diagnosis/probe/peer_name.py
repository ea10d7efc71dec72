"""The other machine as it is named: a host, maybe with a control port. Pure."""

from __future__ import annotations

from ipaddress import ip_address

from ..._values.addresses import Endpoint, parse_port
from .control import CONTROL_PORT


def parse_peer(peer: str | Endpoint) -> Endpoint:
    """Return the host, which may be a name, and the control port.

    Args:
        peer: ``"10.0.0.2"``, ``"pumpe.example"``, ``"fe80::2%eth0"``; with another control port
            ``"10.0.0.2:5000"``, ``"[fd00::2]:5000"``; or an `Endpoint`.

    Raises:
        TypeError: It is neither text nor an `Endpoint`.
        ValueError: It can be no machine, or no port.
    """
    if isinstance(peer, Endpoint):
        host, port = peer
    elif isinstance(peer, str):
        host, port = _split(peer)
    else:
        raise TypeError(f"peer must be a str or an Endpoint, not {type(peer).__name__}: {peer!r}")
    if not host or any(letter.isspace() or letter in "/@[]" for letter in host):
        raise ValueError(f"peer {str(peer)!r} is no machine: write 10.0.0.2, or its name")
    try:
        address = ip_address(host)
    except ValueError:
        if ":" in host:
            raise ValueError(f"peer {str(peer)!r} is neither an address nor a name") from None
    else:
        if address.is_multicast or address.is_unspecified:
            raise ValueError(f"peer {host} is no machine: name the other machine, not a group")
    return Endpoint(host, parse_port(port, "the control port of peer"))


def _split(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if colon and host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif not colon or ":" in host.partition("%")[0]:
        return text.removeprefix("[").removesuffix("]"), CONTROL_PORT
    if not (port.isascii() and port.isdecimal()):
        raise ValueError(f"peer {text!r}: {port!r} is no control port")
    return host, int(port)
