"""Write what is made of contacts.ini into the files that show it: ``python -m tests.contacts``.

Each file has a block for it, which begins with a comment ``contacts: NAME`` and ends with a comment
``end``. Of what is empty in contacts.ini, nothing is written.
"""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[1]

# The blocks' names, and where each stands.
FILES = {
    "badges": "README.rst",
    "security": "SECURITY.md",
    "conduct": "CODE_OF_CONDUCT.md",
    "citation": "CITATION.cff",
    "links": ".github/ISSUE_TEMPLATE/config.yml",
}


@attrs.frozen
class Contacts:
    """Where the project is, and who answers; empty where that is not settled."""

    repository: str
    documentation: str
    security: str
    conduct: str


def read(path: Path = ROOT / "contacts.ini") -> Contacts:
    parser = ConfigParser()
    parser.read_string(path.read_text(encoding="utf-8"))
    values = dict(parser["project"])
    return Contacts(**{**values, "repository": values["repository"].rstrip("/")})


def blocks(contacts: Contacts) -> dict[str, str]:
    """Return the text of each block, which is empty or ends a line."""
    return {
        "badges": _badges(contacts),
        "security": f"Tell {_as_link(contacts.security)}.\n" if contacts.security else "",
        "conduct": (
            f"They are reached at {_as_link(contacts.conduct)}.\n" if contacts.conduct else ""
        ),
        "citation": (f"repository-code: {contacts.repository}\n" if contacts.repository else "")
        + (f"url: {contacts.documentation}\n" if contacts.documentation else ""),
        "links": _links(contacts),
    }


def _badges(contacts: Contacts) -> str:
    """Return the badge that GitHub makes of the last run of the tests; others have none."""
    if not contacts.repository.startswith("https://github.com/"):
        return ""
    workflow = f"{contacts.repository}/actions/workflows/ci.yml"
    return (
        f"\n.. image:: {workflow}/badge.svg?branch=main\n"
        f"   :target: {workflow}\n"
        "   :alt: Whether the tests passed when they were last run\n\n"
    )


def _links(contacts: Contacts) -> str:
    entries = []
    if contacts.documentation:
        entries.append(
            ("Documentation", contacts.documentation, "How it is used, and why it is so")
        )
    if contacts.security.startswith("https://"):
        entries.append(("A weakness", contacts.security, "To be told before others are"))
    if not entries:
        return ""
    return "contact_links:\n" + "".join(
        f"  - name: {name}\n    url: {url}\n    about: {about}\n" for name, url, about in entries
    )


def _as_link(contact: str) -> str:
    return f"<{contact}>"


def filled(text: str, name: str, block: str) -> str:
    """Return a file's text with the block of this name replaced."""
    pattern = re.compile(
        rf"(^[^\w\n]+contacts: {name}\b[^\n]*\n).*?(^[^\w\n]+end\b)", re.DOTALL | re.MULTILINE
    )
    (match,) = pattern.finditer(text)
    return text[: match.start()] + match[1] + block + match[2] + text[match.end() :]


def main() -> None:
    for name, block in blocks(read()).items():
        path = ROOT / FILES[name]
        path.write_text(filled(path.read_text(encoding="utf-8"), name, block), encoding="utf-8")


if __name__ == "__main__":
    main()
