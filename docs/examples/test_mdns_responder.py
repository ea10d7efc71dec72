"""Tests of mdns_responder.py: pytest test_mdns_responder.py"""

from struct import pack

import trio

from mdns_responder import GROUPS, PORT, PTR, A, encode, main
from trio_mcast import open_mcast_channel
from trio_mcast.testing import VirtualNetwork, network_test


def question(*labels: str, kind: int) -> bytes:
    name = encode(*labels) + b"\0"
    return pack("!6H", 0, 0, 1, 0, 0, 0) + name + pack("!HH", kind, 1)


@network_test
async def test_service_and_host_are_found(network: VirtualNetwork) -> None:
    lan = network.switch("lan", delay=0.001)
    lamp, laptop = network.host("lamp"), network.host("laptop")
    lamp.plug("eth0", lan, "10.0.0.1/24", "fe80::1/64")
    laptop.plug("eth0", lan, "10.0.0.2/24", "fe80::2/64")
    async with trio.open_nursery() as nursery:
        with lamp:
            nursery.start_soon(main, "lamp", "_http._tcp", 80)
        await network.expect("joined", at=lamp, to=GROUPS[1], since=0)
        with laptop:
            async with open_mcast_channel(
                GROUPS, PORT, ttl=255, loopback=False
            ) as channel:
                for group in GROUPS:
                    await channel.send(
                        question("_http", "_tcp", "local", kind=PTR), to=group
                    )
                    answer = await channel.receive()
                    assert answer.group == group
                    assert encode("lamp", "_http", "_tcp") in answer.data
                await channel.send(
                    question("LAMP", "local", kind=A), to=GROUPS[0]
                )
                assert bytes([10, 0, 0, 1]) in (await channel.receive()).data
                await channel.send(question("moon", "local", kind=A))
                with trio.move_on_after(5) as waiting:
                    await channel.receive()
                assert waiting.cancelled_caught
        nursery.cancel_scope.cancel()
