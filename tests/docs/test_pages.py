"""The pages of the documentation show each example, the README two, and explain each name."""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from collections import Counter
from pathlib import Path

import pytest

import trio_mcast
import trio_mcast.testing
from tests.support.needs import needs_module
from trio_mcast._host.protocols import Rejection

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
REFERENCE = "".join(path.read_text() for path in sorted((DOCS / "reference").glob("*.rst")))


def test_every_example_is_run_by_a_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("*/test_*.py"))
    missing = [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in tests]
    assert missing == []


# The examples on the pages: the name, and the lines of options.
SHOWN = [
    shown
    for path in DOCS.rglob("*.rst")
    for shown in re.findall(
        r"literalinclude:: \S*examples/([\w./-]+)\n((?:\s+:[a-z]+:.*\n)*)", path.read_text()
    )
]


def test_every_example_is_shown_on_a_page_as_a_whole() -> None:
    """Who types what a page shows has the program."""
    whole = {name for name, options in SHOWN if not re.search(r":(pyobject|lines):", options)}
    assert {path.name for path in EXAMPLES.glob("*.py")} - whole == set()


def test_every_example_on_a_page_has_the_name_to_save_it_under() -> None:
    programs = [(name, options) for name, options in SHOWN if name.endswith((".py", ".sh"))]
    assert programs
    for name, options in programs:
        part = "from " if ":pyobject:" in options else ""
        assert f":caption: {part}{name}\n" in options


def test_page_on_losses_explains_every_reason_to_reject() -> None:
    page = (DOCS / "howto" / "losses.rst").read_text()
    explained = re.findall(r'^``"(\w+)"``$', page, re.MULTILINE)
    assert sorted(explained) == sorted(item.value for item in Rejection)


def test_pages_have_no_python_that_is_not_an_example() -> None:
    found = [path.name for path in DOCS.rglob("*.rst") if "code-block:: python" in path.read_text()]
    assert found == []


@pytest.mark.parametrize("name", ["receiver.py", "sender.py"])
def test_readme_shows_the_program_as_it_is(name: str) -> None:
    program = (EXAMPLES / name).read_text()
    indented = textwrap.indent(program, "    ")
    assert f".. code-block:: python\n\n{indented}" in (ROOT / "README.rst").read_text()


def test_readme_has_no_link_that_leads_nowhere_on_pypi() -> None:
    targets = re.findall(r"<([^<>]+)>`__?", (ROOT / "README.rst").read_text())
    assert targets
    assert [target for target in targets if not target.startswith("https://")] == [
        "About the tests_"  # A place in the text itself.
    ]


# Each makes a reader stop and read again: name the subject, and say what it does.
STUMBLING = re.compile(r"\b(is|are) told in\b|\bso as to\b|\bits kin\b|\bto begin takes\b", re.I)


def test_pages_and_docstrings_have_no_words_that_readers_stumble_over() -> None:
    package = Path(trio_mcast.__file__).parent
    paths = [*DOCS.rglob("*.rst"), *package.rglob("*.py"), *ROOT.glob("*.rst")]
    found = [path.name for path in paths if STUMBLING.search(" ".join(path.read_text().split()))]
    assert found == []


def test_reference_has_every_record_of_the_log() -> None:
    """A new record takes a new row."""
    page = (DOCS / "reference" / "arguments.rst").read_text()
    rows = Counter(re.findall(r"^   \* - (INFO|WARNING|ERROR)$", page, re.MULTILINE))
    package = Path(trio_mcast.__file__).parent
    texts = [path.read_text() for path in package.rglob("*.py") if "_cli" not in path.parts]
    calls = re.findall(r"\blogger\.(\w+)\(", "".join(texts))
    assert rows == Counter(level.upper() for level in calls)


@pytest.mark.parametrize("name", [*trio_mcast.__all__, *trio_mcast.testing.__all__])
def test_reference_has_every_public_name(name: str) -> None:
    directive = rf"^\.\. (auto(class|exception|function)|py:data):: {name}(\(\))?$"
    assert len(re.findall(directive, REFERENCE, re.MULTILINE)) == 1


CLASSES = [name for name in trio_mcast.__all__ if inspect.isclass(getattr(trio_mcast, name))]


