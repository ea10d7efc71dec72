"""The part that all specs share: each keeps the request that it comes to."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from functools import partial
from typing import Any, Final, Generic, TypeVar, cast

import attrs

from .._values.addresses import Group, IPAddress

_Request = TypeVar("_Request")
_Spec = TypeVar("_Spec", bound="Requests[Any]")


def as_texts(values: Iterable[Group | IPAddress] | None) -> tuple[str, ...] | None:
    """Return groups or addresses as text."""
    return None if values is None else tuple(map(str, values))


# Sets a field of a frozen spec that is being made.
keep: Final = object.__setattr__


def with_request(spec: _Spec, **changes: object) -> _Spec:
    """Return a copy of a spec that asks for what no field of a spec can say.

    Args:
        spec: The spec.
        changes: The changed fields of the spec's request.
    """
    changed = copy(spec)
    keep(changed, "_request", attrs.evolve(spec._request, **changes))
    return changed


class Requests(Generic[_Request]):
    """A spec that keeps its request: parsed once, and not a field, as it says nothing new."""

    __slots__ = ("_request",)

    _request: _Request

    def __reduce__(self) -> tuple[object, ...]:
        fields: tuple[attrs.Attribute[object], ...] = attrs.fields(cast("Any", type(self)))
        arguments = {field.name: getattr(self, field.name) for field in fields}
        return partial(type(self), **arguments), ()
