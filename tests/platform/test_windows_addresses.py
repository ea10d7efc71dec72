"""The states of addresses on Windows, and the address that a group's socket is bound to there."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from ipaddress import ip_address, ip_interface

import attrs
import pytest

from tests.support.interfaces import ETH0
from trio_mcast import Interface, InterfaceAddress, McastReceiverSpec
from trio_mcast._host.windows.api import SocketAddress, UnicastAddress
from trio_mcast._plan.source_address import address_to_bind
from trio_mcast._platform.windows import WINDOWS
from trio_mcast._values.addresses import encode_sockaddr
from trio_mcast._values.interface import AddressState

pytestmark = pytest.mark.once

# Which types know on Windows only.
read_addresses: Callable[[int | None], list[InterfaceAddress]] = importlib.import_module(
    "trio_mcast._host.windows.interfaces"
).read_addresses

INVALID, TENTATIVE, DUPLICATE, DEPRECATED, PREFERRED = range(5)
STATES: dict[int, AddressState] = {
    INVALID: "tentative",
    TENTATIVE: "tentative",
    DUPLICATE: "failed",
    DEPRECATED: "deprecated",
    PREFERRED: "preferred",
}


def listed(*addresses: tuple[str, int]) -> list[InterfaceAddress]:
    """Read addresses, each with its state, from a list as Windows makes it."""
    kept, following = [], None
    for text, state in reversed(addresses):
        raw = encode_sockaddr(WINDOWS.sockaddr, ip_address(text.partition("/")[0]))
        sockaddr = ctypes.create_string_buffer(raw, len(raw))
        unicast = UnicastAddress(
            Next=following,
            Address=SocketAddress(ctypes.addressof(sockaddr), len(raw)),
            DadState=state,
            OnLinkPrefixLength=int(text.partition("/")[2]),
        )
        following = ctypes.addressof(unicast)
        kept += [sockaddr, unicast]
    return read_addresses(following)


@pytest.mark.parametrize("number", STATES)
@pytest.mark.parametrize("text", ["10.0.0.7/24", "2001:db8::7/64", "fe80::7/64"])
def test_state_is_read(number: int, text: str) -> None:
    (detail,) = listed((text, number))
    assert (detail.address, detail.state) == (ip_interface(text), STATES[number])
    assert detail.scope == ("link" if text.startswith("fe80") else "global")


def test_list_is_read_in_order_ipv4_first() -> None:
    details = listed(("fe80::1/64", PREFERRED), ("10.0.0.2/8", DEPRECATED), ("10.0.0.1/8", INVALID))
    assert [str(detail.address) for detail in details] == [
        "10.0.0.2/8",
        "10.0.0.1/8",
        "fe80::1/64",
    ]
    assert read_addresses(None) == []


def with_addresses(*addresses: tuple[str, int]) -> Interface:
    details = listed(*addresses)
    return attrs.evolve(
        ETH0,
        ipv4_addresses=tuple(each.address for each in details if each.address.version == 4),
        ipv6_addresses=tuple(each.address for each in details if each.address.version == 6),
        address_details=tuple(details),
    )


def bound_to(group: str, *addresses: tuple[str, int]) -> str:
    spec = McastReceiverSpec(group, 5000, interfaces="eth0")
    (socket_spec,) = spec.plan([with_addresses(*addresses)], "windows")
    return socket_spec.bind[0]


FOUR, SIX = "239.1.2.3", "ff05::1234"


@pytest.mark.parametrize("unusable", [INVALID, TENTATIVE, DUPLICATE])
def test_group_is_bound_to_an_address_that_can_be_used(unusable: int) -> None:
    assert bound_to(FOUR, ("10.0.0.1/24", unusable), ("10.0.0.2/24", PREFERRED)) == "10.0.0.2"
    assert bound_to(FOUR, ("10.0.0.1/24", unusable), ("10.0.0.2/24", DEPRECATED)) == "10.0.0.2"
    assert bound_to(SIX, ("fe80::1/64", unusable), ("2001:db8::2/64", PREFERRED)) == "2001:db8::2"
    # The one there is, whose refusal then says why.
    assert bound_to(FOUR, ("10.0.0.1/24", unusable)) == "10.0.0.1"


def test_group_is_bound_to_a_deprecated_address_last() -> None:
    assert bound_to(FOUR, ("10.0.0.1/24", DEPRECATED), ("10.0.0.2/24", PREFERRED)) == "10.0.0.2"
    assert bound_to(SIX, ("fe80::1/64", DEPRECATED), ("fe80::2/64", PREFERRED)) == "fe80::2"


def test_bind_does_not_change_when_other_addresses_come_go_or_change_places() -> None:
    four = [("10.0.0.1/24", PREFERRED), ("10.0.9.1/24", PREFERRED)]
    assert bound_to(FOUR, *four) == bound_to(FOUR, *reversed(four)) == "10.0.0.1"
    stays, temporary = ("fe80::1/64", PREFERRED), ("2001:db8::77/64", PREFERRED)
    for addresses in ([stays], [temporary, stays], [stays, temporary]):
        assert bound_to(SIX, *addresses) == "fe80::1"


def test_interface_without_an_address_has_none_to_bind() -> None:
    assert address_to_bind(with_addresses(), "ipv4") is None
    assert address_to_bind(with_addresses(("10.0.0.1/24", PREFERRED)), "ipv6") is None