@pytest.mark.parametrize("name", CLASSES)
def test_reference_has_every_public_method(name: str) -> None:
    entry = re.split(rf"auto(?:class|exception):: {name}\b", REFERENCE)[1]
    entry = re.split(r"^\S", entry.partition("\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    methods = [
        method
        for method, value in vars(getattr(trio_mcast, name)).items()
        if inspect.isfunction(value) and not method.startswith("_")
    ]
    missing = [method for method in methods if f":: {method}\n" not in entry]
    assert not missing


# The names of the page on testing for what it describes; a method by itself is an interface's.
NAMED = {
    "network": "VirtualNetwork",
    "host": "VirtualHost",
    "lan": "VirtualSwitch",
    "trunk": "Trunk",
    "trace": "VirtualTrace",
    "": "VirtualInterface",
}


@pytest.mark.parametrize("variable", NAMED)
def test_reference_has_every_method_that_the_page_on_testing_names(variable: str) -> None:
    page = (DOCS / "testing.rst").read_text()
    prefix = rf"{variable}\." if variable else ""
    named = set(re.findall(rf"``(?:await )?{prefix}([a-z_]+)(?:\([^`]*)?``", page))
    name = NAMED[variable]
    value = getattr(trio_mcast.testing, name)
    # Also what comes from a private base class, which has no entry of its own.
    methods = [each for each in sorted(named) if inspect.isfunction(getattr(value, each, None))]
    assert methods
    entry = re.split(rf"autoclass:: {name}\b", REFERENCE)[1].partition("\n.. ")[0] + "\n"
    assert [each for each in methods if f":: {each}\n" not in entry] == []


@needs_module("multicast_expert")
def test_page_on_multicast_expert_has_each_of_its_names() -> None:
    """Every public name, parameter and method of its sockets has its place there."""
    expert = importlib.import_module("multicast_expert")
    page = (DOCS / "howto" / "from-multicast-expert.rst").read_text()
    names = {name for name in expert.__dir__() if not name.startswith("_")}
    names = {name for name in names if not inspect.ismodule(getattr(expert, name))}
    for socket in (expert.McastRxSocket, expert.AsyncMcastRxSocket, expert.McastTxSocket):
        names |= {name for name in dir(socket) if not name.startswith("_")}
        names |= set(inspect.signature(socket).parameters)
        names |= set(inspect.signature(socket.recvfrom).parameters if "Rx" in repr(socket) else ())
    missing = [name for name in sorted(names - {"self"}) if not re.search(rf"\b{name}\b", page)]
    assert missing == []


def test_drawing_of_the_faults_has_the_numbers_of_the_table() -> None:
    page = (DOCS / "reliability.rst").read_text()
    table = page.partition("What came of the fault ")[2].partition("\n\n")[0]
    numbers = re.findall(r" ([\d,]+)$", table, re.MULTILINE)
    drawing = (DOCS / "drawings" / "faults.svg").read_text()
    assert re.findall(r">([\d,]+)</text>", drawing) == numbers
    runs = sum(int(number.replace(",", "")) for number in numbers)
    assert f"{runs:,} runs" in page
    assert f"{runs:,} runs" in drawing
    widths = re.findall(r'width="([\d.]+)"', drawing)
    shown = [int(number.replace(",", "")) for number in numbers if number != "0"]
    ratios = {round(float(width) / count, 2) for width, count in zip(widths, shown, strict=True)}
    assert len(ratios) == 1  # Bars are as long as their numbers say.


def test_commands_have_the_prompt_that_is_not_copied_with_them() -> None:
    """With another prompt, ``# `` for root, what the button copies is a comment."""
    pages = [path.read_text() for path in (*DOCS.rglob("*.rst"), *ROOT.glob("*.rst"))]
    blocks = [
        block
        for page in pages
        for block in re.findall(r"(?:: console|::)\n\n((?:    .*\n|\n)+)", page)
    ]
    assert any(re.search(r"^    \$ sudo ", block, re.MULTILINE) for block in blocks)
    assert [block for block in blocks if re.search(r"^    # [a-z.]", block, re.MULTILINE)] == []
