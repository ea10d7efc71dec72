"""The decoder of ancillary data: from control messages to facts about a datagram. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from .._values.addresses import Family
from .bsd import decode_sockaddr_dl
from .model import Platform

# struct cmsghdr on Linux and WSACMSGHDR on Windows: a size_t and two ints, everything padded to the
# size of a size_t.
_CMSGHDR = struct.Struct("@Nii")
_ALIGNMENT = struct.calcsize("@N")


class Arrival(NamedTuple):
    """The facts in the ancillary data of one read; `None` for a fact that is not there."""

    ttl: int | None = None
    timestamp_ns: int | None = None
    interface_index: int | None = None
    segment_size: int | None = None
    destination: bytes | None = None  # The packed address that the datagram was sent to.
    traffic_class: int | None = None


NOTHING = Arrival()


class ControlDecoder:
    """A decoder of the ancillary data that a socket was asked to deliver.

    Attributes:
        applied: The symbols of the options that were set on the socket.
    """

    def __init__(self, platform: Platform, family: Family, applied: frozenset[str]) -> None:
        """Prepare for a socket.

        Args:
            platform: The platform of the numbers and layouts.
            family: The socket's family.
            applied: The symbols of the options that were set on the socket.
        """
        self.applied = applied
        numbers = platform.constants
        stamps = [stamp for stamp in platform.timestamps if stamp.option in applied]
        self._timestamps = stamps[0] if stamps else None
        self._fields: dict[tuple[int, int], str] = {}
        # The last is the name on Windows (`_layout.receive_ttl`).
        if applied & {"IP_RECVTTL", "IPV6_RECVHOPLIMIT", "IPV6_HOPLIMIT"}:
            symbol = platform.ttl_control[family]
            self._fields[platform.level(symbol, family), numbers[symbol]] = "ttl"
            if (platform.name, family) == ("windows", "ipv4"):
                # No source tells whether the answer has this number or that of the request.
                self._fields[numbers["IPPROTO_IP"], numbers["IP_RECVTTL"]] = "ttl"
        if applied & {"IP_RECVTOS", "IPV6_RECVTCLASS"}:
            symbol = platform.traffic_class_control[family]
            self._fields[platform.level(symbol, family), numbers[symbol]] = "traffic_class"
        if self._timestamps is not None:
            kind = numbers[self._timestamps.kind]
            self._fields[numbers["SOL_SOCKET"], kind] = "timestamp_ns"
        self._index_offset = platform.packet_info_index.get(family, 0)
        self._destination_offset = platform.packet_info_destination.get(family, 0)
        self._address = struct.Struct("4s" if family == "ipv4" else "16s")
        # Some systems use one name for the request and for the data.
        if applied & {"IPV6_RECVPKTINFO", "IPV6_PKTINFO"}:
            self._fields[numbers["IPPROTO_IPV6"], numbers["IPV6_PKTINFO"]] = "packet_info"
        if applied & {"IP_RECVPKTINFO", "IP_PKTINFO"}:
            self._fields[numbers["IPPROTO_IP"], numbers["IP_PKTINFO"]] = "packet_info"
        # FreeBSD delivers the two separately, under the names of the requests.
        for symbol, field in (("IP_RECVDSTADDR", "destination"), ("IP_RECVIF", "arrival_link")):
            if symbol in applied:
                self._fields[numbers["IPPROTO_IP"], numbers[symbol]] = field
        self.tells_destination = not {"packet_info", "destination"}.isdisjoint(
            self._fields.values()
        )
        self.expects_values = bool(self._fields)
        if "UDP_GRO" in applied:
            self._fields[numbers["IPPROTO_UDP"], numbers["UDP_GRO"]] = "segment_size"
        self.expects_anything = bool(self._fields)

    def decode(self, control: Iterable[tuple[int, int, bytes]]) -> Arrival:
        """Return the facts in control messages (level, type, data), as from ``socket.recvmsg``.

        A value that was cut short counts as not there.
        """
        values: dict[str, int] = {}
        destination = None
        for level, kind, value in control:
            field = self._fields.get((level, kind))
            if field is not None:
                try:
                    if field == "packet_info":
                        (address,) = self._address.unpack_from(value, self._destination_offset)
                        (index,) = struct.unpack_from("=I", value, self._index_offset)
                        destination, values["interface_index"] = address, index
                    elif field == "destination":
                        (destination,) = self._address.unpack_from(value)
                    elif field == "arrival_link":
                        index = decode_sockaddr_dl(value).index
                        if index:  # 0: the system does not know the interface either.
                            values["interface_index"] = index
                    else:
                        values[field] = self._value(field, value)
                except struct.error:
                    continue  # The kernel cuts the last message that does not fit (MSG_CTRUNC).
        if values.get("segment_size", 1) < 1:
            del values["segment_size"]  # Such a size would cut up nothing.
        return Arrival(**values, destination=destination)

    def _value(self, field: str, value: bytes) -> int:
        if field == "timestamp_ns":
            assert self._timestamps is not None
            seconds, fraction = struct.unpack_from(self._timestamps.layout, value)
            return int(seconds) * 1_000_000_000 + int(fraction) * self._timestamps.fraction_ns
        # An int; or, in IPv4, one byte: on macOS and FreeBSD, and on Linux for the traffic class.
        return value[0] if len(value) == 1 else int(struct.unpack_from("=i", value)[0])


# The number is arbitrary: mostly there is one platform, with two families and some choices of
# options.
@lru_cache(maxsize=64)
def shared_decoder(platform: Platform, family: Family, applied: frozenset[str]) -> ControlDecoder:
    """Return the decoder for a socket; the arguments are those of `ControlDecoder`.

    A decoder knows nothing of a socket but these three, so all sockets with the same share one.
    """
    return ControlDecoder(platform, family, applied)


def split_control(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield the control messages in a buffer that the Linux kernel or Windows filled."""
    position = 0
    while position + _CMSGHDR.size <= len(raw):
        length, level, kind = _CMSGHDR.unpack_from(raw, position)
        if length < _CMSGHDR.size:
            return
        yield level, kind, raw[position + _CMSGHDR.size : position + length]
        position += (length + _ALIGNMENT - 1) // _ALIGNMENT * _ALIGNMENT
