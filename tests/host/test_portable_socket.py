"""The way through the socket module: on Linux for real, and as macOS and FreeBSD would have it.

What stands in for those two is a socket that records what it is asked, refuses what they are known
to refuse, and hands over ancillary data in their layout. Nothing was ever run on either.
"""

from __future__ import annotations

import errno
import importlib
import os
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import attrs
import pytest
import trio

from tests.lab.fixtures import TwoHosts
from tests.support.interfaces import MACHINE
from tests.support.traffic import FAMILIES, PORT, Family, group_of, receive, receiver_on, sender_on
from trio_mcast import Endpoint, McastReceiverSpec, McastSenderSpec, SocketSetupError, SocketSpec
from trio_mcast._host.linux import shell
from trio_mcast._host.portable_socket import PosixSocket
from trio_mcast._host.protocols import McastSocket, Rejection, Shell
from trio_mcast._host.system import SystemHost
from trio_mcast._platform import restrictions
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._platform.model import PlatformName

if sys.platform == "win32":
    pytest.skip("not for Windows", allow_module_level=True)

FOUR, SIX = "239.1.2.3", "ff15::1:2:3"
BSDS: tuple[PlatformName, ...] = ("darwin", "freebsd")
EACH_BSD = pytest.mark.parametrize("name", BSDS)
Control = list[tuple[int, int, bytes]]


class FakeSocket:
    """Records what is asked of it; `refuse` may refuse it."""

    opened: list[FakeSocket]

    def __init__(self, family: int, kind: int) -> None:
        self.family = family
        self.calls: list[tuple[str, Any]] = []
        self.values: dict[tuple[int, int], int] = {}
        self.waiting: list[tuple[bytes, Control, tuple[object, ...]]] = []
        self.bound: tuple[object, ...] = ()
        self.is_closed = False
        FakeSocket.opened.append(self)

    @staticmethod
    def refuse(number: int, value: int | bytes, times: int) -> int | None:
        """The error with which to refuse an option that is set for so many times now."""
        return None

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def setsockopt(self, level: int, number: int, value: int | bytes) -> None:
        self.calls.append(("setsockopt", (level, number, value)))
        times = sum(call[1][1] == number for call in self.calls if call[0] == "setsockopt")
        error = self.refuse(number, value, times)
        if error is not None:
            raise OSError(error, os.strerror(error))
        if isinstance(value, int):
            self.values[level, number] = value

    def getsockopt(self, level: int, number: int) -> int:
        return self.values.get((level, number), 9_216)

    # Addresses at which another user's program has every port.
    taken: tuple[str, ...] = ()

    def bind(self, address: tuple[object, ...]) -> None:
        self.calls.append(("bind", address))
        if address[0] in self.taken:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self.bound = address

    def getsockname(self) -> tuple[object, ...]:
        return self.bound

    def fileno(self) -> int:
        return -1 if self.is_closed else 1_000

    def recvmsg(self, size: int, room: int) -> tuple[bytes, Control, int, tuple[object, ...]]:
        if not self.waiting:
            raise BlockingIOError
        data, control, address = self.waiting.pop(0)
        assert len(data) < size
        return data, control, 0, address

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeSocket]]:
    """The sockets that were opened."""
    monkeypatch.setattr(FakeSocket, "opened", [], raising=False)
    yield FakeSocket.opened
    assert all(item.is_closed or item.bound for item in FakeSocket.opened)


class FakeHost(SystemHost):
    """This machine, if it were another one."""

    def __init__(self, name: PlatformName) -> None:
        super().__init__(bsd_shell(name))

    def open_socket(self, socket_spec: SocketSpec) -> McastSocket:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "socket", FakeSocket)
            return super().open_socket(socket_spec)


def bsd_shell(name: PlatformName) -> Shell:
    """The shell of macOS or FreeBSD, which types know on these only."""
    module = importlib.import_module("trio_mcast._host.bsd.shell")
    bsd_shell: Shell = module.BsdShell(PLATFORMS[name])
    return bsd_shell


