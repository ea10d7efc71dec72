"""Tests of chat.py: pytest test_chat.py"""

import trio

from chat import GROUPS, PORT, Chat
from trio_mcast import McastChannel, open_mcast_channel
from trio_mcast.testing import VirtualNetwork, network_test


@network_test(seeds=5)
async def test_everybody_reads_everything_once(
    network: VirtualNetwork,
) -> None:
    lan = network.switch(
        "lan", loss=0.05, duplicate=0.3, delay=0.001, jitter=0.05
    )
    chats = [Chat(name) for name in ("anna", "bert", "cleo")]
    channels: list[McastChannel] = []

    async def run(chat: Chat) -> None:
        async with open_mcast_channel(
            GROUPS, PORT, interfaces="eth0"
        ) as channel:
            channels.append(channel)
            await chat.listen(channel)

    async with trio.open_nursery() as nursery:
        for number, chat in enumerate(chats, start=1):
            host = network.host(chat.name)
            host.plug("eth0", lan, f"10.0.0.{number}/24", f"fe80::{number}/64")
            with host:
                nursery.start_soon(run, chat)
            await trio.sleep(1)
        for number in range(5):
            for chat, channel in zip(chats, channels, strict=True):
                await chat.say(channel, f"thought {number}")
                await trio.sleep(1)
        nursery.cancel_scope.cancel()
    said = [
        f"{chat.name}: thought {number}"
        for number in range(5)
        for chat in chats
    ]
    assert [chat.lines for chat in chats] == [said] * 3
