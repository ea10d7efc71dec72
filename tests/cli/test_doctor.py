"""``trio-mcast doctor``, as people run it, and what it prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import attrs
import click
import pytest

from tests.lab.fixtures import TwoHosts
from tests.support.needs import needs_program
from trio_mcast import Diagnosis, Finding, NotChecked, Reading
from trio_mcast._cli.doctor import exit_status, one_question, print_diagnosis
from trio_mcast._cli.targets import parse_target
from trio_mcast._diagnosis.evidence import Evidence, Heard, Question, Role

from .test_demo import COMMAND, environment, run

pytestmark = pytest.mark.once

DOCTOR = (*COMMAND, "doctor")

QUESTION = Question(("239.1.2.3",), 5000)
HEARD = Heard("joined", "239.1.2.3", "eth0", 5000, count=7)
FINDING = Finding(
    "firewall",
    "error",
    "certain",
    "eth0",
    "239.1.2.3",
    "Something drops.",
    (Reading("a counter", "40"),),
    cure="nft list ruleset",
)


def diagnosis_with(*findings: Finding, count: int = 7, role: Role = "receiver") -> Diagnosis:
    heard = attrs.evolve(HEARD, count=count)
    question = attrs.evolve(QUESTION, role=role)
    evidence = Evidence(question=question, heard=(heard,))
    return Diagnosis("The verdict.", findings, (NotChecked("routes", "takes root"),), evidence)


@pytest.mark.parametrize(
    ("diagnosis", "status"),
    [
        (diagnosis_with(), 0),
        (diagnosis_with(FINDING), 1),
        (diagnosis_with(attrs.evolve(FINDING, severity="warning")), 0),
        (diagnosis_with(count=0), 3),
        (diagnosis_with(FINDING, count=0), 1),
        (diagnosis_with(count=0, role="sender"), 0),
    ],
)
def test_exit_status_tells_the_result(diagnosis: Diagnosis, status: int) -> None:
    assert exit_status(diagnosis) == status


def test_all_of_a_diagnosis_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_diagnosis(diagnosis_with(FINDING))
    assert capsys.readouterr().out == (
        "The verdict.\n"
        "\n"
        "error (certain): firewall, eth0, 239.1.2.3\n"
        "  Something drops.\n"
        "  - a counter: 40\n"
        "  What to do: nft list ruleset\n"
        "\n"
        "Not looked at:\n"
        "  * routes: takes root\n"
    )


@pytest.mark.parametrize(
    ("texts", "options", "question"),
    [
        (("239.1.2.3:5000",), (), (("239.1.2.3",), 5000, ())),
        (("239.1.2.3:5000", "[ff15::1]:5000"), (), (("239.1.2.3", "ff15::1"), 5000, ())),
        (("[ff02::1%eth0]:5000",), (), (("ff02::1%eth0",), 5000, ())),
        (("239.1.2.3:5000", "239.1.2.3:5000"), (), (("239.1.2.3",), 5000, ())),
        (
            ("10.0.0.1@232.1.2.3:5000",),
            ("10.0.0.2",),
            (("232.1.2.3",), 5000, ("10.0.0.1", "10.0.0.2")),
        ),
    ],
)
def test_targets_make_one_question(
    texts: tuple[str, ...], options: tuple[str, ...], question: object
) -> None:
    assert one_question([parse_target(text) for text in texts], options) == question


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("239.1.2.3:5000", "239.1.2.3:5001"), "groups of one port"),
        (("239.1.2.3:5000", "10.0.0.1@232.1.2.3:5000"), "a source to each group or to none"),
    ],
)
def test_targets_that_make_no_question_are_a_usage_error(
    texts: tuple[str, ...], message: str
) -> None:
    with pytest.raises(click.UsageError, match=message):
        one_question([parse_target(text) for text in texts], ())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument"),
        (("239.1.2.3:70000",), "70000"),
        (("239.1.2.3:5000", "--duration", "0"), "duration"),
        (("239.1.2.3:5000", "--source", "239.1.1.1"), "239.1.1.1"),
    ],
)
def test_wrong_usage_ends_with_status_2(arguments: Sequence[str], message: str) -> None:
    result = run(*DOCTOR, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@needs_program("nft")
def test_port_held_is_told_in_plain_text_and_in_json(two_hosts: TwoHosts) -> None:
    program = (
        "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        "s.bind(('0.0.0.0', 5000)); print('bound', flush=True); time.sleep(60)"
    )
    arguments = (*DOCTOR, "239.1.2.3:5000", "--interface", "eth0", "--duration", "0.3")
    with two_hosts.a.popen(sys.executable, "-c", program) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "bound\n"
        plain = two_hosts.a.run(*arguments, check=False, env=environment())
        as_json = two_hosts.a.run(*arguments, "--json", check=False, env=environment())
    assert (plain.returncode, plain.stderr) == (1, "")
    assert "error (certain): port-held, eth0, 239.1.2.3\n" in plain.stdout
    assert f"(pid {holder.pid})" in plain.stdout
    assert "\x1b" not in plain.stdout
    assert all(len(line) <= 80 for line in plain.stdout.splitlines())
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)["format"] == 1
    assert Diagnosis.from_json(as_json.stdout).findings[0].code == "port-held"


def test_silence_ends_with_status_3(two_hosts: TwoHosts) -> None:
    result = two_hosts.a.run(
        *DOCTOR, "239.1.2.3:5000", "--duration", "0.2", check=False, env=environment()
    )
    assert (result.returncode, result.stderr) == (3, "")
    assert result.stdout.startswith("0 datagrams of 239.1.2.3 came to port 5000 on eth0, and no")


def test_interface_that_is_not_there_is_a_finding(two_hosts: TwoHosts) -> None:
    result = two_hosts.a.run(
        *DOCTOR,
        "239.1.2.3:5000",
        "--interface",
        "eth7",
        "--duration",
        "0.2",
        check=False,
        env=environment(),
    )
    assert (result.returncode, result.stderr) == (1, "")
    assert "no-such-interface, eth7" in result.stdout
