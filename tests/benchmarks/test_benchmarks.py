"""The benchmarks run, and their arithmetic is right; how fast anything is, is not tested here."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.lab.fixtures import require_lab

from . import virtual
from ._bars import BARS, Bar
from ._drain import BURSTS
from ._instructions import figures_of, read_counts, run_counted
from ._machine import busy_share
from ._peers import BEFORE, code_before, peer_problem
from ._record import Measured, Record, read_record
from ._rounds import Figures, WorkerFailed, measure
from ._subjects import COMPARISONS, Comparison, find_subject
from ._table import Tables

FIGURES = Figures({("one", "ns"): [10.0, 30.0, 30.0], ("other", "ns"): [10.0, 10.0, 20.0]})
LIBRARY = [
    subject.name
    for comparison in COMPARISONS
    for subject in comparison.subjects
    if subject.function.startswith("library.") and subject.size == 64
]
PEERS = ["drain-64-go", "drain-64-java", "drain-64-node"]
# What is not there where the system grants smaller receive buffers, or where there are few groups.
OPTIONAL = {f"ns_{count}" for count in BURSTS} | {"bytes_per_membership"}


def nothing(text: str) -> None:
    """No progress is shown."""


def alone(name: str) -> Comparison:
    comparison = next(
        each for each in COMPARISONS if any(name == subject.name for subject in each.subjects)
    )
    return replace(comparison, subjects=(find_subject(name),))


def measured(figures: Figures, skipped: dict[str, str] | None = None) -> Measured:
    return Measured("2026-01-02", {"Processor": "one"}, 0.5, figures, skipped or {})


def test_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    assert FIGURES.median("one", "ns") == 30
    assert FIGURES.ratio(("one", "ns"), ("other", "ns")) == 1.5


@pytest.mark.parametrize(
    ("limit", "at_least", "verdict"),
    [
        (1.5, False, "met"),
        (1.4, False, "NOT met"),
        (1.5, True, "met"),
        (1.6, True, "NOT met"),
    ],
)
def test_bar_is_met_up_to_its_limit(limit: float, at_least: bool, verdict: str) -> None:
    bar = Bar("one / other", ("one", "ns"), ("other", "ns"), limit, "", at_least)
    assert (bar.shown(FIGURES), bar.verdict(FIGURES)) == ("1.50", verdict)


def test_bar_of_one_figure_is_not_a_ratio() -> None:
    bar = Bar("one", ("one", "ns"), None, 31, "")
    assert (bar.shown(FIGURES), bar.verdict(FIGURES)) == ("30", "met")


def test_bar_of_figures_that_are_missing_is_skipped() -> None:
    assert {bar.verdict(Figures({})) for bar in BARS} == {"skipped"}


def test_every_bar_is_of_figures_that_are_measured_and_has_a_source() -> None:
    columns = {
        (subject.name, column.figure)
        for comparison in COMPARISONS
        for subject in comparison.subjects
        for column in comparison.columns
    }
    for bar in BARS:
        assert {bar.above, bar.below or bar.above} <= columns
        assert bar.source


def test_names_are_unique() -> None:
    subjects = [subject.name for comparison in COMPARISONS for subject in comparison.subjects]
    assert len(set(subjects)) == len(subjects)
    assert len({bar.label for bar in BARS}) == len(BARS)


def test_table_shows_every_subject_bar_and_what_was_skipped() -> None:
    skipped = {"Go: ReadBatch of 64 (x/net)": "there is no go in PATH"}
    record = Record({comparison.name: measured(FIGURES, skipped) for comparison in COMPARISONS})
    console = Console(file=io.StringIO(), width=200, record=True)
    console.print(Tables(COMPARISONS, record))
    text = console.export_text()
    for comparison in COMPARISONS:
        assert comparison.title in text
        assert all(subject.label in text for subject in comparison.subjects)
    assert all(bar.label in text and bar.source in text for bar in BARS)
    assert "Skipped: Go: ReadBatch of 64 (x/net): there is no go in PATH." in text


def test_table_is_complete_on_a_terminal_of_80_columns() -> None:
    names = [subject.name for subject in COMPARISONS[0].subjects]
    figures = Figures(
        {(name, column.figure): [28_765.4] for name in names for column in COMPARISONS[0].columns}
    )
    record = Record({COMPARISONS[0].name: measured(figures)})
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(Tables(COMPARISONS[:1], record))
    text = console.export_text()
    assert text.count("28,765") == len(names) * len(COMPARISONS[0].columns)
    assert "…" not in text


def test_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    figures = Figures({("send-send", "ns"): [1234.0, 0.5678]})
    record = Record({"send": measured(figures, {"Node": "none"})})
    record.write(tmp_path / "figures.json")
    assert read_record(tmp_path / "figures.json", COMPARISONS) == record
    text = (tmp_path / "figures.json").read_text()
    assert '"ns": [ 1234.0, 0.5678 ]' in text
    assert "to be measured again on a quiet machine" in text


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/stat")
def test_share_of_other_programs_is_a_share() -> None:
    assert 0 <= busy_share(0.05) <= 1


def test_peer_that_is_not_installed_is_skipped_and_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert peer_problem("Go") == "there is no go in PATH"
    assert peer_problem("Java") == "there is no javac in PATH"
    assert peer_problem("Node") == "there is no node in PATH"
    assert peer_problem("callgrind") == "there is no valgrind in PATH"
    assert peer_problem("no_such_package") == "the package no_such_package is not installed"
    comparison = replace(COMPARISONS[0], subjects=tuple(find_subject(name) for name in PEERS))
    assert measure(comparison, 1, nothing) == {}


@pytest.mark.skipif(sys.platform == "win32", reason="makes a program without a suffix")
def test_go_without_its_package_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tests.benchmarks._peers._DEBIAN_GO_PATH", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GOPATH", raising=False)
    assert "golang-golang-x-net-dev" in (peer_problem("Go") or "")


@pytest.mark.once
@pytest.mark.skipif(sys.platform != "linux", reason="the lab is for Linux only")
@pytest.mark.parametrize(
    "name", [*LIBRARY, *PEERS, "drain-64-asyncio", "groups-20", "interfaces-10"]
)
def test_worker_measures_this_library_and_its_peers(name: str) -> None:
    require_lab()
    if problem := find_subject(name).problem:
        pytest.skip(problem)
    comparison = alone(name)
    figures = measure(comparison, 2, nothing)
    for column in comparison.columns:
        if column.figure not in OPTIONAL or (name, column.figure) in figures:
            assert len(figures[name, column.figure]) == 2
            assert min(figures[name, column.figure]) > 0


def test_worker_that_fails_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    subject = find_subject("send-send")
    unknown = type(subject)("nobody", "Nobody", subject.kind, subject.function)
    with pytest.raises(WorkerFailed, match="worker nobody has ended with status 1"):
        measure(Comparison("none", "Nothing", (), (unknown,)), 1, nothing)
    assert "KeyError: 'nobody'" in capfd.readouterr().err


def test_instructions_are_those_of_more_without_those_of_less() -> None:
    less, more = 5, 25
    per_time = {"nothing": 1_000, "self": 51_000, "burst_2": 41_000}
    counts = {
        (figure, length): 7_000_000 + each * length
        for figure, each in per_time.items()
        for length in (less, more)
    }
    assert figures_of(counts, (less, more), (2,)) == {"self": 50_000, "burst_2": 20_000}


@pytest.mark.once
@pytest.mark.skipif(sys.platform != "linux", reason="the lab is for Linux only")
@pytest.mark.parametrize("name", [subject.name for subject in COMPARISONS[-1].subjects])
def test_what_is_counted_runs(name: str) -> None:
    require_lab()
    if problem := peer_problem("callgrind"):
        pytest.skip(problem)
    # Without callgrind, which takes ten times as long to start: it is a test that all arrives.
    run_counted(name, (1, 2), (2,))


def test_counts_are_read_from_what_callgrind_writes() -> None:
    text = """
