"""The options that keep a socket to what is meant for it: to an interface, to unicast. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator

import attrs

from .._values.addresses import Family
from .model import Platform
from .options import SocketOption, option


def interface_restriction(
    platform: Platform, family: Family, name: str, index: int
) -> SocketOption | None:
    """Keep a socket to the datagrams of one interface, where a membership does not suffice."""
    symbol = platform.interface_restriction.get(family)
    if symbol is None:
        return None
    fallback_symbol = platform.restriction_fallback.get(family)
    fallback = None
    if fallback_symbol is not None:
        purpose = "tell the interface of each datagram, to leave out those of others"
        fallback = option(platform, fallback_symbol, 1, purpose)
    value: int | bytes = index
    if symbol == "SO_BINDTODEVICE":
        value = _device(name)
    return option(platform, symbol, value, "only datagrams of this interface", fallback=fallback)


def telling_options(platform: Platform, family: Family) -> Iterator[SocketOption]:
    """Have each datagram tell where it was sent and arrived, to leave out what is not wanted."""
    for symbol in platform.packet_info[family]:
        purpose = "tell where each datagram was sent and arrived, to leave out those of others"
        telling = option(platform, symbol, 1, purpose)
        # A socket that is bound to a device, and to the group, is right without.
        yield attrs.evolve(telling, required=family not in platform.interface_restriction)


def early_bind(platform: Platform, family: Family) -> SocketOption | None:
    """Let a socket be bound to an address that is not usable yet, where the platform can.

    A new IPv6 address is not usable until the system has checked that no other host has the same.
    The address is listed before.
    """
    symbol = {"ipv4": "IP_FREEBIND", "ipv6": "IPV6_FREEBIND"}[family]
    if symbol not in platform.constants:
        return None
    plain = option(platform, symbol, 1, "bind also to an address that is not usable yet")
    return attrs.evolve(plain, required=False)  # For IPv6 since Linux 4.15


def unicast_only(platform: Platform, family: Family) -> Iterator[SocketOption]:
    """Keep a socket that is bound to an address of this machine to unicast to the address."""
    if platform.groups_leak.get(family):
        yield option(platform, platform.groups_leak[family], 1, "no datagrams of groups")
    if not platform.binds_to_group:
        purpose = "tell unicast from broadcasts, which come too"
        for symbol in platform.packet_info[family]:
            yield option(platform, symbol, 1, purpose)


def _device(name: str) -> bytes:
    return os.fsencode(name) + b"\0"


def unicast_restriction(
    platform: Platform, family: Family, name: str, index: int
) -> Iterator[SocketOption]:
    """Keep a socket to unicast of one interface, where another has the address of the bind, too.

    Of sockets that are bound alike, a system gives unicast to one, wherever it has arrived. Linux
    and macOS can bind a socket to an interface besides. Elsewhere each datagram is to tell where it
    arrived, so that those of other interfaces can be left out.

    Args:
        platform: The platform of the options.
        family: The socket's family.
        name: The interface's name.
        index: The interface's index.
    """
    purpose = "tell where each datagram arrived, to leave out those of others with this address"
    packet_info = [option(platform, symbol, 1, purpose) for symbol in platform.packet_info[family]]
    symbol = platform.device_binding.get(family)
    if symbol is None:
        yield from packet_info
        return
    value: int | bytes = _device(name) if symbol == "SO_BINDTODEVICE" else index
    purpose = "not what arrives on other interfaces, which have this address, too"
    yield option(platform, symbol, value, purpose, fallback=packet_info[0])
