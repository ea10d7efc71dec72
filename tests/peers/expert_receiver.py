"""multicast_expert as a receiver: ``expert_receiver.py GROUP PORT INTERFACE [SOURCE ...]``.

Prints "ready" when it has joined, then for each datagram a JSON line ``[payload in hexadecimal,
host, port]``, until it is terminated.
"""

from __future__ import annotations

import json
import socket
import sys

import multicast_expert


def main(group: str, port: str, interface: str, *sources: str) -> None:
    with multicast_expert.McastRxSocket(
        socket.AF_INET6 if ":" in group else socket.AF_INET,
        mcast_ips=[group],
        port=int(port),
        iface=interface,
        source_ips=sources or None,
    ) as receiver:
        print("ready", flush=True)
        while True:
            received = receiver.recvfrom()
            assert received is not None  # It is only with a timeout.
            data, address = received
            print(json.dumps([data.hex(), address[0], address[1]]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
