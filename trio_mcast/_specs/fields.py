"""The converters of the fields of specs: each argument is checked, and parsed where that is due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from .._receive.store import OVERFLOWS, Overflow
from .._send.transmitter import SENDER_OVERFLOWS, SenderOverflow
from .._values.addresses import (
    AddressLike,
    parse_address,
    parse_groups,
    parse_port,
    parse_ports,
    parse_sources,
)
from .._values.numbers import parse_int


def groups(value: AddressLike | Iterable[AddressLike]) -> Any:
    """Parse groups; the spec keeps them as text once its request is made."""
    return parse_groups(value)


def groups_or_none(value: AddressLike | Iterable[AddressLike]) -> Any:
    """Parse the groups of a receiver, which may have none to begin with."""
    return parse_groups(value, may_be_none=True)


def port(value: int) -> int:
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        raise TypeError(
            f"port must be an int, not {type(value).__name__}: {value!r}: a sender sends to one "
            "port, and to another with to=(group, port)"
        )
    return parse_port(value, "port")


def ports(value: int | Iterable[int]) -> int | tuple[int, ...]:
    """Parse ports; the spec keeps one as an int."""
    ports = parse_ports(value)
    return ports[0] if len(ports) == 1 else ports


def source_port(value: int) -> int:
    return parse_port(value, "source_port", lowest=0)


def sources(value: AddressLike | Iterable[AddressLike] | None) -> Any:
    return parse_sources(value, "sources")


def excluded_sources(value: AddressLike | Iterable[AddressLike] | None) -> Any:
    return parse_sources(value, "excluded_sources")


def source_address(value: AddressLike | None) -> Any:
    if value is None:
        return None
    address = parse_address(value, "source_address")
    if address.is_multicast or address.is_unspecified:
        raise ValueError(
            f"source_address {str(value)!r} is not an address that datagrams can come from: "
            "give one of the interface's own addresses"
        )
    return address


def ttl(value: int) -> int:
    return parse_int(value, "ttl", 0, 255)


def unicast_ttl(value: int | None) -> int | None:
    return None if value is None else parse_int(value, "unicast_ttl", 1, 255)


def traffic_class(value: int | None) -> int | None:
    return None if value is None else parse_int(value, "traffic_class", 0, 255)


# More datagrams than any memory has room for.
_MOST_BUFFERED = 2**31 - 1


def max_buffered(value: int) -> int:
    return parse_int(value, "max_buffered", 1, _MOST_BUFFERED)


def _check_overflow(value: object, policies: Sequence[str]) -> None:
    if not isinstance(value, str):
        raise TypeError(f"overflow must be text, not {type(value).__name__}: {value!r}")
    if value not in policies:
        choices = ", ".join(map(repr, policies))
        raise ValueError(f"overflow must be one of {choices}, not {value!r}")


def overflow(value: Overflow) -> Overflow:
    _check_overflow(value, OVERFLOWS)
    return value


def sender_overflow(value: SenderOverflow) -> SenderOverflow:
    _check_overflow(value, SENDER_OVERFLOWS)
    return value


# SO_RCVBUF and SO_SNDBUF take a C int, which Linux doubles.
_MAX_BUFFER_BYTES = 2**30 - 1


def receive_buffer_size(value: int | None) -> int | None:
    return None if value is None else parse_int(value, "receive_buffer_size", 1, _MAX_BUFFER_BYTES)


def send_buffer_size(value: int | None) -> int | None:
    return None if value is None else parse_int(value, "send_buffer_size", 1, _MAX_BUFFER_BYTES)


def _check_flag(spec: object, attribute: attrs.Attribute[bool], value: bool) -> None:
    if not isinstance(value, bool):
        raise TypeError(
            f"{attribute.name} must be True or False, not {type(value).__name__}: {value!r}"
        )


def flag(default: bool) -> bool:
    field: bool = attrs.field(default=default, kw_only=True, validator=_check_flag)
    return field
