"""The frames to groups that are seen on the interfaces, counted by what they have in common."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, NamedTuple, TypeAlias

import trio

from ..._host.facts import open_group_frames
from ..frames import PhaseName, Queries, Tally

# Arbitrary bounds: frames that are read without a pause for other tasks, kinds of frames counted.
_AT_ONCE: Final = 256
_MOST_KINDS: Final = 2_000
_GRACE_SECONDS: Final = 0.2

# An interface, an IP version and the address of a querier.
_Querier: TypeAlias = tuple[str, int, str]

# linux/if_packet.h
_PACKET_BROADCAST: Final = 1
_PACKET_MULTICAST: Final = 2
_PACKET_OUTGOING: Final = 4

_UDP, _IGMP, _ICMPV6, _FRAGMENT, _HOP_BY_HOP = 17, 2, 58, 44, 0
_IGMP_KINDS: Final = {0x11: "query", 0x12: "report", 0x16: "report", 0x22: "report"}
_MLD_KINDS: Final = {130: "query", 131: "report", 143: "report"}
_MORE_FRAGMENTS: Final = 0x2000
_FRAGMENT_OFFSET: Final = 0x1FFF


class Packet(NamedTuple):
    """The headers of a packet, as far as they are of interest.

    Attributes:
        source: The address that it came from.
        destination: The address that it was sent to.
        ttl: The time to live, or hop limit.
        port: The port that it was sent to; 0 if it has none.
        kind: As `Tally.kind` has it.
        response_seconds: The time to answer a general query of IGMPv3 or MLDv2; 0 for all else.
    """

    source: str
    destination: str
    ttl: int
    port: int
    kind: str
    response_seconds: float = 0.0


def parse_packet(data: bytes) -> Packet | None:
    """Return what the headers of a packet say; `None` for one that is of no interest."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        return _parse_ipv4(data)
    if len(data) >= 40 and data[0] >> 4 == 6:
        return _parse_ipv6(data)
    return None


def _parse_ipv4(data: bytes) -> Packet | None:
    header = (data[0] & 0xF) * 4
    fragment = int.from_bytes(data[6:8], "big")
    source, destination = str(IPv4Address(data[12:16])), str(IPv4Address(data[16:20]))
    body = data[header:]
    if data[9] == _IGMP and body:
        kind = _IGMP_KINDS.get(body[0])
        if kind is None:
            return None
        is_general = kind == "query" and len(body) >= 12 and not any(body[4:8])
        seconds = _code(body[1], 7, 4) / 10 if is_general else 0.0
        return Packet(source, destination, data[8], 0, kind, seconds)
    if data[9] != _UDP:
        return None
    kind, port = _udp(body, fragment & _FRAGMENT_OFFSET, bool(fragment & _MORE_FRAGMENTS))
    return Packet(source, destination, data[8], port, kind)


def _parse_ipv6(data: bytes) -> Packet | None:
    source, destination = str(IPv6Address(data[8:24])), str(IPv6Address(data[24:40]))
    following, body, offset, more = data[6], data[40:], 0, False
    while following in (_HOP_BY_HOP, _FRAGMENT) and len(body) >= 8:
        if following == _FRAGMENT:
            word = int.from_bytes(body[2:4], "big")
            offset, more = word >> 3, bool(word & 1)
            size = 8
        else:
            size = 8 * (body[1] + 1)
        following, body = body[0], body[size:]
    if following == _ICMPV6 and body:
        kind = _MLD_KINDS.get(body[0])
        if kind is None:
            return None
        is_general = kind == "query" and len(body) >= 28 and not any(body[8:24])
        code = int.from_bytes(body[4:6], "big")
        seconds = _code(code, 15, 12) / 1000 if is_general else 0.0
        return Packet(source, destination, data[7], 0, kind, seconds)
    if following != _UDP:
        return None
    kind, port = _udp(body, offset, more)
    return Packet(source, destination, data[7], port, kind)


def _code(code: int, sign_bit: int, mantissa_bits: int) -> int:
    """Return the number that a code means (RFC 3376, section 4.1.1; RFC 3810, section 5.1.3)."""
    if not code >> sign_bit:
        return code
    mantissa = code & ((1 << mantissa_bits) - 1) | 1 << mantissa_bits
    return mantissa << (code >> mantissa_bits & 7) + 3


