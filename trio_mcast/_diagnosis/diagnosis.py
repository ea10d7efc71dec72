"""`Diagnosis` and `Finding`: what `diagnose` returns. Pure."""

from __future__ import annotations

import json
from typing import Literal, TypeAlias

import attrs

from .evidence import Evidence
from .masking import mask
from .plain import from_plain, to_plain

Severity: TypeAlias = Literal["error", "warning", "note"]
Certainty: TypeAlias = Literal["certain", "likely"]
Place: TypeAlias = Literal["here", "peer"]

# The types of fields are resolved here, as the public classes say later that they are elsewhere.

# The number of the format that `Diagnosis.to_json` writes.
_FORMAT = 1


@attrs.resolve_types
@attrs.frozen
class Reading:
    """A value that a finding rests on."""

    where: str
    """Where it was read, such as ``"IpExt.InMcastPkts while joined"``."""
    value: str
    """The value, as text."""


@attrs.resolve_types
@attrs.frozen
class Finding:
    """A fault, or something worth knowing, that `diagnose` has found."""

    code: str
    """What was found, such as ``"reverse-path-filter"``. The codes stay what they are."""
    severity: Severity
    """``"error"``: datagrams do not come, or not all. ``"warning"``: they may come, but not
    everywhere or not always. ``"note"``: worth knowing.
    """
    certainty: Certainty
    """``"certain"``, or ``"likely"`` if something else could have left the same evidence."""
    interface: str | None
    """The interface that it is about; `None` if it is about none."""
    group: str | None
    """The group that it is about; `None` if it is about none."""
    what: str
    """What is the case, in a sentence or two."""
    evidence: tuple[Reading, ...]
    """The values that it rests on, each with where it was read."""
    cure: str = attrs.field(kw_only=True)
    """What to do about it, with commands where there are any."""
    place: Place = attrs.field(default="here", kw_only=True)
    """``"here"``, or ``"peer"``: at the other machine of a two-ended probe, or on the way there."""


@attrs.resolve_types
@attrs.frozen
class NotChecked:
    """Something that `diagnose` did not look at."""

    what: str
    """What was not looked at."""
    why: str
    """Why not, and what it takes."""


@attrs.resolve_types
@attrs.frozen
class Diagnosis:
    """The result of `diagnose`, with all the evidence. A frozen value."""

    verdict: str
    """The result in a sentence, with numbers."""
    findings: tuple[Finding, ...]
    """The findings, errors first; a cause before what may follow from it."""
    not_checked: tuple[NotChecked, ...]
    """What was not looked at, and what it takes."""
    evidence: Evidence
    """All that was gathered."""

    @property
    def received(self) -> int:
        """The number of datagrams that came for what was asked; 0 for a sender."""
        heard = self.evidence.heard or ()
        return sum(one.count for one in heard if one.phase == "joined" and one.widening is None)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that are errors."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def masked(self) -> Diagnosis:
        """Return the diagnosis without the addresses of machines, to show it to others.

        Addresses of hosts, hardware addresses and the name of the peer are replaced. The same
        address is replaced by the same other one everywhere, and addresses of one network stay in
        one network. The new addresses are taken from 198.18.0.0/15, 2001:db8::/32 and
        02:00:00:00:00:00. Groups stay, unless they contain a part of a host's address or network.
        Names of interfaces and programs stay.
        """
        return from_plain(Diagnosis, mask(to_plain(self)))

    def to_json(self) -> str:
        """Return the diagnosis as JSON text, evidence included, which `from_json` reads.

        The object has a member ``"format"``, which is 1, and rises when the meaning of other
        members changes.
        """
        return json.dumps({"format": _FORMAT, **to_plain(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Diagnosis:
        """Return the diagnosis that was saved with `to_json`, also on another machine.

        Raises:
            ValueError: The text is no JSON, of a later format, or no diagnosis.
        """
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"this is no diagnosis: it is no JSON ({error})") from None
        if not isinstance(plain, dict) or "format" not in plain:
            raise ValueError("this is no diagnosis: it has no format number")
        number = plain["format"]
        if type(number) is not int or number != _FORMAT:
            raise ValueError(
                f"the diagnosis has format {number!r:.20}, and this version of trio_mcast "
                f"reads format {_FORMAT}: read it with the version that wrote it, or a later one"
            )
        try:
            return from_plain(cls, plain)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"this is no diagnosis of format {_FORMAT}: {error}") from None
