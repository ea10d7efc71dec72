"""Writing captures: received datagrams as a pcapng file, for Wireshark and tcpdump."""

from __future__ import annotations

import struct
import time
from functools import lru_cache
from ipaddress import IPv4Address, ip_address
from typing import Any, BinaryIO

from pcapng import FileWriter

from .._values.addresses import IPAddress
from .._values.datagram import Datagram
from .._values.errors import printable
from .._values.interface import Interface
from .blocks import blocks

# Frames that begin with an IP header: what was below it, no socket tells.
_RAW_IP = 101
_UDP = 17
# An enhanced packet block up to the packet: type, total length, interface, time in two halves, and
# the length of the packet as captured and as it was.
_ENHANCED_PACKET = 6
_PACKET_BLOCK = struct.Struct("<7I")
# The option if_tsresol: nanoseconds, as a power of ten.
_NANOSECONDS = b"\x09"


class CaptureWriter:
    """A writer of received datagrams to a pcapng file.

    Each datagram becomes a whole IP packet, with the addresses, ports, ttl and traffic class that
    it came with and with the time of its arrival. What a program is not told of the packet is made
    up: it has no fragments, no options, and a right checksum. The file describes each interface
    with its name and addresses.
    """

    def __init__(self, file: BinaryIO, application: str) -> None:
        """Begin the file.

        Args:
            file: The file to write to.
            application: The name and version of the program that writes.

        Raises:
            OSError: The file cannot be written.
        """
        self._file = file
        options = {"shb_userappl": application}
        self._section: Any = blocks.SectionHeader(options=options, endianness="<")
        self._writer = FileWriter(file, self._section)
        self._interfaces: dict[tuple[str, int], Any] = {}

    def write(self, datagram: Datagram) -> None:
        """Add a datagram; one without a time of arrival counts as arrived now.

        Raises:
            OSError: The file cannot be written.
        """
        time_ns = time.time_ns() if datagram.timestamp_ns is None else datagram.timestamp_ns
        packet = ip_packet(datagram)
        interface = datagram.interface
        description = self._interfaces.get((interface.name, interface.index))
        if description is None:
            description = self._describe(interface)
        # Without python-pcapng, which takes some 50 microseconds for each packet (measured, 2.1.1).
        size = len(packet)
        padding = -size % 4
        total = _PACKET_BLOCK.size + size + padding + 4
        number = description.interface_id
        times = time_ns >> 32, time_ns & 0xFFFF_FFFF
        head = _PACKET_BLOCK.pack(_ENHANCED_PACKET, total, number, *times, size, size)
        self._file.write(b"".join((head, packet, bytes(padding), total.to_bytes(4, "little"))))

    def flush(self) -> None:
        """Hand what was added to the system, so that others can read it.

        Raises:
            OSError: The file cannot be written.
        """
        self._file.flush()

    def _describe(self, interface: Interface) -> Any:
        options: dict[str, Any] = {"if_name": printable(interface.name)}
        if interface.description and interface.description != interface.name:
            options["if_description"] = printable(interface.description)
        if interface.ipv4_addresses:
            options["if_IPv4addr"] = [
                (str(address.ip), str(address.netmask)) for address in interface.ipv4_addresses
            ]
        if interface.ipv6_addresses:
            options["if_IPv6addr"] = [
                address.ip.packed + bytes([address.network.prefixlen])
                for address in interface.ipv6_addresses
            ]
        options["if_tsresol"] = _NANOSECONDS
        description = self._section.new_member(
            blocks.InterfaceDescription, link_type=_RAW_IP, snaplen=0, options=options
        )
        self._writer.write_block(description)
        self._interfaces[interface.name, interface.index] = description
        return description


def ip_packet(datagram: Datagram) -> bytes:
    """Return a datagram as an IP packet with a UDP header; 0 stands for an unknown ttl or class."""
    source = _bare(datagram.source.host)
    destination = _bare(datagram.destination.host)
    length = 8 + len(datagram.data)
    ports = datagram.source.port, datagram.destination.port
    pseudo = source.packed + destination.packed + struct.pack("!II", length, _UDP)
    unsummed = struct.pack("!HHHH", *ports, length, 0) + datagram.data
    # A sum of 0 would mean that there is none (RFC 768).
    checksum = _checksum(pseudo + unsummed) or 0xFFFF
    segment = struct.pack("!HHHH", *ports, length, checksum) + datagram.data
    traffic_class, ttl = datagram.traffic_class or 0, datagram.ttl or 0
    if isinstance(source, IPv4Address):
        return _ipv4_header(source, destination, ttl, traffic_class, length) + segment
    head = struct.pack("!IHBB", 6 << 28 | traffic_class << 20, length, _UDP, ttl)
    return head + source.packed + destination.packed + segment


def _ipv4_header(
    source: IPAddress, destination: IPAddress, ttl: int, traffic_class: int, length: int
) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, traffic_class, 20 + length, 0, 0, ttl, _UDP, 0)
    header = head + source.packed + destination.packed
    return header[:10] + struct.pack("!H", _checksum(header)) + header[12:]


@lru_cache(maxsize=4096)  # There are few, and to parse one takes longer than all else.
def _bare(host: str) -> IPAddress:
    return ip_address(host.partition("%")[0])


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    # Modulo 0xFFFF is the one's complement sum, except for 0, which stands for 0xFFFF.
    total = int.from_bytes(data, "big") % 0xFFFF
    return ~(total or 0xFFFF) & 0xFFFF
