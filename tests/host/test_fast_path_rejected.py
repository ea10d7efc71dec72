"""Rejected sources where datagrams are read in batches and units, on Linux."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.lab import Host
from tests.lab.fixtures import TwoHosts
from tests.support.linux_sockets import TURN, numbered, open_sockets, read_until, send_unit
from tests.support.system_calls import Calls
from tests.support.traffic import (
    FAMILIES,
    PORT,
    Family,
    address_of,
    await_payload,
    group_of,
    member,
    plain_sender,
)
from trio_mcast import Datagram

pytestmark = pytest.mark.fast_path


def test_rejected_sources_are_counted_exactly_in_batches_and_units(
    host: Host, calls: Calls
) -> None:
    group = group_of("ipv4")
    # The kernel takes ten; the eleventh is rejected here.
    excluded = [f"10.9.9.{number}" for number in range(10)] + ["127.0.0.2"]
    with ExitStack() as stack:
        good, bad = (
            stack.enter_context(plain_sender(host, group, "lo", address))
            for address in ("127.0.0.1", "127.0.0.2")
        )
        (sock,) = open_sockets(stack, host, group, excluded_sources=excluded)
        found: list[Datagram] = []
        for _ in range(3):
            for data in numbered(100):
                good.sendto(data, (group, PORT))
                bad.sendto(data, (group, PORT))
            send_unit(bad, (group, PORT), b"x" * (50 * 64 + 1), 64)
            send_unit(good, (group, PORT), b"".join(numbered(50)), 64)
            found += read_until(sock, 150)
        assert [item.data for item in found] == (numbered(100) + numbered(50)) * 3
        assert {item.source.host for item in found} == {"127.0.0.1"}
        assert sock.rejected.total() == 3 * (100 + 51)
        assert calls.counts["recvmmsg"]


def test_rejected_datagrams_use_up_a_turn(host: Host, calls: Calls) -> None:
    group = group_of("ipv4")
    excluded = [f"10.9.9.{number}" for number in range(10)] + ["127.0.0.2"]
    with ExitStack() as stack, plain_sender(host, group, "lo", "127.0.0.2") as flood:
        (sock,) = open_sockets(stack, host, group, excluded_sources=excluded)
        for _ in range(400):
            flood.sendto(b"x", (group, PORT))
        assert sock.receive(100) == []
        # Else whoever floods with them faster than they are read would hold up every other task.
        assert sock.rejected.total() == 1
        assert sock.receive(100) == []
        assert sock.rejected.total() == 101
        for _ in range(10):
            send_unit(flood, (group, PORT), b"x" * 128 * 64, 64)
        while sock.rejected.total() < 400:
            sock.receive(10)
        for _ in range(10):
            assert sock.receive(100) == []
        assert sock.rejected.total() == 400 + 1280


@FAMILIES
async def test_loopback_off_rejects_own_datagrams_only(
    two_hosts: TwoHosts, calls: Calls, family: Family
) -> None:
    group, lan = group_of(family), two_hosts.lan
    with ExitStack() as stack:
        own = stack.enter_context(plain_sender(two_hosts.a, group, "eth0", address_of(family, 1)))
        other = stack.enter_context(plain_sender(two_hosts.b, group, "eth0", address_of(family, 2)))
        program = stack.enter_context(member(two_hosts.a, group, "eth0"))
        (sock,) = open_sockets(stack, two_hosts.a, group, "eth0", loopback=False)
        await lan.wait_for_async(lambda seen: any(item.group == group for item in seen))
        for data in numbered(70):
            own.sendto(data, (group, PORT))
        send_unit(own, (group, PORT), b"x" * 30 * 10, 10)
        for data in numbered(70):
            other.sendto(data, (group, PORT))
        send_unit(other, (group, PORT), b"y" * 30 * 10, 10)
        other.sendto(b"last", (group, PORT))
        await_payload(program, b"last")
        found: list[Datagram] = []
        while not found or found[-1].data != b"last":
            found += sock.receive(TURN)
        assert [item.data for item in found] == [*numbered(70), *[b"y" * 10] * 30, b"last"]
        assert sock.rejected.total() == 70 + 30
