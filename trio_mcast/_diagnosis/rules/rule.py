"""`Rule`: what finds one code, what it needs, and what it explains. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeAlias

import attrs

from ..diagnosis import Certainty, Place, Reading, Severity
from ..evidence import Evidence, Subject
from .view import FEWEST, View


@attrs.frozen
class Match:
    """A case of what a rule looks for.

    Attributes:
        interface: The interface that it is about.
        group: The group that it is about.
        values: The values that the wording of the code mentions, by name.
        readings: The values that it rests on.
        certainty: How sure it is.
        place: The machine at which it is.
    """

    interface: str | None = None
    group: str | None = None
    values: Mapping[str, object] = attrs.Factory(dict)
    readings: tuple[Reading, ...] = ()
    certainty: Certainty = "certain"
    place: Place = attrs.field(default="here", kw_only=True)


_Find: TypeAlias = Callable[[View], Iterable[Match]]


@attrs.frozen
class Rule:
    """The rule of one code.

    Attributes:
        code: The code.
        severity: The severity of what it finds.
        needs: The parts of the evidence without which it says nothing.
        explains: The codes that need not be told of where this one was found, as they follow from
            it or have the same evidence.
        role: The role of this machine that it is for, or ``"machine"`` if no group is in question;
            `None` for all.
        find: Yields the cases.
        is_of_probe: Whether it judges the two-ended probe, whose sentences are others.
    """

    code: str
    severity: Severity
    needs: tuple[str, ...]
    explains: tuple[str, ...]
    role: Subject | None
    find: _Find
    is_of_probe: bool = False

    def can_judge(self, evidence: Evidence) -> bool:
        """Tell whether everything is there that the rule needs."""
        fits = self.role in (None, evidence.question.subject)
        return fits and all(getattr(evidence, part) is not None for part in self.needs)


def rule(
    code: str,
    severity: Severity = "error",
    *,
    needs: tuple[str, ...] = (),
    explains: tuple[str, ...] = (),
    role: Subject | None = "receiver",
) -> Callable[[_Find], Rule]:
    """Make a `Rule` of a function that yields the cases of a code."""

    def make(find: _Find) -> Rule:
        return Rule(code, severity, needs, explains, role, find)

    return make


def reading(where: str, value: object) -> tuple[Reading, ...]:
    """Return one reading, as the readings of a match are given."""
    return (Reading(where, str(value)),)


def dropping(view: View, hooks: Collection[str]) -> str:
    """Return the rules at some hooks that dropped meanwhile, as text; empty if none is known.

    Where none has counted anything, those that do not count.
    """
    rules = [one for one in view.evidence.filters or () if one.hook in hooks]
    counted = [one for one in rules if (one.after or 0) - (one.before or 0) >= FEWEST]
    suspects = counted or [one for one in rules if one.after is None]
    return "; ".join(f"{one.place}, {one.text}" for one in suspects)


def rises(view: View, *counters: str) -> tuple[Reading, ...]:
    """Return what counters rose by in each phase."""
    return tuple(
        Reading(
            f"{counter}, rise",
            ", ".join(
                f"{phase.name} {phase.rise(counter)} in {phase.seconds:.1f} s"
                for phase in view.evidence.phases or ()
            ),
        )
        for counter in counters
    )
