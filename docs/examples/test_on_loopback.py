"""Real datagrams on the loopback interface: pytest test_on_loopback.py"""

import trio

from trio_mcast import list_interfaces, open_mcast_receiver, open_mcast_sender

GROUP = "239.255.77.1"


async def exchange() -> bytes:
    # "lo" on Linux, "lo0" on macOS; Windows has a longer name.
    loopback = next(i for i in list_interfaces() if i.is_loopback)
    async with open_mcast_receiver(
        GROUP, 50777, interfaces=loopback
    ) as receiver:
        async with open_mcast_sender(
            GROUP, 50777, interfaces=loopback
        ) as sender:
            await sender.send(b"hello")
        with trio.fail_after(5):
            return (await receiver.receive()).data


def test_datagrams_come_on_the_loopback_interface() -> None:
    assert trio.run(exchange) == b"hello"
