"""Whether the system has Linux's filters of groups, or only Linux's calls."""

from __future__ import annotations

import errno
import socket
from typing import Final

from ..._platform.linux import without_filters
from ..._platform.model import Platform

# The errors for an option that the system does not have.
_UNKNOWN: Final = frozenset({errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


def as_it_filters(platform: Platform) -> Platform:
    """Return the platform for the system on which the process runs.

    Linux tells the value of IP_MULTICAST_ALL since 2.6.31. Where it is not known, whether a socket
    has joined anything may not be looked at: qemu-user (as ``docker run --platform`` has it)
    refuses to set the option, gVisor accepts that and does nothing.
    """
    numbers = platform.constants
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.getsockopt(numbers["IPPROTO_IP"], numbers["IP_MULTICAST_ALL"])
    except OSError as error:
        return without_filters(platform) if error.errno in _UNKNOWN else platform
    return platform
