"""Reading of a responder's answers, with care: they may say anything. Pure."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any, Final

from .control import Message
from .measured import JoinRefusal, PeerLink, ProbeCase

# So many at the end of a long sending that did not come are not chance.
_MISSING_AT_END: Final = 3


def is_forgotten(case: ProbeCase) -> bool:
    """Tell whether none of the last of a long sending came, which began as all had come."""
    last = -1 if case.last is None else case.last
    return case.sent - 1 - last >= _MISSING_AT_END


def whole(value: object) -> int:
    """Return a whole number above 0; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def is_loopback(link: PeerLink) -> bool:
    """Tell whether an interface is a loopback interface."""
    return any(ip_interface(address).is_loopback for address in link.addresses)


def counters_in(message: Message) -> dict[str, int] | None:
    """Return what the counters rose by; `None` if the machine tells none."""
    rises = message.fields.get("rises")
    if not isinstance(rises, dict):
        return None
    return {str(name): whole(rise) for name, rise in rises.items()}


def links_in(message: Message) -> tuple[PeerLink, ...]:
    """Return the interfaces of the other machine."""
    links = []
    for name, addresses in _rows(message, "links", 2):
        if isinstance(addresses, list):
            links.append(PeerLink(str(name), tuple(filter(_is_interface, map(str, addresses)))))
    return tuple(links)


def _is_interface(text: str) -> bool:
    try:
        ip_interface(text)
    except ValueError:
        return False
    return True


def refusals_in(message: Message) -> tuple[JoinRefusal, ...]:
    """Return the joins that the other machine refused."""
    rows = _rows(message, "refused", 4)
    return tuple(JoinRefusal("there", *map(str, row)) for row in rows)


def _rows(message: Message, name: str, length: int) -> list[list[Any]]:
    rows = message.fields.get(name)
    rows = rows if isinstance(rows, list) else []
    return [row for row in rows if isinstance(row, list) and len(row) == length]
