"""Ancillary data: from control messages to what they tell of a datagram. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .._addresses import Family
from ._bsd import decode_sockaddr_dl
from ._model import Platform

# struct cmsghdr on Linux and WSACMSGHDR on Windows: a size_t and two ints, everything padded to the
# size of a size_t.
_CMSGHDR = struct.Struct("@Nii")
_ALIGNMENT = struct.calcsize("@N")


class Arrival(NamedTuple):
    """What the ancillary data of one read tells; `None` where it does not."""

    ttl: int | None = None
    timestamp_ns: int | None = None
    interface_index: int | None = None
    segment_size: int | None = None
    destination: bytes | None = None  # The packed address that the datagram was sent to.


NOTHING = Arrival()


class ControlDecoder:
    """Decodes the ancillary data that a socket was asked to deliver."""

    def __init__(self, platform: Platform, family: Family, applied: frozenset[str]) -> None:
        """Prepare for a socket.

        Args:
            platform: Whose numbers and layouts they are.
            family: The socket's family.
            applied: The symbols of the options that were set on the socket.
        """
        numbers = platform.constants
        self._timestamps = platform.timestamps
        self._fields: dict[tuple[int, int], str] = {}
        # The last is what Windows calls it (`_layout.receive_ttl`).
        if applied & {"IP_RECVTTL", "IPV6_RECVHOPLIMIT", "IPV6_HOPLIMIT"}:
            symbol = platform.ttl_control[family]
            self._fields[platform.level(symbol, family), numbers[symbol]] = "ttl"
        if platform.timestamps is not None and platform.timestamps.option in applied:
            symbol = platform.timestamps.control
            self._fields[numbers["SOL_SOCKET"], numbers[symbol]] = "timestamp_ns"
        self._index_offset = platform.packet_info_index.get(family, 0)
        self._destination_offset = platform.packet_info_destination.get(family, 0)
        self._address = struct.Struct("4s" if family == "ipv4" else "16s")
        # Some ask for it under the name of what they deliver.
        if applied & {"IPV6_RECVPKTINFO", "IPV6_PKTINFO"}:
            self._fields[numbers["IPPROTO_IPV6"], numbers["IPV6_PKTINFO"]] = "packet_info"
        if applied & {"IP_RECVPKTINFO", "IP_PKTINFO"}:
            self._fields[numbers["IPPROTO_IP"], numbers["IP_PKTINFO"]] = "packet_info"
        # FreeBSD tells the two apart, under the names by which they are asked for.
        for symbol, field in (("IP_RECVDSTADDR", "destination"), ("IP_RECVIF", "arrival_link")):
            if symbol in applied:
                self._fields[numbers["IPPROTO_IP"], numbers[symbol]] = field
        self.expects_values = bool(self._fields)
        if "UDP_GRO" in applied:
            self._fields[numbers["IPPROTO_UDP"], numbers["UDP_GRO"]] = "segment_size"
        self.expects_anything = bool(self._fields)

    def decode(self, control: Iterable[tuple[int, int, bytes]]) -> Arrival:
        """What control messages (level, type, data) tell, as from ``socket.recvmsg``.

        A value that was cut short tells nothing, as if it were not there.
        """
        found: dict[str, int] = {}
        destination = None
        for level, kind, value in control:
            field = self._fields.get((level, kind))
            if field is not None:
                try:
                    if field == "packet_info":
                        (address,) = self._address.unpack_from(value, self._destination_offset)
                        (index,) = struct.unpack_from("=I", value, self._index_offset)
                        destination, found["interface_index"] = address, index
                    elif field == "destination":
                        (destination,) = self._address.unpack_from(value)
                    elif field == "arrival_link":
                        index = decode_sockaddr_dl(value).index
                        if index:  # 0: the system does not know it either.
                            found["interface_index"] = index
                    else:
                        found[field] = self._value(field, value)
                except struct.error:
                    continue  # The kernel cuts the last one that does not fit (MSG_CTRUNC).
        if found.get("segment_size", 1) < 1:
            del found["segment_size"]  # It would cut up nothing.
        return Arrival(**found, destination=destination)

    def _value(self, field: str, value: bytes) -> int:
        if field == "timestamp_ns":
            assert self._timestamps is not None
            seconds, fraction = struct.unpack_from(self._timestamps.layout, value)
            return int(seconds) * 1_000_000_000 + int(fraction) * self._timestamps.fraction_ns
        # One byte on macOS and FreeBSD, an int on Linux and Windows.
        return value[0] if len(value) == 1 else int(struct.unpack_from("=i", value)[0])


def split_control(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The control messages in a buffer that the Linux kernel or Windows filled."""
    position = 0
    while position + _CMSGHDR.size <= len(raw):
        length, level, kind = _CMSGHDR.unpack_from(raw, position)
        if length < _CMSGHDR.size:
            return
        yield level, kind, raw[position + _CMSGHDR.size : position + length]
        position += (length + _ALIGNMENT - 1) // _ALIGNMENT * _ALIGNMENT
