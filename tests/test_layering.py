"""The house: what may import what, who may ask which system this is, how large a room may be."""

from __future__ import annotations

import ast
import graphlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import trio_mcast

pytestmark = pytest.mark.once

PACKAGE = Path(trio_mcast.__file__).parent

# The wings and rooms, from the top down: each imports only from those that stand below.
HOUSE = [
    "__main__",
    "_cli",
    "__init__",
    "testing",
    "_diagnosis",
    "_open",
    "_specs",
    "_channel",
    "_send",
    "_receive",
    "_interfaces",
    "_follow",
    "_host",
    "_plan",
    "_platform",
    "_live",
    "_capture",
    "_values",
]
# Wings without I/O: everything they need is an argument. And modules like that elsewhere.
PURE_WINGS = {"_plan", "_platform", "_values"}
PURE_MODULES = {
    "_cli/measure_report",
    "_cli/mesh_view",
    "_cli/ping_tally",
    "_cli/rate_search",
    "_diagnosis/plain",
    "_diagnosis/evidence",
    "_diagnosis/frames",
    "_diagnosis/masking",
    "_diagnosis/diagnosis",
    "_diagnosis/fitness",
    "_diagnosis/ownership",
    "_diagnosis/judging",
    "_diagnosis/wording",
    "_diagnosis/probe_wording",
    "_diagnosis/probe/answers",
    "_diagnosis/probe/beacon",
    "_diagnosis/probe/control",
    "_diagnosis/probe/header",
    "_diagnosis/probe/limits",
    "_diagnosis/probe/measured",
    "_diagnosis/probe/mesh",
    "_diagnosis/probe/names",
    "_diagnosis/probe/numbering",
    "_diagnosis/probe/peer_name",
    "_diagnosis/probe/ping",
    "_diagnosis/probe/plan",
    "_diagnosis/probe/tally",
    "_diagnosis/probe/streams",
    "_diagnosis/probe/timing",
    "_send/target_table",
    "_send/destinations",
    "testing/_frames",
    "_capture/datagrams",
    "testing/_address_list",
    "testing/_rules",
    "testing/_trace",
    "testing/_recorder",
    "testing/_partition",
    "testing/_receive_buffer",
    "testing/_event_list",
    "testing/_options",
    "testing/_state",
    "testing/_impairment",
    "testing/_delivery",
}
IMPURE_IMPORTS = {"socket", "select", "selectors", "trio", "ifaddr", "fcntl", "ctypes", "asyncio"}

# The one import inside a function: an extra may be missing, and the command says so.
LATE_IMPORTS = {("_cli/__init__", "main", "_cli/app")}

# Lines, without docstrings, comments and blank lines for classes and functions.
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_CLASS = 250
MOST_LINES_OF_A_FUNCTION = 50

MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix(): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


