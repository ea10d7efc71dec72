"""Carrying out a plan: every option of a spec around the bind, on anything that takes them.

Real and virtual hosts both go through here, so a plan means the same on either.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from .._plan.socket_spec import BindAddress, SocketSpec
from .._platform.advice import explain_refusal
from .._platform.model import PlatformName
from .._platform.options import SocketOption
from .._values.errors import SocketSetupError
from .apply_option import TakesOptions, apply_option


class Settable(TakesOptions, Protocol):
    """What a plan is carried out on: a socket, or what stands for one."""

    def bind(self, address: BindAddress, /) -> None:
        """Bind it. OSError if it is refused."""

    def connect(self, address: BindAddress, /) -> None:
        """Connect it. OSError if it is refused."""


@attrs.define
class Step:
    """What is being done, for the error if it is refused."""

    name: str = "socket"
    detail: str = ""

    def explain(self, error: OSError, spec: SocketSpec, platform: PlatformName) -> SocketSetupError:
        """The error for what was refused at this step, on a platform."""
        return explain_refusal(
            error,
            step=self.name,
            detail=self.detail,
            group=spec.group,
            interface=spec.interface.name,
            platform=platform,
        )


def carry_out(sock: Settable, spec: SocketSpec, step: Step) -> frozenset[str]:
    """Set every option around the bind; the symbols of those that were set.

    Args:
        sock: A new socket.
        spec: The plan.
        step: Kept up to date with what is being done.

    Raises:
        OSError: A step was refused.
    """
    applied = set()
    for after_bind in (False, True):
        for option in spec.options:
            if option.after_bind is after_bind:
                step.name, step.detail = option.symbol, f"({option.purpose})"
                symbol = _set_option(sock, option)
                if symbol is not None:
                    applied.add(symbol)
        if not after_bind:
            step.name, step.detail = "bind", f"to {spec.bind[0]} port {spec.bind[1]}"
            sock.bind(spec.bind)
    if spec.peer is not None:
        step.name, step.detail = "connect", f"to {spec.peer[0]} port {spec.peer[1]}"
        sock.connect(spec.peer)
    return frozenset(applied)


def _set_option(sock: Settable, option: SocketOption) -> str | None:
    """Set an option, or its fallback where it is refused; the symbol of the one that was set.

    `None` if all were refused and none is required.
    """
    try:
        apply_option(sock, option)
    except OSError:
        if option.fallback is not None:
            return _set_option(sock, option.fallback)
        if option.required:
            raise
        return None
    return option.symbol
