"""What gatherers read of files, packets and listings, as they are on real machines."""

from __future__ import annotations

import sys
from ipaddress import ip_address

import pytest

from trio_mcast._diagnosis.evidence import DroppingRule, JoinedGroup
from trio_mcast._diagnosis.gather.capture import Packet, parse_packet
from trio_mcast._diagnosis.gather.counters import parse_lines, parse_tables, rises_between
from trio_mcast._diagnosis.gather.joined import (
    SourceFilter,
    parse_igmp,
    parse_igmp6,
    parse_mcfilter,
)
from trio_mcast._diagnosis.gather.netfilter import parse_ruleset, with_later
from trio_mcast._diagnosis.gather.ports import parse_udp
from trio_mcast._diagnosis.rules.elsewhere import swapped

pytestmark = pytest.mark.once

SNMP = """\
Ip: Forwarding DefaultTTL InReceives InDelivers
Ip: 2 64 1200 1100
Udp: InDatagrams NoPorts IgnoredMulti
Udp: 5 0 7
"""
SNMP6 = "Ip6InReceives                   \t37\nIp6InHdrErrors                  \t0\n"
IGMP = """\
Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
2\teth0      :     2      V2
\t\t\t\t030201EF     2 0:00000000\t\t0
\t\t\t\t010000E0     1 0:00000000\t\t0
"""
IGMP6 = "2    eth0            ff020000000000000000000000000001     1 0000000C 0\n"
MCFILTER = """\
Idx Device        MCA        SRC    INC    EXC
  2   eth0 0xef010203 0x0a000002      1      0
"""
MCFILTER6 = """\
Idx Device                Multicast Address                   Source Address    INC    EXC
  2   eth0 ff150000000000000000000000000001 fd000000000000000000000000000009      0      2
"""
UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode \
ref pointer drops
 1138: 0100007F:1388 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4242 2 \
