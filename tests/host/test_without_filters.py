"""Linux's calls without Linux's filters: gVisor's and qemu-user's refusals, on the real kernel.

What gVisor accepts without doing anything does not reach the kernel here either. So the kernel
gives each socket what anybody on the machine has joined, as those do.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest
import trio

from tests.lab.fixtures import TwoLans
from tests.lab.machine import LabMachine, on
from tests.support.traffic import (
    EACH_FAMILY,
    FAMILIES,
    Family,
    address_of,
    group_of,
    receiver_on,
    sender_on,
)
from trio_mcast import Datagram, McastReceiver, McastReceiverSpec, open_mcast_receiver
from trio_mcast._host.current import host_variable
from trio_mcast._host.protocols import Rejection

if sys.platform != "linux":
    pytest.skip("the options are those of Linux", allow_module_level=True)

pytestmark = pytest.mark.once

PORT = 5000
IP, IPV6 = socket.IPPROTO_IP, socket.IPPROTO_IPV6
MULTICAST_ALL = {(IP, 49), (IPV6, 29)}
JOIN_GROUP = {(IP, 42), (IPV6, 42)}
FILTERS = {(level, number) for level in (IP, IPV6) for number in (43, 44, 45, 46)}
TIMESTAMPNS = {(socket.SOL_SOCKET, 35)}


@attrs.frozen
class Refusals:
    """The options, by level and number, that are refused, that do nothing, and that do not tell."""

    refused: dict[tuple[int, int], int]
    idle: frozenset[tuple[int, int]] = frozenset()
    silent: frozenset[tuple[int, int]] = frozenset()

    @contextmanager
    def __call__(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Refuse in a block."""
        real_set, real_get = socket.socket.setsockopt, socket.socket.getsockopt

        def setsockopt(sock: socket.socket, level: int, number: int, *value: Any) -> None:
            code = self.refused.get((level, number))
            if code is not None:
                raise OSError(code, os.strerror(code))
            if (level, number) not in self.idle:
                real_set(sock, level, number, *value)

        def getsockopt(sock: socket.socket, level: int, number: int, *size: int) -> Any:
            if (level, number) in self.silent:
                raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
            return real_get(sock, level, number, *size)

        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "setsockopt", setsockopt)
            patch.setattr(socket.socket, "getsockopt", getsockopt)
            yield


REFUSALS = {
    # What netstack does with them.
    "gVisor": Refusals(
        {(IP, 42): errno.EINVAL},
        frozenset(MULTICAST_ALL | FILTERS | {(IPV6, 42)}),
        frozenset(MULTICAST_ALL),
    ),
    "qemu-user": Refusals(
        dict.fromkeys(MULTICAST_ALL | JOIN_GROUP | FILTERS | TIMESTAMPNS, errno.ENOPROTOOPT),
        frozenset(),
        frozenset(MULTICAST_ALL),
    ),
    # Only to be set, or only one of the two.
    "no IP_MULTICAST_ALL": Refusals(dict.fromkeys(MULTICAST_ALL, errno.ENOPROTOOPT)),
    "no MCAST_JOIN_GROUP": Refusals(dict.fromkeys(JOIN_GROUP, errno.EINVAL)),
}
EACH_REFUSAL = pytest.mark.parametrize("refusals", REFUSALS.values(), ids=REFUSALS)
UNFILTERED = pytest.mark.parametrize("name", ["gVisor", "qemu-user"])


async def send_on_both(lans: TwoLans, family: Family, count: int = 3) -> None:
    for number, name in enumerate(["eth0", "eth1"], 1):
        async with sender_on(lans.b, group_of(family), interfaces=name) as sender:
            for _ in range(count):
                await sender.send(b"lan%d" % number)


async def received(receiver: McastReceiver) -> list[Datagram]:
    """Return what comes until nothing has come for a while."""
    datagrams: list[Datagram] = []
    while True:
        with trio.move_on_after(0.2) as scope:
            datagrams.append(await receiver.receive())
        if scope.cancelled_caught:
            return datagrams


