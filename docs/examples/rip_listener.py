"""Show the routes that routers announce by RIPv2 (RFC 2453), as they change.

Usage: python rip_listener.py INTERFACE..., as root, for a port below 1024
"""

import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from struct import Struct

import trio

from trio_mcast import open_mcast_receiver

GROUP, PORT = "224.0.0.9", 520
RESPONSE = b"\x02\x02"  # The command, and the version.
ENTRY = Struct("!H2x4s4s4sI")  # Family, address, mask, next hop, metric.
IPV4, UNREACHABLE = 2, 16


def routes_of(
    data: bytes, source: str
) -> Iterator[tuple[IPv4Network, str, int]]:
    """Yield network, router and metric of each route of an announcement."""
    for offset in range(4, len(data) - ENTRY.size + 1, ENTRY.size):
        entry = ENTRY.unpack_from(data, offset)
        family, address, mask, next_hop, metric = entry
        if family == IPV4:
            with suppress(ValueError):  # Such as a mask with holes.
                network = IPv4Network(
                    f"{IPv4Address(address)}/{IPv4Address(mask)}"
                )
                router = str(IPv4Address(next_hop)) if any(next_hop) else source
                yield network, router, metric


async def main(interfaces: list[str]) -> None:
    metrics: dict[tuple[IPv4Network, str], int] = {}
    async with open_mcast_receiver(
        GROUP, PORT, interfaces=interfaces
    ) as receiver:
        async for datagram in receiver:
            data, source = datagram.data, datagram.source
            if not data.startswith(RESPONSE) or source.port != PORT:
                continue
            for network, router, metric in routes_of(data, source.host):
                before = metrics.get((network, router), UNREACHABLE)
                metrics[network, router] = metric
                if metric == before:
                    continue
                state = f"metric {metric}" if metric < UNREACHABLE else "gone"
                print(f"{network} by {router} on {datagram.interface}: {state}")


if len(sys.argv) < 2:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):
    trio.run(main, sys.argv[1:])
