"""The blocks of python-pcapng, whose version 2.1.1 cannot read IPv6 addresses of interfaces.

Two options of the block that describes an interface are taken as bytes: ``if_IPv6addr``, whose
decoder fails on every value, and ``if_tsresol``, which has no type and is warned about.
"""

from __future__ import annotations

from pcapng import blocks

__all__ = ["blocks"]


def _take_as_bytes(names: tuple[str, ...]) -> None:
    for _, field, _ in blocks.InterfaceDescription.schema:
        options = getattr(field, "options_schema", [])
        options[:] = [
            option._replace(ftype="bytes") if option.name in names else option for option in options
        ]


_take_as_bytes(("if_IPv6addr", "if_tsresol"))
