"""What the tests of receivers on changing machines share: a network, what is open, who hears."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing

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


class Changing:
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
        """Send one datagram; the interfaces on which a receiver gets it."""
        (found,) = await self.heard_by(receiver, group=group)
        return found

    async def heard_by(
        self, *receivers: McastReceiver, group: str | None = None
    ) -> list[list[str]]:
        """Send one datagram, then another one; the interfaces on which each gets the first.

        All interfaces are on the switch, but for those whose names begin with "off".
        """
        group = group or self.group
        first, last = (f"{next(_numbers)}".encode() for _ in range(2))
        for payload in (first, last):
            self.sender.sendto(payload, (group, PORT))
        found = []
        for receiver in receivers:
            joined = {
                item.interface.name
                for item in receiver.memberships
                if (item.group, item.state) == (group, "joined")
                and not item.interface.name.startswith("off")
            }
            found.append(await _heard_before(receiver, first, last, joined))
        return found

    @property
    def second_group(self) -> str:
        return group_of(self.family, 2)

    def close(self) -> None:
        self.sender.close()


@pytest.fixture(params=EACH_FAMILY)
def net(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Changing]:
    net = Changing(lab, request.param)
    yield net
    net.close()


@pytest.fixture
def net4(lab: Lab) -> Iterator[Changing]:
    net = Changing(lab, "ipv4")
    yield net
    net.close()


@pytest.fixture
def net6(lab: Lab) -> Iterator[Changing]:
    net = Changing(lab, "ipv6")
    yield net
    net.close()


async def _heard_before(
    receiver: McastReceiver, first: bytes, last: bytes, joined: set[str]
) -> list[str]:
    found = []
    while joined:
        datagram = await receive(receiver)
        if datagram.data == last:
            joined.remove(datagram.interface.name)
        else:
            assert datagram.data == first, "a datagram of an earlier call: it was doubled"
            found.append(datagram.interface.name)
    return sorted(found)


def states(receiver: McastReceiver) -> list[State]:
    """Group, interface and state of each membership."""
    return [(item.group, item.interface.name, item.state) for item in receiver.memberships]


async def until(receiver: McastReceiver, *expected: str) -> tuple[Membership, ...]:
    """Wait until the memberships are on interfaces and in states such as ``"eth0 joined"``."""
    return await wait_until_async(
        lambda: receiver.memberships,
        lambda seen: [f"{item.interface.name} {item.state}" for item in seen] == list(expected),
        f"the memberships {expected}",
    )


def open_sockets() -> set[str]:
    """What identifies the sockets of this process: one that was opened anew is another one."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # The descriptor with which the directory was read.
        if target.startswith("socket:"):
            found.add(target)
    return found


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _living() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def tasks() -> int:
    """How many tasks there are when all that has just begun is under way."""
    await trio.testing.wait_all_tasks_blocked()
    return _living()


@contextmanager
def nothing_left_over() -> Iterator[None]:
    """No task and no file descriptor outlives the block."""
    before = open_descriptors(), _living()
    yield
    assert (open_descriptors(), _living()) == before


def exclusive_program(host: Host, group: str, interface: str, port: int = PORT) -> socket.socket:
    """Another program that has the group's port and does not share it."""
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    with host.inside():
        sock = socket.socket(family, socket.SOCK_DGRAM)
        scope = (0, host.index(interface)) if ":" in group else ()
        sock.bind((group, port, *scope))
    return sock


async def wait_for(look: Callable[[], bool], what: str) -> None:
    await wait_until_async(look, bool, what)
