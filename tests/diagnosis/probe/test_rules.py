"""The rules of the two-ended probe: of each measured pattern the first code that fits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import pytest

from trio_mcast import Diagnosis, Finding
from trio_mcast._diagnosis.evidence import Evidence, Question
from trio_mcast._diagnosis.judging import judge
from trio_mcast._diagnosis.probe.measured import JoinRefusal, Peer, ProbeCase

pytestmark = pytest.mark.once

GROUP = "239.1.2.3"
OF = {4: GROUP, 6: "ff15::1"}


def case(to: Any, got: int | None, *, version: int = 4, **more: Any) -> ProbeCase:
    destination = OF[version] if to == "group" else to
    ttl = {"unicast": 64, "group": 32}.get(to, 1)
    fields: dict[str, Any] = {
        "interface": "" if to == "unicast" else "eth0",
        "ttl": ttl,
        "size": 64,
        "sent": 20,
        "got": got,
        "last": None if not got else 19,
        "by_interface": {"eth0": got} if got else {},
        "ttls": (ttl, ttl) if got else (),
        **more,
    }
    return ProbeCase("there", version, to, destination, **fields)


def pattern(unicast: int, broadcast: int, local: int, *group: ProbeCase) -> list[ProbeCase]:
    return [
        case("unicast", unicast),
        case("broadcast", broadcast),
        case("local", local),
        *group,
    ]


def judged(cases: Iterable[ProbeCase], **more: Any) -> Diagnosis:
    fields = {"address": "10.0.0.2:27430", "answered": True, "cases": tuple(cases), **more}
    peer = Peer("10.0.0.2:27430", **fields)
    question = Question((GROUP,), 5000, peer="10.0.0.2:27430", role="sender")
    return judge(Evidence(question=question, peer=peer))


def only(diagnosis: Diagnosis) -> Finding:
    (finding,) = diagnosis.findings
    assert finding.evidence
    assert "{" not in finding.what + finding.cure
    return finding


HEALTHY = pattern(
    20, 20, 20, case("group", 20), case("group", 20, ttl=1, ttls=(1, 1)),
    case("group", 20, size=1400), case("group", 20, size=3000),
)  # fmt: skip
RP, GROUPS, DELIVERED = "TcpExt.IPReversePathFilter", "IpExt.InMcastPkts", "Ip.InDelivers"
RECEIVED = "Ip.InReceives"

PATTERNS = [
    pytest.param(
        pattern(
            20,
            0,
            0,
            case("group", 20, ttls=(31, 31)),
            case("group", 0, ttl=1),
            case("group", 20, ttl=4, ttls=(3, 3)),
        ),
        "ttl-too-small",
        "31 on arrival",
        id="router",
    ),
    pytest.param(
        pattern(20, 20, 20, case("group", 20), case("group", 0, size=3000)),
        "fragments-lost",
        "none of 3000",
        id="fragments",
    ),
    pytest.param(
        pattern(
            20, 20, 20, case("group", 20, duplicates=20, by_interface={"eth0": 20, "eth1": 20})
        ),
        "duplicates-on-two-interfaces",
        "eth0 and eth1",
        id="duplicates",
    ),
    pytest.param(
        pattern(20, 20, 0, case("group", 0, rises={RP: 20, RECEIVED: 20})),
        "reverse-path-filter",
        "20 were dropped",
        id="rp_filter",
    ),
    pytest.param(
        pattern(20, 20, 20, case("group", 0, rises={GROUPS: 20, DELIVERED: 1})),
        "firewall",
        "hook input",
        id="firewall",
    ),
    pytest.param(
        pattern(20, 20, 20, case("group", 0)), "filtered-by-snooping", "switch", id="snooping"
    ),
    pytest.param(
        pattern(20, 20, 0, case("group", 0)), "multicast-blocked", "blocks", id="no-flood"
    ),
    pytest.param(
        pattern(20, 0, 0, case("group", 0)), "no-broadcast-domain", "isolates", id="isolation"
    ),
    pytest.param(
        [case("unicast", 20, ttls=(62, 62)), case("broadcast", 0), case("group", 0)],
        "no-broadcast-domain",
        "2 routers",
        id="routed",
    ),
    pytest.param(
        pattern(20, 20, 20, case("group", 0, sent=0, refusal="EPERM", refusal_name="EPERM")),
        "send-blocked",
        "refuses to send",
        id="send-blocked",
    ),
    pytest.param(
        [case("unicast", 20, version=6), case("local", 0, version=6), case("group", 0, version=6)],
        "multicast-blocked",
        "No group",
        id="ipv6-without-broadcast",
    ),
]


def test_healthy_pattern_has_no_finding_and_its_numbers_in_the_verdict() -> None:
    diagnosis = judged(HEALTHY)
    assert diagnosis.findings == ()
    assert "80 of 80 probes came to 10.0.0.2:27430" in diagnosis.verdict


@pytest.mark.parametrize(("cases", "code", "text"), PATTERNS)
def test_pattern_has_its_code(cases: list[ProbeCase], code: str, text: str) -> None:
    finding = only(judged(cases))
    assert finding.code == code
    assert finding.place == ("here" if code == "send-blocked" else "peer")
    assert text in finding.what


@pytest.mark.parametrize(("cases", "code", "text"), PATTERNS)
def test_same_pattern_on_the_way_back_is_at_the_other_end(
    cases: list[ProbeCase], code: str, text: str
) -> None:
    finding = only(judged(attrs.evolve(one, direction="back") for one in cases))
    assert finding.code == code
    assert finding.place == ("peer" if code == "send-blocked" else "here")


def test_nothing_answers() -> None:
    finding = only(judged((), answered=False, problem="none of 4 requests was answered"))
    assert (finding.code, finding.place) == ("no-unicast", "peer")


def test_cure_of_silence_names_the_control_port_that_was_asked() -> None:
    question = Question((GROUP,), 5000, peer="10.0.0.2:999", role="sender")
    finding = only(judge(Evidence(question=question, peer=Peer("10.0.0.2:999", problem="none"))))
    assert "trio-mcast respond --control-port 999." in finding.cure
    assert "udp dport 999 accept" in finding.cure


@pytest.mark.parametrize(
    ("failed", "what", "cure"),
    [
        ("name", "So nothing was sent to it.", "Name it by its address"),
        ("send", "So this machine cannot reach it", "ip route get"),
        ("refused", "has refused (because). So nothing was probed.", "Wait until those end"),
    ],
)
def test_machine_that_was_not_silent_needs_no_open_port(failed: Any, what: str, cure: str) -> None:
    finding = only(judged((), answered=False, problem="because", failed=failed))
    assert (finding.code, finding.place) == ("no-unicast", "peer")
    assert what in finding.what
    assert cure in finding.cure
    assert "firewalls" not in finding.cure


@pytest.mark.parametrize(("name", "code"), [("EADDRINUSE", "port-held"), ("EACCES", "cannot-join")])
def test_join_that_the_peer_refused_is_told(name: str, code: str) -> None:
    refusal = JoinRefusal("there", GROUP, "eth0", name, "it was refused")
    finding = only(judged(pattern(20, 20, 20, case("group", 0)), refusals=(refusal,)))
    assert (finding.code, finding.place) == (code, "peer")
    assert "it was refused" in finding.what


def test_silence_on_one_of_two_interfaces_is_no_fault() -> None:
    other = [attrs.evolve(one, interface="eth1", got=0) for one in HEALTHY if one.interface]
    assert judged([*HEALTHY, *other]).findings == ()
    assert judged([HEALTHY[0], *other, *HEALTHY[1:]]).findings == ()


def test_translated_address_is_the_reason_of_isolation() -> None:
    cases = pattern(20, 0, 0, case("group", 0))
    finding = only(judged(cases, seen_as="192.0.2.1", is_translated=True))
    assert finding.code == "no-broadcast-domain"
    assert "192.0.2.1 is none of this machine's" in finding.what


def test_other_traffic_of_the_peer_makes_no_firewall() -> None:
    # What is not delivered of other groups comes all the time, while unicast is sent as well.
    noise = {RECEIVED: 500, DELIVERED: 21}
    cases = [
        case("unicast", 20, rises=noise),
        case("local", 20, rises=noise),
        case("group", 0, rises={RECEIVED: 490, DELIVERED: 1}),
    ]
    assert only(judged(cases)).code == "filtered-by-snooping"


@pytest.mark.parametrize(
    ("others", "undelivered", "code"),
    [
        # What was measured on a busy machine: as much other traffic as there are probes.
        ((21, 16, 19), (35, 36, 36), "firewall"),
        ((21, 16, 19), (35, 22, 36), "filtered-by-snooping"),
        ((21, 16, 19), (28, 28, 28), "filtered-by-snooping"),
        ((90, 85, 95), (112, 110, 111), "filtered-by-snooping"),
    ],
    ids=["steady", "not each", "too few", "next to nothing more"],
)
def test_more_than_other_traffic_at_each_probe_of_the_group_is_a_firewall(
    others: tuple[int, ...], undelivered: tuple[int, ...], code: str
) -> None:
    cases = [
        case(to, 20, seconds=0.25, rises={RECEIVED: 20 + other, DELIVERED: 20})
        for to, other in zip(("unicast", "broadcast", "local"), others, strict=True)
    ]
    cases += [
        case("group", 0, ttl=ttl, seconds=0.25, rises={RECEIVED: more, DELIVERED: 0})
        for ttl, more in zip((32, 1, 4), undelivered, strict=True)
    ]
    assert only(judged(cases)).code == code


@pytest.mark.parametrize(
    ("ageing", "certainty"),
    [
        ([{"got": 40, "last": 39, "purpose": "ageing", "sent": 60}], "likely"),
        (
            [
                {"got": 0, "purpose": "ageing", "sent": 60},
                {"got": 5, "last": 4, "purpose": "rejoined", "sent": 5},
            ],
            "certain",
        ),
    ],
)
def test_membership_that_ages_is_told(ageing: list[dict[str, Any]], certainty: str) -> None:
    cases = [case("group", each.pop("got"), seconds=300.0, **each) for each in ageing]
    finding = only(judged([*HEALTHY, *cases]))
    assert (finding.code, finding.certainty) == ("membership-aged-out", certainty)


def test_case_that_the_membership_did_not_outlive_is_no_other_fault() -> None:
    cases = pattern(20, 20, 20, case("group", 20), case("group", 0, ttl=1))
    lost = case("group", 0, purpose="ageing", sent=60)
    assert only(judged([*cases, lost])).code == "membership-aged-out"


@pytest.mark.parametrize(("cases", "code", "text"), PATTERNS)
def test_evidence_of_the_peer_survives_json(cases: list[ProbeCase], code: str, text: str) -> None:
    diagnosis = judged(cases, round_trip=0.25)
    assert Diagnosis.from_json(diagnosis.to_json()) == diagnosis
