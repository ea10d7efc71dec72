"""The pictures of the documentation show what the commands draw now."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.pictures import FOLDER, PICTURES, make, words_of
from tests.support.examples import DOCS, ROOT

pytestmark = pytest.mark.once

made_once = cache(make)


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_what_the_command_draws(name: str) -> None:
    # Another version of rich may place the words in another way.
    assert words_of((FOLDER / f"{name}.svg").read_text()) == words_of(made_once(name))


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_the_same_whenever_it_is_made(name: str) -> None:
    assert make(name) == made_once(name)


@pytest.mark.parametrize("name", PICTURES)
def test_picture_fetches_nothing(name: str) -> None:
    svg = (FOLDER / f"{name}.svg").read_text()
    assert set(re.findall(r"https?://[^\s\"')]+", svg)) <= {
        "http://www.w3.org/2000/svg",
        "https://www.textualize.io",  # In a comment of rich.
    }


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_shown_in_the_documentation_and_in_the_readme(name: str) -> None:
    pages = "".join(path.read_text() for path in DOCS.rglob("*.rst"))
    assert f"pictures/{name}.svg\n" in pages
    assert f"docs/pictures/{name}.svg\n" in (ROOT / "README.rst").read_text()


def test_each_picture_in_the_folder_is_made_by_the_command() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(PICTURES)
