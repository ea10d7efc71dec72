"""Reading in batches and units on Linux: that it happens, and that it changes nothing else."""

from __future__ import annotations

import ctypes
import errno
import socket
import sys
import time
import tracemalloc
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import attrs
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lab import Host
from tests.lab.machine import on
from tests.support.linux_sockets import TURN, UDP_GRO, numbered, open_sockets, read_all, send_unit
from tests.support.loopback import LOCAL
from tests.support.system_calls import Calls
from tests.support.traffic import FAMILIES, PORT, Family, group_of, plain_sender
from trio_mcast import Endpoint, open_mcast_receiver

if sys.platform != "linux":
    pytest.skip("the fast path is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import buffers
from trio_mcast._host.portable_socket import PosixSocket

pytestmark = pytest.mark.fast_path

# How many calls it takes -----------------------------------------------------------------------


@FAMILIES
def test_unit_is_read_in_one_call(host: Host, calls: Calls, family: Family) -> None:
    group, sent = group_of(family), numbered(64)
    with ExitStack() as stack, plain_sender(host, group, "lo", LOCAL[family][0]) as sender:
        (sock,) = open_sockets(stack, host, group)
        for call in ("recvmsg", "recvmmsg"):
            send_unit(sender, (group, PORT), b"".join(sent), 64)
            assert [item.data for item in sock.receive(TURN)] == sent
            assert calls.counts.pop(call) == 1
        del calls.counts["split_control"]
        assert not calls.counts


@FAMILIES
def test_single_datagrams_are_read_in_calls_of_64_and_more(
    host: Host, calls: Calls, family: Family
) -> None:
    group, sent = group_of(family), numbered(640)
    with ExitStack() as stack, plain_sender(host, group, "lo", LOCAL[family][0]) as sender:
        (sock,) = open_sockets(stack, host, group)
        for data in sent:
            sender.sendto(data, (group, PORT))
        assert len(sock.receive(TURN)) == 1, "read alone, as the socket was quiet"
        assert len(sock.receive(TURN)) == TURN
        calls.now += 3600
        assert len(sock.receive(TURN)) == 640 - 1 - TURN, "more was known to be there"
    # 64, 128, 256, and what was left of the turn; then the rest.
    assert calls.counts == {"recvmsg": 1, "recvmmsg": 5}


def test_quiet_socket_takes_one_recvmsg_per_datagram(host: Host, calls: Calls) -> None:
    group = group_of("ipv4")
    with ExitStack() as stack, plain_sender(host, group, "lo") as sender:
        (sock,) = open_sockets(stack, host, group)
        for number in range(1, 10):
            calls.now += 1
            sender.sendto(b"x", (group, PORT))
            assert len(sock.receive(TURN)) == 1
            assert calls.counts == {"recvmsg": number}


async def test_receiver_reads_in_batches(host: Host, calls: Calls) -> None:
    group, sent = group_of("ipv4"), numbered(500)
    with on(host), plain_sender(host, group, "lo") as sender, trio.fail_after(5):
        async with open_mcast_receiver(group, PORT, interfaces="lo") as receiver:
            # Without a checkpoint, so that the receiver's task finds all of it at once.
            for data in sent:
                sender.sendto(data, (group, PORT))
            assert [(await receiver.receive()).data for _ in sent] == sent
    assert calls.counts["recvmsg"] == 1, "only the first one comes the short way"
    # 64, 128, 256, the rest; and one look whether there is more, before that is waited for.
    assert calls.counts["recvmmsg"] <= 5


def test_each_size_of_a_full_batch_is_read_right(host: Host, calls: Calls) -> None:
    group = group_of("ipv4")
    with ExitStack() as stack, plain_sender(host, group, "lo") as sender:
        (sock,) = open_sockets(stack, host, group)
        sender.sendto(b"wakes it", (group, PORT))
        assert len(sock.receive(TURN)) == 1
        for size in (0, 1, 63, 1472, 20_000):
            sent = [bytes([number]) * size for number in range(64)]
            for data in sent:
                sender.sendto(data, (group, PORT))
            assert [item.data for item in sock.receive(TURN)] == sent


@FAMILIES
def test_ancillary_data_comes_only_if_asked_for(host: Host, calls: Calls, family: Family) -> None:
    group = group_of(family)
    with ExitStack() as stack, plain_sender(host, group, "lo", LOCAL[family][0]) as sender:
        (plain,) = open_sockets(stack, host, group)
        (asking,) = open_sockets(stack, host, group, receive_ttl=True, receive_timestamp=True)
        for data in numbered(200):
            sender.sendto(data, (group, PORT))
        assert len(read_all(plain)) == 200
        assert not calls.control
        send_unit(sender, (group, PORT), b"x" * 128, 64)
        assert len(read_all(plain)) == 2
        assert [item[:2] for item in calls.control] == [(socket.IPPROTO_UDP, UDP_GRO)]
        calls.control.clear()
        assert len(read_all(asking)) == 202
        assert len(calls.control) == 2 * 201 + 1


# The same datagrams as on the slow path --------------------------------------------------------


def no_recvmmsg(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*arguments: object) -> int:
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(buffers, "_recvmmsg", refuse)


def no_units(monkeypatch: pytest.MonkeyPatch) -> None:
    setsockopt = socket.socket.setsockopt

    def refuse(self: socket.socket, level: int, number: int, *value: Any) -> None:
        if (level, number) == (socket.IPPROTO_UDP, UDP_GRO):
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")
        setsockopt(self, level, number, *value)

    monkeypatch.setattr(socket.socket, "setsockopt", refuse)


@attrs.frozen
class Kernel:
    """What it refuses: the error of recvmmsg, and whether UDP_GRO."""

    recvmmsg_error: int | None
    refuses_units: bool


KERNELS = [
    Kernel(None, False),
    Kernel(errno.ENOSYS, False),
    Kernel(None, True),
    Kernel(errno.EPERM, True),
]


@attrs.frozen
class Burst:
    """Datagrams that are sent to one group in one go.

    The first comes from ``sender``, and each other one from ``step`` senders further on.
    """

    sender: int
    step: int
    group: int
    sizes: tuple[int, ...]
    as_unit: bool


# A unit: datagrams of one size, the last of which may be shorter.
units = st.integers(1, 1400).flatmap(
    lambda size: st.builds(
        lambda count, last: (size,) * count + (last,), st.integers(1, 40), st.integers(1, size)
    )
)
sizes = st.integers(0, 3000) | st.sampled_from([0, 1, 64, 1472, 1473, 65_507])
few = st.lists(sizes, min_size=1, max_size=12).map(tuple)
many_alike = st.builds(lambda size, count: (size,) * count, st.integers(0, 100), st.integers(1, 90))
nearly_alike = st.builds(
    lambda alike, place, other: (*alike[:place], other, *alike[place:]),
    many_alike,
    st.integers(0, 90),
    st.integers(0, 100),
)
where = {"sender": st.integers(0, 3), "group": st.integers(0, 1)}
bursts = st.builds(Burst, sizes=units, as_unit=st.just(True), step=st.just(0), **where) | st.builds(
    Burst,
    sizes=few | many_alike | nearly_alike,
    as_unit=st.just(False),
    step=st.sampled_from([0, 0, 1]),
    **where,
)


def send_burst(
    senders: Sequence[socket.socket], groups: Sequence[str], burst: Burst, number: int
) -> list[tuple[bytes, Endpoint, str]]:
    """Send it, and tell what is to arrive."""
    group = groups[burst.group]
    chosen = [
        senders[(burst.sender + place * burst.step) % len(senders)]
        for place in range(len(burst.sizes))
    ]
    payloads = [
        (b"%d.%d " % (number, place) * (size // 4 + 1))[:size]
        for place, size in enumerate(burst.sizes)
    ]
    if burst.as_unit:
        send_unit(chosen[0], (group, PORT), b"".join(payloads), burst.sizes[0])
    else:
        for sender, payload in zip(chosen, payloads, strict=True):
            sender.sendto(payload, (group, PORT))
    return [
        (payload, Endpoint(*sender.getsockname()[:2]), group)
        for sender, payload in zip(chosen, payloads, strict=True)
    ]


@FAMILIES
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    traffic=st.lists(bursts, min_size=1, max_size=5), turn=st.integers(1, 600), ttl=st.booleans()
)
def test_every_path_gives_the_same_datagrams(
    host: Host, family: Family, traffic: list[Burst], turn: int, ttl: bool
) -> None:
    groups = [group_of(family, 1), group_of(family, 2)]
    with ExitStack() as stack:
        # Two ports on each of two addresses.
        senders = [
            stack.enter_context(plain_sender(host, groups[0], "lo", address))
            for address in LOCAL[family] * 2
        ]
        sockets = []
        for kernel in KERNELS:
            with pytest.MonkeyPatch.context() as patch:
                if kernel.refuses_units:
                    no_units(patch)
                sockets.append(open_sockets(stack, host, groups, receive_ttl=ttl))
        for number, burst in enumerate(traffic):
            expected: dict[str, list[tuple[Any, ...]]] = {group: [] for group in groups}
            for data, source, group in send_burst(senders, groups, burst, number):
                arrival = (1 if ttl else None, None, Endpoint(group, PORT), None)
                expected[group].append((data, source, group, "lo", *arrival))
            for kernel, of_kernel in zip(KERNELS, sockets, strict=True):
                with pytest.MonkeyPatch.context() as patch:
                    if kernel.recvmmsg_error is not None:
                        no_recvmmsg(patch, kernel.recvmmsg_error)
                    for sock, group in zip(of_kernel, groups, strict=True):
                        found = [
                            (item.data, item.source, item.group, item.interface.name, *item[4:])
                            for item in read_all(sock, turn)
                        ]
                        assert found == expected[group], kernel
        assert not any(sock.dropped() for of_kernel in sockets for sock in of_kernel)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EACCES])
