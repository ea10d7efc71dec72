"""The rules say of recorded evidence what they are to say, on any machine."""

from __future__ import annotations

import json
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from trio_mcast import Diagnosis
from trio_mcast._diagnosis.evidence import PARTS, Evidence
from trio_mcast._diagnosis.judging import RULES, judge, without
from trio_mcast._diagnosis.plain import from_plain, to_plain
from trio_mcast._diagnosis.probe_wording import PROBE_WORDINGS
from trio_mcast._diagnosis.wording import WORDINGS

pytestmark = pytest.mark.once

RECORDS = sorted((Path(__file__).parents[1] / "data" / "diagnosis").glob("*.json"))
EVERY_RECORD = pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem) for path in RECORDS]
)


@cache
def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def evidence_of(path: Path) -> Evidence:
    return from_plain(Evidence, read(path)["evidence"])


def test_there_are_records() -> None:
    assert len(RECORDS) >= 275


@EVERY_RECORD
def test_rules_find_what_was_made(path: Path) -> None:
    diagnosis = judge(evidence_of(path))
    codes = {
        finding.code if finding.place == "here" else f"{finding.code}@{finding.place}"
        for finding in diagnosis.findings
        if finding.severity != "note"
    }
    assert sorted(codes) == read(path)["codes"]


@EVERY_RECORD
def test_silence_is_at_most_noted(path: Path) -> None:
    if not path.stem.startswith(("healthy", "silent")):
        return
    diagnosis = judge(evidence_of(path))
    codes = {finding.code for finding in diagnosis.findings}
    # In one of them another group comes to the port, as is worth a note; in another a program has
    # the loop off, which is a hint without root.
    noted = {"nothing-arrived"} if path.stem.startswith("silent") else set()
    assert codes - {"other-group", "sender-loopback-off"} == noted
    assert diagnosis.errors == ()


@EVERY_RECORD
def test_less_evidence_adds_no_error(path: Path) -> None:
    evidence = evidence_of(path)
    errors = {finding.code for finding in judge(evidence).errors}
    gathered = [part for part in PARTS if getattr(evidence, part) is not None]
    # The record of a user is that of root with less.
    for number in (1, 2) if path.stem.endswith("-root") else (1,):
        for parts in combinations(gathered, number):
            less = judge(without(evidence, *parts))
            added = [finding for finding in less.errors if finding.code not in errors]
            if path.stem == "duplicate_address-root":
                # Without the frames, the counters are those of a firewall: no more than likely.
                added = [finding for finding in added if finding.certainty == "certain"]
            assert added == [], parts
            assert len(less.not_checked) >= number


@EVERY_RECORD
def test_diagnosis_comes_back_from_json(path: Path) -> None:
    diagnosis = judge(evidence_of(path))
    assert Diagnosis.from_json(diagnosis.to_json()) == diagnosis
    # A record may be older than a field of the evidence.
    assert holds(to_plain(evidence_of(path)), read(path)["evidence"])


def holds(plain: Any, record: Any) -> bool:
    """Tell whether a plain value has all that a record has."""
    if isinstance(record, dict):
        return all(name in plain and holds(plain[name], record[name]) for name in record)
    if isinstance(record, list):
        return len(plain) == len(record) and all(map(holds, plain, record))
    return bool(plain == record)


@pytest.mark.parametrize(
    ("who", "places"),
    [
        ("root", {"eth0": "certain"}),
        # The counter is one for all interfaces.
        ("user", {"eth0": "likely", "eth1": "likely"}),
    ],
)
def test_reverse_path_filter_is_certain_only_where_it_was_seen(
    who: str, places: dict[str, str]
) -> None:
    name = f"rp_filter_with_default_route_elsewhere-{who}"
    path = next(one for one in RECORDS if one.stem == name)
    findings = judge(evidence_of(path)).findings
    told = {one.interface: one.certainty for one in findings if one.code == "reverse-path-filter"}
    assert told == places


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is no JSON \\(Expecting value"),
        ("[]", "no diagnosis"),
        ("{}", "no format number"),
        ('{"format": 2}', "has format 2"),
        ('{"format": 1}', "Diagnosis has no 'verdict'"),
    ],
)
def test_what_is_no_diagnosis_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Diagnosis.from_json(text)


def test_every_code_has_its_sentences_and_every_explained_code_exists() -> None:
    codes = {rule.code for rule in RULES}
    assert {rule.code for rule in RULES if not rule.is_of_probe} == set(WORDINGS)
    assert {rule.code for rule in RULES if rule.is_of_probe} == set(PROBE_WORDINGS)
    assert {code for rule in RULES for code in rule.explains} <= codes
    assert all(set(rule.needs) <= set(PARTS) for rule in RULES)


@pytest.mark.parametrize("who", ["root", "user"])
def test_group_that_came_whole_is_not_blamed_for_a_silent_one(who: str) -> None:
    path = next(one for one in RECORDS if one.stem == f"firewall_for_one_of_two_groups-{who}")
    findings = judge(evidence_of(path)).findings
    assert {one.group for one in findings if one.code == "firewall"} == {"239.1.2.3"}
