"""Tell apart what can go wrong.

Usage: python handle_errors.py GROUP PORT [INTERFACE...]
"""

import sys

import trio

from trio_mcast import (
    AmbiguousInterfaceError,
    InterfaceNotFoundError,
    McastReceiverSpec,
    SocketSetupError,
)


async def main() -> None:
    group, port, *interfaces = sys.argv[1:]
    try:
        spec = McastReceiverSpec(
            group, int(port), interfaces=interfaces or None
        )
    except ValueError as error:
        print(f"that cannot be asked for: {error}")
        return
    try:
        async with spec.open() as receiver:
            for membership in receiver.memberships:
                if membership.state == "failed":
                    print("going on without", membership.interface, end=": ")
                    print(membership.error)
            print("joined on", *receiver.interfaces)
    except (InterfaceNotFoundError, AmbiguousInterfaceError) as error:
        print(f"which interface? {error}")
    except SocketSetupError as error:
        print(f"refused at {error.step} (errno {error.errno}): {error}")


if len(sys.argv) < 3:
    sys.exit(__doc__)
trio.run(main)
