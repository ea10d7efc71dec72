"""Routes of macOS and FreeBSD: messages made by hand, over a stand-in for the routing socket.

Nothing here was ever run on either of the two.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from typing import ClassVar

import pytest

from tests.support.interfaces import ETH0, LO, MACHINE
from trio_mcast import Interface
from trio_mcast._plan.route import Route, RouteAnswer, RouteRefusal
from trio_mcast._platform import bsd
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._platform.model import PlatformName
from trio_mcast._values.addresses import IPAddress

if sys.platform == "win32":
    pytest.skip("not for Windows", allow_module_level=True)

from trio_mcast._host.bsd import routes

SYSTEMS: list[PlatformName] = ["darwin", "freebsd"]
EACH_SYSTEM = pytest.mark.parametrize("system", SYSTEMS)
UP, REJECT, BLACKHOLE, STATIC = 0x1, 0x8, 0x1000, 0x800
GROUP = ip_address("239.1.2.3")


def answer(flags: int, process: int | None = None, kind: int = 4, sequence: int = 1) -> bytes:
    """Return an answer as the systems write it, as far as it is looked at."""
    process = os.getpid() if process is None else process
    return struct.pack("=HBBHHiiiiii", 152, 5, kind, 1, 0, flags, 1, process, sequence, 0, 0)


@pytest.mark.skipif(sys.maxsize < 2**32, reason="the size of a 64-bit FreeBSD")
@pytest.mark.parametrize(("system", "header"), [("darwin", 92), ("freebsd", 152)])
def test_question_is_laid_out_as_the_headers_say(system: PlatformName, header: int) -> None:
    question = bsd.route_question(PLATFORMS[system], GROUP)
    assert len(question) == header + 16
    size, version, kind, index, _, flags, addresses = struct.unpack_from("=HBBHHii", question)
    assert (size, version, kind, index, flags, addresses) == (header + 16, 5, 4, 0, 0, 1)
    assert question[header : header + 8] == bytes([16, 2, 0, 0]) + GROUP.packed
    question = bsd.route_question(PLATFORMS[system], ip_address("ff05::1"))
    family = {"darwin": 30, "freebsd": 28}[system]
    assert question[header : header + 2] == bytes([28, family])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (answer(UP | REJECT | STATIC), "reject"),
        (answer(UP | BLACKHOLE), "blackhole"),
        (answer(UP | STATIC), ""),
        # Of another process, of another question, about a change, or cut short.
        (answer(REJECT, process=1), None),
        (answer(REJECT, sequence=2), None),
        (answer(REJECT, kind=1), None),
        (answer(REJECT)[:20], None),
        (b"", None),
    ],
    ids=range(8),  # The messages have the number of this process in them.
)
def test_answer_tells_of_a_refusal(message: bytes, expected: str | None) -> None:
    assert bsd.route_refusal(message, os.getpid()) == expected


class RoutingSocket:
    """A stand-in for a routing socket, with the messages that come on it."""

    messages: ClassVar[list[bytes]] = []
    refused: ClassVar[int | None] = None

    def __init__(self, *arguments: int) -> None:
        assert arguments[0] == bsd.AF_ROUTE
        self.left = list(self.messages)

    def __enter__(self) -> RoutingSocket:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def setblocking(self, blocking: bool) -> None:
        assert not blocking

    def send(self, question: bytes) -> None:
        if self.refused is not None:
            raise OSError(self.refused, "refused")

    def recv(self, size: int) -> bytes:
        if not self.left:
            raise BlockingIOError(errno.EAGAIN, "nothing")
        return self.left.pop(0)


OTHERS = [answer(REJECT, process=1), answer(0, kind=1)]
WAY = Route(ETH0, ETH0.addresses("ipv4")[0])
TO_LOOPBACK = Route(LO, ip_address("127.0.0.1"))
REFUSED = RouteRefusal(errno.EHOSTUNREACH, "reject")


@EACH_SYSTEM
@pytest.mark.parametrize(
    ("connected", "messages", "refused", "expected"),
    [
        (None, [*OTHERS, answer(UP | REJECT)], None, REFUSED),
        (TO_LOOPBACK, [answer(UP | REJECT)], None, REFUSED),
        (TO_LOOPBACK, [answer(UP | STATIC)], None, TO_LOOPBACK),
        (None, [], errno.ESRCH, None),
        (None, OTHERS, None, None),
        # A way out is a way out, and nothing more is asked.
        (WAY, [answer(UP | REJECT)], None, WAY),
    ],
)
def test_refusal_is_told_from_no_route(
    system: PlatformName,
    connected: RouteAnswer,
    messages: list[bytes],
    refused: int | None,
    expected: RouteAnswer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connect(address: IPAddress, interfaces: Sequence[Interface]) -> RouteAnswer:
        return connected

    monkeypatch.setattr(routes, "route_by_connecting", connect)
    monkeypatch.setattr("trio_mcast._host.bsd.routes.socket.socket", RoutingSocket)
    monkeypatch.setattr(RoutingSocket, "messages", messages)
    monkeypatch.setattr(RoutingSocket, "refused", refused)
    assert routes.find_bsd_route(PLATFORMS[system], GROUP, MACHINE) == expected