@EACH_REFUSAL
@FAMILIES
async def test_each_interface_has_its_own(
    refusals: Refusals, family: Family, two_lans: TwoLans, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = group_of(family)
    with refusals(monkeypatch):
        # The second has joined on the other interface, so its datagrams come to this machine.
        async with (
            receiver_on(
                two_lans, two_lans.a, group, interfaces="eth0", receive_timestamp=True
            ) as one,
            receiver_on(two_lans, two_lans.a, group, interfaces="eth1") as two,
        ):
            await send_on_both(two_lans, family)
            for receiver, name, payload in ((one, "eth0", b"lan1"), (two, "eth1", b"lan2")):
                datagrams = await received(receiver)
                told = [(datagram.data, datagram.interface.name) for datagram in datagrams]
                assert told == [(payload, name)] * 3
                has_time = {datagram.timestamp_ns is not None for datagram in datagrams}
                assert has_time == {receiver is one}
                assert {datagram.group for datagram in datagrams} == {group}
                reasons = receiver.statistics().rejected_by_reason
                # Linux keeps IPv6 apart by device, and IPv4 by IP_MULTICAST_ALL.
                unfiltered = bool(refusals.silent) or (IP, 49) in refusals.refused
                looks = family == "ipv4" and unfiltered
                assert reasons == ({"other_interface": 3} if looks else {})


@UNFILTERED
@FAMILIES
@pytest.mark.parametrize("wanted", [True, False])
async def test_sources_are_looked_at(
    name: str,
    family: Family,
    wanted: bool,
    two_lans: TwoLans,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources = [address_of(family, 2), address_of(family, 77)]
    chosen = sources if wanted else sources[1]
    place = two_lans, two_lans.a, group_of(family)
    with REFUSALS[name](monkeypatch):
        async with (
            receiver_on(*place, interfaces="eth0", sources=chosen) as only,
            receiver_on(*place, interfaces="eth0", excluded_sources=chosen) as without,
        ):
            await send_on_both(two_lans, family)
            assert len(await received(only)) == (3 if wanted else 0)
            assert len(await received(without)) == (0 if wanted else 3)
            assert only.statistics().rejected_by_reason["other_source"] == (0 if wanted else 3)
            excluded = without.statistics().rejected_by_reason["excluded_source"]
            assert excluded == (3 if wanted else 0)
            if not wanted:
                await without.block_source(sources[0])
                await send_on_both(two_lans, family)
                assert await received(without) == []


@pytest.mark.parametrize("family", EACH_FAMILY)
async def test_membership_ends_with_the_option_that_has_joined(
    family: Family, two_lans: TwoLans, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = group_of(family)
    ended: list[tuple[int, int]] = []
    with REFUSALS["gVisor"](monkeypatch), on(two_lans.a):
        patched = socket.socket.setsockopt

        def setsockopt(sock: socket.socket, level: int, number: int, *value: Any) -> None:
            patched(sock, level, number, *value)
            ended.append((level, number))

        # Within the block: what is put back later would be the refusals.
        with monkeypatch.context() as patch:
            async with open_mcast_receiver(group, PORT, interfaces="eth0"):
                patch.setattr(socket.socket, "setsockopt", setsockopt)
    # IP_DROP_MEMBERSHIP, IPV6_LEAVE_GROUP; both were accepted.
    assert ended == [(IP, 36) if family == "ipv4" else (IPV6, 21)]


async def test_other_groups_are_rejected_where_the_destination_is_told(two_lans: TwoLans) -> None:
    with on(two_lans.a):
        machine = host_variable.get()
        assert isinstance(machine, LabMachine)
        spec = McastReceiverSpec(group_of("ipv4", 2), PORT, interfaces="eth0")
        (socket_spec,) = spec.plan(interfaces=machine.list_interfaces())
        wide = attrs.evolve(
            socket_spec,
            bind=("0.0.0.0", PORT),
            options=tuple(
                (option.symbol == "IP_MULTICAST_ALL" and option.fallback) or option
                for option in socket_spec.options
            ),
        )
        sock = machine.open_socket(wide)
        try:
            group = group_of("ipv4")
            async with receiver_on(two_lans, two_lans.a, group, interfaces="eth0"):
                await send_on_both(two_lans, "ipv4")
                with trio.move_on_after(2):
                    while sock.rejected[Rejection.OTHER_GROUP] < 3:
                        assert sock.receive(10) == []
                        await trio.sleep(0.01)
            assert sock.rejected == {Rejection.OTHER_GROUP: 3}
        finally:
            sock.close()
