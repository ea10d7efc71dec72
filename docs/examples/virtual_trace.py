"""Show what happens on a virtual network. Usage: python virtual_trace.py"""

import trio
from trio.testing import MockClock

from trio_mcast import open_mcast_receiver, open_mcast_sender
from trio_mcast.testing import VirtualNetwork

GROUP, PORT = "239.1.2.3", 12345


async def main() -> None:
    async with VirtualNetwork(seed=4) as network:
        lan = network.switch("lan", loss=0.3, delay=0.002, snooping=True)
        a, b, c = (network.host(name) for name in "abc")
        a.plug("eth0", lan, "10.0.0.1/24")
        b.plug("eth0", lan, "10.0.0.2/24")
        c.plug("eth0", lan, "10.0.0.3/24")
        with b:
            async with open_mcast_receiver(GROUP, PORT):
                with a:
                    async with open_mcast_sender(
                        GROUP, PORT, interfaces="eth0"
                    ) as sender:
                        for number in range(4):
                            await trio.sleep(1)
                            await sender.send(f"number {number}".encode())
                await trio.sleep(1)
        print(*network.trace, sep="\n")


trio.run(main, clock=MockClock(autojump_threshold=0))
