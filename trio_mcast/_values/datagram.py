"""The `Datagram` value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from .addresses import Endpoint
from .interface import Interface
from .shown import cut_payload


# A NamedTuple because one is made per datagram and its constructor counts. Measured: attrs.frozen
# 414 ns, a NamedTuple 184 ns, and by `make_datagram`, as the fast path does, 117 ns.
class Datagram(NamedTuple):
    """One UDP datagram that was received. Immutable."""

    data: bytes
    """The payload, never cut short: up to 65,507 bytes over IPv4, 20 more over IPv6."""
    source: Endpoint
    """The sender's address and port."""
    group: str | None
    """The group of the destination, as text; `None` for unicast: a reply to a sender, or a datagram
    that a receiver has accepted with ``accept_unicast``.
    """
    interface: Interface
    """The interface of arrival. For unicast, the interface that has the destination address; the
    system may let the datagram in through another.
    """
    ttl: int | None = None
    """The ttl (IPv4) or hop limit (IPv6) on arrival; `None` unless the receiver, or for a reply the
    sender, was opened with ``receive_ttl``.
    """
    timestamp_ns: int | None = None
    """The time of arrival in the kernel, in nanoseconds since 1970 (UTC); `None` unless
    opened with ``receive_timestamp``.
    """
    destination: Endpoint = Endpoint("", 0)
    """The address and port that the datagram was sent to. For a group, its ``host`` is the group,
    with the interface as its zone where the group means another one on each link: IPv6 groups of
    the scopes 1 and 2 (``"ff02::fb%eth0"``). For unicast it is this machine's own address. A
    `Datagram` that a program makes without one has an empty ``host``.
    """

    traffic_class: int | None = None
    """The IPv4 type of service or IPv6 traffic class on arrival, 0 to 255: six bits of DSCP, two of
    ECN (RFC 2474, RFC 3168); `None` unless opened with ``receive_traffic_class``.
    """

    def __repr__(self) -> str:
        shown = {name: repr(value) for name, value in self._asdict().items()}
        shown.update(data=cut_payload(self.data), interface=str(self.interface))
        defaults = self._field_defaults
        fields = [
            f"{name}={text}"
            for name, text in shown.items()
            if name not in defaults or getattr(self, name) != defaults[name]
        ]
        return f"{type(self).__name__}({', '.join(fields)})"


class _DirectTuple(tuple[object, ...]):
    """A tuple with the constructor of `tuple` itself, unlike a NamedTuple."""

    __slots__ = ()


# The class that `make_datagram` returns: a `Datagram` in all but the constructor, which takes all
# fields as one iterable. With a NamedTuple as first base, the interpreter would look for
# `__new__` each time (measured, with the payload: 144 ns through ``tuple.__new__`` itself, 117 ns
# so).
class _MadeDatagram(_DirectTuple, Datagram):
    __slots__ = ()
    __new__ = tuple.__new__  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, ...]:
        return Datagram, tuple(self)


_MadeDatagram.__name__ = _MadeDatagram.__qualname__ = Datagram.__name__
_MadeDatagram.__doc__ = Datagram.__doc__

_Maker: TypeAlias = Callable[[Iterable[object]], Datagram]

#: From all fields of a datagram, in order, the datagram: for `map`.
make_datagram: _Maker = _MadeDatagram
