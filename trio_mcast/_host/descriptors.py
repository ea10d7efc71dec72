"""Running out of file descriptors, in numbers."""

from __future__ import annotations

import errno
import sys
from typing import NoReturn

from .._values.errors import SocketSetupError

if sys.platform == "win32":

    def _limit() -> int | None:
        return None  # Windows has none of its own for sockets.

else:
    import resource

    def _limit() -> int | None:
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return None if soft == resource.RLIM_INFINITY else soft


def raise_with_needed(error: SocketSetupError, sockets: int) -> NoReturn:
    """Raise an error of opening, which for EMFILE also says how many descriptors it takes.

    Args:
        error: The refusal of one socket.
        sockets: How many sockets were to be opened.
    """
    limit = _limit()
    if error.errno != errno.EMFILE or limit is None:
        raise error
    raise SocketSetupError(
        error.errno,
        f"{error} (needed here: {sockets:,} for the sockets, and some more; the process may have "
        f"{limit:,} in all, its RLIMIT_NOFILE)",
        step=error.step,
        group=error.group,
        interface=error.interface,
    ) from error.__cause__
