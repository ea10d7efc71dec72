"""`Tallies`: the probes that came, case by case. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import attrs

from .header import Header, Kind

MOST_CASES: Final = 256
MOST_NUMBERS: Final = 1_024
_MOST_NAMES: Final = 4
_SHIFT: Final = 16


def sequence_of(case: int, number: int) -> int:
    """Return the sequence of a probe in its header: the case, and the number in it."""
    return case << _SHIFT | number


@attrs.frozen
class Tally:
    """The probes of one case that came.

    Attributes:
        got: How many, each counted once.
        duplicates: How many came more than once.
        last: The number of the last that came; -1 if none did.
        by_interface: How many came on each interface.
        ttls: The least and the most ttl on arrival; nothing if none is known.
        sources: The addresses that they came from.
    """

    got: int = 0
    duplicates: int = 0
    last: int = -1
    by_interface: Mapping[str, int] = attrs.Factory(dict)
    ttls: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Tally:
        """Return the tally in the fields of a control message; what does not fit is left."""

        def number(name: str) -> int:
            value = fields.get(name, 0)
            return value if isinstance(value, int) and 0 <= value <= MOST_NUMBERS else 0

        last, places = fields.get("last"), fields.get("by_interface")
        places = places if isinstance(places, dict) else {}
        return cls(
            number("got"),
            number("duplicates"),
            last if isinstance(last, int) and -1 <= last < MOST_NUMBERS else -1,
            {str(name): count for name, count in places.items() if isinstance(count, int)},
            tuple(ttl for ttl in _listed(fields, "ttls") if isinstance(ttl, int)),
            tuple(map(str, _listed(fields, "sources"))),
        )


def _listed(fields: Mapping[str, Any], name: str) -> list[Any]:
    value = fields.get(name)
    return value[:_MOST_NAMES] if isinstance(value, list) else []


class _Case:
    def __init__(self) -> None:
        self.numbers: Counter[int] = Counter()
        self.by_interface: Counter[str] = Counter()
        self.ttls: set[int] = set()
        self.sources: dict[str, None] = {}


class Tallies:
    """The probes of one run that came. What it keeps is bounded, whatever comes.

    Args:
        run: The number of the run; others are left.
    """

    def __init__(self, run: int) -> None:
        self._run = run
        self._cases: dict[int, _Case] = {}

    def take(self, header: Header, interface: str, ttl: int | None, source: str) -> bool:
        """Count a probe, and tell whether it is one of this run."""
        number, place = header.sequence >> _SHIFT, header.sequence & ((1 << _SHIFT) - 1)
        if header.kind != Kind.PROBE or header.run != self._run:
            return False
        if number >= MOST_CASES or place >= MOST_NUMBERS:
            return False
        case = self._cases.setdefault(number, _Case())
        case.numbers[place] += 1
        if interface and (interface in case.by_interface or len(case.by_interface) < _MOST_NAMES):
            case.by_interface[interface] += 1
        if ttl is not None:
            case.ttls.add(ttl)
        if len(case.sources) < _MOST_NAMES:
            case.sources[source] = None
        return True

    def of_case(self, number: int) -> Tally:
        """Return what came of a case."""
        case = self._cases.get(number)
        if case is None:
            return Tally()
        return Tally(
            len(case.numbers),
            sum(count > 1 for count in case.numbers.values()),
            max(case.numbers),
            dict(case.by_interface),
            (min(case.ttls), max(case.ttls)) if case.ttls else (),
            tuple(case.sources),
        )
