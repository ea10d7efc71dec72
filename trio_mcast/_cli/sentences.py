"""Errors as sentences: one line each, in the words of the command line."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import suppress

from .._values.errors import McastError, printable

if sys.version_info < (3, 11):
    # Trio depends on it there. Not every Python that types are checked on has it.
    from exceptiongroup import BaseExceptionGroup  # type: ignore[import-not-found,unused-ignore]


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors of a group of errors, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves_of(inner)
    else:
        yield error


def describe(error: BaseException) -> str:
    """Return one sentence about an error of the library or of the system."""
    if isinstance(error, OSError) and not isinstance(error, McastError):
        return describe_os_error(error)
    return one_line(str(error))


def describe_os_error(error: OSError) -> str:
    """Return one sentence about an error of a file, or of standard output if it names no file."""
    reason = error.strerror or str(error) or errno.errorcode.get(error.errno or 0, "unknown error")
    place = "standard output" if error.filename is None else printable(str(error.filename))
    return f"{place}: {reason}"


# How the library names an argument, and what that is on the command line.
_OPTIONS = {
    "in interfaces=": "with --interface",
    "interfaces=": "--interface ",
    "leave interfaces out": "leave --interface out",
}


def one_line(text: str) -> str:
    """Return a text of the library, such as an error with its causes, as one line for the command.

    Arguments of Python are written as on the command line.
    """
    for argument, option in _OPTIONS.items():
        text = text.replace(argument, option)
    first, *others = (line.strip().removeprefix("* ") for line in text.strip().splitlines() or [""])
    if not others:
        return first
    return f"{first} {'; '.join(others)}" if first.endswith(":") else "; ".join((first, *others))


def complain(command: str, sentence: str) -> None:
    """Write one line on standard error, even if nobody can read it."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{command}: {printable(sentence)}\n")
        sys.stderr.flush()
