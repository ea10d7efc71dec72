"""Sending from plain sockets: what is refused, through which interface, and from which address."""

from __future__ import annotations

import errno
from contextlib import AsyncExitStack
from ipaddress import ip_address

import pytest

from trio_mcast import Endpoint, SocketSetupError, open_mcast_sender
from trio_mcast._plan.socket_spec import BindAddress, bind_address
from trio_mcast._platform.options import multicast_interface
from trio_mcast._values.addresses import family_of
from trio_mcast.testing import TraceEvent, VirtualHost, VirtualNetwork

from ..support.virtual_hosts import (
    GROUP4,
    GROUP6,
    PORT,
    Lan,
    joining,
    open_plain,
    option,
    payloads,
    receiving,
    sending,
    two_on_lan,
)

pytestmark = pytest.mark.once

EVERY_FAMILY = pytest.mark.parametrize("group", [GROUP4, GROUP6])


def refusal(host: VirtualHost, bind: str, address: BindAddress, size: int = 1) -> str | None:
    """The error of sending so many bytes, by its name; `None` if they were sent."""
    sock = open_plain(host, bind, port=0)
    try:
        sock.send(bytes(size), address)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        sock.close()
    return None


def last_sent(lan: Lan) -> TraceEvent:
    return next(item for item in reversed(lan.network.trace) if item.what == "sent")


@pytest.mark.parametrize(
    ("bind", "address", "size", "expected"),
    # All measured on Linux 6.18.
    [
        ("0.0.0.0", (GROUP4, PORT), 1, "ENETUNREACH"),
        ("10.0.0.2", (GROUP4, PORT), 1, None),
        ("10.0.0.2", (GROUP4, PORT), 65_507, None),
        ("10.0.0.2", (GROUP4, PORT), 65_508, "EMSGSIZE"),
        ("10.0.0.2", (GROUP4, 0), 1, "EINVAL"),
        ("0.0.0.0", ("192.168.9.9", PORT), 1, "ENETUNREACH"),
        ("0.0.0.0", ("10.0.0.255", PORT), 1, "EACCES"),
        ("0.0.0.0", ("255.255.255.255", PORT), 1, "ENETUNREACH"),
        ("10.0.0.2", ("255.255.255.255", PORT), 1, "EACCES"),
        ("::", (GROUP6, PORT, 0, 0), 65_527, None),
        ("::", (GROUP6, PORT, 0, 0), 65_528, "EMSGSIZE"),
        ("::", ("ff02::5", PORT, 0, 99), 1, "ENETUNREACH"),
        ("::", ("fd99::1", PORT, 0, 0), 1, "ENETUNREACH"),
        ("::", ("fe80::1", PORT, 0, 0), 1, None),
        ("::", ("fe80::1", PORT, 0, 2), 1, None),
        ("::", ("ff02::5", PORT, 0, 1), 1, "ENETUNREACH"),
    ],
)
async def test_linux_sends_or_refuses(
    bind: str, address: BindAddress, size: int, expected: str | None
) -> None:
    async with two_on_lan() as lan:
        assert refusal(lan.b, bind, address, size) == expected


async def test_macos_takes_no_large_datagrams() -> None:
    async with two_on_lan("darwin") as lan:
        assert refusal(lan.b, "0.0.0.0", ("10.0.0.1", PORT), 9_216) is None
        assert refusal(lan.b, "0.0.0.0", ("10.0.0.1", PORT), 9_217) == "EMSGSIZE"


async def test_address_of_another_family_is_refused() -> None:
    async with two_on_lan() as lan:
        assert refusal(lan.b, "0.0.0.0", (GROUP6, PORT, 0, 0)) == "EAFNOSUPPORT"


async def test_windows_sends_groups_without_being_told_an_interface() -> None:
    async with two_on_lan("windows") as lan:
        assert refusal(lan.b, "0.0.0.0", (GROUP4, PORT)) is None
        assert refusal(lan.b, "::", (GROUP6, PORT, 0, 0)) is None


async def test_ipv6_source_is_of_the_scope_of_where_it_goes() -> None:
    async with two_on_lan() as lan:
        for destination, source in [
            (GROUP6, "fd00::2"),
            ("ff02::5", "fe80::2"),
            ("fd00::1", "fd00::2"),
            ("fe80::1", "fe80::2"),
        ]:
            assert refusal(lan.b, "::", (destination, PORT, 0, 2)) is None
            assert last_sent(lan).source == f"[{source}]:{49_152 + sent_before(lan)}"


def sent_before(lan: Lan) -> int:
    return len([item for item in lan.network.trace if item.what == "sent"]) - 1


@EVERY_FAMILY
async def test_interface_without_addresses_borrows_one_for_ipv4_only(group: str) -> None:
    async with two_on_lan() as lan:
        lan.b.plug("eth1", lan.network.switch("other"))
        family = "ipv4" if group == GROUP4 else "ipv6"
        out = multicast_interface(lan.b.platform, "ipv4" if family == "ipv4" else "ipv6", 3)
        any_address = "0.0.0.0" if group == GROUP4 else "::"
        sock = open_plain(lan.b, any_address, out, port=0)
        if family == "ipv6":
            with pytest.raises(OSError, match="Cannot assign requested address"):
                sock.send(b"x", (group, PORT, 0, 0))
        else:
            sock.send(b"x", (group, PORT))
            assert (last_sent(lan).interface, last_sent(lan).source) == ("eth1", "10.0.0.2:49152")


