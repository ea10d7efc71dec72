"""The page about performance, its charts, its tables and its figures agree."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks._bars import BARS
from tests.benchmarks._page import FIGURES, FOLDER, made_from, write_page
from tests.benchmarks._record import Record, read_record
from tests.benchmarks._rounds import Figures
from tests.benchmarks._subjects import COMPARISONS, Comparison
from tests.support.examples import DOCS

pytestmark = pytest.mark.once

PAGE = (DOCS / "performance.rst").read_text(encoding="utf-8")
RECORD = read_record(FIGURES, COMPARISONS)
MADE = made_from(RECORD)
FIGURES_NOW = RECORD.figures.rounds
each_comparison = pytest.mark.parametrize(
    "comparison", COMPARISONS, ids=[comparison.name for comparison in COMPARISONS]
)


@pytest.mark.parametrize("name", MADE)
def test_table_or_chart_is_made_from_the_figures(name: str) -> None:
    # Else: python -m tests.benchmarks --charts
    assert (FOLDER / name).read_text(encoding="utf-8") == MADE[name]


def test_what_is_written_when_it_is_measured_is_the_same_when_it_is_made_again(
    tmp_path: Path,
) -> None:
    rounds = {key: [7 * value / 6 for value in values] for key, values in FIGURES_NOW.items()}
    measured = {
        comparison.name: replace(RECORD.measured[comparison.name], figures=Figures(rounds))
        for comparison in COMPARISONS
    }
    write_page(Record(measured), tmp_path)
    again = made_from(read_record(tmp_path / FIGURES.name, COMPARISONS))
    assert {name: (tmp_path / name).read_text(encoding="utf-8") for name in again} == again


def test_folder_has_nothing_else() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*MADE, FIGURES.name}


@each_comparison
def test_figures_are_those_of_the_subjects_there_are(comparison: Comparison) -> None:
    measured = RECORD.measured[comparison.name]
    names = {subject for subject, _figure in measured.figures.rounds}
    wanted = {
        subject.name for subject in comparison.subjects if subject.label not in measured.skipped
    }
    assert names == wanted


@each_comparison
def test_page_shows_the_table_and_the_chart(comparison: Comparison) -> None:
    assert f".. include:: performance/{comparison.name}.inc\n" in PAGE
    assert f"   :file: performance/{comparison.name}.svg\n" in PAGE


def test_page_shows_the_bars_and_quotes_them() -> None:
    assert ".. include:: performance/bars.inc\n" in PAGE
    assert ".. include:: performance/ratios.inc\n" in PAGE
    quoted = set(re.findall(r"\|([^|]+)\|", re.sub(r"\s+", " ", PAGE)))
    assert quoted
    assert quoted <= set(
        re.findall(r"^\.\. \|(.+)\| replace:: [^-]", MADE["ratios.inc"], re.MULTILINE)
    )


@each_comparison
def test_chart_has_a_row_for_each_subject_and_a_mark_for_each_figure(
    comparison: Comparison,
) -> None:
    svg = ElementTree.fromstring(MADE[f"{comparison.name}.svg"])
    texts = {"".join(element.itertext()) for element in svg.iter()}
    figures = RECORD.measured[comparison.name].figures
    for subject in comparison.subjects:
        for column in comparison.columns:
            median = figures.median(subject.name, column.figure)
            if column.drawn and median is not None:
                value = f"{median / column.divisor:,.{column.decimals}f}"
                assert f"{subject.label}, {column.heading}: {value}" in texts


def test_chart_of_the_bars_has_a_row_for_each_that_was_measured() -> None:
    svg = MADE["bars.svg"]
    for bar in BARS:
        ratio = bar.ratio(RECORD.figures)
        if ratio is None:
            assert f">{escape(bar.label)}<" not in svg
        else:
            share = bar.limit / ratio if bar.at_least else ratio / bar.limit
            assert f"{escape(bar.label)}, share: {share:.2f}</title>" in svg


@pytest.mark.parametrize("name", [name for name in MADE if name.endswith(".svg")])
def test_chart_is_shown_takes_the_colours_of_the_page_and_fetches_nothing(name: str) -> None:
    assert f":file: performance/{name}\n" in PAGE
    svg = MADE[name]
    assert "var(--color-foreground-primary" in svg
    assert "prefers-color-scheme: dark" in svg
    assert set(re.findall(r"https?://[^\s\"')]+", svg)) == {"http://www.w3.org/2000/svg"}
