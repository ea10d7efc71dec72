"""Answer mDNS questions for a service and its host (RFC 6762 and 6763).

Usage: python mdns_responder.py NAME TYPE PORT, such as lamp _http._tcp 80
"""

import sys
from contextlib import suppress
from struct import error, pack, unpack_from

import trio

from trio_mcast import Datagram, open_mcast_channel

GROUPS, PORT = ["224.0.0.251", "ff02::fb"], 5353
A, PTR, TXT, AAAA, SRV, ANY = 1, 12, 16, 28, 33, 255


def encode(*labels: str) -> bytes:
    return b"".join(
        bytes([len(label.encode())]) + label.encode() for label in labels
    )


def decode(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the name that is there, in lower case, and where it ends."""
    name, end = b"", 0
    while (size := data[at]) and len(name) < 256:
        if size < 64:
            name, at = name + data[at : at + 1 + size], at + 1 + size
        else:  # It goes on as an earlier one did.
            end = end or at + 2
            at = min(unpack_from("!H", data, at)[0] % 2**14, at - 1)
    return name.lower() + b"\0", end or at + 1


def answer_to(
    query: Datagram, name: str, kind: str, port: int
) -> tuple[bytes, bool]:
    """Return the answer, which may be empty, and whether the group gets it."""
    service = encode(*kind.split("."), "local") + b"\0"
    instance, host = encode(name) + service, encode(name, "local") + b"\0"
    records = [(service, PTR, instance), (instance, TXT, b"\0")]
    records += [(instance, SRV, pack("!3H", 0, 0, port) + host)]
    for address in query.interface.addresses("ipv4"):
        records.append((host, A, address.packed))
    for address in query.interface.addresses("ipv6"):
        records.append((host, AAAA, address.packed))

    number, flags, count = unpack_from("!3H", query.data)
    answers, to_group, end = [], False, 12
    for _ in range(count if flags < 0x8000 else 0):
        asked, end = decode(query.data, end)
        wanted, klass = unpack_from("!HH", query.data, end)
        to_group, end = to_group or klass < 0x8000, end + 4
        same = [record for record in records if record[0].lower() == asked]
        answers += [record for record in same if wanted in (record[1], ANY)]
    if not answers:
        return b"", False
    # Who does not listen at the port knows DNS only (RFC 6762, section 6.7).
    legacy = query.source.port != PORT
    # Asked for next.
    more = [record for record in records if record not in answers]
    counts = count if legacy else 0, len(answers), 0, len(more)
    data = pack("!6H", number if legacy else 0, 0x8400, *counts)
    data += query.data[12:end] if legacy else b""
    for owner, type_, content in answers + more:
        klass = 1 if legacy or type_ == PTR else 0x8001
        seconds = 10 if legacy else 120
        data += owner + pack("!HHIH", type_, klass, seconds, len(content))
        data += content
    return data, to_group and not legacy and query.group is not None


async def main(name: str, kind: str, port: int) -> None:
    async with open_mcast_channel(
        GROUPS, PORT, accept_unicast=True, ttl=255, unicast_ttl=255
    ) as channel:
        async for datagram in channel:
            # What cannot be read is not answered.
            with suppress(IndexError, error):
                answer, to_group = answer_to(datagram, name, kind, port)
                if answer:
                    await channel.answer(datagram, answer, to_group=to_group)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    with suppress(KeyboardInterrupt):
        trio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
