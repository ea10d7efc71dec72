"""The network of one worker: two hosts and cables between them, without a switch.

A switch would add the cost of its bridge to every datagram, on the sender's processor.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.lab import Host, Lab

GROUP = "239.1.2.3"
PORT = 5000
RECEIVER_ADDRESS = "10.0.0.1"  # on the first interface
SENDER_ADDRESS = "10.0.0.2"

# Asked for everywhere, so that everybody gets the same: what the system allows, if it is less.
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Network:
    """The host that receives has addresses 10.0.N.1, the one that sends 10.0.N.2."""

    receiver: Host
    sender: Host


def interface_names(count: int) -> list[str]:
    return [f"eth{number}" for number in range(count)]


@contextmanager
def network(interfaces: int = 2) -> Iterator[Network]:
    """A network of its own, of so many cables."""
    with Lab() as lab:
        receiver, sender = lab.host("receiver"), lab.host("sender")
        names = interface_names(interfaces)
        peer = sender.namespace.path
        _ip(receiver, (f"link add {name} type veth peer {name} netns {peer}" for name in names))
        for end, host in enumerate((receiver, sender), start=1):
            for number, name in enumerate(names):
                _ip(
                    host,
                    (
                        f"address add 10.0.{number}.{end}/24 dev {name}",
                        f"link set {name} up",
                        f"route add 224.0.0.0/4 dev {name} metric {number + 1}",
                    ),
                )
        yield Network(receiver, sender)


def _ip(host: Host, commands: Iterable[str]) -> None:
    host.run("ip", "-batch", "-", input="".join(f"{command}\n" for command in commands))


def plain_receiver(group: str = GROUP, interface: str = "eth0", port: int = PORT) -> socket.socket:
    """A bound socket of the current namespace that has joined the group."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    sock.bind((group, port))
    index = socket.if_nametoindex(interface)
    request = struct.pack("=4s4xi", socket.inet_aton(group), index)  # struct ip_mreqn
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    return sock


def plain_sender(interface: str = "eth0") -> socket.socket:
    """A socket of the current namespace that sends to groups on the interface."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    index = socket.if_nametoindex(interface)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=8xi", index))
    return sock
