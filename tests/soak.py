"""A receiver under random load, for as long as wanted: ``python -m tests.soak``, ``tox -e soak``.

Each run has groups, options and traffic of its own, made from a number. Each datagram carries a
number of its group and interface, so that one that is missing, doubled, out of order or misplaced
is noticed at once. What is missing has to be counted, and what is counted has to be missing.
Everything happens between two hosts in network namespaces of its own.
"""

from __future__ import annotations

import argparse
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import attrs
import trio

from tests.lab import Host, Lab, lab_problem
from tests.lab.machine import on
from tests.support.linux_sockets import send_unit
from tests.support.traffic import PORT, plain_sender
from trio_mcast import Datagram, McastReceiver, open_mcast_receiver

INTERFACES: Final = ("eth0", "eth1")
TURNS: Final = 30
# A socket holds as many of the largest, with the usual limit of Linux (net.core.rmem_max), too.
_MOST_WAITING: Final = 60
_TIMEOUT_SECONDS: Final = 60
_NUMBER: Final = struct.Struct("=I")

# A group and the name of an interface.
Place: TypeAlias = tuple[str, str]


def network(lab: Lab) -> tuple[Host, Host]:
    """A host that receives and one that sends, on two switches that send everything everywhere."""
    receiver, sender = lab.host("receiver"), lab.host("sender")
    for number, interface in enumerate(INTERFACES, start=1):
        switch = lab.switch(f"lan{number}", snooping=False, querier=False)
        for end, host in enumerate((receiver, sender), start=1):
            addresses = f"10.0.{number}.{end}/24", f"fd00:{number}::{end}/64"
            host.plug(interface, switch, *addresses)
    return receiver, sender


def groups_of(number: int) -> list[str]:
    """So many groups, a quarter of them of IPv6."""
    return [
        f"239.3.{n // 250}.{n % 250 + 1}" if n % 4 else f"ff05::{n + 1:x}" for n in range(number)
    ]


@attrs.define
class Load:
    """What is sent, and what has come of it.

    Attributes:
        chance: What everything is decided by.
        senders: A socket for each family and interface.
        sent: How many datagrams have been sent to each place while it was joined.
        next: The number of the datagram that each place gets next, if none is dropped.
        got: How many have come.
    """

    chance: random.Random
    senders: dict[tuple[bool, str], socket.socket]
    sent: Counter[Place] = attrs.Factory(Counter)
    next: Counter[Place] = attrs.Factory(Counter)
    got: int = 0

    def send_some(self, places: Sequence[Place]) -> None:
        """Send a few to each place, or many to some, or one to half of them, or units."""
        chance = self.chance
        kind = chance.choice(["each", "few", "many", "half", "units"])
        turns = []
        for place in places:
            count = {
                "each": 1,
                "few": chance.randint(0, 5),
                "many": chance.choice([0] * 7 + [30, _MOST_WAITING]),
                "half": chance.randint(0, 1),
                "units": chance.randint(0, 1),
            }[kind]
            turns += [place] * count
        chance.shuffle(turns)
        for place in turns:
            self._send(place, 5 if kind == "units" else 0)

    def _send(self, place: Place, segments: int) -> None:
        group, interface = place
        sender = self.senders[":" in group, interface]
        first = self.sent[place]
        if segments:
            parts = [_NUMBER.pack(first + n).ljust(64, b"u") for n in range(segments)]
            send_unit(sender, (group, PORT), b"".join(parts), 64)
            self.sent[place] += segments
        else:
            size = self.chance.choice([4, 64, 64, 64, 1_400])
            sender.sendto(_NUMBER.pack(first).ljust(size, b"x"), (group, PORT))
            self.sent[place] += 1

    def arrived(self, datagrams: Sequence[Datagram]) -> None:
        """Look at what has come: each is newer than the one before it."""
        self.got += len(datagrams)
        for item in datagrams:
            place = str(item.group), item.interface.name
            (number,) = _NUMBER.unpack_from(item.data)
            assert self.next[place] <= number < self.sent[place], (place, number, self.next[place])
            self.next[place] = number + 1


