"""Many groups on several interfaces: what each membership and each datagram costs.

The datagrams go to all memberships in turn, so that of 2,000 groups on 2 interfaces, which is 4,000
sockets, each has one datagram; or to half of them, so that which socket has one is not known.
"""

from __future__ import annotations

import random
import socket
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from ._network import GROUP, PORT
from ._turns import Turns

DATAGRAMS = 4_000
SPREAD_PORT = PORT + 1
_SIZE = 64

FILLS_PER_TURN = 3
FEW_PER_TURN = 20


@dataclass
class Spread:
    """Sends to one group, or to many on all interfaces.

    Attributes:
        senders: Where the datagrams are sent from: a socket for each interface.
        count: How many groups.
    """

    senders: Sequence[socket.socket]
    count: int
    turns: Turns = field(default_factory=Turns)
    _figures: dict[str, list[float]] = field(default_factory=dict)
    _chance: random.Random = field(default_factory=lambda: random.Random(1))

    def __post_init__(self) -> None:
        sockets = len(self.senders) * self.count
        # Besides, each interface has two epolls and more, and an io_uring.
        allow_sockets(sockets + sockets // 64 + 8 * len(self.senders) + 128)

    @property
    def groups(self) -> list[str]:
        """Group addresses of which no two share a multicast MAC address."""
        return [f"239.2.{number // 250}.{number % 250 + 1}" for number in range(self.count)]

    @property
    def _targets(self) -> list[tuple[socket.socket, tuple[str, int]]]:
        return [(sender, (group, SPREAD_PORT)) for group in self.groups for sender in self.senders]

    def fill_one(self) -> int:
        """Send to one group on one interface; how many datagrams."""
        for _ in range(DATAGRAMS):
            self.senders[0].sendto(b"x" * _SIZE, (GROUP, PORT))
        return DATAGRAMS

    def fill_all(self) -> int:
        """Send to every group on every interface, in turn; how many datagrams."""
        targets = self._targets
        rounds = DATAGRAMS // len(targets)
        for sender, target in targets * rounds:
            sender.sendto(b"x" * _SIZE, target)
        return rounds * len(targets)

    def fill_half(self) -> int:
        """Do the same, each turn for another half of them by chance; how many datagrams."""
        targets = self._targets
        rounds = DATAGRAMS // len(targets)
        for _ in range(rounds):
            for sender, target in self._chance.sample(targets, len(targets) // 2):
                sender.sendto(b"x" * _SIZE, target)
        return rounds * (len(targets) // 2)

    def fill_each(self) -> int:
        """Send one to the first group on each interface; how many datagrams."""
        for sender in self.senders:
            sender.sendto(b"x" * _SIZE, (self.groups[0], SPREAD_PORT))
        return len(self.senders)

    def keep(self, **figures: float) -> None:
        for name, figure in figures.items():
            self._figures.setdefault(name, []).append(figure)

    def report(self) -> None:
        """End a turn."""
        medians = {name: statistics.median(found) for name, found in self._figures.items()}
        self.turns.report(**medians)
        self._figures.clear()


def allow_sockets(count: int) -> None:
    """Let this process have so many open files, if the system allows it."""
    if sys.platform != "win32":
        import resource

        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < count:
            raise OSError(f"{count} open files are needed, and {hard} are allowed (ulimit -Hn)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
