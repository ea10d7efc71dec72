"""The facts that a machine tells a diagnosis, chosen by system; `None` where it tells none."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

from .._values.addresses import IPAddress
from .fact_values import LinkFacts, RouteFacts, SocketFacts

if sys.platform == "linux":
    from .linux import facts, group_frames, other_sockets

    def link_facts() -> dict[int, LinkFacts] | None:
        """Return the facts about every link, by index. OSError if refused."""
        return facts.read_link_facts()

    def route_facts(address: IPAddress, through: int = 0) -> RouteFacts | None:
        """Return the way of datagrams to an address, through one interface or any."""
        return facts.ask_route(address, through)

    def open_group_frames() -> socket.socket | None:
        """Open a socket that sees the frames to groups. OSError if refused."""
        return group_frames.open_group_frames()

    def ask_socket(
        pid: int, number: int, questions: Sequence[tuple[int, IPAddress]], *, is_listed: bool
    ) -> SocketFacts | None:
        """Return what a socket of a process says of groups on interfaces. OSError if refused."""
        return other_sockets.ask_socket(pid, number, questions, is_listed=is_listed)

    def user_name(number: int) -> str:
        """Return the name of a user; the number as text if there is none."""
        return other_sockets.user_name(number)

    def open_frames_to_port(port: int) -> socket.socket | None:
        """Open a socket that sees the UDP datagrams to a port. OSError if refused."""
        return group_frames.open_frames_to_port(port)

    def socket_loops() -> dict[int, bool]:
        """Return for each UDP socket, by inode, whether it sends to this machine too."""
        return facts.read_socket_loops()

else:

    def link_facts() -> dict[int, LinkFacts] | None:
        """Return nothing: this system is not asked."""
        return None

    def route_facts(address: IPAddress, through: int = 0) -> RouteFacts | None:
        """Return nothing: this system is not asked."""
        return None

    def open_group_frames() -> socket.socket | None:
        """Return nothing: this system is not asked."""
        return None

    def ask_socket(
        pid: int, number: int, questions: Sequence[tuple[int, IPAddress]], *, is_listed: bool
    ) -> SocketFacts | None:
        """Return nothing: this system is not asked."""
        return None

    def user_name(number: int) -> str:
        """Return the number as text."""
        return str(number)

    def open_frames_to_port(port: int) -> socket.socket | None:
        """Return nothing: this system is not asked."""
        return None

    def socket_loops() -> dict[int, bool]:
        """Return nothing: this system is not asked."""
        return {}
