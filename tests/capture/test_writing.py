"""What is written as a capture is read again, by this library and by tshark."""

from __future__ import annotations

import io
import subprocess
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

import pytest

from tests.support.needs import needs_program
from trio_mcast import Datagram, Endpoint, Interface
from trio_mcast._capture.datagrams import CapturedDatagram, datagram_of
from trio_mcast._capture.reading import read_capture
from trio_mcast._capture.writing import CaptureWriter

pytestmark = pytest.mark.once

START_NS = 1_700_000_000_123_456_789
ETH0 = Interface(
    "eth0",
    2,
    description="the first",
    ipv4_addresses=(IPv4Interface("10.0.0.1/24"), IPv4Interface("10.9.0.1/16")),
    ipv6_addresses=(IPv6Interface("fe80::1/64"),),
)
ODD = Interface("odd\udcff", 3)
DATAGRAMS = [
    Datagram(
        b"hello", Endpoint("10.0.0.2", 4000), "239.1.2.3", ETH0, 7, START_NS,
        Endpoint("239.1.2.3", 5000), 0xB8,
    ),
    Datagram(
        b"six", Endpoint("fe80::2%eth0", 4000), "ff02::5", ETH0, 255, START_NS + 1,
        Endpoint("ff02::5%eth0", 45001), 1,
    ),
    Datagram(
        bytes(65_507), Endpoint("10.0.0.2", 4000), None, ODD, 64, START_NS + 10**9,
        Endpoint("10.0.0.1", 5000), 0,
    ),
    Datagram(
        b"", Endpoint("10.0.0.2", 4000), "239.1.2.3", ETH0, 1, START_NS + 2 * 10**9,
        Endpoint("239.1.2.3", 5000), 0,
    ),
]  # fmt: skip


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "heard.pcapng"
    with path.open("wb") as file:
        writer = CaptureWriter(file, "trio-mcast test")
        for datagram in DATAGRAMS:
            writer.write(datagram)
    return path


def test_capture_is_read_again(capture: Path) -> None:
    for datagram, frame in zip(DATAGRAMS, read_capture(capture), strict=True):
        assert frame.time_ns == datagram.timestamp_ns
        again = datagram_of(frame.link_type, frame.data)
        assert isinstance(again, CapturedDatagram)
        assert (again.data, again.ttl, again.traffic_class) == (
            datagram.data,
            datagram.ttl,
            datagram.traffic_class,
        )
        assert str(again.source) == datagram.source.host.partition("%")[0]
        assert str(again.destination) == datagram.destination.host.partition("%")[0]
        assert (again.source_port, again.port) == (4000, datagram.destination.port)


@needs_program("tshark")
def test_tshark_reads_the_same_and_finds_nothing_wrong(capture: Path) -> None:
    fields = (
        "frame.time_epoch frame.interface_name frame.interface_description ip.src ipv6.src ip.ttl "
        "ipv6.hlim udp.dstport udp.length ip.checksum.status udp.checksum.status _ws.malformed"
    )
    options = [part for field in fields.split() for part in ("-e", field)]
    checks = ("-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE")
    result = subprocess.run(
        ["tshark", "-r", str(capture), *checks, "-T", "fields", *options],
        check=True,
        capture_output=True,
        text=True,
    )
    rows = [line.replace("\t", "|") for line in result.stdout.splitlines()]
    # Both checksums are good, and nothing is malformed.
    assert rows == [
        "1700000000.123456789|eth0|the first|10.0.0.2||7||5000|13|1|1|",
        "1700000000.123456790|eth0|the first||fe80::2||255|45001|11||1|",
        "1700000001.123456789|odd\\udcff||10.0.0.2||64||5000|65515|1|1|",
        "1700000002.123456789|eth0|the first|10.0.0.2||1||5000|8|1|1|",
    ]


def test_datagram_without_a_time_counts_as_arrived_now() -> None:
    file = io.BytesIO()
    CaptureWriter(file, "trio-mcast test").write(DATAGRAMS[0]._replace(timestamp_ns=None))
    assert b"hello" in file.getvalue()
