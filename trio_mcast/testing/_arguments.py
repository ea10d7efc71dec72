"""The checks of what tests give to the parts of a virtual network."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Iterable
from typing import ClassVar, Final

from .._platform.model import PlatformName
from .._values.numbers import parse_int
from .._values.shown import show_value

# The names that people use for systems which have another name here.
_OTHER_NAMES: Final = {"macos": "darwin", "osx": "darwin", "mac": "darwin", "win32": "windows"}


# What a real system takes: the mtu of Linux's loopback, and a C int for net.core.rmem_max.
_MOST_MTU: Final = 65_536
_MOST_RMEM: Final = 2**31 - 1
# A seed stands in the names of all random numbers.
_MOST_SEED: Final = 2**64 - 1

# The bytes that dev_valid_name in Linux's net/core/dev.c refuses in a name, besides the slash. The
# last one is its no-break space in Latin 1, and the second half of some letters in UTF-8.
_REFUSED_BY_LINUX: Final = frozenset(b": \t\n\v\f\r\xa0")

# The number of names that a `repr` has at most.
_SHOWN_NAMES: Final = 10


class FixedAttributes:
    """A base class whose public attributes are those that the class declares: typos are refused.

    An attribute is set once, when the object is made, unless `CHANGEABLE` names it.
    """

    CHANGEABLE: ClassVar[frozenset[str]] = frozenset()
    # What is said besides about an attribute that cannot be set.
    HINT: ClassVar[str] = ""
    _declared: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        cls._declared |= inspect.get_annotations(cls).keys()

    def __setattr__(self, name: str, value: object) -> None:
        if name[0] != "_" and name not in self.CHANGEABLE:
            kind = type(self).__name__
            can_be_set = ", ".join(sorted(self.CHANGEABLE)) or "nothing"
            can_be_set += self.HINT
            if hasattr(self, name):
                raise AttributeError(
                    f"{name!r} of a {kind} cannot be changed; what can be set: {can_be_set}"
                )
            if name not in self._declared:
                raise AttributeError(
                    f"{kind} has no attribute {name!r}; what can be set: {can_be_set}"
                )
        object.__setattr__(self, name, value)


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
    if name.isprintable():
        return
    if not all(letter.isprintable() or "\udc80" <= letter <= "\udcff" for letter in name):
        raise ValueError(f"a name must consist of what can be printed, unlike {name!r}")


def check_interface_name(name: str, platform: PlatformName) -> None:
    """Check the name of a host's interface: whether its system would take it.

    Raises:
        TypeError: The name is not a `str`.
        ValueError: No interface can have that name.
    """
    check_name(name)
    # IFNAMSIZ of Linux, macOS and FreeBSD, with the zero byte at the end.
    if platform != "windows" and len(os.fsencode(name)) > 15:
        raise ValueError(f"an interface's name has at most 15 bytes, unlike {name!r}")
    if platform == "linux" and (name in (".", "..") or _REFUSED_BY_LINUX & {*os.fsencode(name)}):
        raise ValueError(
            f"an interface of Linux cannot be called {name!r}: its name has no space, colon or "
            'slash, and is neither "." nor ".."'
        )


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
    try:
        if isinstance(names, (str, bytes)):
            raise TypeError  # Iterated, it would be its letters.
        parsed = tuple(names)
    except TypeError:
        raise TypeError(
            f"{what} must be a list of names, not {type(names).__name__}: {names!r}"
        ) from None
    for name in parsed:
        check_name(name)
    return parsed


def check_seed(seed: int) -> None:
    """Check a seed.

    Raises:
        TypeError: The seed is not an int.
        ValueError: The seed has more than 64 bits.
    """
    parse_int(seed, "seed", -_MOST_SEED, _MOST_SEED)


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
    return None if trace is True else parse_int(int(trace), "trace", 0, unit="events")


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
        ValueError: The mtu is less than 1, or more than 65,536.
    """
    parse_int(mtu, "mtu", 1, _MOST_MTU, unit="bytes")


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
        parse_int(rmem_max, "rmem_max", 1, _MOST_RMEM, unit="bytes")
    if isinstance(rp_filter, bool) or rp_filter not in (0, 1, 2):
        raise ValueError(f"rp_filter must be 0, 1 or 2, not {show_value(rp_filter)}")
    if platform != "linux" and (rmem_max is not None or rp_filter):
        raise ValueError(f"{platform} has neither rmem_max nor rp_filter: only Linux has")