def receivers(name: PlatformName, group: str = FOUR, **options: Any) -> tuple[SocketSpec, ...]:
    return McastReceiverSpec(group, 5000, interfaces="eth0", **options).plan(MACHINE, name)


def restricted(name: PlatformName, groups: Any) -> tuple[SocketSpec, ...]:
    """Sockets for replies that are to leave out what arrives on other interfaces."""
    plan = McastSenderSpec(groups, 5000, interfaces="eth0", receive_replies=True).plan(
        MACHINE, name
    )
    return tuple(
        attrs.evolve(
            socket_spec,
            options=(
                *socket_spec.options,
                *(
                    # What is set where an interface cannot be bound to.
                    option.fallback or option
                    for option in restrictions.unicast_restriction(
                        PLATFORMS[name], socket_spec.family, "eth0", 7
                    )
                ),
            ),
        )
        for socket_spec in plan
    )


# A plan is carried out as it stands ------------------------------------------------------------

PLANS: list[Callable[[PlatformName], tuple[SocketSpec, ...]]] = [
    receivers,
    lambda name: receivers(name, SIX, receive_ttl=True, receive_timestamp=True),
    lambda name: receivers(name, FOUR, excluded_sources=["10.0.0.8", "10.0.0.9"]),
    lambda name: receivers(name, "ff02::1:3", sources=["fe80::9"]),
    lambda name: McastSenderSpec([FOUR, SIX], 5000, interfaces="eth0").plan(MACHINE, name),
    lambda name: restricted(name, [FOUR, SIX]),
]


@EACH_BSD
@pytest.mark.parametrize("plan", PLANS)
def test_options_are_set_in_the_order_of_the_plan_and_the_bind_comes_last(
    plan: Callable[[PlatformName], tuple[SocketSpec, ...]],
    name: PlatformName,
    opened: list[FakeSocket],
) -> None:
    socket_specs = plan(name)
    for socket_spec in socket_specs:
        found = FakeHost(name).open_socket(socket_spec)
        assert type(found) is PosixSocket
        made = opened[-1]
        assert made.family == PLATFORMS[name].sockaddr.number(socket_spec.family)
        expected: list[tuple[str, Any]] = [
            ("setsockopt", (item.level, item.number, item.value)) for item in socket_spec.options
        ]
        assert made.calls == [*expected, ("bind", socket_spec.bind)]
        assert found.local_endpoint.port == socket_spec.bind[1]
    assert len(opened) == len(socket_specs)


# What these systems refuse ---------------------------------------------------------------------


def refuse(monkeypatch: pytest.MonkeyPatch, decide: Callable[[int, Any, int], int | None]) -> None:
    monkeypatch.setattr(FakeSocket, "refuse", staticmethod(decide))


JOINS = {80, 82}  # MCAST_JOIN_GROUP and MCAST_JOIN_SOURCE_GROUP on both


