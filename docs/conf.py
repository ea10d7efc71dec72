"""Settings for Sphinx."""

import builtins
import re
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

from sphinx.domains.python import PyObject

project = "trio_mcast"
author = "trio_mcast contributors"
project_copyright = "2026, trio_mcast contributors"
try:
    release = version = installed_version("trio-mcast")
except PackageNotFoundError:  # Imported from its source tree.
    release = version = "(development)"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib_trio",
]
exclude_patterns = ["_build", "examples"]
html_theme = "furo"
html_title = f"trio_mcast {release}"

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
        "Destination",
        "EventKind",
        "Family",
        "InterfaceSelector",
        "InterfaceSelectors",
        "PlatformName",
    )
}
# Attributes are described in the docstring of their class and have no entries of their own.
napoleon_use_ivar = True
napoleon_numpy_docstring = False
# What cancelling does, and what differs between platforms, have sections of their own.
napoleon_custom_sections = ["Cancellation", "Platforms"]

# The build works without a network, so there are no inventories of other projects to link to. A
# name of ours that does not resolve is an error all the same.
nitpick_ignore_regex = [
    (r"py:.*", r"trio\..*"),
    (r"py:.*", rf"({'|'.join(map(re.escape, sys.stdlib_module_names))})(\..*)?"),
    (r"py:.*", rf"({'|'.join(dir(builtins))})(\..*)?"),
    # Named in signatures without their module.
    (r"py:class", r"(IPv[46](Address|Interface)|AbstractAsyncContextManager|AsyncIterator)"),
    (r"py:class", "|".join(autodoc_type_aliases)),
]


def _name_type_aliases(app, what, name, obj, options, signature, return_annotation):
    """Write a type alias by its name also inside a union, where Sphinx writes its stand-in."""
    stand_in = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")
    return tuple(text and stand_in.sub(r"\1", text) for text in (signature, return_annotation))


def _name_public_types(app, what, name, obj, options, lines):
    """Write the types of attributes without the private module that defines them."""
    lines[:] = [
        re.sub(r"\btrio_mcast(\.testing)?\._\w+(\._\w+)*\.(?=[A-Z])", "", line) for line in lines
    ]


def setup(app):
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"  # The usual word; Sphinx says "Variables".
    app.connect("autodoc-process-signature", _name_type_aliases)
    # After napoleon, which writes them.
    app.connect("autodoc-process-docstring", _name_public_types, priority=900)
