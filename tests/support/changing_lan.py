"""A LAN on which the interfaces of a receiver's host come and go, and who hears what there."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest

from tests.lab import Host, Lab
from tests.lab._polling import wait_until_async
from tests.support.traffic import (
    EACH_FAMILY,
    PORT,
    Family,
    address_of,
    group_of,
    plain_sender,
    receive,
    with_prefix,
)
from trio_mcast import McastReceiver, Membership

_numbers = itertools.count()

State = tuple["str | None", str, str]


class ChangingLan:
    """Host ``a``, where interfaces come and go, and ``b``, which sends, on a switch ``lan``.

    The switch passes on everything: what arrives depends on ``a`` alone.
    """

    def __init__(self, lab: Lab, family: Family) -> None:
        self.lab = lab
        self.family = family
        self.group = group_of(family)
        self.lan = lab.switch("lan", flood=True)
        self.a, self.b = lab.host("a"), lab.host("b")
        self.plug(self.b, 2)
        self.sender = plain_sender(self.b, self.group, "eth0", self.address(2))

    def address(self, number: int) -> str:
        return address_of(self.family, number)

    def plug(self, host: Host | None = None, number: int = 1, name: str = "eth0") -> None:
        (host or self.a).plug(name, self.lan, *with_prefix([self.address(number)]))

    async def heard(self, receiver: McastReceiver, group: str | None = None) -> list[str]:
        """Send one datagram, and return the interfaces on which a receiver gets it."""
        (interfaces,) = await self.heard_by(receiver, group=group)
        return interfaces

    async def heard_by(
        self, *receivers: McastReceiver, group: str | None = None
    ) -> list[list[str]]:
        """Send one datagram, then another, and return the interfaces on which each gets the first.

        All interfaces are on the switch, but for those whose names begin with "off".
        """
        group = group or self.group
        first, last = (f"{next(_numbers)}".encode() for _ in range(2))
        for payload in (first, last):
            self.sender.sendto(payload, (group, PORT))
        by_receiver = []
        for receiver in receivers:
            joined = {
                membership.interface.name
                for membership in receiver.memberships
                if (membership.group, membership.state) == (group, "joined")
                and not membership.interface.name.startswith("off")
            }
            by_receiver.append(await _heard_before(receiver, first, last, joined))
        return by_receiver

    @property
    def second_group(self) -> str:
        return group_of(self.family, 2)

    def close(self) -> None:
        self.sender.close()


@pytest.fixture(params=EACH_FAMILY)
def net(lab: Lab, request: pytest.FixtureRequest) -> Iterator[ChangingLan]:
    net = ChangingLan(lab, request.param)
    yield net
    net.close()


@pytest.fixture
def net4(lab: Lab) -> Iterator[ChangingLan]:
    net = ChangingLan(lab, "ipv4")
    yield net
    net.close()


@pytest.fixture
def net6(lab: Lab) -> Iterator[ChangingLan]:
    net = ChangingLan(lab, "ipv6")
    yield net
    net.close()


async def _heard_before(
    receiver: McastReceiver, first: bytes, last: bytes, joined: set[str]
) -> list[str]:
    interfaces = []
    while joined:
        datagram = await receive(receiver)
        if datagram.data == last:
            joined.remove(datagram.interface.name)
        else:
            assert datagram.data == first, "a datagram of an earlier call: it was doubled"
            interfaces.append(datagram.interface.name)
    return sorted(interfaces)


def states(receiver: McastReceiver) -> list[State]:
    """Return group, interface and state of each membership."""
    return [
        (membership.group, membership.interface.name, membership.state)
        for membership in receiver.memberships
    ]


async def until_memberships(receiver: McastReceiver, *expected: str) -> tuple[Membership, ...]:
    """Wait until the memberships are on interfaces and in states such as ``"eth0 joined"``."""
    return await wait_until_async(
        lambda: receiver.memberships,
        lambda memberships: (
            [f"{membership.interface.name} {membership.state}" for membership in memberships]
            == list(expected)
        ),
        f"the memberships {expected}",
    )


def exclusive_program(host: Host, group: str, interface: str, port: int = PORT) -> socket.socket:
    """Open the socket of another program, which has the group's port and does not share it."""
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    with host.inside():
        sock = socket.socket(family, socket.SOCK_DGRAM)
        scope = (0, host.index(interface)) if ":" in group else ()
        sock.bind((group, port, *scope))
    return sock
