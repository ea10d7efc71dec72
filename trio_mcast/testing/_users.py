"""The user whose programs open sockets on a virtual host."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

# The user for whom the rules about users do not count.
ROOT: Final = "root"

user_variable: Final[ContextVar[str]] = ContextVar("trio_mcast.testing.user", default="user")
