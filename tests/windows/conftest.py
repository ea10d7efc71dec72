"""Fixtures of the tests on Windows. Elsewhere these tests are not collected.

Those that need another machine find it through ``TRIO_MCAST_PEER=ADDRESS:PORT``: a Linux host on
the same network where ``peer.py`` runs. Without it they are skipped.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address
from typing import Any

import attrs
import pytest

from trio_mcast import Interface, list_interfaces
from trio_mcast._host.current import host_variable

from . import wine

collect_ignore_glob = [] if sys.platform == "win32" else ["test_*.py"]

if wine.is_wine():
    wine.let_trio_start()


@attrs.frozen
class Peer:
    """Another machine, and the interface of this one that leads to it."""

    interface: Interface
    ipv4: str
    ipv6: str
    _ask: Any

    def ask(self, what: str, **arguments: Any) -> Any:
        """Have it do something, and wait until it is done."""
        return self._ask(what, arguments)

    def address(self, family: str) -> str:
        return self.ipv4 if family == "ipv4" else self.ipv6


@pytest.fixture(autouse=True)
def machine() -> Iterator[None]:
    """Open sockets as Wine can."""
    if not wine.is_wine():
        yield
        return
    token = host_variable.set(wine.WineMachine())
    yield
    host_variable.reset(token)


@pytest.fixture
def peer() -> Iterator[Peer]:
    """Give the other machine, or skip the test if there is none."""
    where = os.environ.get("TRIO_MCAST_PEER")
    if where is None:
        pytest.skip(
            "needs another machine: run tests/windows/peer.py on a Linux host of the same network "
            "and set TRIO_MCAST_PEER to its ADDRESS:PORT"
        )
    address, _, port = where.rpartition(":")
    with ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((address, int(port)), timeout=30))
        lines = stack.enter_context(connection.makefile("rw"))

        def ask(what: str, arguments: dict[str, Any]) -> Any:
            print(json.dumps([what, arguments]), file=lines, flush=True)
            answer = json.loads(lines.readline())
            assert "error" not in answer, answer["error"]
            return answer["result"]

        interface = next(
            item
            for item in list_interfaces()
            if any(IPv4Address(address) in own.network for own in item.ipv4_addresses)
        )
        addresses = ask("addresses", {})
        yield Peer(interface, addresses["ipv4"], addresses["ipv6"], ask)
