"""Live objects have no public constructor: they come from the functions that open them."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any, TypeVar

_T = TypeVar("_T")


class OpenedOnly(ABCMeta):
    """A metaclass whose classes cannot be called, only made through ``_create``."""

    def __call__(cls, *args: object, **kwargs: object) -> Any:
        raise TypeError(
            f"{cls.__name__} has no public constructor: use trio_mcast.open_mcast_receiver or "
            "trio_mcast.open_mcast_sender"
        )

    def _create(cls: type[_T], *args: object, **kwargs: object) -> _T:
        made: _T = super().__call__(*args, **kwargs)  # type: ignore[misc]  # of the metaclass
        return made