def _udp(body: bytes, offset: int, more: bool) -> tuple[str, int]:
    if offset:
        return "later fragment", 0
    return "first fragment" if more else "udp", int.from_bytes(body[2:4], "big")


class Capture:
    """A capture on all interfaces.

    Args:
        groups: The groups in question, without zones.
        is_joined: Whether queries have to be answered in each phase, and not only while joined.

    Attributes:
        phase: The phase to which what is seen belongs; `None` to count nothing.
        problem: The reason why there is no capture; empty if there is one.
    """

    def __init__(self, groups: Collection[str], *, is_joined: bool = False) -> None:
        self.phase: PhaseName | None = None
        self._groups = groups
        self._is_joined = is_joined
        self.problem = ""
        self._counts: Counter[tuple[Any, ...]] = Counter()
        self._asked: Counter[_Querier] = Counter()
        self._answered: Counter[_Querier] = Counter()
        # The queries that can still be answered, each with the time until when.
        self._pending: list[tuple[float, _Querier]] = []
        self._socket: socket.socket | None = None
        try:
            self._socket = open_group_frames()
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES):
                self.problem = str(error)
        if self._socket is None and not self.problem:
            self.problem = "seeing frames takes root, or CAP_NET_RAW on Linux"

    async def run(self) -> None:
        """Count until cancelled; at once at its end if there is no capture."""
        if self._socket is None:
            return
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            self._read(self._socket)

    def _read(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, (name, _protocol, kind, _hardware, link) = sock.recvfrom(256)
            except BlockingIOError:
                return
            except OSError:
                continue  # An interface has gone down.
            packet = parse_packet(data)
            if packet is None or self.phase is None:
                continue
            is_group_frame = kind in (_PACKET_BROADCAST, _PACKET_MULTICAST)
            where = (self.phase, name, kind == _PACKET_OUTGOING, link.hex(":"), is_group_frame)
            self._follow_queries(packet, name, is_outgoing=kind == _PACKET_OUTGOING)
            key = (*where, *packet[:-1])
            if len(self._counts) < _MOST_KINDS or key in self._counts:
                self._counts[key] += 1

    def _follow_queries(self, packet: Packet, interface: str, *, is_outgoing: bool) -> None:
        version = 6 if ":" in packet.source else 4
        self.expire_queries()
        is_due = self._is_joined or self.phase == "joined"
        if packet.response_seconds and not is_outgoing and is_due:
            # A kernel sends its answer a moment after the time that it chose within the limit.
            until = trio.current_time() + packet.response_seconds + _GRACE_SECONDS
            self._pending.append((until, (interface, version, packet.source)))
        elif packet.kind == "report" and is_outgoing:
            for pending in list(self._pending):
                if pending[1][:2] == (interface, version):
                    self._pending.remove(pending)
                    self._asked[pending[1]] += 1
                    self._answered[pending[1]] += 1

    def expire_queries(self) -> None:
        """Count the queries that were not answered in time."""
        now = trio.current_time()
        for pending in list(self._pending):
            if pending[0] < now:
                self._pending.remove(pending)
                self._asked[pending[1]] += 1

    def end_queries(self) -> None:
        """Forget the queries that can still be answered, as the groups are about to be left."""
        self.expire_queries()
        self._pending.clear()

    def queries(self) -> tuple[Queries, ...] | None:
        """Return the queries that were seen; `None` if there is no capture."""
        if self._socket is None:
            return None
        return tuple(
            Queries(*querier, count, self._answered[querier])
            for querier, count in sorted(self._asked.items())
        )

    def count_others(self, phase: PhaseName) -> int | None:
        """Return how many datagrams of other groups came in a phase; `None` without a capture."""
        if self._socket is None:
            return None
        # As the fields of `Tally`: the phase, the direction, the destination, the kind.
        return sum(
            count
            for key, count in self._counts.items()
            if key[0] == phase and not key[2] and key[6] not in self._groups and key[9] == "udp"
        )

    def tallies(self) -> tuple[Tally, ...] | None:
        """Return what was counted; `None` if there is no capture."""
        if self._socket is None:
            return None
        return tuple(Tally(*(*key, count)) for key, count in sorted(self._counts.items()))

    def close(self) -> None:
        """Close the capture."""
        if self._socket is not None:
            self._socket.close()
