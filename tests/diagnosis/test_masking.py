"""A masked report has no address of a machine left, and says the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

import attrs
import pytest

from trio_mcast._diagnosis.evidence import Evidence, Link, Question
from trio_mcast._diagnosis.frames import Tally
from trio_mcast._diagnosis.judging import judge
from trio_mcast._diagnosis.masking import mask
from trio_mcast._diagnosis.plain import from_plain
from trio_mcast._diagnosis.probe.measured import Peer

pytestmark = pytest.mark.once

RECORDS = sorted((Path(__file__).parents[1] / "data" / "diagnosis").glob("*.json"))
EVERY_RECORD = pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem) for path in RECORDS]
)

MASKED = [ip_network(text) for text in ("198.18.0.0/15", "2001:db8::/32")]
# An address stays as it is if it is one of no machine.
KEPT = [ip_network(text) for text in ("127.0.0.0/8", "0.0.0.0/32", "::/127", "fe80::/112")]


def addresses_in(text: str) -> Iterator[Any]:
    """Yield whatever in a text is an address, however it is embedded; each once."""
    tokens = set(re.split(r"[^0-9A-Fa-f:.]+", text))
    parts = {part for token in tokens for part in (token, token.strip(":."), *token.split(":"))}
    for part in parts:
        try:
            yield ip_address(part)
        except ValueError:
            continue


@EVERY_RECORD
def test_no_address_of_a_machine_is_left_and_the_rest_is_judged_alike(path: Path) -> None:
    diagnosis = judge(from_plain(Evidence, json.loads(path.read_text())["evidence"]))
    masked = diagnosis.masked()
    text = masked.to_json()
    for address in addresses_in(text):
        is_kept = address.is_multicast or any(
            address in network for network in (*KEPT, *MASKED) if address.version == network.version
        )
        assert is_kept, address
    for link in diagnosis.evidence.links or ():
        if link.link_address is not None and set(link.link_address) != {"0", ":"}:
            assert link.link_address not in text
    assert set(re.findall("(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", text)) <= {
        "00:00:00:00:00:00",
        *(f"02:00:00:00:00:{number:02x}" for number in range(1, 20)),
    }
    assert judge(masked.evidence) == masked
    assert [(one.code, one.interface, one.group) for one in masked.findings] == [
        (one.code, one.interface, one.group) for one in diagnosis.findings
    ]


LINK = Link("enx525400123456", 2, True, True, True, False, False, True)


def masked_text(*texts: str) -> list[str]:
    plain: list[str] = mask(list(texts))
    return plain


def test_same_address_gets_the_same_mask_and_others_others() -> None:
    texts = masked_text("10.1.0.1 and 10.1.0.2:", "10.1.0.2.", "fd00::1%eth0", "[fd00::1]:5000")
    assert texts == [
        "198.18.0.1 and 198.18.0.2:",
        "198.18.0.2.",
        "2001:db8::1%eth0",
        "[2001:db8::1]:5000",
    ]


def test_networks_stay_together() -> None:
    texts = masked_text("10.1.0.1/24", "10.1.0.7", "10.2.0.1", "fd00::1/64", "fd00::2", "fe80::9")
    near, inside, outside = (ip_interface(text) for text in texts[:3])
    assert inside.ip in near.network
    assert outside.ip not in near.network
    assert ip_address(texts[4]) in ip_interface(texts[3]).network
    assert ip_address(texts[5]).is_link_local


@pytest.mark.parametrize(
    "text",
    [
        "239.1.2.3 port 5000",
        "224.0.0.251",
        "ff02::fb",
        "ff3e::8000:1",
        "0.0.0.0",
        "::",
        "::1",
        "127.0.0.1",
        "255.255.255.255",
        "01:00:5e:00:00:fb",
        "233.252.0.7",
        "net.ipv4.conf.eth0.rp_filter",
        "12:30:59",
        "3.14.1",
    ],
)
def test_what_tells_of_no_machine_stays(text: str) -> None:
    assert masked_text(text) == [text]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("ff02::1:ff12:3456", "12:3456"),
        ("ff3e:40:2a00:1234:5678:9::1", "1234"),  # RFC 3306: the network stands in the group.
        ("ff7e:140:2a00:1234:5678::1", "1234"),  # RFC 3956
        ("234.192.0.7", "192"),  # RFC 6034
        ("::ffff:192.0.43.8", "192.0"),
        ("FD00::ABCD", "ABCD"),
        ("52-54-00-12-34-56", "12-34"),
        ("interface enx525400123456", "525400"),
        ("80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:4f:3a:11", "c9:03"),
        ("33:33:ff:12:34:56", "12:34"),
        ("10.0.0.1.", "10.0"),
        ("(10.0.0.1)", "10.0"),
        ("10.0.0.1/24", "10.0"),
        ("10.0.0.1:5000", "10.0"),
    ],
)
def test_what_tells_of_a_machine_goes(text: str, secret: str) -> None:
    (masked,) = masked_text(text)
    assert secret.lower() not in masked.lower()


def test_many_hosts_and_networks_stay_apart() -> None:
    hosts = [f"10.0.{number // 250}.{number % 250}" for number in range(2_000)]
    networks = [f"10.{number // 250}.{number % 250}.9" for number in range(300, 1_000)]
    masked = masked_text("10.0.0.0/16", *hosts, *networks)[1:]
    assert len(set(masked)) == len(set(hosts + networks))
    assert all(ip_address(text) for text in masked)


def test_interfaces_named_after_a_hardware_address_keep_one_name() -> None:
    question = Question(("239.1.2.3",), 5000, ("enx525400123456",))
    tally = Tally(
        "joined", LINK.name, False, "52:54:00:12:34:56", True, "10.0.0.2", "", 1, 5, "udp", 9
    )
    link = attrs.evolve(LINK, link_address="52:54:00:12:34:56", addresses=("10.0.0.1/24",))
    masked = judge(Evidence(question=question, links=(link,), captured=(tally,))).masked().evidence
    assert masked.links is not None
    assert masked.captured is not None
    (name,) = masked.question.interfaces or ()
    assert name == masked.links[0].name == masked.captured[0].interface
    assert "525400" not in name
    assert masked.captured[0].link_source == masked.links[0].link_address


@pytest.mark.parametrize("name", ["peer", "a", "error", "receiver", "pumpe.example"])
def test_peer_with_any_name_is_masked(name: str) -> None:
    question = Question(("239.1.2.3",), 5000, peer=f"{name}:27430")
    peer = Peer(f"{name}:27430", problem=f"{name} has no address: it is unknown")
    masked = judge(Evidence(question=question, peer=peer)).masked()
    (finding,) = masked.findings
    assert (finding.code, finding.place) == ("no-unicast", "peer")
    assert finding.what.startswith("The other machine, peer.example:27430, has not answered")
    text = masked.to_json().replace("peer.example", "MASKED")
    assert f"{name}:2" not in text
    assert f"{name} has no" not in text
