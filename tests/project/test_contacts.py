"""What is made of contacts.ini: nothing while it is empty, and links where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import contacts
from tests.contacts import FILES, ROOT, Contacts

pytestmark = pytest.mark.once

SETTLED = Contacts(
    repository="https://github.com/example/example",
    documentation="https://docs.example.org/",
    security="security@example.org",
    conduct="conduct@example.org",
)
NOTHING = Contacts("", "", "", "")


@pytest.mark.parametrize("name", FILES)
def test_file_shows_what_contacts_have(name: str) -> None:
    text = (ROOT / FILES[name]).read_text()
    assert contacts.filled(text, name, contacts.blocks(contacts.read())[name]) == text


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_made_of_nothing(name: str) -> None:
    assert contacts.blocks(NOTHING)[name] == ""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "badges",
            ".. image:: https://github.com/example/example/actions/workflows/ci.yml/badge.svg?branch=main",
        ),
        ("security", "Tell <security@example.org>."),
        ("conduct", "They are reached at <conduct@example.org>."),
        ("citation", "repository-code: https://github.com/example/example"),
        ("citation", "url: https://docs.example.org/"),
        ("links", "    url: https://docs.example.org/"),
    ],
)
def test_what_is_settled_is_written_and_taken_away_again(name: str, line: str) -> None:
    empty = contacts.filled((ROOT / FILES[name]).read_text(), name, "")
    shown = contacts.filled(empty, name, contacts.blocks(SETTLED)[name])
    assert line not in empty.splitlines()
    assert line in shown.splitlines()
    assert contacts.filled(shown, name, contacts.blocks(NOTHING)[name]) == empty


def test_only_github_has_a_badge_of_its_workflow() -> None:
    elsewhere = Contacts("https://git.example.org/example", "", "", "")
    assert contacts.blocks(elsewhere)["badges"] == ""


def test_address_of_the_repository_is_read_without_its_last_slash(tmp_path: Path) -> None:
    path = tmp_path / "contacts.ini"
    text = (ROOT / "contacts.ini").read_text()
    path.write_text(text.replace("repository =", "repository = https://example.org/it/"))
    assert contacts.read(path).repository == "https://example.org/it"
