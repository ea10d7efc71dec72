"""Receive, and answer Prometheus.

Usage: python metrics.py PORT [INTERFACE...]
"""

import sys
from contextlib import suppress

import trio

from trio_mcast import McastReceiver, open_mcast_receiver

COUNTERS = ("delivered", "dropped_by_kernel", "dropped_by_policy", "rejected")


def describe(receiver: McastReceiver) -> str:
    lines = []
    for counted in receiver.statistics().memberships:
        where = f'group="{counted.group}",interface="{counted.interface}"'
        for name in COUNTERS:
            value = getattr(counted, name)
            lines.append(f"mcast_{name}_total{{{where}}} {value}\n")
    return "".join(lines)


async def main(port: int, interfaces: list[str] | None) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        text = describe(receiver).encode()
        head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
        await stream.send_all(f"{head}\r\n".encode() + text)
        await stream.aclose()

    async with (
        open_mcast_receiver(
            "239.1.2.3", 12345, interfaces=interfaces
        ) as receiver,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(trio.serve_tcp, answer, port)
        with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
            async for datagram in receiver:
                print(datagram.source, datagram.data)
        nursery.cancel_scope.cancel()


if len(sys.argv) < 2:
    sys.exit(__doc__)
trio.run(main, int(sys.argv[1]), sys.argv[2:] or None)
