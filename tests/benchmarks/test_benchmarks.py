"""The benchmarks run, and their arithmetic is right; how fast anything is, is not tested here."""

from __future__ import annotations

import sys

import pytest

from tests.lab.fixtures import require_lab

from . import virtual
from ._bars import BARS, Bar
from ._rounds import Figures, WorkerFailed, measure
from ._subjects import COMPARISONS, Comparison, find_subject
from ._table import render

FIGURES = Figures({("one", "ns"): [10.0, 30.0, 30.0], ("other", "ns"): [10.0, 10.0, 20.0]})
LIBRARY = [
    item.name
    for comparison in COMPARISONS
    for item in comparison.subjects
    if item.function.startswith("library.") and item.size == 64
]


def nothing(text: str) -> None:
    """No progress is shown."""


def alone(name: str) -> Comparison:
    comparison = next(
        item for item in COMPARISONS if any(name == subject.name for subject in item.subjects)
    )
    return Comparison(name, comparison.title, comparison.columns, (find_subject(name),))


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
    bar = Bar("one / other", ("one", "ns"), ("other", "ns"), limit, at_least)
    assert bar.verdict(FIGURES) == verdict


def test_bar_of_figures_that_are_missing_is_skipped() -> None:
    assert {bar.verdict(Figures({})) for bar in BARS} == {"skipped"}


def test_every_bar_is_of_figures_that_are_measured() -> None:
    for bar in BARS:
        for subject, _figure in (bar.above, bar.below):
            assert find_subject(subject)


def test_names_of_subjects_are_unique() -> None:
    names = [item.name for comparison in COMPARISONS for item in comparison.subjects]
    assert len(set(names)) == len(names)


def test_table_shows_every_subject_and_bar() -> None:
    text = render(COMPARISONS, FIGURES)
    assert all(item.label in text for comparison in COMPARISONS for item in comparison.subjects)
    assert all(bar.label in text for bar in BARS)


@pytest.mark.once
@pytest.mark.skipif(sys.platform != "linux", reason="the lab is for Linux only")
@pytest.mark.parametrize("name", [*LIBRARY, "groups-20"])
def test_worker_measures_this_library(name: str) -> None:
    require_lab()
    comparison = alone(name)
    found = measure(comparison, 2, nothing)
    shown = [column.figure for column in comparison.columns]
    for figure in shown:
        if (name, figure) != ("groups-20", "bytes_per_membership"):  # Too few to tell.
            assert len(found[name, figure]) == 2
            assert min(found[name, figure]) > 0


def test_worker_that_fails_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    subject = find_subject("send-send")
    unknown = type(subject)("nobody", "Nobody", subject.kind, subject.function)
    with pytest.raises(WorkerFailed, match="worker nobody has ended with status 1"):
        measure(Comparison("none", "Nothing", (), (unknown,)), 1, nothing)
    assert "KeyError: 'nobody'" in capfd.readouterr().err


@pytest.mark.parametrize("part", virtual.PARTS)
def test_virtual_benchmark_runs(part: str) -> None:
    figures = virtual.measure(part, 0.002)
    assert figures.keys() <= virtual.GOALS.keys()
    assert all(value >= 0 for value in figures.values())
