"""The checks of what tests give to the parts of a virtual network."""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection, Iterable
from typing import ClassVar, Final

# The names that people use for systems which have another name here.
_OTHER_NAMES: Final = {"macos": "darwin", "osx": "darwin", "mac": "darwin", "win32": "windows"}


# The number of names that a `repr` has at most.
_SHOWN_NAMES: Final = 10


class FixedAttributes:
    """A base class whose public attributes are those that the class declares: typos are refused.

    An attribute is set once, when the object is made, unless `CHANGEABLE` names it.
    """

    CHANGEABLE: ClassVar[frozenset[str]] = frozenset()
    _declared: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        cls._declared |= inspect.get_annotations(cls).keys()

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and name not in self.CHANGEABLE:
            kind = type(self).__name__
            can_be_set = ", ".join(sorted(self.CHANGEABLE)) or "nothing"
            if hasattr(self, name):
                raise AttributeError(
                    f"{name!r} of a {kind} cannot be changed; what can be set: {can_be_set}"
                )
            if name not in self._declared:
                raise AttributeError(
                    f"{kind} has no attribute {name!r}; what can be set: {can_be_set}"
                )
        super().__setattr__(name, value)


def check_name(name: str) -> None:
    """Check the name of a part or an interface.

    Raises:
        TypeError: The name is not a `str`.
        ValueError: The name is empty, contains a slash, or cannot be printed.
    """
    check_text(name, "name")
    if not name or "/" in name:
        raise ValueError(f"a name must not be empty or contain a slash: {name!r}")
    # A real interface's name can have bytes that are not UTF-8; Python has them as surrogates.
    if not all(letter.isprintable() or "\udc80" <= letter <= "\udcff" for letter in name):
        raise ValueError(f"a name must consist of what can be printed, unlike {name!r}")


def check_text(value: str, what: str) -> None:
    """Raise TypeError for what is not a `str`."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}: {value!r}")


def check_flag(value: bool, what: str) -> None:
    """Raise TypeError for what is neither True nor False."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be True or False, not {type(value).__name__}: {value!r}")


def parse_names(names: Iterable[str], what: str) -> tuple[str, ...]:
    """Return several names.

    Raises:
        TypeError: They are one `str`, or not names at all.
        ValueError: One is empty, contains a slash, or cannot be printed.
    """
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TypeError(f"{what} must be a list of names, not {type(names).__name__}: {names!r}")
    parsed = tuple(names)
    for name in parsed:
        check_name(name)
    return parsed


def check_seed(seed: int) -> None:
    """Raise TypeError for a seed that is not an int."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be an int, not {type(seed).__name__}: {seed!r}")


def parse_trace(trace: bool | int) -> int | None:
    """Return how many events a trace keeps; `None` for all.

    Raises:
        TypeError: The number is neither a bool nor an int.
        ValueError: The number is negative.
    """
    if not isinstance(trace, int):
        raise TypeError(
            f"trace must be True, False or an int, not {type(trace).__name__}: {trace!r}"
        )
    if trace < 0:
        raise ValueError(f"trace must be at least 0 events, not {trace}")
    return None if trace is True else int(trace)


def show_names(names: Collection[str]) -> str:
    """Return names as a `repr` has them: the first ones, if there are many."""
    shown = list(names)
    if len(shown) > _SHOWN_NAMES:
        shown[_SHOWN_NAMES - 1 :] = [f"and {len(names) - _SHOWN_NAMES + 1} more"]
    return ", ".join(shown)


def check_mtu(mtu: int) -> None:
    """Check an mtu.

    Raises:
        TypeError: The mtu is not an int.
        ValueError: The mtu is less than 1.
    """
    if isinstance(mtu, bool) or not isinstance(mtu, int):
        raise TypeError(f"mtu must be an int, not {type(mtu).__name__}: {mtu!r}")
    if mtu < 1:
        raise ValueError(f"mtu must be at least 1 byte, not {mtu}")


def check_platform(platform: str) -> None:
    """Raise ValueError for a platform that has another name here, and for what is no name."""
    if not isinstance(platform, str):
        raise ValueError(f"platform must be a name such as 'linux', not {platform!r}")
    if platform.lower() in _OTHER_NAMES:
        name = _OTHER_NAMES[platform.lower()]
        raise ValueError(f"platform {platform!r} is called {name!r} here")


def check_linux_options(platform: str, rmem_max: int | None, rp_filter: int) -> None:
    """Check the options of a host that are Linux's.

    Raises:
        TypeError: ``rmem_max`` is not an int.
        ValueError: A number is out of range, or an option is given for another system.
    """
    if rmem_max is not None:
        if isinstance(rmem_max, bool) or not isinstance(rmem_max, int):
            raise TypeError(f"rmem_max must be an int, not {type(rmem_max).__name__}: {rmem_max!r}")
        if rmem_max < 1:
            raise ValueError(f"rmem_max must be at least 1 byte, not {rmem_max}")
    if isinstance(rp_filter, bool) or rp_filter not in (0, 1, 2):
        raise ValueError(f"rp_filter must be 0, 1 or 2, not {rp_filter!r}")
    if platform != "linux" and (rmem_max is not None or rp_filter):
        raise ValueError(f"{platform} has neither rmem_max nor rp_filter: only Linux has")


def positive(value: float, what: str) -> float:
    """Return a number of seconds.

    Raises:
        TypeError: The value is not a number.
        ValueError: The value is not more than 0, or not finite.
    """
    if not not_negative(value, what):
        raise ValueError(f"{what} must be more than 0 seconds, not {value}")
    return value


def not_negative(value: float, what: str) -> float:
    """Return a number of seconds, which may be 0.

    Raises:
        TypeError: The value is not a number.
        ValueError: The value is less than 0, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be a number, not {type(value).__name__}: {value!r}")
    if not 0 <= value < math.inf:
        raise ValueError(f"{what} must be at least 0 seconds, not {value}")
    return value
