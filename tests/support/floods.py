"""Floods: another program that sends as fast as it can."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import Host
from tests.support.traffic import PORT

# Sends units of 64 small datagrams to a group on an interface, as fast as it can.
FLOOD = """
import socket, struct, sys
group, port, index, wish = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=8xi", index))
control = [(socket.IPPROTO_UDP, 103, struct.pack("=H", 64))] if wish == "units" else []
data = bytes(64 * 64) if wish == "units" else bytes(64)
print("ready", flush=True)
while True:
    sock.sendmsg([data], control, 0, (group, port))
"""


@contextmanager
def flood(host: Host, group: str, interface: str, wish: str) -> Iterator[None]:
    """Run a process that floods the group from the host."""
    index = str(host.index(interface))
    with host.popen(sys.executable, "-c", FLOOD, group, str(PORT), index, wish) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
