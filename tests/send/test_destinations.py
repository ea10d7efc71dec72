"""Which socket of a sender leads where, when some of them are not open."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.interfaces import ETH0, ETH1, MACHINE
from trio_mcast import Endpoint, Interface, McastSenderSpec
from trio_mcast._plan.sender import plan_sender
from trio_mcast._platform.current import PLATFORMS
from trio_mcast._send.destinations import Destination, checked_payloads
from trio_mcast._send.target_table import NumberedTarget, TargetTable, Unreachable

FOUR, SIX = "239.1.2.3", "ff15::1:2:3"


def table(groups: Sequence[str], interfaces: Sequence[str], *gone: int) -> TargetTable:
    request = McastSenderSpec(groups, 5000, interfaces=interfaces)._request
    plan = plan_sender(request, MACHINE, PLATFORMS["linux"])
    return TargetTable(plan.sockets, plan.numbered_groups, 5000, frozenset(gone))


def test_everywhere_is_every_group_on_every_interface() -> None:
    assert tuple(table([FOUR, SIX], ["eth0", "eth1"]).everywhere()) == (
        (0, (FOUR, 5000)),
        (1, (FOUR, 5000)),
        (2, (SIX, 5000, 0, ETH0.index)),
        (3, (SIX, 5000, 0, ETH1.index)),
    )


# Where to, which sockets are gone, and the targets; sockets 0 and 2 are of eth0, 1 and 3 of eth1.
LEADING: list[tuple[Destination, list[int], list[NumberedTarget]]] = [
    (FOUR, [], [(0, (FOUR, 5000)), (1, (FOUR, 5000))]),
    ("239.9.9.9", [], [(0, ("239.9.9.9", 5000)), (1, ("239.9.9.9", 5000))]),
    (("239.9.9.9", 7), [], [(0, ("239.9.9.9", 7)), (1, ("239.9.9.9", 7))]),
    # What is not open is not passed over: that nothing goes out there is to be noticed.
    (FOUR, [0], [(0, (FOUR, 5000)), (1, (FOUR, 5000))]),
    ("239.9.9.9", [0, 1], [(0, ("239.9.9.9", 5000)), (1, ("239.9.9.9", 5000))]),
    ("ff02::7%eth1", [3], [(3, ("ff02::7", 5000, 0, 8))]),
    # A peer is reached over its network; otherwise any way will do.
    (("10.0.0.7", 7), [], [(0, ("10.0.0.7", 7))]),
    (("10.1.0.7", 7), [], [(1, ("10.1.0.7", 7))]),
    (("192.0.2.7", 7), [], [(0, ("192.0.2.7", 7))]),
    (("10.0.0.7", 7), [0], [(1, ("10.0.0.7", 7))]),
    (("10.0.0.7", 7), [0, 1], [(0, ("10.0.0.7", 7))]),
    (("192.0.2.7", 7), [0], [(1, ("192.0.2.7", 7))]),
    # Not where a zone says which.
    (Endpoint("fe80::7%eth0", 7), [2], [(2, ("fe80::7", 7, 0, 7))]),
    (Endpoint("2001:db8::7", 7), [], [(2, ("2001:db8::7", 7, 0, 0))]),
]


@pytest.mark.parametrize(("to", "gone", "expected"), LEADING)
def test_destination_is_reached_through(
    to: Destination, gone: list[int], expected: list[NumberedTarget]
) -> None:
    assert leading([FOUR, SIX], ["eth0", "eth1"], *gone, to=to) == expected


def leading(
    groups: Sequence[str], interfaces: Sequence[str], *gone: int, to: Destination
) -> list[NumberedTarget]:
    found = table(groups, interfaces, *gone).targets_for(to)
    assert not isinstance(found, Unreachable)
    return list(found)


# Where to, which sockets are gone, where it counts as failed, and the error number.
NOWHERE: list[tuple[tuple[str, int], list[int], int, int]] = [
    # On the network of the peer, if that is known, on what is open.
    (("10.1.0.7", 0), [], 1, errno.EADDRNOTAVAIL),
    (("10.1.0.7", 0), [1], 0, errno.EADDRNOTAVAIL),
    (("192.0.2.7", 0), [], 0, errno.EADDRNOTAVAIL),
    (("0.0.0.0", 7), [0], 1, errno.EADDRNOTAVAIL),
    (("10.1.0.255", 7), [], 1, errno.EACCES),
    (("255.255.255.255", 7), [], 0, errno.EACCES),
    (("fe80::7%eth1", 0), [], 3, errno.EADDRNOTAVAIL),
    (("::%eth1", 7), [], 3, errno.EADDRNOTAVAIL),
    (("::", 7), [2], 3, errno.EADDRNOTAVAIL),
    (("fe80::7%eth9", 7), [], 2, errno.ENODEV),
    (("::ffff:10.0.0.7", 7), [], 2, errno.EADDRNOTAVAIL),
    (("::ffff:0.0.0.0", 7), [], 2, errno.EADDRNOTAVAIL),
]


@pytest.mark.parametrize(("to", "gone", "number", "error"), NOWHERE)
@pytest.mark.parametrize("kind", [Endpoint, lambda *pair: pair], ids=["endpoint", "pair"])
def test_there_is_no_way_to(
    to: tuple[str, int], gone: list[int], number: int, error: int, kind: Callable[..., Destination]
) -> None:
    found = table([FOUR, SIX], ["eth0", "eth1"], *gone).targets_for(kind(*to))
    assert isinstance(found, Unreachable)
    assert (found.number, found.errno) == (number, error)
    assert found.address == (to[0].partition("%")[0], to[1]) or "::ffff:" in to[0]


@pytest.mark.parametrize("family", [FOUR, SIX])
def test_endpoint_with_a_group_is_no_way_and_a_pair_is_one(family: str) -> None:
    both = table([FOUR, SIX], ["eth0"])
    assert isinstance(both.targets_for(Endpoint(family, 7)), Unreachable)
    assert isinstance(both.targets_for((family, 7)), tuple)


@given(
    st.one_of(
        st.ip_addresses(),
        st.integers(0, 2**32 - 1).map(lambda number: IPv6Address(0xFFFF << 32 | number)),
    ),
    st.sampled_from(["", "%eth0", "%8", "%gone", "%0"]),
    st.integers(0, 65_535),
    st.sampled_from([[FOUR], [SIX], [FOUR, SIX]]),
    st.sets(st.integers(0, 3)),
)
def test_whatever_a_datagram_says_of_its_source_leads_somewhere_or_nowhere(
    address: IPv4Address | IPv6Address, zone: str, port: int, groups: list[str], gone: set[int]
) -> None:
    host = f"{address}{zone}" if address.version == 6 else str(address)
    gone = {number for number in gone if number < 2 * len(groups)}
    found = table(groups, ["eth0", "eth1"], *gone).targets_for(Endpoint(host, port))
    if not isinstance(found, Unreachable):
        assert len(found) == 1
        assert port
        assert not address.is_multicast
        assert not address.is_unspecified


def test_open_socket_of_an_interface_is_preferred() -> None:
    # Two sockets on one interface: for a link-local group and for a wider one.
    both = ["ff02::1", "ff05::1"]
    assert leading(both, ["eth0"], to="ff05::9") == [(0, ("ff05::9", 5000, 0, 7))]
    assert leading(both, ["eth0"], 0, to="ff05::9") == [(1, ("ff05::9", 5000, 0, 7))]
    assert leading(both, ["eth0"], 0, 1, to="ff05::9")[0][1] == ("ff05::9", 5000, 0, 7)


def test_zone_of_digits_means_the_interface_of_that_name() -> None:
    # eth0 has the index 7, and another interface is called so.
    called = Interface("7", 10, ipv6_addresses=(IPv6Interface("fe80::a/64"),))
    request = McastSenderSpec("ff02::1", 5000, interfaces=["eth0", "7"])._request
    plan = plan_sender(request, [*MACHINE, called], PLATFORMS["linux"])
    with_it = TargetTable(plan.sockets, plan.numbered_groups, 5000, frozenset(), frozenset("7"))
    without = TargetTable(
        plan.sockets[:1], plan.numbered_groups[:1], 5000, frozenset(), frozenset("7")
    )
    for to in ("ff02::9%7", ("fe80::9%7", 5000), Endpoint("fe80::9%7", 5000)):
        targets = with_it.targets_for(to)
        assert not isinstance(targets, Unreachable)
        assert [number for number, _ in targets] == [1]
    # Not the interface with that index.
    with pytest.raises(ValueError, match="7 is not an interface of this sender, which has eth0"):
        without.targets_for("ff02::9%7")
    refused = without.targets_for(Endpoint("fe80::9%7", 5000))
    assert isinstance(refused, Unreachable)
    assert refused.errno == errno.ENODEV


def test_batch_may_be_empty_and_of_any_buffers() -> None:
    assert checked_payloads([]) == []
    assert checked_payloads([b"1", bytearray(b"2")]) == [b"1", b"2"]
