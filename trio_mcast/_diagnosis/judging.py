"""`judge`: from evidence to a diagnosis. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from .diagnosis import Diagnosis, Finding, NotChecked
from .evidence import Evidence
from .probe_wording import PROBE_WORDINGS
from .rules import (
    asked,
    captured,
    elsewhere,
    filters,
    machine,
    network,
    opening,
    probe,
    sender,
    sending,
)
from .rules.lanes import summary_of
from .rules.rule import Match, Rule
from .rules.view import View, is_joined_by_system, parse
from .wording import WORDINGS, fill

# In the order of search: a cause stands before what may follow from it.
RULES: Final[tuple[Rule, ...]] = (
    *opening.RULES,
    *captured.RULES,
    *filters.RULES,
    *elsewhere.RULES,
    *sending.RULES,
    *sender.RULES,
    *network.RULES,
    *probe.RULES,
    *asked.RULES,
    *machine.RULES,
)

_SEVERITIES: Final = {"error": 0, "warning": 1, "note": 2}

# The parts of the evidence, as people call them.
_PART_NAMES: Final[Mapping[str, str]] = {
    "links": "the links of the interfaces",
    "unmatched": "whether the interfaces exist",
    "settings": "settings of the system, such as the reverse path filter",
    "joined_before": "who had joined the groups before",
    "sockets": "the sockets of other programs",
    "routes": "the routes",
    "phases": "the system's counters",
    "heard": "what arrives",
    "sent": "what becomes of datagrams that are sent",
    "twice": "duplicates",
    "captured": "the frames on the network",
    "queries": "the queries on the network",
    "filters": "the rules of the packet filter",
    "peer": "the way to another machine and back",
}


# The parts that only one kind of question is about.
_ONLY_FOR: Final[Mapping[str, str]] = {
    "heard": "receiver",
    "twice": "receiver",
    "sent": "sender",
}


def judge(evidence: Evidence) -> Diagnosis:
    """Return the diagnosis that follows from evidence."""
    view = View(evidence)
    matches = [
        (each, match) for each in RULES if each.can_judge(evidence) for match in each.find(view)
    ]
    explained = {code for each, _ in matches for code in each.explains if code != each.code}
    findings = [
        _finding(each, match, evidence)
        for each, match in matches
        if each.is_of_probe or each.code not in explained
    ]
    findings = list({_key(finding): finding for finding in reversed(findings)}.values())
    findings.reverse()
    # What counters tell of no interface is told of one already, if it was seen there.
    placed = {_key(finding)[::2] for finding in findings if finding.interface is not None}
    findings = [one for one in findings if one.interface or _key(one)[::2] not in placed]
    findings.sort(key=lambda finding: _SEVERITIES[finding.severity])
    return Diagnosis(
        _verdict(view, findings), tuple(findings), tuple(_not_checked(evidence)), evidence
    )


def _key(finding: Finding) -> tuple[str | None, ...]:
    return finding.code, finding.interface, finding.group, finding.place


def _finding(rule: Rule, match: Match, evidence: Evidence) -> Finding:
    wording = (PROBE_WORDINGS if rule.is_of_probe else WORDINGS)[rule.code]
    values = {
        "port": evidence.question.port,
        "family": "ipv6" if ":" in (match.group or "") else "ipv4",
        "ip": "ip6" if ":" in (match.group or "") else "ip",
        "chain": _chain(evidence),
        "interface": match.interface or "the interface",
        "group": match.group or "the group",
        **match.values,
    }
    return Finding(
        rule.code,
        rule.severity,
        match.certainty,
        match.interface,
        match.group,
        fill(wording.what, values),
        match.readings,
        cure=fill(wording.cure, values),
        place=match.place,
    )


def _chain(evidence: Evidence) -> str:
    """Return the chain that drops, if there is but one that may; else what to put there."""
    places = {one.place for one in evidence.filters or () if one.hook}
    return places.pop() if len(places) == 1 else "TABLE CHAIN"


def _verdict(view: View, findings: list[Finding]) -> str:
    errors = [finding for finding in findings if finding.severity == "error"]
    came = _came(view)
    if view.evidence.peer is not None:
        came += summary_of(view.evidence.peer)
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return f"{came}. {errors[0].what}{more}"
    if view.question.subject == "receiver" and view.evidence.heard is not None and not view.total:
        return f"{came}, and no cause was found on this machine."
    return f"{came}; no error was found."


def _came(view: View) -> str:
    """Return what came, went, or is there, with numbers."""
    groups = ", ".join(view.groups)
    if view.question.subject == "machine":
        return _inventory(view)
    if view.question.subject == "sender":
        sent = sum(sent.count for sent in view.evidence.sent or ())
        doing = f"{_number(sent, 'datagram')} sent" if view.question.send else "Sending"
        return f"{doing} to {groups} port {view.port}"
    if view.evidence.heard is None:
        return f"{groups} port {view.port}: not listened to"
    places = ", ".join(dict.fromkeys(heard.interface for heard in view.opened))
    came = f"{_number(view.total, 'datagram')} of {groups} came to port {view.port}"
    return came + (f" on {places}" if places else ": no interface could be listened on")


def _inventory(view: View) -> str:
    if not view.links:
        return "The interfaces of this machine could not be listed"
    fit = [link.name for link in view.links.values() if link.is_fit]
    names = f": {', '.join(fit)}" if fit else ""
    joined = {one.group for one in view.evidence.joined_before or ()}
    joined = {group for group in joined if not is_joined_by_system(parse(group))}
    text = f"{len(fit)} of {len(view.links)} interfaces are fit for multicast{names}"
    if view.evidence.joined_before is not None:
        text += f"; programs have joined {_number(len(joined), 'group')}"
    if view.evidence.sockets is not None:
        text += f"; {_number(len(view.evidence.sockets), 'UDP socket')}"
    return text


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _not_checked(evidence: Evidence) -> Iterator[NotChecked]:
    subject = evidence.question.subject
    for part, why in evidence.not_gathered.items():
        if getattr(evidence, part) is None and _ONLY_FOR.get(part, subject) == subject:
            yield NotChecked(_PART_NAMES[part], why)
    for text in evidence.peer.skipped if evidence.peer is not None else ():
        what, _, why = text.rpartition(": ")
        yield NotChecked(f"probes {what}", why)


def without(evidence: Evidence, *parts: str) -> Evidence:
    """Return evidence without some parts, as if they had not been gathered."""
    reasons: Any = {
        **dict.fromkeys(parts),
        "not_gathered": {**evidence.not_gathered, **dict.fromkeys(parts, "taken away")},
    }
    return attrs.evolve(evidence, **reasons)