def test_refused_recvmmsg_is_not_tried_again(
    host: Host, calls: Calls, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    group, sent = group_of("ipv4"), numbered(10)
    with ExitStack() as stack, plain_sender(host, group, "lo") as sender:
        (sock,) = open_sockets(stack, host, group)
        for _ in range(2):
            sender.sendto(b"x", (group, PORT))
        assert len(sock.receive(TURN)) == 1
        with monkeypatch.context() as patch:
            no_recvmmsg(patch, number)
            assert len(sock.receive(TURN)) == 1
        for data in sent:
            sender.sendto(data, (group, PORT))
        assert [item.data for item in read_all(sock)] == sent
        assert "recvmmsg" not in calls.counts


@pytest.mark.parametrize("number", [errno.ENETDOWN, errno.ENOMEM])
def test_error_while_reading_comes_after_what_was_read(
    host: Host, calls: Calls, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    group, real, answers = group_of("ipv4"), buffers._recvmmsg, [True, False]
    assert real is not None

    def fail_second(*arguments: object) -> int:
        if answers.pop(0):
            return int(real(*arguments))
        ctypes.set_errno(number)
        return -1

    with ExitStack() as stack, plain_sender(host, group, "lo") as sender:
        (sock,) = open_sockets(stack, host, group)
        for data in numbered(100):
            sender.sendto(data, (group, PORT))
        assert len(sock.receive(TURN)) == 1
        with monkeypatch.context() as patch:
            patch.setattr(buffers, "_recvmmsg", fail_second)
            assert len(sock.receive(TURN)) == 64
        with pytest.raises(OSError, match=f"Errno {number}"):
            sock.receive(TURN)
        assert len(read_all(sock)) == 100 - 65, "and nothing is lost"


# What comes along with a datagram --------------------------------------------------------------


def wait_until_stamped(
    sender: socket.socket, target: tuple[str, int], receiver: PosixSocket
) -> None:
    """Wait until the kernel stamps what arrives.

    The first socket that asks for it makes the kernel patch its own code, a moment later. What
    arrives until then is stamped when it is read (net_enable_timestamp in net/core/dev.c).
    """
    for _ in range(1_000):
        sender.sendto(b"stamped?", target)
        sent = time.time_ns()
        time.sleep(0.001)  # So that the time of reading differs from that of arrival.
        (found,) = receiver.receive(TURN)
        assert found.timestamp_ns is not None
        if found.timestamp_ns <= sent:
            return
    raise AssertionError("the kernel does not stamp what arrives")


@FAMILIES
def test_ttl_and_timestamp_are_right_in_units_and_long_batches(
    host: Host, calls: Calls, family: Family
) -> None:
    group, sent = group_of(family), numbered(200)
    with ExitStack() as stack, plain_sender(host, group, "lo", LOCAL[family][0]) as sender:
        (sock,) = open_sockets(stack, host, group, receive_ttl=True, receive_timestamp=True)
        level, ttl = (
            (socket.IPPROTO_IP, socket.IP_MULTICAST_TTL)
            if family == "ipv4"
            else (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS)
        )
        wait_until_stamped(sender, (group, PORT), sock)
        before = time.time_ns()
        for hops in (7, 255):
            sender.setsockopt(level, ttl, hops)
            for data in sent:
                sender.sendto(data, (group, PORT))
            for start in range(0, 200, 64):
                send_unit(sender, (group, PORT), b"".join(sent[start : start + 64]), 64)
        found = read_all(sock)
        after = time.time_ns()
    assert [item.data for item in found] == sent * 4
    assert [item.ttl for item in found] == [7] * 400 + [255] * 400
    stamps = [item.timestamp_ns for item in found if item.timestamp_ns is not None]
    assert len(stamps) == 800
    assert stamps == sorted(stamps)
    assert before <= stamps[0] <= stamps[-1] <= after
    assert calls.counts["recvmmsg"] >= 3


def test_each_thread_has_buffers_of_its_own() -> None:
    async def other() -> object:
        return await trio.to_thread.run_sync(buffers.thread_buffers)

    assert trio.run(other) is not buffers.thread_buffers()


def test_sockets_of_one_interface_share_what_is_alike(host: Host) -> None:
    """Thousands are opened at a time; measured by what Python allocates for each."""
    with ExitStack() as stack:
        open_sockets(stack, host, [f"239.7.0.{number}" for number in range(1, 11)])
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        groups = [f"239.7.1.{number}" for number in range(1, 201)]
        before = tracemalloc.get_traced_memory()[0]
        sockets = open_sockets(stack, host, groups)
        grown = tracemalloc.get_traced_memory()[0] - before
        assert grown / len(sockets) < 2_700
        assert len({id(sock._control) for sock in sockets}) == 1
        asking = open_sockets(stack, host, groups[:2], receive_ttl=True)
        assert len({id(sock._control) for sock in (*asking, sockets[0])}) == 2


def test_granted_buffer_and_endpoint_are_told_when_asked_for(host: Host) -> None:
    with ExitStack() as stack:
        (sock,) = open_sockets(stack, host, "239.7.0.1", receive_buffer_size=65_536)
        sock._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 40_000)
        assert sock.receive_buffer_granted == 40_000
        assert sock.local_endpoint == Endpoint("239.7.0.1", PORT)
        sock._sock.close()
        assert sock.local_endpoint == Endpoint("239.7.0.1", PORT)
        assert sock.receive_buffer_granted == sock.send_buffer_granted == 0
