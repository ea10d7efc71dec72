"""The doubles of what programs would use to leave a virtual network.

These are `time.time`, plain sockets, and what asks the real network for addresses and names of
hosts.

They stand in for the real ones while a network is entered, and in its tasks only: each asks whose
task it is. Everybody else, such as other threads and pytest itself, gets the real ones.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from .._host.current import host_variable
from ._clock import VirtualClock

_REAL_TIME: Final = time.time
_REAL_TIME_NS: Final = time.time_ns
_REAL_INIT: Final = socket.socket.__init__
_REAL_LOOKUPS: Final = {
    name: getattr(socket, name) for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex")
}
_REAL_GETHOSTBYADDR: Final = socket.gethostbyaddr
_REAL_GETNAMEINFO: Final = socket.getnameinfo
# The default, the two families, and sockets that send whole frames, which only Linux has.
_INTERNET: Final = (-1, socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_PACKET", -1))

# How many networks are entered.
_networks = 0


def _clock() -> VirtualClock | None:
    clock = getattr(host_variable.get(), "clock", None)
    return clock if isinstance(clock, VirtualClock) and clock.is_running else None


def _time() -> float:
    clock = _clock()
    return _REAL_TIME() if clock is None else clock.time()


def _time_ns() -> int:
    clock = _clock()
    return _REAL_TIME_NS() if clock is None else clock.time_ns()


def _init(
    self: socket.socket,
    family: int = -1,
    type: int = -1,
    proto: int = -1,
    fileno: int | None = None,
) -> None:
    if fileno is None and family in _INTERNET and _clock() is not None:
        raise RuntimeError(
            "socket.socket() and trio.socket.socket() reach the real network, and this task is in "
            "a VirtualNetwork: use open_mcast_receiver(), open_mcast_sender() or "
            "open_mcast_channel(), or open the socket before the network is entered"
        )
    _REAL_INIT(self, family, type, proto, fileno)


def _double_of_lookup(name: str) -> Callable[..., Any]:
    """Return the double of a function that looks a host up: it takes numbers only."""
    real = _REAL_LOOKUPS[name]

    @wraps(real)
    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host and _clock() is not None:
            try:
                _REAL_LOOKUPS["getaddrinfo"](host, None, flags=socket.AI_NUMERICHOST)
            except socket.gaierror:
                raise RuntimeError(
                    f"socket.{name}() asks the real network for {host!r}, and this task is in a "
                    "VirtualNetwork: name an address, or look it up before the network is entered"
                ) from None
        return real(host, *args, **kwargs)

    return look_up


def _refuse_name(function: str, host: Any) -> None:
    if _clock() is not None:
        raise RuntimeError(
            f"socket.{function}() asks the real network for the name of {host!r}, and this task is "
            "in a VirtualNetwork: show the address, or look its name up before the network is "
            "entered"
        )


def _gethostbyaddr(host: Any) -> tuple[str, list[str], list[str]]:
    # Called by socket.getfqdn(), too.
    _refuse_name("gethostbyaddr", host)
    return _REAL_GETHOSTBYADDR(host)


def _getnameinfo(address: Any, flags: int) -> tuple[str, str]:
    if not flags & socket.NI_NUMERICHOST:
        _refuse_name("getnameinfo", address[0])
    return _REAL_GETNAMEINFO(address, flags)


_DOUBLES: Final[tuple[tuple[Any, str, Any, Any], ...]] = (
    (time, "time", _REAL_TIME, _time),
    (time, "time_ns", _REAL_TIME_NS, _time_ns),
    (socket.socket, "__init__", _REAL_INIT, _init),
    (socket, "gethostbyaddr", _REAL_GETHOSTBYADDR, _gethostbyaddr),
    (socket, "getnameinfo", _REAL_GETNAMEINFO, _getnameinfo),
    *((socket, name, real, _double_of_lookup(name)) for name, real in _REAL_LOOKUPS.items()),
)


def put_in() -> None:
    """Put the doubles in their places."""
    global _networks
    _networks += 1
    if _networks == 1:
        for place, name, _, double in _DOUBLES:
            setattr(place, name, double)


def take_out() -> None:
    """Take the doubles out, when the last network has ended."""
    global _networks
    _networks -= 1
    if not _networks:
        for place, name, real, _ in _DOUBLES:
            setattr(place, name, real)
