"""Datagrams on Windows that come without the ancillary data that were asked for."""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from ipaddress import ip_address
from typing import Any

import pytest

from tests.support.interfaces import ETH0
from trio_mcast import Datagram, Endpoint, McastReceiverSpec
from trio_mcast._host.protocols import Rejection
from trio_mcast._platform.control import NOTHING, Arrival

pytestmark = pytest.mark.once

GROUP = "239.1.2.3"


def windows_socket(*, checks_interface: bool) -> Any:
    """Make a socket of Windows, as far as it tells what to deliver."""
    kind = importlib.import_module("trio_mcast._host.windows.socket").WindowsSocket
    sock = kind.__new__(kind)
    spec = McastReceiverSpec(GROUP, 5000, interfaces="eth0")
    (sock.socket_spec,) = spec.plan([ETH0], "windows")
    sock._groups = {ip_address(GROUP).packed: GROUP}
    sock._checks_interface = checks_interface
    sock._destination = Endpoint(GROUP, 5000)
    sock._rejected = Counter()
    sock.received = sock.received_bytes = 0
    return sock


@pytest.mark.parametrize("checks_interface", [False, True])
@pytest.mark.parametrize(
    ("destination", "index", "expected"),
    [
        (GROUP, ETH0.index, None),
        (None, None, Rejection.UNTOLD),
        ("10.0.0.1", ETH0.index, Rejection.UNICAST),
    ],
)
def test_untold_destination_is_not_counted_as_unicast(
    checks_interface: bool, destination: str | None, index: int | None, expected: Rejection | None
) -> None:
    sock, batch = windows_socket(checks_interface=checks_interface), list[Datagram]()
    arrival = NOTHING
    if destination is not None:
        arrival = Arrival(interface_index=index, destination=ip_address(destination).packed)
    sock._add(batch, b"x", Endpoint("10.0.0.9", 5000), arrival)
    assert len(batch) == (expected is None)
    assert sock.rejected == ({} if expected is None else {expected: 1})


def test_unicast_taken_from_other_programs_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "trio_mcast")
    sock, batch = windows_socket(checks_interface=False), list[Datagram]()
    for destination in (GROUP, "10.0.0.1", "10.0.0.1"):
        arrival = Arrival(destination=ip_address(destination).packed)
        sock._add(batch, b"x", Endpoint("10.0.0.9", 5000), arrival)
    assert sock.rejected == {Rejection.UNICAST: 2}
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "group 239.1.2.3 on interface eth0: unicast to port 5000 is discarded here."
    )


def test_broadcast_beside_wanted_unicast_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "trio_mcast")
    sock, batch = windows_socket(checks_interface=False), list[Datagram]()
    spec = McastReceiverSpec(GROUP, 5000, interfaces="eth0", accept_unicast=True)
    (sock.socket_spec,) = [it for it in spec.plan([ETH0], "windows") if it.group is None][:1]
    sock._groups = {ip_address("10.0.0.1").packed: None}
    arrival = Arrival(destination=ip_address("10.0.0.255").packed)
    sock._add(batch, b"x", Endpoint("10.0.0.9", 5000), arrival)
    assert sock.rejected == {Rejection.UNICAST: 1}
    assert not caplog.records
