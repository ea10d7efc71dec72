"""The host on which a task opens sockets."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from .protocols import Host
from .system import SystemHost

_SYSTEM_HOST: Final = SystemHost()

# The host on which sockets are opened; the machine itself unless another host was set.
host_variable: Final[ContextVar[Host]] = ContextVar("trio_mcast.host", default=_SYSTEM_HOST)


def current_host() -> Host:
    """Return the host on which this task opens sockets."""
    return host_variable.get()
