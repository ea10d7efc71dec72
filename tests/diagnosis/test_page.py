"""The page on what does not arrive has the table of what the tests have made."""

from __future__ import annotations

import re

import pytest

from trio_mcast._diagnosis.wording import WORDINGS

from .page import PAGE, with_table

pytestmark = pytest.mark.once


def test_page_has_the_table_of_the_records() -> None:
    page = PAGE.read_text()
    assert with_table(page) == page


def test_page_names_no_code_that_there_is_not() -> None:
    for code in re.findall(r"^   \* - ``([a-z0-9, -]+)``$", PAGE.read_text(), re.MULTILINE):
        assert set(code.split(", ")) <= set(WORDINGS)
