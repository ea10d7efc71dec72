"""The other machine, as people name it."""

from __future__ import annotations

import pytest

from trio_mcast import Endpoint
from trio_mcast._diagnosis.probe.control import CONTROL_PORT
from trio_mcast._diagnosis.probe.peer_name import parse_peer

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("peer", "host", "port"),
    [
        ("10.0.0.2", "10.0.0.2", CONTROL_PORT),
        ("10.0.0.2:5000", "10.0.0.2", 5000),
        ("pumpe.example", "pumpe.example", CONTROL_PORT),
        ("pumpe:5000", "pumpe", 5000),
        ("fd00::2", "fd00::2", CONTROL_PORT),
        ("[fd00::2]", "fd00::2", CONTROL_PORT),
        ("[fd00::2]:5000", "fd00::2", 5000),
        ("fe80::2%eth0", "fe80::2%eth0", CONTROL_PORT),
        ("[fe80::2%eth0]:5000", "fe80::2%eth0", 5000),
        (Endpoint("10.0.0.2", 5000), "10.0.0.2", 5000),
    ],
)
def test_peer_is_read(peer: str | Endpoint, host: str, port: int) -> None:
    assert parse_peer(peer) == Endpoint(host, port)
    assert parse_peer(str(parse_peer(peer))) == Endpoint(host, port)


@pytest.mark.parametrize(
    ("peer", "message"),
    [
        ("", "is no machine"),
        ("a b", "is no machine"),
        ("udp://10.0.0.2", "is no control port"),
        ("10.0.0.2/24", "is no machine"),
        ("239.1.2.3", "not a group"),
        ("ff02::1", "not a group"),
        ("0.0.0.0", "is no machine"),
        ("10.0.0.2:x", "is no control port"),
        ("10.0.0.2:0", "control port of peer"),
        ("10.0.0.2:65536", "control port of peer"),
        ("fd00:::2", "neither an address nor a name"),
        (Endpoint("10.0.0.2", 0), "control port of peer"),
    ],
)
def test_what_is_no_machine_is_refused(peer: str | Endpoint, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_peer(peer)


@pytest.mark.parametrize("peer", [5, b"10.0.0.2", ("10.0.0.2", 5000)])
def test_what_is_no_text_is_refused(peer: object) -> None:
    with pytest.raises(TypeError, match="must be a str or an Endpoint"):
        parse_peer(peer)  # type: ignore[arg-type]
