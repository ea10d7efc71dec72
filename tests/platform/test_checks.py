"""The checks of a platform on this one, and what the program says of checks that fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.lab import lab_problem
from tests.platform import __main__ as program
from tests.platform.place import CHECKS, Check, LeftOut, Place, silence
from tests.support.needs import needs
from trio_mcast import open_mcast_receiver, open_mcast_sender

ROOT = Path(__file__).parents[2]


@needs(lab_problem)
def test_every_check_passes_in_a_network_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "checks.json"
    process = subprocess.run(
        [sys.executable, "-m", "tests.platform", "--own-network", "--json", str(path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    report = json.loads(path.read_text(encoding="utf-8"))
    assert {check["result"] for check in report["checks"]} == {"passed"}
    assert report["passed"] == sum(len(check.families) for check in CHECKS) >= 50
    assert process.stdout.endswith(f"{report['passed']} passed, 0 failed, 0 left out\n")


def test_every_check_has_a_name_of_its_own() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)


async def _fail(place: Place) -> None:
    async with trio.open_nursery():
        raise AssertionError("it did not come")


async def _succeed(place: Place) -> None:
    await trio.lowlevel.checkpoint()


async def _leave_out(place: Place) -> None:
    raise LeftOut("nothing to check it with")


async def _hear_what_should_not_come(place: Place) -> None:
    async with (
        open_mcast_receiver(place.group, 47_799, interfaces=place.interface) as receiver,
        open_mcast_sender(place.group, 47_799, interfaces=place.interface) as sender,
    ):
        await sender.send(b"unwanted")
        await silence(receiver)


async def _hang(place: Place) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("run", "line"),
    [
        (_fail, "it did not come"),
        (_hear_what_should_not_come, "this should not have come: Datagram(data=b'unwanted'"),
        (_hang, "TooSlowError"),
    ],
)
def test_check_that_fails_is_told_and_is_the_status(
    run: object,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(program, "LIMIT_SECONDS", 1.0)
    monkeypatch.setattr(program, "CHECKS", [Check("a check", ("ipv4",), run)])  # type: ignore[arg-type]
    path = tmp_path / "checks.json"
    assert program.main(["--json", str(path)]) == 1
    output = capsys.readouterr().out
    assert "FAILED   ipv4 a check\n" in output
    assert line in output
    assert output.endswith("0 passed, 1 failed, 0 left out\n")
    (check,) = json.loads(path.read_text(encoding="utf-8"))["checks"]
    assert check["result"] == "failed"
    assert line in check["reason"]


def test_check_that_is_known_to_fail_has_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = Check("a good check", ("ipv4",), _succeed)
    monkeypatch.setattr(program, "CHECKS", [good, Check("a bad check", ("ipv4",), _fail)])
    assert program.main(["--lacks", "a bad check"]) == 0
    assert capsys.readouterr().out.endswith("1 passed, 0 failed, 1 left out\n")
    assert program.main(["--lacks", "a good check", "--lacks", "a bad check"]) == 1
    assert "It is said to be lacking here, and it is there." in capsys.readouterr().out


def test_nothing_but_checks_left_out_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "CHECKS", [Check("a check", ("ipv4",), _leave_out)])
    assert program.main([]) == 1
    output = capsys.readouterr().out
    assert "left out ipv4 a check: nothing to check it with\n" in output
    assert output.endswith("0 passed, 0 failed, 1 left out\n")
