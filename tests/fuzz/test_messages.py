"""Whatever bytes a kernel gives: a value, or the error that the caller is prepared for."""

from __future__ import annotations

import random
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.fuzz.examples import MESSAGES
from tests.fuzz.messages import (
    attributes,
    control,
    damaged,
    netlink,
    number,
    some_bytes,
)
from trio_mcast import Endpoint, Interface, McastReceiverSpec
from trio_mcast._platform import bsd
from trio_mcast._platform.control import Arrival, ControlDecoder, split_control
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._values.addresses import Family, decode_sockaddr

if sys.platform != "linux":
    pytest.skip("netlink and the fast path are those of Linux", allow_module_level=True)

if not TYPE_CHECKING or sys.platform == "linux":
    from trio_mcast._host.bsd.link_facts import Entry, LinkFacts
    from trio_mcast._host.linux import interfaces
    from trio_mcast._host.linux import netlink as link
    from trio_mcast._host.linux.buffers import MMSGHDR, SLOT_BYTES, thread_buffers
    from trio_mcast._host.linux.fast_path import LinuxSocket
    from trio_mcast._host.linux.watch import NetlinkWatcher
    from trio_mcast._host.portable_socket import CONTROL_BYTES

assert not TYPE_CHECKING or sys.platform == "linux"

pytestmark = pytest.mark.once

FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")
# Every option that has something delivered, on any platform.
APPLIED = frozenset(
    {
        *("IP_RECVTTL", "IPV6_RECVHOPLIMIT", "IPV6_HOPLIMIT", "SO_TIMESTAMP", "SO_TIMESTAMPNS"),
        *("IPV6_RECVPKTINFO", "IPV6_PKTINFO", "IP_RECVPKTINFO", "IP_PKTINFO", "UDP_GRO"),
        *("IP_RECVDSTADDR", "IP_RECVIF"),
    }
)
DECODERS = {
    (platform, family): ControlDecoder(
        PLATFORMS[platform], family, APPLIED & PLATFORMS[platform].constants.keys()
    )
    for platform in PLATFORMS
    for family in FAMILIES
}


def a_control_field(chance: random.Random, decoder: ControlDecoder) -> tuple[int, int]:
    return chance.choice([*decoder._fields, (number(chance, 16), number(chance, 16))])


def check_ancillary_data(chance: random.Random) -> None:
    decoder = chance.choice(list(DECODERS.values()))
    messages = [
        (*a_control_field(chance, decoder), damaged(chance, some_bytes(chance, 70)))
        for _ in range(chance.randint(0, 4))
    ]
    arrival = decoder.decode(messages)
    assert isinstance(arrival, Arrival)
    assert arrival.segment_size is None or arrival.segment_size > 0


def check_buffers_of_ancillary_data(chance: random.Random) -> None:
    decoder = DECODERS["linux", chance.choice(FAMILIES)]
    raw = damaged(chance, control(chance, list(decoder._fields)))
    decoder.decode(split_control(raw))


@pytest.fixture(scope="module")
def fast_sockets() -> Iterator[list[Any]]:
    """Return a socket of the fast path for each family, which asks for everything."""
    interface = Interface(name="lo", index=1, is_up=True, is_loopback=True)
    sockets, plain = [], []
    for group, address in (("239.1.2.3", "127.0.0.1"), ("ff05::3", "::1")):
        (socket_spec,) = McastReceiverSpec(
            group, 5_000, interfaces=interface, receive_ttl=True, receive_timestamp=True
        ).plan([interface], "linux")
        number = socket.AF_INET6 if ":" in group else socket.AF_INET
        sock = socket.socket(number, socket.SOCK_DGRAM)
        sock.bind((address, 0))
        plain.append(sock)
        platform = PLATFORMS["linux"]
        applied = frozenset(APPLIED & platform.constants.keys())
        sockets.append(LinuxSocket(sock, socket_spec, platform, applied))
    yield sockets
    for sock in plain:
        sock.close()


def check_reading_of_the_fast_path(fast_sockets: list[Any], chance: random.Random) -> None:
    sock = chance.choice(fast_sockets)
    buffers, count = thread_buffers(), chance.randint(1, 4)
    buffers.prepare(count, sock.name_bytes)
    fields = list(sock._control._fields)
    sizes, same = [], chance.choice([None, chance.randint(0, 300)])
    for slot in range(count):
        raw = damaged(chance, control(chance, fields))[:CONTROL_BYTES]
        start = slot * CONTROL_BYTES
        buffers.controls[start : start + len(raw)] = raw
        sizes.append(chance.randint(0, 300) if same is None else same)
        name = struct.pack("=H", 10 if sock.name_bytes == 28 else 2) + chance.randbytes(26)
        at = slot * 28
        buffers.names[at : at + sock.name_bytes] = name[: sock.name_bytes]
        lengths = memoryview(buffers.headers)[slot * MMSGHDR.size :]
        struct.pack_into("=I", lengths, 8, sock.name_bytes)
        struct.pack_into("=Q", lengths, 40, len(raw) if chance.random() < 0.8 else 0)
        struct.pack_into("=I", lengths, 56, sizes[-1])
        buffers.data[slot * SLOT_BYTES : slot * SLOT_BYTES + 1] = b"x"
    batch: list[Any] = []
    before, rejected = sock.received, sock.rejected.total()
    taken, total = sock._decode(batch, count)
    assert total == sum(sizes)
    assert sock.received - before == len(batch)
    assert len(batch) + sock.rejected.total() - rejected == taken >= count
    if len(batch) == taken:
        assert sum(len(datagram.data) for datagram in batch) == total
    assert all(isinstance(datagram.source, Endpoint) for datagram in batch)


