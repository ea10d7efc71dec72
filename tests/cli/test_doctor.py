"""``trio-mcast doctor``, as people run it, and what it prints."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import attrs
import click
import pytest

from tests.lab.fixtures import TwoHosts
from tests.support.needs import needs_program
from trio_mcast import Diagnosis, Finding, NotChecked, Reading
from trio_mcast._cli.diagnosis_text import print_diagnosis
from trio_mcast._cli.doctor import exit_status, one_question, progress_line
from trio_mcast._cli.targets import parse_target
from trio_mcast._diagnosis.evidence import Evidence, Heard, JoinedGroup, Question, Role
from trio_mcast._diagnosis.phases import Progress

from .test_demo import COMMAND, environment, run_here

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
        "Joined for this, and left again: 239.1.2.3 on eth0.\n"
        "\n"
        "Not looked at:\n"
        "  * routes: takes root\n"
    )


@pytest.mark.parametrize(
    ("texts", "options", "question"),
    [
        ((), (), ((), None, ())),
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
        (("--sender",), "--sender: name at least one group"),
        (("--source", "10.0.0.1", "--routed"), "--source, --routed: name at least one group"),
        (("--peer", "10.0.0.2"), "--peer: name at least one group"),
        (("239.1.2.3:5000", "--send", "3"), "add --sender"),
        (("239.1.2.3:5000", "--sender", "--send", "10001"), "'--send'"),
        (("239.1.2.3:5000", "--duration", "inf"), "--duration"),
        (("239.1.2.3:5000", "--duration", "nan"), "--duration"),
        (("239.1.2.3:5000", "--sender", "--send", "0"), "send"),
        (("239.1.2.3:5000", "--read", "x"), "a group is for looking"),
        (("--read", "x", "--sender"), "--sender is for looking"),
        (("239.1.2.3:70000",), "70000"),
        (("239.1.2.3:5000", "--duration", "0"), "duration"),
        (("239.1.2.3:5000", "--source", "239.1.1.1"), "239.1.1.1"),
    ],
)
def test_wrong_usage_ends_with_status_2(arguments: Sequence[str], message: str) -> None:
    result = run_here("doctor", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    # What is typed has other names than the arguments of the function.
    assert not re.search("Traceback|role|listen_seconds|None", result.stderr)


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


# Reports ---------------------------------------------------------------------------------------


def saved(path: Path, diagnosis: Diagnosis) -> str:
    path.write_text(diagnosis.to_json())
    return str(path)


@pytest.mark.parametrize(
    ("diagnosis", "status"),
    [
        (diagnosis_with(), 0),
        (diagnosis_with(FINDING), 1),
        (diagnosis_with(count=0), 3),
    ],
)
def test_report_is_read_as_what_it_was(tmp_path: Path, diagnosis: Diagnosis, status: int) -> None:
    path = saved(tmp_path / "report.json", diagnosis)
    result = run_here("doctor", "--read", path)
    assert (result.returncode, result.stderr) == (status, "")
    assert result.stdout.startswith("The verdict.\n")
    again = run_here("doctor", "--read", path, "--json")
    assert (again.returncode, Diagnosis.from_json(again.stdout)) == (status, diagnosis)


def test_report_is_masked_when_it_is_read(tmp_path: Path) -> None:
    finding = attrs.evolve(FINDING, what="Something drops what comes from 10.20.30.40.")
    path = saved(tmp_path / "report.json", diagnosis_with(finding))
    masked = tmp_path / "masked.json"
    result = run_here("doctor", "--read", path, "--mask", "--report", str(masked))
    assert result.returncode == 1
    for text in (result.stdout, masked.read_text()):
        assert "10.20.30.40" not in text
        assert "198.18.0.1" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no format number"),
        (b'{"format": 99}', "has format 99, and this version of trio_mcast reads format 1"),
        (b'{"format": true}', "has format True"),
        (b'{"format": 1}', "Diagnosis has no 'verdict'"),
        (b'{"format": 1, "verdict": 5}', "Diagnosis.verdict cannot be 5"),
    ],
)
def test_report_that_is_none_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content)
    result = run_here("doctor", "--read", str(path))
    assert (result.returncode, result.stdout) == (1, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_report_of_a_stranger_cannot_move_the_cursor(tmp_path: Path) -> None:
    evil = "\x1b[2J\x07\u202e\rx\ny"
    finding = attrs.evolve(
        FINDING, code=evil, what=evil, cure=evil, evidence=(Reading(evil, evil),)
    )
    diagnosis = attrs.evolve(diagnosis_with(finding), verdict=evil, not_checked=())
    result = run_here("doctor", "--read", saved(tmp_path / "report.json", diagnosis))
    assert (result.returncode, result.stderr) == (1, "")
    assert all(line.isprintable() for line in result.stdout.split("\n"))


def test_report_with_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    evidence = Evidence(
        question=Question((), None), joined_before=(JoinedGroup("eth0", "nonsense", 1),)
    )
    path = saved(tmp_path / "report.json", Diagnosis("The verdict.", (), (), evidence))
    result = run_here("doctor", "--read", path)
    assert result.returncode == 1
    assert "report.json: this is no diagnosis: 'nonsense' does not appear to be" in result.stderr


def test_every_broken_field_of_a_report_is_refused(tmp_path: Path) -> None:
    plain = json.loads(diagnosis_with(FINDING).to_json())

    def refused(broken: object) -> bool:
        try:
            Diagnosis.from_json(json.dumps(broken))
        except ValueError:
            return True
        return False

    for name in plain:
        assert refused({**plain, name: 5.5})
    for name in plain["findings"][0]:
        assert refused({**plain, "findings": [{**plain["findings"][0], name: [5]}]})
    heard = plain["evidence"]["heard"][0]
    for name in heard:
        broken = {**plain["evidence"], "heard": [{**heard, name: "x" if name != "group" else 5}]}
        # A text is right where one stands.
        assert refused({**plain, "evidence": broken}) or name in ("interface",)


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--read", "missing.json", "missing.json: No such file or directory"),
        ("--read", ".", "is a directory"),
        ("--report", ".", "is a directory"),
        ("--report", "missing/report.json", "there is no"),
    ],
)
def test_file_that_cannot_be_used_is_told_in_a_sentence(
    tmp_path: Path, option: str, name: str, message: str
) -> None:
    result = run_here("doctor", option, str(tmp_path / name))
    assert result.returncode in (1, 2)
    assert message.lower() in result.stderr.lower()
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@needs_program("nft")
def test_machine_is_looked_at_saved_and_read(two_hosts: TwoHosts, tmp_path: Path) -> None:
    path = str(tmp_path / "report.json")
    program = (
        "import socket, struct, sys, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        "s.bind(('239.1.2.3', 5000)); "
        "request = struct.pack('4s4si', socket.inet_aton('239.1.2.3'), bytes(4), int(sys.argv[1]));"
        "s.setsockopt(0, 35, request); print('joined', flush=True); time.sleep(60)"
    )
    index = str(two_hosts.a.index("eth0"))
    arguments = (*DOCTOR, "--duration", "0.3", "--report", path)
    with two_hosts.a.popen(sys.executable, "-c", program, index) as joiner:
        assert joiner.stdout is not None
        assert joiner.stdout.readline() == "joined\n"
        live = two_hosts.a.run(*arguments, check=False, env=environment())
    assert (live.returncode, live.stderr) == (0, "")
    assert "1 of 2 interfaces are fit for multicast: eth0; programs have joined 1" in live.stdout
    assert "  lo: not fit, loopback; 127.0.0.1/8, ::1/128" in live.stdout
    assert "eth0: 239.1.2.3; port 5000: python" in live.stdout
    assert f"(pid {joiner.pid})" in live.stdout
    assert "net.core.rmem_max = " in live.stdout
    assert "Queriers heard" in live.stdout
    assert all(len(line) <= 80 for line in live.stdout.splitlines())
    read = run_here("doctor", "--read", path)
    assert (read.returncode, read.stdout) == (0, live.stdout)


def test_state_of_the_listening_is_one_line() -> None:
    progress = Progress("joined", ("eth0",), 2.2, 6, 0, 431)
    assert progress_line(progress) == (
        "joined on eth0, 2 of 6 s, 0 datagrams of the group, 431 of others"
    )
    assert progress_line(Progress("before", (), 1, 3, 0, None)) == "not joined yet, 1 of 3 s"


def test_state_is_redrawn_on_a_terminal_only(two_hosts: TwoHosts) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no pseudo-terminals")
    terminal, its_side = os.openpty()
    shown = b""
    env = environment(TERM="xterm", COLUMNS="80")
    arguments = (*DOCTOR, "239.1.2.3:5000", "--duration", "0.6")
    with two_hosts.a.popen(*arguments, stderr=its_side, env=env) as process:
        os.close(its_side)
        # EIO tells that nobody has the other side open any more.
        with suppress(OSError):
            while part := os.read(terminal, 65_536):
                shown += part
        assert process.wait(20) == 3
    os.close(terminal)
    lines = shown.decode().split("\r")
    assert any(
        line.startswith("joined on eth0, 0 of 1 s, 0 datagrams of the group, 0 of others")
        for line in lines
    )
    assert all(len(line) < 80 for line in lines)
    assert (lines[-2].strip(), lines[-1]) == ("", "")


def test_state_is_not_shown_in_a_pipe(two_hosts: TwoHosts) -> None:
    arguments = (*DOCTOR, "239.1.2.3:5000", "--duration", "0.2")
    result = two_hosts.a.run(*arguments, check=False, env=environment(FORCE_COLOR="1"))
    assert result.stderr == ""
    assert "\r" not in result.stdout


def test_peer_that_does_not_answer_ends_with_status_1(two_hosts: TwoHosts) -> None:
    result = two_hosts.a.run(
        *DOCTOR,
        "239.1.2.3:5000",
        "--duration",
        "0.2",
        "--peer",
        "10.0.1.2",
        check=False,
        env=environment(),
    )
    assert (result.returncode, result.stderr) == (1, "")
    assert "error (certain): no-unicast" in result.stdout


@pytest.mark.parametrize("peer", ["239.1.2.3", "", "10.0.0.2:0"])
def test_peer_that_is_no_machine_is_wrong_usage(peer: str) -> None:
    result = run_here("doctor", "239.1.2.3:5000", "--peer", peer)
    assert (result.returncode, result.stdout) == (2, "")
    assert "peer" in result.stderr
