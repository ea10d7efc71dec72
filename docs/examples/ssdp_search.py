"""List what answers an SSDP search.

Usage: python ssdp_search.py SECONDS [INTERFACE...]
"""

import sys
from contextlib import suppress

import trio

from trio_mcast import open_mcast_sender

GROUP, PORT = "239.255.255.250", 1900
SEARCH = b"""\
M-SEARCH * HTTP/1.1\r
HOST: 239.255.255.250:1900\r
MAN: "ssdp:discover"\r
MX: 1\r
ST: ssdp:all\r
\r
"""


def headers_of(response: bytes) -> dict[str, str]:
    lines = response.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().upper(): value.strip() for name, _, value in pairs}


async def main() -> None:
    seconds, interfaces = float(sys.argv[1]), sys.argv[2:] or None
    async with open_mcast_sender(
        GROUP, PORT, interfaces=interfaces, ttl=2, receive_replies=True
    ) as sender:
        await sender.send(SEARCH)
        with trio.move_on_after(seconds):
            async for reply in sender.replies:
                headers = headers_of(reply.data)
                print(reply.source, headers.get("ST"), headers.get("LOCATION"))


if len(sys.argv) < 2:
    sys.exit(__doc__)
with suppress(KeyboardInterrupt):  # Ctrl-C ends it.
    trio.run(main)
