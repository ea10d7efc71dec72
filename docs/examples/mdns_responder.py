"""Answer mDNS questions for one name. Usage: python mdns_responder.py NAME"""

import struct
import sys
from ipaddress import IPv4Address, IPv6Address

import trio

from trio_mcast import Datagram, open_mcast_channel

A, AAAA, ANY, IN = 1, 28, 255, 1


def question_of(data: bytes) -> tuple[int, bytes, int, int] | None:
    """Return the id, name, type and class of the first question; None if it is no question."""
    if len(data) < 17 or data[2] & 0x80 or data[4:6] == b"\0\0":
        return None
    end = 12
    while end < len(data) and data[end]:
        end += 1 + data[end]
    if end + 5 > len(data):
        return None
    return data[0] << 8 | data[1], data[12 : end + 1], *struct.unpack_from("!HH", data, end + 1)


def answer_to(datagram: Datagram, name: bytes) -> tuple[bytes, bool] | None:
    """Return the answer to a question, and whether it goes to the group."""
    question = question_of(datagram.data)
    if question is None or question[1].lower() != name.lower():
        return None
    number, asked, kind, klass = question
    legacy = datagram.source.port != 5353  # RFC 6762 section 6.7: answered as by any DNS server.
    to_group = datagram.group is not None and not legacy and not klass & 0x8000
    addresses: list[IPv4Address | IPv6Address] = []
    if kind in (A, ANY):
        addresses += datagram.interface.addresses("ipv4")
    if kind in (AAAA, ANY):
        addresses += datagram.interface.addresses("ipv6")
    head = struct.pack("!6H", number if legacy else 0, 0x8400, int(legacy), len(addresses), 0, 0)
    if legacy:
        head += asked + struct.pack("!HH", kind, klass & 0x7FFF)
    for address in addresses:
        record = A if address.version == 4 else AAAA
        unique = IN if legacy else IN | 0x8000
        head += (
            name
            + struct.pack("!HHIH", record, unique, 10 if legacy else 120, len(address.packed))
            + address.packed
        )
    return (head, to_group) if addresses else None


async def main() -> None:
    labels = (sys.argv[1].encode(), b"local", b"")
    name = b"".join(bytes([len(label)]) + label for label in labels)
    async with open_mcast_channel(
        ["224.0.0.251", "ff02::fb"], 5353, accept_unicast=True, ttl=255, unicast_ttl=255
    ) as channel:
        async for datagram in channel:
            answer = answer_to(datagram, name)
            if answer is not None:
                await channel.answer(datagram, answer[0], to_group=answer[1])


trio.run(main)
