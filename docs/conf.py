"""Settings for Sphinx."""

import ast
import os
import re
import tempfile
import zlib
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from inspect import cleandoc
from pathlib import Path

from sphinx.domains.python import PyObject

import trio_mcast

project = "trio_mcast"
author = "trio_mcast contributors"
project_copyright = "2026, trio_mcast contributors"
try:
    release = version = installed_version("trio-mcast")
except PackageNotFoundError:  # Imported from its source tree.
    release = version = "(development)"

extensions = [
    "notfound.extension",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_click",
    "sphinx_design",
    "sphinxcontrib_trio",
]
exclude_patterns = ["_build", "examples"]
html_theme = "furo"

# Where a page's source can be edited, as soon as contacts.ini says where it is.
_contacts = ConfigParser()
_contacts.read_string((Path(__file__).parents[1] / "contacts.ini").read_text(encoding="utf-8"))
html_theme_options = {}
if _contacts["project"]["documentation"]:
    # For sites that show a preview of a page. It takes the address of the pages.
    extensions.append("sphinxext.opengraph")
    ogp_site_url = _contacts["project"]["documentation"]
    ogp_social_cards = {"enable": False}
if _contacts["project"]["repository"]:
    html_theme_options = {
        "source_repository": _contacts["project"]["repository"],
        "source_branch": "main",
        "source_directory": "docs/",
    }
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_title = f"trio_mcast {release}"

man_pages = [
    ("command", "trio-mcast", "UDP multicast: see it work, and find out why not", author, 1)
]

default_role = "py:obj"
# A longer signature has each parameter on a line of its own.
maximum_signature_line_length = 88
autodoc_member_order = "bysource"
# Types that an argument may have are named in signatures and explained in the reference, under
# "What arguments may be", instead of being written out as long unions.
autodoc_type_aliases = {
    name: name
    for name in (
        "AddressLike",
        "AddressScope",
        "AddressState",
        "AddressWithPrefix",
        "BindAddress",
        "Buffer",
        "Certainty",
        "Destination",
        "EventKind",
        "Family",
        "InterfaceSelector",
        "InterfaceSelectors",
        "Overflow",
        "Place",
        "PlatformName",
        "SenderOverflow",
        "Severity",
    )
}
# Attributes are described below their class and have no entries of their own.
napoleon_use_ivar = True
napoleon_numpy_docstring = False
# What cancelling does, and what differs between platforms, have sections of their own.
napoleon_custom_sections = ["Cancellation", "Platforms"]

# Only what is typed is copied, not what the program answers.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_line_continuation_character = "\\"
# The page for one that is missing names its files by their place on the server.
if "READTHEDOCS" not in os.environ:
    notfound_urls_prefix = "/"


def _inventory(name):
    """Return the file, packed as Sphinx reads it, of the names in a list in inventories/."""
    lines = (Path(__file__).parent / "inventories" / f"{name}.txt").read_bytes()
    head = f"# Sphinx inventory version 2\n# Project: {name}\n# Version: \n# zlib\n"
    packed = Path(tempfile.mkdtemp()) / f"{name}.inv"
    packed.write_bytes(head.encode() + zlib.compress(lines))
    return str(packed)


# The build works without a network: Python's inventory is that of Debian's python3.11-doc, and the
# list of names of Trio was made from its package.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", "inventories/python.inv"),
    "trio": ("https://trio.readthedocs.io/en/stable", _inventory("trio")),
}
nitpick_ignore_regex = [
    # Named in signatures without their module.
    (r"py:class", r"(IPv[46](Address|Interface)|AbstractAsyncContextManager|AsyncIterator)"),
    (r"py:class", "|".join(autodoc_type_aliases)),
    # A protocol of the virtual network, for a host or a router.
    (r"py:class", r"Owner|RouteRefusal"),
    # What a diagnosis rests on is for people to read and to save; its parts may change.
    (r"py:class", r"Evidence"),
]


def _name_type_aliases(app, what, name, obj, options, signature, return_annotation):
    """Write a type alias by its name also inside a union, where Sphinx writes its stand-in."""
    stand_in = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")
    return tuple(text and stand_in.sub(r"\1", text) for text in (signature, return_annotation))


def _attribute_docstrings():
    """Return the docstrings of attributes, which stand below them, by class and attribute."""
    by_class = {}
    for path in Path(trio_mcast.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                for field, text in zip(node.body, node.body[1:], strict=False):
                    if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                        docstring = cleandoc(text.value.value)
                        by_class.setdefault(node.name, {})[field.target.id] = docstring
    return by_class


_attributes = _attribute_docstrings()


def _list_attributes(app, what, name, obj, options, lines):
    """Add the docstrings of attributes to that of their class, with those of private bases."""
    if what not in ("class", "exception"):
        return
    kinds = [kind for kind in reversed(obj.__mro__) if kind is obj or "._" in kind.__module__]
    attributes = {}
    for kind in kinds:
        attributes |= _attributes.get(kind.__name__, {})
    if not attributes:
        return
    lines += ["", "Attributes:"]
    for attribute, docstring in attributes.items():
        lines += [f"    {attribute}: " + docstring.replace("\n", "\n        ")]
    lines[:] = "\n".join(lines).split("\n")


def _link_type_aliases(app, env, node, contnode):
    """Let the name of a type alias lead to where the alias is explained."""
    target = node.get("reftarget")
    if node.get("reftype") != "class" or target not in autodoc_type_aliases:
        return None
    domain = env.get_domain("py")
    where = (env, node["refdoc"], app.builder)
    return domain.resolve_xref(*where, "data", target, node, contnode)


def _name_public_types(app, what, name, obj, options, lines):
    """Write the types of attributes without the private module that defines them."""
    lines[:] = [
        re.sub(r"\btrio_mcast(\.testing)?\._\w+(\._\w+)*\.(?=[A-Z])", "", line) for line in lines
    ]


def _add_examples(app, context, lines):
    """Write the examples that end the help of a command: click has no place for them."""
    examples = getattr(context.command, "examples", ())
    if examples:
        lines += ["", f".. rubric:: {'Examples' if len(examples) > 1 else 'Example'}", "", "::", ""]
        lines += [f"    {example}" for example in examples]
        lines += [""]


def setup(app):
    app.connect("sphinx-click-process-epilog", _add_examples)
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"  # The usual word; Sphinx says "Variables".
    app.connect("autodoc-process-signature", _name_type_aliases)
    app.connect("missing-reference", _link_type_aliases)
    # Before napoleon, which takes the list apart.
    app.connect("autodoc-process-docstring", _list_attributes, priority=100)
    # After napoleon, which writes them.
    app.connect("autodoc-process-docstring", _name_public_types, priority=900)