@pytest.mark.parametrize("address", ["10.0.0.2", "127.0.0.1", "fd00::2", "::1", "fe80::2"])
async def test_own_address_is_reached_without_the_network(address: str) -> None:
    async with two_on_lan() as lan:
        any_address = "0.0.0.0" if "." in address else "::"
        here = open_plain(lan.b, any_address)
        tail = () if "." in address else (0, 2 if address.startswith("fe80") else 0)
        sender = open_plain(lan.b, any_address, port=0)
        sender.send(b"here", (address, PORT, *tail))
        assert payloads(here) == [b"here"]
        assert last_sent(lan).interface == "lo"


async def test_batch_stops_at_what_is_refused() -> None:
    async with two_on_lan() as lan:
        sock = open_plain(lan.b, "0.0.0.0", joining(lan.b, 2, GROUP4))
        sender = open_plain(lan.a, "10.0.0.1", port=0)
        batch = [b"1", b"2", bytes(70_000), b"4"]
        assert sender.send_batch(batch, 0, (GROUP4, PORT)) == 2
        with pytest.raises(OSError, match="too long"):
            sender.send_batch(batch, 2, (GROUP4, PORT))
        assert sender.send_batch(batch, 3, (GROUP4, PORT)) == 1
        assert payloads(sock) == [b"1", b"2", b"4"]


async def test_interface_by_address_is_the_one_that_has_it() -> None:
    async with two_on_lan() as lan:
        by_address = option(lan.b, "IP_MULTICAST_IF", bytes(4) + bytes([10, 0, 0, 2]), "ipv4")
        open_plain(lan.b, "0.0.0.0", by_address, port=0).send(b"x", (GROUP4, PORT))
        assert (last_sent(lan).interface, last_sent(lan).source) == ("eth0", "10.0.0.2:49152")


@pytest.mark.parametrize(
    ("platform", "address"),
    [("linux", "10.0.0.2"), ("linux", "fd00::2"), ("windows", "10.0.0.2")],
)
async def test_unicast_to_the_host_itself_arrives_on_linux_where_its_address_is(
    platform: str, address: str
) -> None:
    async with two_on_lan(platform) as lan:
        wildcard = "::" if ":" in address else "0.0.0.0"
        open_plain(lan.b, wildcard)
        scope = (0, 0) if ":" in address else ()
        sender = open_plain(lan.b, wildcard, port=0)
        sender.send(b"hello", (address, PORT, *scope))
        arrived = next(item for item in lan.network.trace if item.what == "delivered")
        loopback = "Loopback Pseudo-Interface 1"
        assert arrived.interface == ("eth0" if platform == "linux" else loopback)


async def test_linux_has_no_way_to_its_own_address_from_another_interface() -> None:
    async with two_on_lan() as lan:
        lan.b.plug("eth1", lan.network.switch("other"), "fd01::2/64")
        from_eth1 = [option(lan.b, "SO_BINDTODEVICE", b"eth1\0", "ipv6")]
        sock = open_plain(lan.b, "::", from_eth1, port=0)
        with pytest.raises(OSError, match="unreachable") as caught:
            sock.send(b"hello", ("fd00::2", PORT, 0, 0))
        assert caught.value.errno == errno.ENETUNREACH
        sock.send(b"hello", ("fd01::2", PORT, 0, 0))


async def test_refusal_is_explained_to_whoever_sends_outside_of_the_hosts_block() -> None:
    async with two_on_lan() as lan:
        async with AsyncExitStack() as stack:
            with lan.a:
                sender = await stack.enter_async_context(open_mcast_sender("ff05::1", PORT))
            with pytest.raises(SocketSetupError) as caught:
                await sender.send(b"hello", to=Endpoint("fd99::1", PORT))
        assert caught.value.errno == errno.ENETUNREACH


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("239.1.2.3", "10.0.0.5"),
        ("224.0.0.251", "169.254.1.1"),
        ("ff0e::5", "2001:db8:3::5"),
        ("ff02::5", "fe80::5"),
    ],
)
async def test_plain_socket_of_linux_chooses_by_scope_and_state(group: str, expected: str) -> None:
    async with VirtualNetwork() as network:
        lan = network.switch("lan")
        a, b = network.host("a"), network.host("b")
        b.plug("eth0", lan, "10.0.0.9/24", "fe80::9/64")
        eth0 = a.plug("eth0", lan)
        eth0.add_address("10.9.9.9/32", scope="host")
        eth0.add_address("169.254.1.1/16")
        eth0.add_address("10.0.0.5/24")
        eth0.add_address("2001:db8:1::5/64", state="tentative")
        eth0.add_address("2001:db8:2::5/64", state="deprecated")
        eth0.add_address("2001:db8:3::5/64")
        eth0.add_address("fe80::5/64")
        wildcard = "::" if ":" in group else "0.0.0.0"
        out = multicast_interface(a.platform, family_of(ip_address(group)), eth0.index)
        plain = open_plain(a, wildcard, out, port=0)
        async with (
            receiving(b, group, interfaces="eth0") as receiver,
            sending(a, group, interfaces="eth0") as sender,
        ):
            plain.send(b"plain", bind_address(ip_address(group), PORT, eth0.index))
            await sender.send(b"sender")
            datagrams = [await receiver.receive() for _ in range(2)]
        plain.close()
    hosts = {each.data: each.source.host.partition("%")[0] for each in datagrams}
    assert hosts == {b"plain": expected, b"sender": expected}
