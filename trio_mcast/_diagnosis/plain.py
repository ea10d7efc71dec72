"""Frozen values as what JSON has, and back. Pure.

A field that holds values of a class of its own names that class in its metadata; see `of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import attrs

T = TypeVar("T")

_OF = "of"


def of(cls: type[Any]) -> dict[str, Any]:
    """Return the metadata of a field that holds a value of a class, or a tuple of such values."""
    return {_OF: cls}


def to_plain(value: Any) -> Any:
    """Return a value as JSON has it: attrs classes and mappings as objects, tuples as lists."""
    if attrs.has(type(value)):
        names = [field.name for field in attrs.fields(type(value))]
        return {name: to_plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(entry) for entry in value]
    return value


def from_plain(cls: type[T], plain: Any) -> T:
    """Return the value of a class that `to_plain` has made plain. Names it does not know are left.

    Raises:
        ValueError: Something of the value is missing, or is of another kind.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"{cls.__name__} must be an object, not {type(plain).__name__}")
    arguments = {}
    for field in attrs.fields(cast("Any", cls)):
        if field.name in plain:
            arguments[field.name] = _field(field.metadata.get(_OF), plain[field.name])
        elif field.default is attrs.NOTHING:
            raise ValueError(f"{cls.__name__} has no {field.name!r}")
    return cls(**arguments)


def _field(cls: type[Any] | None, plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(plain if cls is None else (from_plain(cls, entry) for entry in plain))
    return plain if cls is None or plain is None else from_plain(cls, plain)
