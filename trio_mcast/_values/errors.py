"""The errors that the world can cause, as opposed to a wrong argument.

A wrong argument is a plain `TypeError` or `ValueError`, raised before anything is opened.
What only the operating system can know is a `McastError`.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import Final

if sys.version_info < (3, 11):
    # Trio depends on it there. Not every Python that types are checked on has it.
    from exceptiongroup import ExceptionGroup  # type: ignore[import-not-found,unused-ignore]

__all__ = [
    "AmbiguousInterfaceError",
    "InterfaceNotFoundError",
    "McastError",
    "SocketSetupError",
]


def printable(text: str) -> str:
    """Return a text as it can be written anywhere: bytes of a name that are no UTF-8 are escaped.

    Linux lets the name of an interface be almost any bytes. Those that are no UTF-8 are lone
    surrogates in Python (PEP 383), so that the name still means the interface. No file and no
    terminal takes them: writing one raises `UnicodeEncodeError`.
    """
    return text.encode(errors="backslashreplace").decode()


# Python has one name for each number, and of two not always the one that manuals have: on Linux,
# these are ENOTSUP and EDEADLOCK.
_DOCUMENTED: Final = {errno.EOPNOTSUPP: "EOPNOTSUPP", errno.EDEADLK: "EDEADLK"}


def error_name(number: int | None) -> str:
    """Return the name of an error number as systems document it; "" if it has none."""
    return _DOCUMENTED.get(number or 0) or errno.errorcode.get(number or 0, "")


class McastError(Exception):
    """Base class of the errors that this library raises about the world it runs in."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(arg) if isinstance(arg, str) else arg for arg in args))


class InterfaceNotFoundError(McastError, LookupError):
    """No interface of this machine matches what was asked for.

    The message names what was asked for and lists the interfaces that there are.
    """

    # KeyError-like reprs of LookupError subclasses would quote the sentence.
    def __str__(self) -> str:
        return Exception.__str__(self)


class AmbiguousInterfaceError(McastError):
    """More than one interface matches where exactly one is needed.

    Raised for an address that two interfaces share, and for a sender without ``interfaces`` when
    the operating system has no route to the group and there is more than one candidate. The message
    lists the candidates: name one of them in ``interfaces``.
    """


class SocketSetupError(McastError, OSError):
    """The operating system refused a step that a socket needs; also an `OSError`."""

    errno: int | None
    """The operating system's error number, as in any `OSError`."""
    step: str
    """What was refused: ``"socket"``, ``"bind"``, ``"connect"``, ``"send"``, ``"receive"``,
    ``"epoll_create"``, ``"epoll_ctl"``, ``"kqueue"``, ``"kevent"``, ``"list interfaces"``,
    ``"watch interfaces"``, ``"route"`` (to ask where the system sends a group), or the symbol of
    the socket option, such as ``"MCAST_JOIN_GROUP"``.
    """
    group: str | None
    """The group in question, or `None` where the step is not about one."""
    interface: str | None
    """The name of the interface in question, or `None`."""
    causes: tuple[SocketSetupError, ...]
    """When every membership of an opening failed, the error of each; else empty."""

    def __init__(
        self,
        errno: int | None,
        message: str,
        *,
        step: str,
        group: str | None = None,
        interface: str | None = None,
        causes: tuple[SocketSetupError, ...] = (),
    ) -> None:
        super().__init__(errno, message)
        self.step = step
        self.group = group
        self.interface = interface
        self.causes = causes

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[object, ...]:
        state = (self.errno, self.strerror, self.step, self.group, self.interface, self.causes)
        return (_rebuild_setup_error, state)


def _rebuild_setup_error(
    errno: int | None,
    message: str,
    step: str,
    group: str | None,
    interface: str | None,
    causes: tuple[SocketSetupError, ...],
) -> SocketSetupError:
    return SocketSetupError(
        errno, message, step=step, group=group, interface=interface, causes=causes
    )


def all_failed(what: str, causes: tuple[SocketSetupError, ...]) -> SocketSetupError:
    """One error for what was tried in several places and failed in every one of them."""
    first = causes[0]
    if len(causes) == 1:
        return first
    listed = "".join(f"\n  * {cause}" for cause in causes)
    return SocketSetupError(
        first.errno,
        f"{what}:{listed}",
        step=first.step,
        causes=causes,
    )


def none_sent(failures: Sequence[SocketSetupError]) -> Exception:
    """The error of a datagram that was refused everywhere: the one that there is, or all of them.

    A socket's error is an `OSError`, and so is this, as long as there is one place to send to. Of
    several, each may have a cause and a cure of its own.
    """
    if len(failures) == 1:
        return failures[0]
    several: Exception = ExceptionGroup(
        f"nothing could be sent to any of {len(failures)} groups and interfaces", failures
    )
    return several