async def take_some(receiver: McastReceiver, chance: random.Random) -> Sequence[Datagram]:
    """Receive in one of the ways there are, and sometimes be cancelled meanwhile."""
    found: Sequence[Datagram] = []
    with trio.move_on_after(chance.choice([0, 0.0005, 0.01])):
        way = chance.choice(["one", "batch", "part"])
        if way == "one":
            found = [await receiver.receive()]
        else:
            most = chance.randint(1, 100) if way == "part" else None
            found = await receiver.receive_batch(most)
    return found


async def run(receiver_host: Host, sender_host: Host, seed: int) -> int:
    """One run; how many datagrams have been sent."""
    chance = random.Random(seed)
    groups = groups_of(chance.choice([2, 12, 40, 150]))
    places = [(group, name) for group in groups for name in INTERFACES]
    options: dict[str, Any] = {
        "max_buffered": chance.choice([1, 7, 50, 1_024, 1_024, 5_000]),
        "overflow": chance.choice(["wait", "wait", "drop_oldest", "drop_newest"]),
        "receive_ttl": chance.random() < 0.2,
        "receive_timestamp": chance.random() < 0.2,
    }
    senders = {
        (":" in group, name): plain_sender(sender_host, group, name)
        for group in ("239.3.0.1", "ff05::1")
        for name in INTERFACES
    }
    load = Load(chance, senders)
    try:
        with on(receiver_host):
            async with open_mcast_receiver(
                groups, PORT, interfaces=INTERFACES, **options
            ) as receiver:
                left: list[str] = []
                for _ in range(TURNS):
                    left = await _leave_and_join(receiver, chance, groups, left)
                    load.send_some([place for place in places if place[0] not in left])
                    with trio.fail_after(_TIMEOUT_SECONDS):
                        await _drain(receiver, load)
    finally:
        for sender in senders.values():
            sender.close()
    return load.sent.total()


async def _leave_and_join(
    receiver: McastReceiver, chance: random.Random, groups: Sequence[str], left: Sequence[str]
) -> list[str]:
    """Sometimes join what was left, and leave something else; what is left then."""
    if chance.random() < 0.7:
        return list(left)
    if left:
        await receiver.join(left)
    leaving = chance.sample(groups, chance.randint(0, len(groups) // 2))
    if leaving:
        await receiver.leave(leaving)
    return leaving


async def _drain(receiver: McastReceiver, load: Load) -> None:
    """Take until everything was delivered or dropped, and compare the counts with what came."""
    while True:
        found = await take_some(receiver, load.chance)
        load.arrived(found)
        if found and load.got < load.sent.total():
            continue
        counts = receiver.statistics()
        assert counts.received == counts.delivered + counts.waiting + counts.dropped_by_policy
        if counts.received == load.sent.total() and not counts.waiting:
            break
    assert not counts.dropped_by_kernel
    assert not counts.rejected
    assert counts.delivered == load.got
    by_place = {(str(item.group), item.interface.name): item for item in counts.memberships}
    for place, sent in load.sent.items():
        assert by_place[place].received == sent, place


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="the number of the first run (default: any)")
    arguments = parser.parse_args()
    problem = lab_problem()
    if problem is not None:
        print(f"the soak cannot run: {problem}", file=sys.stderr)
        return 1
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    end = time.monotonic() + 60 * arguments.minutes
    runs = sent = 0
    with Lab() as lab:
        hosts = network(lab)
        while time.monotonic() < end:
            try:
                sent += trio.run(run, *hosts, seed + runs)
            except BaseException:
                print(f"run {seed + runs} has ended so (--seed {seed + runs}):", file=sys.stderr)
                raise
            runs += 1
    print(f"{sent:,} datagrams in {runs:,} runs from {seed} on: each came once, or was counted.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
