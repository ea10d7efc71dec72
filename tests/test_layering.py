"""What may import what, who may ask which system this is, and what the public names promise."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import trio_mcast

PACKAGE = Path(trio_mcast.__file__).parent

# The layers, from the bottom up: a module imports only from rows above its own. Modules in one row
# do not import each other. A name ending in "/" stands for a package whose inside is listed below.
LAYERS: list[list[str]] = [
    ["_errors"],
    ["_addresses"],
    ["_interface"],
    ["_changes"],
    ["_platform/"],
    ["_plan"],
    ["_plan_sender", "_plan_unicast"],
    ["_rules"],
    ["_requests"],
    ["_specs"],
    ["_destinations"],
    ["_datagram"],
    ["_host/"],
    ["_block"],
    ["_watch"],
    ["_statistics"],
    ["_queue"],
    ["_ledger"],
    ["_live"],
    ["_reader"],
    ["_intake"],
    ["_member"],
    ["_members"],
    ["_channel"],
    ["_receiver"],
    ["_outlets"],
    ["_turns"],
    ["_sender"],
    ["_open"],
    ["__init__"],  # The public names; what stands below uses them as any program does.
    ["_diagnosis/"],
    ["testing/"],
    ["_cli/"],
    ["__main__"],
]
INSIDE: dict[str, list[list[str]]] = {
    "_platform/": [
        ["_model", "_bsd"],
        ["linux", "darwin", "freebsd", "windows"],
        ["_layout", "_control"],
        ["__init__"],
    ],
    "_host/": [
        ["_protocols", "_facts", "_options", "_windows_api"],
        ["_carry_out"],
        ["_linux_interfaces", "_bsd_interfaces", "_windows_interfaces", "_damped_watch"],
        ["_interfaces", "_linux_watch", "_bsd_watch", "_routes", "_sources", "_waiting"],
        ["_posix_io"],
        ["_linux_buffers"],
        ["_linux_ring"],
        ["_linux_io", "_windows_io", "_windows_watch", "_kqueue"],
        ["_linux_each"],
        ["_linux_epoll"],
        ["_system"],
        ["__init__"],
    ],
    "testing/": [
        ["_frames", "_rules", "_trace"],
        ["_options", "_state", "_scheduler", "_impairment"],
        ["_delivery", "_kernel", "_core"],
        ["_interface", "_sockets", "_socket"],
        ["_snooping", "_input", "_output", "_poller"],
        ["_switch"],
        ["_router"],
        ["_host"],
        ["_network"],
        ["__init__", "fixtures"],
    ],
}
# Modules without I/O: everything they need is an argument.
PURE = [
    "_errors",
    "_addresses",
    "_interface",
    "_changes",
    "_platform/",
    "_plan",
    "_plan_sender",
    "_plan_unicast",
    "_rules",
    "_requests",
    "_specs",
    "_destinations",
    "_datagram",
    "testing/_frames",
    "testing/_rules",
    "testing/_trace",
    "testing/_options",
    "testing/_state",
    "testing/_impairment",
    "testing/_delivery",
]
IMPURE_IMPORTS = {"socket", "select", "selectors", "trio", "ifaddr", "fcntl", "ctypes", "asyncio"}

# The two imports that go up, each inside a method: a spec leads to what it opens.
NAMED_EXCEPTIONS = {
    ("_specs", "McastReceiverSpec.open", "_open"),
    ("_specs", "McastSenderSpec.open", "_open"),
}

MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix(): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
EVERY_MODULE = pytest.mark.parametrize("module", MODULES)


@cache
def parse(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def is_pure(module: str) -> bool:
    return module in PURE or any(module.startswith(item) for item in PURE if item.endswith("/"))


def is_type_checking(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def walk_imports(
    node: ast.AST, inside: str = ""
) -> Iterator[tuple[str, ast.Import | ast.ImportFrom]]:
    """Every import that is carried out, with the function it stands in ("" at the top level)."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield inside, child
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from walk_imports(child, f"{inside}.{child.name}".strip("."))
        elif is_type_checking(child):
            assert isinstance(child, ast.If)
            for other in child.orelse:
                yield from walk_imports(other, inside)
        else:
            yield from walk_imports(child, inside)


