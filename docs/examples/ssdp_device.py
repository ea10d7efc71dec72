"""Be found by SSDP, as UPnP devices are (UPnP Device Architecture 2.0).

Usage: python ssdp_device.py KIND PORT [INTERFACE...]
KIND: such as urn:example-org:device:Lamp:1; PORT: of its description, by HTTP
"""

import sys
import uuid
from contextlib import suppress

import trio

from trio_mcast import Interface, McastChannel, open_mcast_channel

GROUP, PORT = "239.255.255.250", 1900
UUID = f"uuid:{uuid.uuid4()}"


def message(first: str, headers: dict[str, str]) -> bytes:
    lines = [first, *map(": ".join, headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def describe(
    kind: str, port: int, interface: Interface
) -> dict[str, dict[str, str]]:
    """Return the headers for each search target; none without an address."""
    return {
        target: {
            "USN": UUID if target == UUID else f"{UUID}::{target}",
            "LOCATION": f"http://{address}:{port}/",
            "CACHE-CONTROL": "max-age=1800",
            "SERVER": "Linux/6 UPnP/2.0 ssdp_device/1",
        }
        for address in interface.addresses("ipv4")[:1]
        for target in ("upnp:rootdevice", UUID, kind)
    }


async def notify(
    channel: McastChannel, kind: str, port: int, event: str
) -> None:
    for interface in channel.interfaces:
        for target, headers in describe(kind, port, interface).items():
            headers |= {"HOST": f"{GROUP}:{PORT}", "NT": target, "NTS": event}
            data = message("NOTIFY * HTTP/1.1", headers)
            with suppress(OSError):  # It may be down just now.
                await channel.send(data, interface=interface)


async def main(kind: str, port: int, interfaces: list[str] | None) -> None:
    async with open_mcast_channel(
        GROUP, PORT, interfaces=interfaces, ttl=2
    ) as channel:
        await notify(channel, kind, port, "ssdp:alive")
        try:
            async for question in channel:
                text = question.data.decode(errors="replace")
                first, *lines = text.split("\r\n")
                pairs = (line.partition(":") for line in lines)
                asked = {
                    name.strip().upper(): text.strip()
                    for name, _, text in pairs
                }
                if first != "M-SEARCH * HTTP/1.1" or "ST" not in asked:
                    continue
                for target, headers in describe(
                    kind, port, question.interface
                ).items():
                    if asked["ST"] in ("ssdp:all", target):
                        headers |= {"ST": target, "EXT": ""}
                        data = message("HTTP/1.1 200 OK", headers)
                        await channel.answer(question, data)
        finally:
            await notify(channel, kind, port, "ssdp:byebye")


if len(sys.argv) < 3:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):
    trio.run(main, sys.argv[1], int(sys.argv[2]), sys.argv[3:] or None)
