"""The table of the page on faults that the doctor knows, made of the records.

``python -m tests.diagnosis.page`` writes it into the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "faults.rst"
RECORDS = ROOT / "tests" / "data" / "diagnosis"
BEGIN, END = ".. faults-begin\n", ".. faults-end\n"


def table() -> str:
    """Return the table: how a fault was made, its code, and who is told."""
    codes: dict[str, dict[str, Sequence[str]]] = {}
    hows: dict[str, str] = {}
    for path in sorted(RECORDS.glob("*.json")):
        record = json.loads(path.read_text())
        codes.setdefault(record["name"], {})[record["who"]] = record["codes"]
        hows[record["name"]] = record["how"]
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 34 46 10 10", ""]
    lines += _row("Code", "How it was made", "root", "user")
    faults = [(who.get("root", ()), name) for name, who in codes.items() if who.get("root")]
    for found, name in sorted(faults):
        user = codes[name].get("user", ())
        told = "yes" if user == found else ", ".join(map(_shown, user)) or "no"
        lines += _row(", ".join(map(_shown, found)), hows[name], "yes", told)
    healthy = sum(name.startswith(("healthy", "silent")) for name in codes)
    lines += ["", f"In {healthy} set-ups without a fault, it reports no error and no warning."]
    return "\n" + "\n".join(lines) + "\n\n"


def _shown(code: str) -> str:
    code, _, place = code.partition("@")
    return f"``{code}`` at the {place}" if place else f"``{code}``"


def _row(*cells: str) -> Iterator[str]:
    for number, cell in enumerate(cells):
        yield f"     - {cell}" if number else f"   * - {cell}"


def with_table(page: str) -> str:
    """Return the page with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