creator: callgrind-3.19.0
part: 3
desc: Trigger: Client Request: burst_100 25
events: Ir
fn=(0)
0 7
summary: 8750

totals: 8750
"""
    end = text.replace("Client Request: burst_100 25", "Program termination")
    assert read_counts([text, end]) == {("burst_100", 25): 8_750}


@pytest.mark.once
@pytest.mark.skipif(sys.platform == "win32", reason="makes a symbolic link")
def test_code_before_is_that_of_the_revision() -> None:
    root = Path(__file__).parents[2]
    if shutil.which("git") is None or subprocess.run(["git", "-C", root, "rev-parse"]).returncode:
        pytest.skip("this is no clone")
    assert peer_problem("before") == "no revision was named (--before)"
    with code_before("HEAD"):
        folder = Path(os.environ[BEFORE])
        assert (folder / "trio_mcast" / "__init__.py").is_file()
        assert (folder / "tests" / "benchmarks" / "worker.py").is_file()
        assert peer_problem("before") is None
    assert not folder.exists()
    assert BEFORE not in os.environ


@pytest.mark.parametrize("part", virtual.PARTS)
def test_virtual_benchmark_runs(part: str) -> None:
    figures = virtual.measure(part, 0.002)
    assert figures.keys() <= virtual.GOALS.keys()
    assert all(value >= 0 for value in figures.values())
