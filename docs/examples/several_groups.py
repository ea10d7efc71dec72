"""Receive several groups. Usage: python several_groups.py [INTERFACE...]"""

import sys
from contextlib import suppress
from datetime import datetime, timezone

import trio

from trio_mcast import open_mcast_receiver

GROUPS = ["239.1.2.3", "239.1.2.4", "ff15::1:2:3"]


async def main() -> None:
    async with open_mcast_receiver(
        GROUPS,
        12345,
        interfaces=sys.argv[1:] or None,
        receive_ttl=True,
        receive_timestamp=True,
    ) as receiver:
        for membership in receiver.memberships:
            print(
                membership.group, "on", membership.interface, membership.state
            )
        async for datagram in receiver:
            assert datagram.timestamp_ns is not None
            seconds = datagram.timestamp_ns / 1e9
            arrived = datetime.fromtimestamp(seconds, tz=timezone.utc)
            print(f"{arrived:%H:%M:%S.%f}", datagram.group, end=" ")
            print(f"ttl={datagram.ttl}", datagram.data)


with suppress(KeyboardInterrupt):
    trio.run(main)
