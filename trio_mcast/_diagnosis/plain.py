"""Frozen values as what JSON has, and back. Pure.

What a field may hold is told by its annotation: a class of such values, a tuple of one kind, a
mapping from text, a literal, numbers and texts, or several of these.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

import attrs

T = TypeVar("T")


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
    for field in _fields(cast("Any", cls)):
        if field.name in plain:
            place = f"{cls.__name__}.{field.name}"
            arguments[field.name] = _value(field.type, plain[field.name], place)
        elif field.default is attrs.NOTHING:
            raise ValueError(f"{cls.__name__} has no {field.name!r}")
    return cls(**arguments)


@cache
def _fields(cls: type[Any]) -> tuple[attrs.Attribute[Any], ...]:
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(cls)
    if any(isinstance(field.type, str) for field in fields):
        fields = attrs.fields(attrs.resolve_types(cls))
    return fields


def _value(hint: Any, plain: Any, place: str) -> Any:
    """Return a plain value as an annotation has it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _one_of(arguments, plain, place)
    if origin is Literal and plain in arguments:
        return plain
    if origin is tuple and isinstance(plain, list):
        return tuple(_value(arguments[0], entry, place) for entry in plain)
    if origin is Mapping and isinstance(plain, dict):
        return {name: _value(arguments[1], entry, place) for name, entry in plain.items()}
    if origin is None and attrs.has(hint):
        return from_plain(hint, plain)
    if origin is None and _is_of(hint, plain):
        return plain
    raise ValueError(f"{place} cannot be {plain!r:.60}")


def _one_of(hints: tuple[Any, ...], plain: Any, place: str) -> Any:
    if plain is None and type(None) in hints:
        return None
    hints = tuple(hint for hint in hints if hint is not type(None))
    for hint in hints[:-1]:
        try:
            return _value(hint, plain, place)
        except ValueError:
            continue
    return _value(hints[-1], plain, place)


def _is_of(cls: type[Any], plain: Any) -> bool:
    if cls is float:  # JSON has one kind of numbers.
        return isinstance(plain, (int, float)) and not isinstance(plain, bool)
    return type(plain) is cls
