"""The one look at all interfaces of a receiver, once there are many."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_mcast import open_mcast_receiver
from trio_mcast._host.protocols import Poller
from trio_mcast._receive.queue import MOST_LOOKED_AT
from trio_mcast.testing import VirtualNetwork
from trio_mcast.testing._poller import VirtualPoller

pytestmark = pytest.mark.once


@attrs.define
class Notes:
    """A `Lookout` that notes whom it looks at, and finds all of them ready."""

    pollers: list[Poller] = attrs.field(factory=list)
    is_closed: bool = False

    def add(self, poller: Poller) -> None:
        self.pollers.append(poller)

    def remove(self, poller: Poller) -> None:
        self.pollers.remove(poller)

    def ready(self) -> Sequence[Poller]:
        return self.pollers

    def close(self) -> None:
        self.is_closed = True


async def test_interfaces_are_looked_at_together_once_there_are_many(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Notes] = []

    def open_lookout(poller: VirtualPoller) -> Notes:
        opened.append(Notes())
        return opened[-1]

    monkeypatch.setattr(VirtualPoller, "open_lookout", open_lookout)
    async with VirtualNetwork() as network:
        lan, host = network.switch("lan"), network.host("a")

        def plug(number: int) -> None:
            host.plug(f"eth{number}", lan, f"10.0.0.{number + 1}/24")

        for number in range(MOST_LOOKED_AT):
            plug(number)
        with host:
            async with open_mcast_receiver("239.1.2.3", 5000) as receiver:
                queue = receiver._intake.queue
                assert (opened, queue.look()) == ([], ())
                for number in range(MOST_LOOKED_AT, MOST_LOOKED_AT + 2):
                    plug(number)
                    await wait_all_tasks_blocked()
                    readers = list(receiver._intake._readers.values())
                    assert len(readers) == number + 1
                    assert list(queue.look()) == readers
                host.interface("eth0").unplug()
                await wait_all_tasks_blocked()
                assert list(queue.look()) == readers[1:]
                assert not opened[0].is_closed
    assert len(opened) == 1
    assert opened[0].is_closed
