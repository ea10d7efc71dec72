"""Where the checks of a platform are made, and what they have in common."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Literal

import attrs
import trio

from trio_mcast import (
    Datagram,
    DatagramReceiver,
    Interface,
    McastChannel,
    default_interface,
)

Family = Literal["ipv4", "ipv6"]

# How long a datagram may take, and how long one is waited for that must not come. A machine that is
# emulated needs the former; the latter is short because another datagram is sent after it.
ARRIVES_SECONDS = 20.0
SILENCE_SECONDS = 0.1


class LeftOut(Exception):
    """A check cannot be made here, and why."""


@attrs.frozen
class Place:
    """A family, an interface where datagrams are sent and arrive, and maybe a second one."""

    family: Family
    interface: Interface
    second: Interface | None
    _ports: Iterator[int] = attrs.field(factory=lambda: count(47_800))

    @property
    def group(self) -> str:
        return {"ipv4": "239.255.42.10", "ipv6": "ff15::42:10"}[self.family]

    @property
    def other_group(self) -> str:
        return {"ipv4": "239.255.42.11", "ipv6": "ff15::42:11"}[self.family]

    @property
    def address(self) -> str:
        """The interface's first address of the family that holds on every link."""
        for address in self.interface.addresses(self.family):
            if address.version == 4 or not address.is_link_local:
                return str(address)
        raise LeftOut(f"{self.interface} has no {self.family} address")

    @property
    def stranger(self) -> str:
        """An address that nobody has (RFC 5737, RFC 3849)."""
        return {"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"}[self.family]

    def another_interface(self) -> Interface:
        if self.second is None:
            raise LeftOut("there is no second interface")
        problem = family_problem(Place(self.family, self.second, None))
        if problem is not None:
            raise LeftOut(problem)
        return self.second

    def wire(self) -> Interface:
        """Return an interface that is not the loopback interface."""
        for interface in (self.interface, self.second):
            if interface and not interface.is_loopback and interface.addresses(self.family):
                return interface
        raise LeftOut("there is no interface but the loopback interface")

    def port(self) -> int:
        """Return a port that no check has used."""
        return next(self._ports)

    @contextmanager
    def plain_sender(self, ttl: int = 1) -> Iterator[socket.socket]:
        """Give a socket without the library that sends to groups, on the interface."""
        if self.family == "ipv4":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                packed = socket.inet_aton(self.address)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, packed)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
                sock.bind((self.address, 0))
                yield sock
            return
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            index = struct.pack("@I", self.interface.index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
            sock.bind((self.address, 0))
            yield sock

    @contextmanager
    def plain_receiver(self, port: int) -> Iterator[socket.socket]:
        """Give a socket without the library that has joined the group on the interface."""
        if self.family == "ipv4":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                request = socket.inet_aton(self.group) + socket.inet_aton(self.address)
                sock.bind(("", port))
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
                sock.settimeout(ARRIVES_SECONDS)
                yield sock
            return
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            packed = socket.inet_pton(socket.AF_INET6, self.group)
            request = packed + struct.pack("@I", self.interface.index)
            sock.bind(("::", port))
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
            sock.settimeout(ARRIVES_SECONDS)
            yield sock


@attrs.frozen
class Check:
    """What is checked, in a few words, and how."""

    name: str
    families: tuple[Family, ...]
    run: Callable[[Place], Awaitable[None]]


CHECKS: list[Check] = []


def check(
    name: str, *families: Family
) -> Callable[[Callable[[Place], Awaitable[None]]], Callable[[Place], Awaitable[None]]]:
    """Enter a function among the checks, for each of these families, or for both."""

    def enter(function: Callable[[Place], Awaitable[None]]) -> Callable[[Place], Awaitable[None]]:
        CHECKS.append(Check(name, families or ("ipv4", "ipv6"), function))
        return function

    return enter


async def arrival(receiver: DatagramReceiver | McastChannel) -> Datagram:
    """Return the next datagram, which has to come."""
    with trio.fail_after(ARRIVES_SECONDS):
        return await receiver.receive()


async def silence(receiver: DatagramReceiver | McastChannel) -> None:
    """Have nothing arrive for a moment."""
    with trio.move_on_after(SILENCE_SECONDS):
        datagram = await receiver.receive()
        raise AssertionError(f"this should not have come: {datagram}")


def same(found: Any, expected: Any) -> None:
    """Have two values be equal. (`assert` would not say what it found.)"""
    if found != expected:
        raise AssertionError(f"{found!r} instead of {expected!r}")


def family_problem(place: Place) -> str | None:
    """Return why a family cannot be had on an interface at all, if it cannot."""
    if not place.interface.addresses(place.family):
        return f"{place.interface} has no {place.family} address"
    if place.family == "ipv6" and place.interface.is_loopback:
        if sys.platform == "darwin":
            return "macOS delivers no IPv6 groups over its loopback interface"
        if sys.platform == "linux" and default_interface(place.group) != place.interface:
            return "the loopback interface has no route for IPv6 groups"
    return None
