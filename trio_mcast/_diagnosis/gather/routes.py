"""Where the system sends datagrams to groups, and to those that send."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..._host.facts import route_facts
from ..._values.interface import Interface
from ..evidence import RouteFact
from ..rules.view import parse


def gather_routes(
    groups: Iterable[str],
    sources: Iterable[str],
    interfaces: Sequence[Interface],
    chosen: Iterable[Interface],
) -> tuple[RouteFact, ...] | None:
    """Return the routes of groups, with and without an interface, and of sources.

    Returns:
        The routes; `None` where this system is not asked.

    Raises:
        OSError: The system refuses to tell.
    """
    names = {interface.index: str(interface) for interface in interfaces}
    throughs = [0, *(interface.index for interface in chosen)]
    questions = [(group, through) for group in groups for through in throughs]
    questions += [(source, 0) for source in sources]
    routes = []
    for destination, through in questions:
        facts = route_facts(parse(destination), through)
        if facts is None:
            return None
        routes.append(
            RouteFact(
                destination,
                names.get(through, ""),
                names.get(facts.index, ""),
                facts.gateway,
                facts.kind,
                facts.errno,
            )
        )
    return tuple(routes)