@cache
def parse(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


@cache
def nodes_of(module: str) -> list[ast.AST]:
    return list(ast.walk(parse(module)))


def wing_of(module: str) -> str:
    return module.partition("/")[0]


def is_pure(module: str) -> bool:
    is_pure_room = module.startswith("_diagnosis/rules/")
    return wing_of(module) in PURE_WINGS or module in PURE_MODULES or is_pure_room


# Imports ---------------------------------------------------------------------------------------


def walk_imports(
    node: ast.AST, function: str = ""
) -> Iterator[tuple[str, ast.Import | ast.ImportFrom]]:
    """Yield every import, wherever it stands, with the function it stands in ("" if in none)."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield function, child
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from walk_imports(child, f"{function}.{child.name}".strip("."))
        else:
            yield from walk_imports(child, function)


def imports_of(module: str) -> Iterator[tuple[str, str]]:
    """Yield the modules that a module imports, as (function it stands in, dotted name)."""
    package = ["trio_mcast", *module.split("/")[:-1]]
    for function, node in walk_imports(parse(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield function, alias.name
            continue
        start = package[: len(package) + 1 - node.level] if node.level else []
        base = ".".join([*start, *([node.module] if node.module else [])])
        for alias in node.names:
            # ``from ._platform import options``: what is imported may be a module itself.
            name = f"{base}.{alias.name}"
            is_module = name.removeprefix("trio_mcast.").replace(".", "/") in MODULES
            yield function, name if is_module else base


def own_imports(module: str) -> Iterator[tuple[str, str]]:
    """Yield the modules of this package that a module imports, as keys of `MODULES`."""
    for function, name in imports_of(module):
        if name == "trio_mcast" or name.startswith("trio_mcast."):
            path = name.removeprefix("trio_mcast").lstrip(".").replace(".", "/")
            yield function, path if path in MODULES else f"{path}/__init__".lstrip("/")


def may_import(importer: str, imported: str) -> bool:
    above, below = wing_of(importer), wing_of(imported)
    return above == below or HOUSE.index(above) < HOUSE.index(below)


def test_house_is_what_the_folder_has() -> None:
    assert {wing_of(module) for module in MODULES} == set(HOUSE)


def test_modules_import_only_from_below() -> None:
    for module in MODULES:
        for _, imported in own_imports(module):
            assert may_import(module, imported), f"{module} must not import {imported}"


def test_no_circle_of_imports() -> None:
    graph = {module: {name for _, name in own_imports(module)} for module in MODULES}
    graphlib.TopologicalSorter(graph).prepare()


def test_order_is_checked() -> None:
    # So that the tests above cannot pass by finding nothing.
    assert ("", "_values/addresses") in list(own_imports("_platform/linux"))
    assert ("", "_platform/options") in list(own_imports("_plan/receiver"))
    assert ("main", "_cli/app") in list(own_imports("_cli/__init__"))
    assert not may_import("_plan/receiver", "_specs")
    assert not may_import("_platform/model", "_plan/receiver")
    assert may_import("_open", "_specs")
    late = ast.parse(
        "if TYPE_CHECKING:\n    import a\n"
        "def f():\n    import b\n"
        "class C:\n    def g(self): import c"
    )
    assert [function for function, _ in walk_imports(late)] == ["", "f", "g"]
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def test_imports_stand_at_the_top_of_a_module() -> None:
    late = {
        (module, function, name)
        for module in MODULES
        for function, name in own_imports(module)
        if function
    }
    assert late == LATE_IMPORTS


def is_type_checking_only(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def test_no_import_is_for_type_checking_only() -> None:
    for module in MODULES:
        for node in nodes_of(module):
            if is_type_checking_only(node):
                assert not list(walk_imports(node)), module


def test_pure_modules_import_nothing_that_does_io() -> None:
    pure = [module for module in MODULES if is_pure(module)]
    assert set(pure) >= PURE_MODULES, "one of them is no more"
    for module in pure:
        roots = {name.partition(".")[0] for _, name in imports_of(module)}
        assert not roots & IMPURE_IMPORTS, module


def test_ifaddr_is_imported_in_one_module() -> None:
    users = [
        module
        for module in MODULES
        if any(name.partition(".")[0] == "ifaddr" for _, name in imports_of(module))
    ]
    assert users == ["_host/bsd/interfaces"]


def asks_which_system(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return (node.value.id, node.attr) in {("sys", "platform"), ("os", "name")}
    if isinstance(node, ast.ImportFrom):
        names = {(node.module, alias.name) for alias in node.names}
        return bool(names & {("sys", "platform"), ("os", "name")})
    return False


def test_only_the_platform_and_the_shell_ask_which_system_this_is() -> None:
    asking = {module for module in MODULES if any(map(asks_which_system, nodes_of(module)))}
    assert "_platform/current" in asking
    assert {module for module in asking if wing_of(module) != "_host"} == {"_platform/current"}


# The size of rooms -----------------------------------------------------------------------------


def lines_of_code(module: str, node: ast.AST) -> int:
    """Return the lines of a definition that are code, without docstrings and comments."""
    first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", None)
    lines = MODULES[module].read_text().splitlines()[first - 1 : last]
    code = sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))
    for definition in ast.walk(node):
        if isinstance(definition, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = definition.body[0]
            if ast.get_docstring(definition) is not None:
                segment = lines[text.lineno - first : (text.end_lineno or 0) - first + 1]
                code -= sum(1 for line in segment if line.strip())
    return code


def test_files_classes_and_functions_are_of_readable_size() -> None:
    for module, path in MODULES.items():
        assert len(path.read_text().splitlines()) <= MOST_LINES_OF_A_FILE, module
        for node in nodes_of(module):
            if isinstance(node, ast.ClassDef):
                lines = lines_of_code(module, node)
                assert lines <= MOST_LINES_OF_A_CLASS, f"{node.name} in {module}"
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = lines_of_code(module, node)
                assert lines <= MOST_LINES_OF_A_FUNCTION, f"{node.name} in {module}"


# Docstrings ------------------------------------------------------------------------------------

# A docstring names its subject: a verb or a noun, not a clause without one.
VAGUE_OPENINGS = ("What ", "How ", "Those ", "Of ", "Who ", "Which ", "That ", "It ", "They ")


def test_docstrings_name_their_subject() -> None:
    for module in MODULES:
        for node in nodes_of(module):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node) or ""
                opening = text.partition("\n")[0]
                assert not text.startswith(VAGUE_OPENINGS), f"{opening!r} in {module}"


# The public names ------------------------------------------------------------------------------


def is_alias(value: object) -> bool:
    """Whether a public name stands for a type in annotations: the reference explains it."""
    return not (inspect.isclass(value) or inspect.isfunction(value))


def public_members() -> Iterator[tuple[str, object]]:
    """Every public name, and every public method and property of the public classes."""
    for name in trio_mcast.__all__:
        value = getattr(trio_mcast, name)
        if is_alias(value):
            continue
        yield name, value
        if not inspect.isclass(value):
            continue
        for attribute, member in vars(value).items():
            if attribute.startswith("_"):
                continue
            if callable(member) or isinstance(member, (property, classmethod, staticmethod)):
                yield f"{name}.{attribute}", member


@pytest.mark.parametrize(
    ("name", "value"), [pytest.param(*pair, id=pair[0]) for pair in public_members()]
)
def test_public_name_has_a_docstring(name: str, value: Any) -> None:
    own = value.__doc__
    assert own, f"{name} has no docstring"
    assert own.strip()[0].isupper() or own.strip()[0] == "`"
    # attrs and NamedTuple write one that repeats the fields.
    assert not own.startswith(f"{name}(")


def test_all_is_sorted_and_complete() -> None:
    assert trio_mcast.__all__ == sorted(trio_mcast.__all__)
    imported = {
        alias.asname or alias.name
        for node in ast.walk(parse("__init__"))
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }
    assert imported == set(trio_mcast.__all__)


def test_public_names_say_where_they_are_imported_from() -> None:
    for name in trio_mcast.__all__:
        value = getattr(trio_mcast, name)
        assert is_alias(value) or getattr(value, "__name__", repr(value)) == name


@pytest.mark.parametrize("name", ["McastReceiver", "McastSender", "DatagramReceiver"])
def test_live_object_cannot_be_made_directly(name: str) -> None:
    kind = getattr(trio_mcast, name)
    with pytest.raises(TypeError, match=f"{name} has no public constructor: use .*open_mcast_"):
        kind()
    with pytest.raises(TypeError, match="no public constructor"):
        kind([], [], max_buffered=1, receive_buffer_asked=None)


def test_picture_of_the_house_has_its_parts_in_their_order() -> None:
    picture = (PACKAGE.parent / "docs" / "drawings" / "house.svg").read_text()
    assert re.findall(r'class="house-name"[^>]*>(\w+)<', picture) == HOUSE
    shaded = re.findall(r'house-pure"[^>]*/>\s*<text class="house-name"[^>]*>(\w+)<', picture)
    assert set(shaded) == PURE_WINGS
