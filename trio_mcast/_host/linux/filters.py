"""Whether the system has Linux's filters of groups, or only Linux's calls."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address
from typing import Final

import attrs

from ..._platform.linux import without_filters
from ..._platform.model import Platform
from ..._platform.options import group_req

# The errors for an option that the system does not have.
_UNKNOWN: Final = frozenset({errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


# No interface has it.
_NO_INDEX: Final = 0x7FFF_FFFF

_GROUPS: Final = {socket.AF_INET: "239.255.255.255", socket.AF_INET6: "ff15::ffff"}


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
        if error.errno in _UNKNOWN:
            return without_filters(platform)
    return platform if _joins_groups(platform) else attrs.evolve(platform, join_fallback=True)


def _joins_groups(platform: Platform) -> bool:
    """Whether the system has MCAST_JOIN_GROUP, asked with an interface that it has not got."""
    numbers = platform.constants
    for family, group in _GROUPS.items():
        level = numbers["IPPROTO_IP" if family == socket.AF_INET else "IPPROTO_IPV6"]
        request = group_req(platform, _NO_INDEX, ip_address(group))
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM)
        except OSError:  # Nothing to be joined by either option.
            continue
        with sock:
            try:
                sock.setsockopt(level, numbers["MCAST_JOIN_GROUP"], request)
            except OSError as error:
                if error.errno != errno.ENODEV:
                    return False
    return True
