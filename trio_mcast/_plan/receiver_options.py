"""The options of a receiver's socket around its joins. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from .._platform import options as layout
from .._platform import restrictions
from .._platform.model import Platform
from .._platform.options import SocketOption
from .._values.addresses import Family
from .common_options import (
    LOOPBACK_PURPOSE,
    Wishes,
    exact_port_options,
    reading_options,
    sharing_options,
)


# Receivers, and the interfaces of many machines in one virtual network, often have the same. The
# number is arbitrary.
@lru_cache(maxsize=64)
def options_around_joins(
    wishes: Wishes, family: Family, name: str, index: int, is_loopback: bool, platform: Platform
) -> tuple[tuple[SocketOption, ...], tuple[SocketOption, ...]]:
    """Return the options before the joins of a socket, and those after the joins."""
    before = _options_before_joins(wishes, family, name, index, is_loopback, platform)
    return tuple(before), tuple(exact_port_options(platform))


def _options_before_joins(
    wishes: Wishes, family: Family, name: str, index: int, is_loopback: bool, platform: Platform
) -> Iterator[SocketOption]:
    yield from sharing_options(family, platform)
    exact = platform.exact_groups.get(family)
    if exact is not None:
        yield layout.exact_groups(platform, exact)
    restriction = restrictions.interface_restriction(platform, family, name, index)
    if restriction is not None:
        yield restriction
    if platform.receiver_decides_loopback:
        yield layout.family_option(
            platform,
            "loopback",
            family,
            # The loopback interface always delivers.
            int(wishes.loopback or is_loopback),
            LOOPBACK_PURPOSE,
        )
    if not platform.binds_to_group:
        symbol = "IP_PKTINFO" if family == "ipv4" else "IPV6_PKTINFO"
        yield layout.option(platform, symbol, 1, "tell the group's datagrams from unicast")
    yield from reading_options(family, wishes, platform)
