"""The other end for the tests on Windows: a Linux host that sends and receives as it is told.

``python3 peer.py INTERFACE IPV4 IPV6 PORT``, with the interface's name and its addresses. It needs
nothing but Python. It listens on the port and takes one line of JSON for each thing to do, and
answers with one. It obeys whoever connects: run it where only the tests can.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any

assert not TYPE_CHECKING or sys.platform == "linux"

_TAKE_SECONDS = 10.0
_IP_RECVTTL = 12  # linux/in.h; Python has it from 3.14 on.


class Peer:
    """What the tests can ask for, one method each."""

    def __init__(self, interface: str, ipv4: str, ipv6: str) -> None:
        self.index = socket.if_nametoindex(interface)
        self.ipv4, self.ipv6 = ipv4, ipv6
        self.open_sockets: dict[int, socket.socket] = {}

    def addresses(self) -> dict[str, str]:
        return {"ipv4": self.ipv4, "ipv6": self.ipv6}

    def send(self, to: tuple[str, int], data: list[str], ttl: int = 1, port: int = 0) -> int:
        """Send datagrams to a group or a host; the port that they came from."""
        with self._socket(to[0], port) as sock:
            if sock.family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
            for item in data:
                sock.sendto(item.encode(), self._address(*to))
            return int(sock.getsockname()[1])

    def _socket(self, to: str, port: int) -> socket.socket:
        if ":" in to:
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self.index)
            # A group of link-local scope gets the link-local source that the kernel chooses.
            sock.bind(("::" if to.startswith("ff02:") else self.ipv6, port))
        else:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            mreqn = struct.pack("@4s4si", bytes(4), bytes(4), self.index)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, mreqn)
            sock.bind((self.ipv4, port))
        return sock

    def _address(self, host: str, port: int) -> Any:
        return (host, port, 0, self.index) if ":" in host else (host, port)

    def open(self, group: str, port: int) -> int:
        """Join a group; a number for the socket."""
        if ":" in group:
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@i", self.index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            sock.bind((group, port, 0, self.index))
        else:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            request = socket.inet_aton(group) + struct.pack("@4si", bytes(4), self.index)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
            sock.bind((group, port))
        sock.settimeout(_TAKE_SECONDS)
        self.open_sockets[sock.fileno()] = sock
        return sock.fileno()

    def take(self, number: int, count: int) -> list[tuple[str, str, int, int]]:
        """So many datagrams, or fewer if no more come: data, source, port, ttl."""
        found: list[tuple[str, str, int, int]] = []
        try:
            while len(found) < count:
                data, control, _, source = self.open_sockets[number].recvmsg(65_536, 64)
                (ttl,) = struct.unpack("@i", control[0][2])
                found.append((data.decode(), source[0], source[1], ttl))
        except TimeoutError:
            pass
        return found

    def close(self, number: int) -> None:
        self.open_sockets.pop(number).close()


def main() -> None:
    interface, ipv4, ipv6, port = sys.argv[1:]
    peer = Peer(interface, ipv4, ipv6)
    with socket.create_server((ipv4, int(port))) as server:
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            with connection, connection.makefile("rw") as lines:
                for line in lines:
                    what, arguments = json.loads(line)
                    try:
                        answer = {"result": getattr(peer, what)(**arguments)}
                    except OSError as error:
                        answer = {"error": str(error)}
                    print(json.dumps(answer), file=lines, flush=True)


if __name__ == "__main__":
    main()
