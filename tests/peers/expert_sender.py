"""multicast_expert as a sender: ``expert_sender.py GROUP PORT INTERFACE PAYLOAD ...``.

The payloads are in hexadecimal. Prints a JSON line ``[host, port]``, where they come from, and ends
when it has sent them.
"""

from __future__ import annotations

import json
import socket
import sys

import multicast_expert


def main(group: str, port: str, interface: str, *payloads: str) -> None:
    with multicast_expert.McastTxSocket(
        socket.AF_INET6 if ":" in group else socket.AF_INET, mcast_ips=[group], iface=interface
    ) as sender:
        print(json.dumps(sender.getsockname()[:2]), flush=True)
        for payload in payloads:
            sender.sendto(bytes.fromhex(payload), (group, int(port)))


if __name__ == "__main__":
    main(*sys.argv[1:])