# Sizes of IGMPv3 reports: a source more, a mode changed, one source or two in a mode changed, many.
@pytest.mark.parametrize("error", [12, 8, 16, 24, 28, 1032])
@pytest.mark.parametrize("sources", [None, ["10.0.0.8"]])
def test_join_that_is_refused_with_the_size_of_a_report_is_pending(
    error: int, sources: list[str] | None, opened: list[FakeSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    (socket_spec,) = receivers("darwin", sources=sources)
    refuse(monkeypatch, lambda number, _, times: error if number in JOINS else None)
    found = FakeHost("darwin").open_socket(socket_spec)
    # Each try leaves something behind: there is one, and the plan goes on.
    joins = [call for call in opened[0].calls if call[0] == "setsockopt" and call[1][1] in JOINS]
    assert len(joins) == 1
    assert opened[0].calls[-1][0] == "bind"
    assert [(option.level, option.number) for option in found.pending] == [joins[0][1][:2]]
    with pytest.raises(SocketSetupError, match="although nothing is wrong") as caught:
        found.revise(socket_spec, found.pending)
    assert caught.value.errno == error
    refuse(monkeypatch, lambda number, _, times: None)
    found.revise(socket_spec, found.pending)


@pytest.mark.parametrize(
    ("name", "group", "error"),
    [
        ("darwin", "239.1.2.3", errno.EADDRINUSE),
        ("darwin", "239.1.2.3", 1036),
        ("darwin", "239.1.2.3", 4),
        ("darwin", "ff15::1:2:3", 12),
        ("freebsd", "239.1.2.3", 12),
    ],
)
def test_other_refusals_of_a_join_are_no_sizes_of_reports(
    name: PlatformName,
    group: str,
    error: int,
    opened: list[FakeSocket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (socket_spec,) = receivers(name, group)
    refuse(monkeypatch, lambda number, _, times: error if number in JOINS else None)
    with pytest.raises(SocketSetupError) as caught:
        FakeHost(name).open_socket(socket_spec)
    assert caught.value.errno == error
    assert opened[0].is_closed


@EACH_BSD
def test_join_that_fails_for_good_is_not_tried_again(
    name: PlatformName, opened: list[FakeSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    (socket_spec,) = receivers(name)
    refuse(monkeypatch, lambda number, _, times: errno.ENXIO if number in JOINS else None)
    with pytest.raises(SocketSetupError, match="the interface has gone") as caught:
        FakeHost(name).open_socket(socket_spec)
    assert caught.value.errno == errno.ENXIO
    tried = Counter(call[1][1] for call in opened[0].calls)
    assert tried[80] == 1


@EACH_BSD
def test_sender_is_bound_to_the_wildcard_beside_another_users_program(
    name: PlatformName, opened: list[FakeSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeSocket, "taken", ("10.0.0.1",))
    spec = McastSenderSpec(FOUR, 5353, interfaces="eth0", source_port=5353, receive_replies=True)
    (socket_spec,) = spec.plan(MACHINE, name)
    found = FakeHost(name).open_socket(socket_spec)
    binds = [call[1] for call in opened[0].calls if call[0] == "bind"]
    assert binds == [("10.0.0.1", 5353), ("0.0.0.0", 5353)]
    assert found.local_endpoint == ("10.0.0.1", 5353)
    # What was sent to another address of the machine is no reply.
    numbers = PLATFORMS[name].constants
    for data, address in ((b"yes", "10.0.0.1"), (b"no", "10.0.0.2")):
        packed = ip_address(address).packed
        control = [(numbers["IPPROTO_IP"], numbers.get("IP_RECVDSTADDR", -1), packed)]
        if name == "darwin":
            info = struct.pack("=I4x4s", socket_spec.interface.index, packed)
            control = [(numbers["IPPROTO_IP"], numbers["IP_PKTINFO"], info)]
        opened[0].waiting.append((data, control, ("10.0.0.9", 5353)))
    assert [datagram.data for datagram in found.receive(10)] == [b"yes"]
    assert found.rejected == {Rejection.UNICAST: 1}
    monkeypatch.setattr(FakeSocket, "taken", ("10.0.0.1", "0.0.0.0"))
    with pytest.raises(SocketSetupError, match="runs as another user"):
        FakeHost(name).open_socket(socket_spec)


MCAST_BLOCK_SOURCE = 84  # On both


@pytest.mark.parametrize(("name", "told"), [("darwin", []), ("freebsd", [84, 84, 84])])
def test_excluded_source_is_rejected_whatever_becomes_of_the_block(
    name: PlatformName,
    told: list[int],
    opened: list[FakeSocket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocks = (MCAST_BLOCK_SOURCE,)
    refuse(monkeypatch, lambda number, _, times: errno.ENOMEM if number in blocks else None)
    first, both = ["10.0.0.8"], ["10.0.0.8", "10.0.0.9"]
    (socket_spec,) = receivers(name, excluded_sources=first, receive_ttl=True)
    (more,) = receivers(name, excluded_sources=both, receive_ttl=True)
    sock = FakeHost(name).open_socket(socket_spec)
    sources = [("10.0.0.7", 1), ("10.0.0.8", 1), ("10.0.0.9", 1)]
    opened[0].waiting = [(b"", [], source) for source in sources]
    heard = [datagram.source.host for datagram in sock.receive(9)]
    assert heard == ["10.0.0.7", "10.0.0.9"]
    # What was heard before is known from then.
    sock.revise(more, [option for option in more.options if option.number == MCAST_BLOCK_SOURCE])
    opened[0].waiting = [(b"", [], source) for source in sources]
    assert [datagram.source.host for datagram in sock.receive(9)] == ["10.0.0.7"]
    assert sock.rejected == {Rejection.EXCLUDED_SOURCE: 3}
    numbers = [call[1][1] for call in opened[0].calls if call[0] == "setsockopt"]
    assert [number for number in numbers if number == MCAST_BLOCK_SOURCE] == told


SO_SNDBUF, SO_RCVBUF = 4097, 4098


def at_most(limit: int) -> Callable[[int, Any, int], int | None]:
    """What refuses buffers above a maximum, as kern.ipc.maxsockbuf does."""

    def decide(number: int, value: Any, times: int) -> int | None:
        too_large = number in (SO_SNDBUF, SO_RCVBUF) and value > limit
        return errno.ENOBUFS if too_large else None

    return decide


@EACH_BSD
@pytest.mark.parametrize(
    ("asked", "limit", "granted"),
    [
        (None, 2**21, 2**20),
        (2**20, 2**20, 2**20),
        (2**22, 1_864_135, 2**20),  # 8/9 of 2 MiB, FreeBSD's usual maximum
        (2**22, 2**21, 2**21),
        (200_000, 100_000, 100_000),
        # What holds the largest datagram is the least.
        (1_000_000, 65_536, 65_536),
        (1_000_000, 65_535, None),
        (20_000, 10_000, None),
    ],
)
def test_buffer_above_the_maximum_is_asked_for_again_with_less(
    asked: int | None,
    limit: int,
    granted: int | None,
    name: PlatformName,
    opened: list[FakeSocket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (socket_spec,) = receivers(name, receive_buffer_size=asked)
    refuse(monkeypatch, at_most(limit))
    if granted is None:
        with pytest.raises(SocketSetupError, match=r"raise kern\.ipc\.maxsockbuf") as caught:
            FakeHost(name).open_socket(socket_spec)
        assert (caught.value.errno, caught.value.step) == (errno.ENOBUFS, "SO_RCVBUF")
        return
    assert FakeHost(name).open_socket(socket_spec).receive_buffer_granted == granted


@EACH_BSD
def test_buffer_that_is_refused_for_another_reason_is_not_asked_for_again(
    name: PlatformName, opened: list[FakeSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    (socket_spec,) = receivers(name)
    # First the room, then something else.
    errors = iter([errno.ENOBUFS, errno.EINVAL])
    refuse(monkeypatch, lambda number, *_: next(errors) if number == SO_RCVBUF else None)
    with pytest.raises(SocketSetupError) as caught:
        FakeHost(name).open_socket(socket_spec)
    assert caught.value.errno == errno.EINVAL


# What they hand over ---------------------------------------------------------------------------

TIMEVALS = {"darwin": struct.pack("=qi4x", 12, 34), "freebsd": struct.pack("=qq", 12, 34)}
TTL_TYPES = {"darwin": 24, "freebsd": 65}


@EACH_BSD
def test_ttl_and_timestamp_of_their_layout_are_read(
    name: PlatformName, opened: list[FakeSocket]
) -> None:
    (socket_spec,) = receivers(name, receive_ttl=True, receive_timestamp=True)
    found = FakeHost(name).open_socket(socket_spec)
    control: Control = [(65_535, 2, TIMEVALS[name]), (0, TTL_TYPES[name], b"\x05")]
    opened[0].waiting += [(b"a", control, ("10.0.0.9", 4000)), (b"b", [], ("10.0.0.9", 4000))]
    first, second = found.receive(10)
    assert (first.data, str(first.source), first.group) == (b"a", "10.0.0.9:4000", FOUR)
    assert (first.ttl, first.timestamp_ns) == (5, 12_000_034_000)
    assert (second.ttl, second.timestamp_ns) == (None, None)
    assert found.receive(10) == []


def sockaddr_dl(index: int) -> bytes:
    return struct.pack("=BBHBBBB", 54, 18, index, 6, 3, 6, 0).ljust(54, b"\0")


ARRIVALS: list[tuple[PlatformName, str, Callable[[int], Control]]] = [
    ("freebsd", FOUR, lambda index: [(0, 7, b"\xff" * 4), (0, 20, sockaddr_dl(index))]),
    ("freebsd", SIX, lambda index: [(41, 46, bytes(16) + struct.pack("=I", index))]),
    ("darwin", FOUR, lambda index: [(0, 26, struct.pack("=I8x", index))]),
    ("darwin", SIX, lambda index: [(41, 46, bytes(16) + struct.pack("=I", index))]),
]


@pytest.mark.parametrize(("name", "group", "control"), ARRIVALS)
def test_replies_to_a_restricted_socket_come_from_its_interface_only(
    name: PlatformName,
    group: str,
    control: Callable[[int], Control],
    opened: list[FakeSocket],
) -> None:
    (socket_spec,) = restricted(name, group)
    found = FakeHost(name).open_socket(socket_spec)
    source = ("10.0.0.9", 4000) if group == FOUR else ("2001:db8::9", 4000, 0, 0)
    for index in (socket_spec.interface.index, socket_spec.interface.index + 1):
        opened[0].waiting.append((b"%d" % index, control(index), source))
    assert [item.data for item in found.receive(10)] == [b"%d" % socket_spec.interface.index]
    assert found.rejected == {Rejection.OTHER_INTERFACE: 1}


# For real, on Linux ----------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="it is the only way elsewhere")
@FAMILIES
async def test_portable_way_works_on_linux(
    two_hosts: TwoHosts, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast_path: Any = importlib.import_module("trio_mcast._host.linux.fast_path")
    # Reads and sends the portable way, as on the BSDs.
    names = ("_read_into", "_add", "send_batch")
    methods = {name: getattr(PosixSocket, name) for name in names}
    # The poller of Linux tells each socket since when others are busy, too.
    methods["receive"] = lambda sock, most, _busy_since=None: PosixSocket.receive(sock, most)
    portable = type("PortableSocket", (fast_path.LinuxSocket,), {"__slots__": (), **methods})
    monkeypatch.setattr(shell, "LinuxSocket", portable)
    group = group_of(family)
    sizes = [0, 1, 1_472, 9_217, 65_507]
    wanted = ("receive_ttl", "receive_timestamp", "receive_traffic_class")
    options: dict[str, Any] = {**dict.fromkeys(wanted, True), "interfaces": "eth0"}
    async with (
        receiver_on(two_hosts, two_hosts.a, group, **options) as receiver,
        sender_on(two_hosts.b, group, interfaces="eth0", ttl=7, traffic_class=9) as sender,
    ):
        await sender.send_batch([b"x" * size for size in sizes])
        for size in sizes:
            found = await receive(receiver)
            assert (len(found.data), found.group, found.ttl) == (size, group, 7)
            assert found.timestamp_ns is not None
            assert (found.traffic_class, found.destination) == (9, Endpoint(group, PORT))
        assert {type(item) for item in sender._outlets.open_sockets} == {portable}
        assert sender.statistics().sent == len(sizes)
        await trio.lowlevel.checkpoint()
