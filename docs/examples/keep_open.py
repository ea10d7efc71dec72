"""Keep a receiver and a sender in an object.

Usage: python keep_open.py [INTERFACE]
"""

from __future__ import annotations

import sys

import trio

from trio_mcast import (
    McastReceiver,
    McastReceiverSpec,
    McastSender,
    McastSenderSpec,
)


class Chat:
    """Both ends of a conversation, open until `close`."""

    def __init__(self, receiver: McastReceiver, sender: McastSender) -> None:
        self.receiver = receiver
        self.sender = sender

    @classmethod
    async def start(
        cls, nursery: trio.Nursery, group: str, port: int, interface: str
    ) -> Chat:
        """Open both, in a nursery that outlives this call, or none."""
        receiver_spec = McastReceiverSpec(group, port, interfaces=interface)
        sender_spec = McastSenderSpec(group, port, interfaces=interface)
        receiver: McastReceiver = await nursery.start(receiver_spec.serve)
        try:
            sender: McastSender = await nursery.start(sender_spec.serve)
        except BaseException:
            receiver.close()
            raise
        return cls(receiver, sender)

    def close(self) -> None:
        """Close both, at once, also in a task that is cancelled."""
        try:
            self.receiver.close()
        finally:
            self.sender.close()


async def main() -> None:
    interface = sys.argv[1] if len(sys.argv) > 1 else "lo"
    async with trio.open_nursery() as nursery:
        chat = await Chat.start(nursery, "239.1.2.3", 12345, interface)
        for number in range(3):
            await chat.sender.send(b"number %d" % number)
            print((await chat.receiver.receive()).data)
        chat.close()  # With it ends what runs in the nursery.
    print("closed")


if __name__ == "__main__":
    trio.run(main)
