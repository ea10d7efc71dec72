"""Carrying out a plan: every option of a `SocketSpec` around the bind.

Real and virtual hosts both use this module, so a plan means the same on either.
"""

from __future__ import annotations

import errno
from collections.abc import Container, Iterable
from typing import Final, Protocol

import attrs

from .._plan.socket_spec import BindAddress, SocketSpec, leaving_option
from .._platform.advice import explain_refusal
from .._platform.model import Platform, PlatformName
from .._platform.options import SocketOption
from .._values.errors import SocketSetupError
from .apply_option import TakesOptions, apply_after, apply_option

_JOINS: Final = "MCAST_JOIN_"


class Settable(TakesOptions, Protocol):
    """A socket on which to carry out a plan, or a stand-in for a socket."""

    def bind(self, address: BindAddress, /) -> None:
        """Bind the socket. OSError if refused."""

    def connect(self, address: BindAddress, /) -> None:
        """Connect the socket. OSError if refused."""


@attrs.define
class Step:
    """The step that is being carried out, for the error if the step is refused.

    Attributes:
        option: The option that is being set; `None` for another step.
        name: The name of another step.
        detail: More about that step.
        passing: The errors with which a join may be refused although nothing is wrong.
        pending: The first join that was refused so, and all after it: to be tried a little later.
    """

    name: str = "socket"
    detail: str = ""
    option: SocketOption | None = None
    passing: Container[int | None] = ()
    pending: tuple[SocketOption, ...] = ()

    @classmethod
    def first(cls, socket_spec: SocketSpec, platform: Platform) -> Step:
        """Return the step of a plan that comes first: the socket is made."""
        return cls(passing=platform.passing_join_errors.get(socket_spec.family, ()))

    def explain(
        self, error: OSError, socket_spec: SocketSpec, platform: PlatformName
    ) -> SocketSetupError:
        """Return the error for a refusal at this step, on a platform."""
        name, detail = self.name, self.detail
        if self.option is not None:
            name, detail = self.option.symbol, f"({self.option.purpose})"
        return explain_refusal(
            error,
            step=name,
            detail=detail,
            group=socket_spec.group,
            interface=socket_spec.interface.name,
            platform=platform,
        )


def carry_out(sock: Settable, socket_spec: SocketSpec, step: Step) -> frozenset[str]:
    """Set every option around the bind, and return the symbols of the options that were set.

    Args:
        sock: A new socket.
        socket_spec: The plan.
        step: Kept up to date with the step that is being carried out.

    Raises:
        OSError: A step was refused.
    """
    applied: set[str] = set()
    options = [option for option in socket_spec.options if not option.if_taken]
    _set_each(sock, [option for option in options if not option.after_bind], step, applied)
    step.name, step.detail = "bind", f"to {socket_spec.bind[0]} port {socket_spec.bind[1]}"
    shared = _bind(sock, socket_spec)
    applied |= shared
    # Of the others, how the bind was possible has decided.
    later = [option for option in options if option.after_bind and option.symbol not in shared]
    _set_each(sock, later, step, applied)
    if socket_spec.peer is not None:
        step.name, step.detail = "connect", f"to {socket_spec.peer[0]} port {socket_spec.peer[1]}"
        sock.connect(socket_spec.peer)
    return frozenset(applied)


def _set_each(
    sock: TakesOptions, options: Iterable[SocketOption], step: Step, applied: set[str]
) -> None:
    """Set options of a plan. This runs for thousands of sockets, so there are few calls."""
    for option in options:
        step.option = option
        if step.pending and option.symbol.startswith(_JOINS):
            step.pending = (*step.pending, option)  # It would be refused as well.
            continue
        try:
            sock.setsockopt(option.level, option.number, option.value)
        except OSError as error:
            if error.errno in step.passing and option.symbol.startswith(_JOINS):
                step.pending = (*step.pending, option)
                continue
            symbol = _set_after(sock, option, error, step)
            if symbol is not None:
                applied.add(symbol)
        else:
            applied.add(option.symbol)
    step.option = None


def change_options(
    sock: TakesOptions,
    socket_spec: SocketSpec,
    options: Iterable[SocketOption],
    platform: PlatformName,
) -> None:
    """Set options of an open socket, in order, as another plan needs them.

    Raises:
        SocketSetupError: A required option was refused; the options before it are set.
    """
    for option in options:
        try:
            apply_option(sock, option)
        except OSError as error:
            if option.required:
                raise Step(option=option).explain(error, socket_spec, platform) from error


def leave_group(sock: TakesOptions, socket_spec: SocketSpec, platform: Platform) -> None:
    """End the membership of a socket that is about to be closed, as far as the system lets it.

    The interface may have gone, and the membership with it.
    """
    option = leaving_option(socket_spec, platform)
    if option is not None:
        _set_option(sock, option)


def _bind(sock: Settable, socket_spec: SocketSpec) -> set[str]:
    """Bind; where the port is in use, set what may help, and bind once more.

    Returns:
        The symbols of the options that were set.

    Raises:
        OSError: The bind was refused, also with these options.
    """
    try:
        sock.bind(socket_spec.bind)
    except OSError as error:
        options = [option for option in socket_spec.options if option.if_taken]
        wide = socket_spec.bind_if_taken
        if error.errno != errno.EADDRINUSE or not (options or wide):
            raise
        applied = {_set_option(sock, option) for option in options if not option.after_bind}
        sock.bind(wide or socket_spec.bind)
        applied |= {_set_option(sock, option) for option in options if option.after_bind}
        return {symbol for symbol in applied if symbol is not None}
    return set()


def _set_option(sock: TakesOptions, option: SocketOption, step: Step | None = None) -> str | None:
    """Set an option, or its fallback if refused, and return the symbol of the option set.

    `None` if all were refused and none is required.
    """
    try:
        sock.setsockopt(option.level, option.number, option.value)
    except OSError as error:
        return _set_after(sock, option, error, step)
    return option.symbol


def _set_after(
    sock: TakesOptions, option: SocketOption, refusal: OSError, step: Step | None
) -> str | None:
    """Do as `_set_option` for an option that was refused a moment ago."""
    try:
        apply_after(sock, option, refusal)
    except OSError:
        fallback = option.fallback
        if fallback is not None:
            if step is not None and not option.symbol.startswith(_JOINS):
                # The refusal that counts is the last one; a join is one, whatever it is called.
                step.option = fallback
            return _set_option(sock, fallback, step)
        if option.required:
            raise
        return None
    finally:
        del refusal  # Its traceback refers to this frame.
    return option.symbol
