"""For tests of the fast path on Linux: sockets without a receiver, units, and counting calls."""

from __future__ import annotations

import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from tests.lab import Host, Lab
from tests.lab.machine import LabMachine
from tests.support.traffic import PORT, Family
from trio_mcast import Datagram, McastReceiverSpec
from trio_mcast._host.portable_socket import PosixSocket
from trio_mcast._platform.control import split_control
from trio_mcast._receive import reader as _reader

if sys.platform != "linux":
    pytest.skip("the fast path is for Linux only", allow_module_level=True)

from trio_mcast._host.linux import buffers as _linux_buffers
from trio_mcast._host.linux import fast_path as _linux_io

UDP_SEGMENT, UDP_GRO = 103, 104  # linux/udp.h
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
# The reader's limit for one turn.
TURN = 512
LOCAL: dict[Family, list[str]] = {"ipv4": ["127.0.0.1", "127.0.0.2"], "ipv6": ["::1", "fd00::1"]}


def loopback_host(lab: Lab) -> Host:
    """A host with nothing but a loopback interface, which carries both families."""
    host = lab.host("a")
    # Type local: over a route of type multicast the kernel silently discards everything on lo.
    host.run("ip", "-6", "route", "add", "local", "ff00::/8", "dev", "lo")
    # Without nodad it could not be bound for a moment, even on lo.
    host.run("ip", "address", "add", "fd00::1/128", "dev", "lo", "nodad")
    return host


@attrs.define
class Calls:
    """What was asked of the kernel to read, and what time it is."""

    made: Counter[str] = attrs.Factory(Counter)
    control: list[tuple[int, int, bytes]] = attrs.Factory(list)
    now: float = 1.0


def count_calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Count the system calls that read; the time stands still, so a busy socket stays busy."""
    calls = Calls()
    recvmmsg, recvmsg, recvfrom = (
        _linux_buffers._recvmmsg,
        socket.socket.recvmsg,
        socket.socket.recvfrom,
    )
    assert recvmmsg is not None

    def count(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            calls.made[name] += 1
            result = real(*arguments)
            if name == "recvmsg":
                calls.control.extend(result[1])
            elif name == "split_control":
                result = list(result)
                calls.control.extend(result)
            return result

        return counted

    monkeypatch.setattr(_linux_buffers, "_recvmmsg", count("recvmmsg", recvmmsg))
    monkeypatch.setattr(_linux_io, "split_control", count("split_control", split_control))
    monkeypatch.setattr(socket.socket, "recvmsg", count("recvmsg", recvmsg))
    monkeypatch.setattr(socket.socket, "recvfrom", count("recvfrom", recvfrom))
    clock = SimpleNamespace(perf_counter=lambda: calls.now)
    monkeypatch.setattr(_linux_io, "time", clock)
    monkeypatch.setattr(_reader, "time", clock)
    return calls


def open_sockets(
    stack: ExitStack, host: Host, groups: str | Sequence[str], interface: str = "lo", **options: Any
) -> list[PosixSocket]:
    """The sockets of a receiver without the receiver, closed in the end."""
    machine = LabMachine(host)
    spec = McastReceiverSpec(groups, PORT, interfaces=interface, **options)
    opened: list[PosixSocket] = []
    for item in spec.plan(machine.list_interfaces()):
        sock = machine.open_socket(item)
        # Its own close tells Trio, which is not running here.
        assert isinstance(sock, _linux_io.LinuxSocket)
        stack.callback(sock._sock.close)
        # Room for everything that a test sends before it reads, whatever the limit of the machine.
        sock._sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 * 1024**2)
        opened.append(sock)
    return opened


def send_unit(sock: socket.socket, to: tuple[str, int], data: bytes, size: int) -> None:
    """Send datagrams of one size as one unit; the last may be shorter."""
    control = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", size))]
    assert sock.sendmsg([data], control, 0, to) == len(data)


def read_all(sock: PosixSocket, turn: int = TURN) -> list[Datagram]:
    """Everything that waits, turn by turn."""
    found: list[Datagram] = []
    while batch := sock.receive(turn):
        found += batch
    return found


def read_until(sock: PosixSocket, count: int, turn: int = TURN) -> list[Datagram]:
    found: list[Datagram] = []
    while len(found) < count:
        batch = sock.receive(turn)
        assert batch
        found += batch
    return found


def numbered(count: int, size: int = 64) -> list[bytes]:
    return [b"%0*d" % (size, number) for number in range(count)]