def imports_of(module: str) -> Iterator[tuple[str, str]]:
    """The modules that a module imports, as (function it stands in, dotted name)."""
    package = ["trio_mcast", *module.split("/")[:-1]]
    for inside, node in walk_imports(parse(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield inside, alias.name
            continue
        start = package[: len(package) + 1 - node.level] if node.level else []
        base = ".".join([*start, *([node.module] if node.module else [])])
        for alias in node.names:
            # ``from ._platform import _layout``: what is imported may be a module itself.
            name = f"{base}.{alias.name}"
            is_module = name.removeprefix("trio_mcast.").replace(".", "/") in MODULES
            yield inside, name if is_module else base


def own_imports(module: str) -> Iterator[tuple[str, str]]:
    """The modules of this package that a module imports, as keys of `MODULES`."""
    for inside, name in imports_of(module):
        if name == "trio_mcast" or name.startswith("trio_mcast."):
            path = name.removeprefix("trio_mcast").lstrip(".").replace(".", "/")
            if path in MODULES:
                yield inside, path
            else:
                yield inside, f"{path}/__init__".lstrip("/")


def rank(layers: list[list[str]], name: str) -> int:
    """The row of a module or package.

    Raises:
        LookupError: It is in none.
    """
    for number, row in enumerate(layers):
        if name in row:
            return number
    raise LookupError(f"{name} is in no layer: say in test_layering.py where it belongs")


def split(module: str) -> tuple[str, str]:
    """The package with a slash, or the module itself; and what it is inside of the package."""
    head, slash, rest = module.partition("/")
    return head + slash, rest


def may_import(importer: str, imported: str) -> bool:
    above, below = split(importer), split(imported)
    if above[0] != below[0]:
        return rank(LAYERS, below[0]) < rank(LAYERS, above[0])
    inner = INSIDE.get(above[0])
    if inner is None:  # A package at the top: its inside is its own business.
        return True
    return rank(inner, below[1]) < rank(inner, above[1])


# Imports ---------------------------------------------------------------------------------------


@EVERY_MODULE
def test_module_imports_only_from_above(module: str) -> None:
    for inside, imported in own_imports(module):
        if (module, inside, imported) in NAMED_EXCEPTIONS:
            continue
        assert may_import(module, imported), f"{module} must not import {imported}"


def test_named_exceptions_are_there() -> None:
    there = {(module, inside, name) for module in MODULES for inside, name in own_imports(module)}
    assert there >= NAMED_EXCEPTIONS


def test_order_of_layers_is_checked() -> None:
    # So that the test above cannot pass by finding nothing.
    assert ("", "_platform/__init__") in list(own_imports("_plan"))
    assert ("", "_platform/_layout") in list(own_imports("_plan"))
    assert ("", "_platform/_model") in list(own_imports("_platform/linux"))
    assert ("", "_addresses") in list(own_imports("_platform/linux"))
    assert not may_import("_plan", "_specs")
    assert not may_import("_platform/_model", "_plan")
    assert not may_import("_platform/linux", "_platform/darwin")
    assert not may_import("_host/_protocols", "_host/_system")
    with pytest.raises(LookupError, match="_nowhere is in no layer"):
        may_import("_nowhere", "_plan")


def test_only_two_imports_stand_inside_functions_of_the_core() -> None:
    core = [
        module for module in MODULES if not module.startswith(("_cli", "testing", "_diagnosis"))
    ]
    deferred = {
        (module, inside, name) for module in core for inside, name in own_imports(module) if inside
    }
    assert deferred == NAMED_EXCEPTIONS


@pytest.mark.parametrize("module", [item for item in MODULES if is_pure(item)])
def test_pure_module_imports_nothing_that_does_io(module: str) -> None:
    roots = {name.partition(".")[0] for _, name in imports_of(module)}
    assert not roots & IMPURE_IMPORTS


def test_ifaddr_is_imported_in_one_module() -> None:
    users = [
        module
        for module in MODULES
        if any(name.partition(".")[0] == "ifaddr" for _, name in imports_of(module))
    ]
    assert users == ["_host/_interfaces"]


def asks_which_system(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return (node.value.id, node.attr) in {("sys", "platform"), ("os", "name")}
    if isinstance(node, ast.ImportFrom):
        names = {(node.module, alias.name) for alias in node.names}
        return bool(names & {("sys", "platform"), ("os", "name")})
    return False


def test_only_the_platform_and_the_shell_ask_which_system_this_is() -> None:
    asking = {module for module in MODULES if any(map(asks_which_system, ast.walk(parse(module))))}
    assert "_platform/__init__" in asking
    assert {module for module in asking if not module.startswith("_host/")} == {
        "_platform/__init__"
    }


# The public names ------------------------------------------------------------------------------


def public_members() -> Iterator[tuple[str, object]]:
    """Every public name, and every public method and property of the public classes."""
    for name in trio_mcast.__all__:
        value = getattr(trio_mcast, name)
        yield name, value
        if not inspect.isclass(value):
            continue
        for attribute, member in vars(value).items():
            if attribute.startswith("_"):
                continue
            if callable(member) or isinstance(member, (property, classmethod, staticmethod)):
                yield f"{name}.{attribute}", member


@pytest.mark.parametrize(("name", "value"), [pytest.param(*i, id=i[0]) for i in public_members()])
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
        assert getattr(trio_mcast, name).__name__ == name


@pytest.mark.parametrize("name", ["McastReceiver", "McastSender", "DatagramChannel"])
def test_live_object_cannot_be_made_directly(name: str) -> None:
    kind = getattr(trio_mcast, name)
    with pytest.raises(TypeError, match=f"{name} has no public constructor: use .*open_mcast_"):
        kind()
    with pytest.raises(TypeError, match="no public constructor"):
        kind([], [], max_buffered=1, receive_buffer_asked=None)