0000000000000000 17
"""

LITTLE_ENDIAN = pytest.mark.skipif(sys.byteorder != "little", reason="the texts are of such a one")


def test_tables_give_the_counters_that_rules_look_at() -> None:
    assert dict(parse_tables(SNMP)) == {
        "Ip.InReceives": 1200,
        "Ip.InDelivers": 1100,
        "Udp.InDatagrams": 5,
        "Udp.IgnoredMulti": 7,
    }
    assert dict(parse_lines(SNMP6)) == {"Ip6InReceives": 37}


def test_only_what_rose_is_a_rise() -> None:
    assert rises_between({"a": 1, "b": 2}, {"a": 1, "b": 5, "c": 3}) == {"b": 3, "c": 3}


@LITTLE_ENDIAN
def test_igmp_tells_groups_with_users_and_querier() -> None:
    assert list(parse_igmp(IGMP)) == [
        JoinedGroup("lo", "224.0.0.1", 1, "V3"),
        JoinedGroup("eth0", "239.1.2.3", 2, "V2"),
        JoinedGroup("eth0", "224.0.0.1", 1, "V2"),
    ]
    assert list(parse_igmp6(IGMP6)) == [JoinedGroup("eth0", "ff02::1", 1)]


def test_mcfilter_tells_the_sources_that_memberships_name() -> None:
    assert list(parse_mcfilter(MCFILTER)) == [SourceFilter("eth0", "239.1.2.3", "10.0.0.2", 1, 0)]
    assert list(parse_mcfilter(MCFILTER6)) == [SourceFilter("eth0", "ff15::1", "fd00::9", 0, 2)]


@LITTLE_ENDIAN
def test_udp_table_tells_address_user_inode_and_drops() -> None:
    (sock,) = parse_udp(UDP)
    assert (sock.address, sock.port, sock.user) == ("127.0.0.1", 5000, 1000)
    assert (sock.inode, sock.drops) == (4242, 17)


def ipv4(protocol: int, body: bytes, fragment: int = 0) -> bytes:
    addresses = ip_address("10.0.0.2").packed + ip_address("239.1.2.3").packed
    head = bytes([0x45, 0, 0, 0, 0, 0]) + fragment.to_bytes(2, "big")
    return head + bytes([9, protocol, 0, 0]) + addresses + body


def ipv6(following: int, body: bytes) -> bytes:
    addresses = ip_address("fd00::2").packed + ip_address("ff15::1").packed
    return bytes([0x60, 0, 0, 0, 0, 0, following, 9]) + addresses + body


UDP_TO_5000 = bytes([0, 1]) + (5000).to_bytes(2, "big") + bytes(4)


@pytest.mark.parametrize(
    ("data", "port", "kind"),
    [
        (ipv4(17, UDP_TO_5000), 5000, "udp"),
        (ipv4(17, UDP_TO_5000, 0x2000), 5000, "first fragment"),
        (ipv4(17, UDP_TO_5000, 0x2001), 0, "later fragment"),
        (ipv4(17, UDP_TO_5000, 0x0001), 0, "later fragment"),
        (ipv4(2, bytes([0x11, 50])), 0, "query"),
        (ipv4(2, bytes([0x22])), 0, "report"),
    ],
)
def test_packet_of_ipv4_is_read(data: bytes, port: int, kind: str) -> None:
    assert parse_packet(data) == Packet("10.0.0.2", "239.1.2.3", 9, port, kind)


@pytest.mark.parametrize(
    ("data", "port", "kind"),
    [
        (ipv6(17, UDP_TO_5000), 5000, "udp"),
        (ipv6(44, bytes([17, 0, 0, 1, 0, 0, 0, 0]) + UDP_TO_5000), 5000, "first fragment"),
        (ipv6(44, bytes([17, 0, 0, 8, 0, 0, 0, 0]) + UDP_TO_5000), 0, "later fragment"),
        (ipv6(0, bytes([58, 0]) + bytes(6) + bytes([130])), 0, "query"),
        (ipv6(0, bytes([58, 0]) + bytes(6) + bytes([143])), 0, "report"),
    ],
)
def test_packet_of_ipv6_is_read(data: bytes, port: int, kind: str) -> None:
    assert parse_packet(data) == Packet("fd00::2", "ff15::1", 9, port, kind)


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (ipv4(2, bytes([0x11, 100]) + bytes(10)), 10.0),
        (ipv4(2, bytes([0x11, 0x8F]) + bytes(10)), 24.8),  # (15 + 16) << 3, RFC 3376, 4.1.1.
        (ipv4(2, bytes([0x11, 100]) + bytes(6)), 0.0),  # Of IGMPv2.
        (ipv4(2, bytes([0x11, 100, 0, 0, 239, 1, 2, 3]) + bytes(4)), 0.0),  # For one group.
        (ipv6(0, bytes([58, 0]) + bytes(6) + bytes([130, 0, 0, 0, 0x27, 0x10]) + bytes(22)), 10.0),
        (ipv6(0, bytes([58, 0]) + bytes(6) + bytes([130, 0, 0, 0, 0x27, 0x10]) + bytes(18)), 0.0),
    ],
)
def test_time_to_answer_a_general_query_is_read(data: bytes, seconds: float) -> None:
    packet = parse_packet(data)
    assert packet is not None
    assert packet.response_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(60),
        ipv4(6, bytes(20)),
        ipv4(2, b""),
        ipv4(2, b"\x99"),
        ipv6(58, b"\x01"),
        ipv6(0, bytes([0, 255]) + bytes(6)),
        ipv6(44, b""),
    ],
)
def test_packet_of_no_interest_is_none(data: bytes) -> None:
    assert parse_packet(data) is None


def test_truncated_packet_is_read_or_none() -> None:
    for data in (ipv4(17, UDP_TO_5000), ipv6(17, UDP_TO_5000)):
        for length in range(len(data)):
            parse_packet(data[:length])


RULESET = {
    "nftables": [
        {"metainfo": {"version": "1.0.6"}},
        {"table": {"family": "inet", "name": "f"}},
        {
            "chain": {
                "family": "inet",
                "table": "f",
                "name": "in",
                "hook": "input",
                "policy": "drop",
            }
        },
        {
            "rule": {
                "family": "inet",
                "table": "f",
                "chain": "in",
                "handle": 4,
                "expr": [{"counter": {"packets": 5, "bytes": 500}}, {"drop": None}],
            }
        },
        {
            "rule": {
                "family": "inet",
                "table": "f",
                "chain": "in",
                "handle": 5,
                "expr": [{"accept": None}],
            }
        },
    ]
}


def test_ruleset_tells_what_drops() -> None:
    rules = list(parse_ruleset(RULESET))
    assert rules == [
        DroppingRule("inet f in", "input", "policy drop", None, None),
        DroppingRule("inet f in", "input", "rule with handle 4", 5, 5),
    ]
    later = [DroppingRule("inet f in", "input", "rule with handle 4", 9, 9)]
    assert [rule.after for rule in with_later(rules, later)] == [None, 9]
    assert [rule.before for rule in with_later(rules, later)] == [None, 5]


@pytest.mark.parametrize(
    ("expressions", "drops"),
    [
        ([{"drop": None}], True),
        ([{"reject": {"type": "icmp"}}], True),
        ([{"vmap": {"key": {}, "data": {"set": [["239.1.2.3", {"drop": None}]]}}}], True),
        ([{"xt": {"type": "target", "name": "REJECT"}}], True),
        ([{"xt": {"type": "match", "name": "comment"}}, {"accept": None}], False),
        ([{"match": {"left": "drop", "right": "reject"}}], False),
    ],
)
def test_rule_drops_wherever_its_verdict_stands(expressions: list[object], drops: bool) -> None:
    rule = {"family": "ip", "table": "t", "chain": "c", "handle": 1, "expr": expressions}
    assert bool(list(parse_ruleset({"nftables": [{"rule": rule}]}))) is drops


def test_swapped_port_is_its_other_byte_order() -> None:
    assert swapped(5000) == 34_835
    assert swapped(34_835) == 5000