# Netlink --------------------------------------------------------------------------------------

LINK_KINDS = [1, 3, 4, 10, 18, 52, 53, 0x8034, 99]
ADDRESS_KINDS = [1, 2, 8, 99]


def link_value(chance: random.Random) -> bytes:
    values = [
        some_bytes(chance),
        b"eth0\0",
        attributes(chance, [4, 53, 99]),
        struct.pack("=I", number(chance)),
    ]
    return chance.choice(values)


def a_link(chance: random.Random) -> bytes:
    start = link.LINK.pack(0, 1, chance.getrandbits(4), number(chance), 0)
    return damaged(chance, start + attributes(chance, LINK_KINDS, link_value))


def an_address(chance: random.Random) -> bytes:
    family = chance.choice([socket.AF_INET, socket.AF_INET6, number(chance, 8)])
    prefix, flags, scope = number(chance, 5), number(chance, 8), number(chance, 8)
    start = link.ADDRESS.pack(family, prefix, flags, scope, chance.getrandbits(4))
    size = chance.choice([4, 16])
    content = attributes(chance, ADDRESS_KINDS, lambda chance: chance.randbytes(size))
    return damaged(chance, start + content)


def check_lists_of_interfaces(chance: random.Random) -> None:
    links = [a_link(chance) for _ in range(chance.randint(0, 3))]
    addresses = [an_address(chance) for _ in range(chance.randint(0, 3))]
    for interface in interfaces.interfaces_in(links, addresses):
        assert isinstance(interface, Interface)
        str(interface).encode()
        assert len(interface.address_details) <= len(addresses)


class _Kernel:
    """A netlink socket whose answers are given; in the end it refuses."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers

    def send(self, question: bytes) -> int:
        return len(question)

    def recv(self, size: int) -> bytes:
        if not self._answers:
            raise BlockingIOError("no more answers")
        return self._answers.pop()[:size]


def check_answers_of_netlink(chance: random.Random) -> None:
    answers = []
    for _ in range(chance.randint(0, 3)):
        contents = [
            chance.choice([a_link, an_address, some_bytes])(chance)
            for _ in range(chance.randint(0, 4))
        ]
        kinds = [2, 3, 16, 17, 20, 24, 99]
        answers.append(damaged(chance, netlink(chance, contents, kinds)))
    query = cast(socket.socket, _Kernel(answers))
    try:
        if chance.random() < 0.5:
            messages, whole = link.dump(query, link.RTM_GETLINK)
            assert isinstance(whole, bool)
            assert all(type(message) is bytes for message in messages)
        else:
            kind, content = link.ask(query, link.RTM_GETROUTE, b"")
            assert isinstance(kind, int)
            link.read_attributes(content, link.ROUTE.size, frozenset({4}))
    except OSError:
        pass


def check_notifications_of_netlink(chance: random.Random) -> None:
    raw = damaged(chance, netlink(chance, [a_link(chance)], [16, 17, 20, 24, 99]))
    watcher = NetlinkWatcher.__new__(NetlinkWatcher)
    ended = watcher._ended_by(raw[: NetlinkWatcher._message_bytes])
    assert len(ended.removed) + len(ended.families) <= 2


# The routing socket and the lists of the BSDs ---------------------------------------------------


def check_messages_of_a_routing_socket(chance: random.Random) -> None:
    kind = chance.choice([0x1, 0xC, 0xD, 0xE, 0x11, number(chance, 8)])
    raw = struct.pack("=HBBH16sH", 24, 5, kind, number(chance, 16), b"em0", number(chance, 16))
    removed = bsd.removed_interfaces(damaged(chance, raw), announces=chance.random() < 0.5)
    assert removed is None or len(removed) <= 1


def check_link_addresses_of_the_bsds(chance: random.Random) -> None:
    raw = struct.pack("=BBHBBBB", 54, 18, number(chance, 16), 6, number(chance, 8), 6, 0)
    entry = Entry("em0", number(chance), damaged(chance, raw + some_bytes(chance)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        try:
            facts = LinkFacts(query, [entry]).read_facts("em0")
        except OSError:
            return
        assert facts.link_address is None or len(facts.link_address) == 17


def check_addresses_of_sockets(chance: random.Random) -> None:
    layout = chance.choice([platform.sockaddr for platform in PLATFORMS.values()])
    number_of_family = chance.choice([2, 10, 23, 28, 30])
    raw = struct.pack("=H", number_of_family) + chance.randbytes(26)
    if layout.has_length:
        raw = bytes([28, number_of_family]) + raw[2:]
    try:
        endpoint = decode_sockaddr(layout, damaged(chance, raw))
    except ValueError:
        return
    assert 0 <= endpoint.port <= 65_535


CHECKS = [
    check_ancillary_data,
    check_buffers_of_ancillary_data,
    check_lists_of_interfaces,
    check_answers_of_netlink,
    check_notifications_of_netlink,
    check_messages_of_a_routing_socket,
    check_link_addresses_of_the_bsds,
    check_addresses_of_sockets,
]


def check_each_seed(check: Callable[[random.Random], None]) -> None:
    """Call a check with one random generator after the other; the error tells of which seed."""
    for seed in range(MESSAGES):
        try:
            check(random.Random(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error


@pytest.mark.parametrize("check", CHECKS)
def test_bytes_give_a_value_or_the_error(check: Callable[[random.Random], None]) -> None:
    check_each_seed(check)


def test_buffers_of_the_fast_path_give_datagrams(fast_sockets: list[Any]) -> None:
    check_each_seed(partial(check_reading_of_the_fast_path, fast_sockets))
