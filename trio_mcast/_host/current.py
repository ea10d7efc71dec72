"""The host on which a task opens sockets, and the network that its thread is in."""

from __future__ import annotations

import os
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


def current_network(host: Host) -> int | None:
    """Return the number of the network namespace in which this thread would look at a host.

    `None` for a host that has none, on other systems than Linux, and where there is no /proc to
    ask.
    """
    if not isinstance(host, SystemHost):
        return None
    try:
        return os.stat("/proc/thread-self/ns/net").st_ino
    except OSError:
        return None
