"""Print the interfaces of this machine, then how they come, go and change."""

from contextlib import suppress

import trio

from trio_mcast import list_interfaces, watch_interfaces


async def main() -> None:
    async with watch_interfaces() as changes:
        print("there are", *list_interfaces())
        async for change in changes:
            interface = change.interface
            state = "up" if interface.is_up else "down"
            print(change.kind, interface, state, *interface.ipv4_addresses)


with suppress(KeyboardInterrupt):
    trio.run(main)
