"""Likely mistakes: each is answered by a sentence with the value and the way out; nothing opens."""

from __future__ import annotations

import asyncio
import copy
import errno
import pickle
import re
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
import trio

from tests.support.interfaces import ETH0, ETH1
from tests.support.needs import needs_module
from trio_mcast import (
    Datagram,
    Endpoint,
    Interface,
    InterfaceNotFoundError,
    McastReceiverSpec,
    McastSenderSpec,
    SocketSetupError,
    SocketSpec,
    open_mcast_channel,
    open_mcast_receiver,
    open_mcast_sender,
    watch_interfaces,
)
from trio_mcast._plan.selecting import select_interfaces
from trio_mcast._send.destinations import checked_payload, parse_destination
from trio_mcast.testing import VirtualNetwork

GROUP, PORT = "239.1.2.3", 12345

# An opener that is not used as one ----------------------------------------------------------------

OPENERS: list[tuple[Callable[[], Any], str]] = [
    (lambda: open_mcast_receiver(GROUP, PORT), "open_mcast_receiver(...) as receiver"),
    (lambda: open_mcast_sender(GROUP, PORT), "open_mcast_sender(...) as sender"),
    (lambda: open_mcast_channel(GROUP, PORT), "open_mcast_channel(...) as channel"),
    (lambda: McastReceiverSpec(GROUP, PORT).open(), "spec.open() as receiver"),
    (lambda: McastSenderSpec(GROUP, PORT).open(), "spec.open() as sender"),
    (watch_interfaces, "watch_interfaces() as changes"),
]
EVERY_OPENER = pytest.mark.parametrize(
    ("opener", "usage"), OPENERS, ids=[row[1] for row in OPENERS]
)


@EVERY_OPENER
async def test_opener_says_how_it_is_used(opener: Callable[[], Any], usage: str) -> None:
    advice = re.escape(f'use "async with {usage}"')
    with pytest.raises(TypeError, match=advice + ', not "with"'), opener():
        pytest.fail("entered")
    with pytest.raises(TypeError, match=advice + ', not "await"'):
        await opener()
    for iterate in (aiter, iter):
        with pytest.raises(TypeError, match=advice + ', and "async for" inside'):
            iterate(opener())
    assert repr(opener()) == f'<not open yet: use "async with {usage}">'
    with pytest.raises(AttributeError, match=f"'receive'.*{advice}"):
        await opener().receive()


@EVERY_OPENER
async def test_opener_is_no_trap_for_who_looks_at_it(opener: Callable[[], Any], usage: str) -> None:
    assert not hasattr(opener(), "receive")
    with pytest.raises(AttributeError, match=r"'__array__'$"):
        opener().__array__  # noqa: B018
    with pytest.raises((TypeError, AttributeError)):
        pickle.dumps(opener())
    copy.copy(opener())


async def test_opener_is_entered_once(autojump_clock: trio.testing.MockClock) -> None:
    async with VirtualNetwork() as network:
        host = network.host("a")
        host.plug("eth0", network.switch("lan"), "10.0.0.1/24")
        with host:
            opening = open_mcast_receiver(GROUP, PORT)
            async with opening:
                pass
            with pytest.raises(RuntimeError, match=r"entered before: .*anew each time"):
                async with opening:
                    pytest.fail("entered")


@EVERY_OPENER
def test_asyncio_is_told_that_this_needs_trio(opener: Callable[[], Any], usage: str) -> None:
    async def use() -> None:
        async with opener():
            pytest.fail("entered")

    with pytest.raises(RuntimeError, match=r"this is asyncio; trio_mcast needs Trio: .*https://"):
        asyncio.run(use())
    with pytest.raises(RuntimeError, match=r"^trio_mcast needs Trio: .*trio\.run"):
        use().send(None)


def test_asyncio_is_told_that_a_virtual_network_needs_trio() -> None:
    async def use() -> None:
        async with VirtualNetwork():
            pytest.fail("entered")

    with pytest.raises(RuntimeError, match="this is asyncio; trio_mcast needs Trio"):
        asyncio.run(use())


# Groups and ports ---------------------------------------------------------------------------------

PORT_IS_SECOND = "the port is the second argument when opening, 12345"
NO_PART = "the port, which is no part of them, is the second"
GROUPS: list[tuple[Any, type[Exception], str]] = [
    ("239.1.2.3:12345", ValueError, f"'239.1.2.3:12345' .* write '239.1.2.3'; {PORT_IS_SECOND}"),
    ("[ff02::1]:12345", ValueError, f"write 'ff02::1'; {PORT_IS_SECOND}"),
    ("[ff02::1]", ValueError, "without brackets, write 'ff02::1'"),
    ("239.0.0.0/8", ValueError, "it is a range of addresses, and one address is wanted"),
    ("ff00::/8", ValueError, "it is a range of addresses"),
    ("ff02::fb%", ValueError, "zone after the % is missing; write 'ff02::fb%eth0'.*or 'ff02::fb'"),
    ("239.1.2.3%", ValueError, "zone after the % is missing"),
    ("udp://@239.1.2.3:12345", ValueError, "it is a URL, of which the address alone is wanted"),
    (" 239.1.2.3\n", ValueError, "without the spaces around it, write '239.1.2.3'"),
    (" 239.1.2.3:5 ", ValueError, "it has a port in it; write '239.1.2.3'"),
    ("239.1.2.3,239.1.2.4", ValueError, r"it is several, so give a list, \['239.1.2.3', '239.1"),
    ("239.1.2.3 239.1.2.4", ValueError, "it is several"),
    ("", ValueError, "it is empty"),
    ("  ", ValueError, "it is empty"),
    ("mdns.mcast.net", ValueError, r"'mdns.mcast.net'.*\(host names are not looked up\)"),
    ("mdns.mcast.net:5353", ValueError, r"\(host names are not looked up\)"),
    ("239.1.2.3-239.1.2.9", ValueError, "it is a range of addresses, and one address is wanted"),
    ("239.1.2.3-9", ValueError, "it is a range of addresses"),
    ("239.1.2.3%eth0%1", ValueError, "a zone has no % in it; write the index of the interface"),
    ("239.1.2.3%%", ValueError, "zone after the % is missing"),
    ("ff02::fb%%eth0", ValueError, "a zone has no % in it"),
    (ip_network("239.0.0.0/30"), TypeError, "not IPv4Network: .*: it is a range of addresses"),
    ([ip_network("ff02::/126")], TypeError, "not IPv6Network: .*: it is a range of addresses"),
    (b"239.1.2.3", TypeError, r"not bytes: b'239.1.2.3': decode it"),
    ([b"239.1.2.3"], TypeError, r"not bytes: b'239.1.2.3': decode it"),
    (("239.1.2.3", 12345), TypeError, f"12345.*{NO_PART}"),
    (["239.1.2.3", 12345], TypeError, NO_PART),
    ([("239.1.2.3", 12345)], TypeError, NO_PART),
    (Endpoint("239.1.2.3", 12345), TypeError, NO_PART),
    (12345, TypeError, "12345: the groups are the first argument"),  # Swapped.
]


@pytest.mark.parametrize("opener", [open_mcast_receiver, open_mcast_sender])
@pytest.mark.parametrize(("groups", "kind", "said"), GROUPS)
def test_groups_are_answered(opener: Any, groups: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        opener(groups, GROUP if groups == PORT else PORT)
    assert "\n" not in str(caught.value)


def test_port_as_text_is_answered() -> None:
    with pytest.raises(TypeError, match=r"port must be an int, not str: '12345': .*int\(\)"):
        open_mcast_receiver(GROUP, "12345")  # type: ignore[arg-type]


def test_several_ports_as_text_are_answered() -> None:
    with pytest.raises(TypeError, match=r"not str: '5004, 5005': .*give a list, \[5004, 5005\]$"):
        open_mcast_receiver(GROUP, "5004, 5005")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"not str: 'mdns'$"):
        open_mcast_receiver(GROUP, "mdns")  # type: ignore[arg-type]


def test_several_ports_of_a_sender_are_answered() -> None:
    with pytest.raises(TypeError, match=r"\[5004, 5005\]: .*another with to=\(group, port\)$"):
        open_mcast_sender(GROUP, [5004, 5005])  # type: ignore[arg-type]


def test_source_with_a_port_is_answered() -> None:
    with pytest.raises(TypeError, match=r"sources must be .*, not int: 5$"):
        open_mcast_receiver(GROUP, PORT, sources=("10.0.0.9", 5))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"sources '10.0.0.9:5'.*write '10.0.0.9', without a port"):
        open_mcast_receiver(GROUP, PORT, sources="10.0.0.9:5")


# Interfaces ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("opener", [open_mcast_receiver, open_mcast_sender])
@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ("all", r"'all' is not the name .*leave interfaces out.*give ALL_INTERFACES"),
        ("any", "leave interfaces out"),
        ("*", "leave interfaces out"),
        ("0.0.0.0", "'0.0.0.0' is no interface's address: leave interfaces out"),
        ("::", "'::' is no interface's address"),
        ("", "is empty: name an interface, or leave it out"),
        (" ", "is empty"),
        (GROUP, "'239.1.2.3' is a group, not an interface"),
        (["eth0", "0.0.0.0"], "'0.0.0.0' is no interface's address"),
        ("ALL_INTERFACES", "give ALL_INTERFACES"),
        (0, "^interfaces=0 is no interface's index, .*: leave interfaces out"),
        ([1, -1], "^interfaces=-1 is no interface's index"),
    ],
)
def test_what_is_no_interface_anywhere_is_refused_at_once(
    opener: Any, selector: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        opener(GROUP, PORT, interfaces=selector)


@pytest.mark.parametrize("opener", [open_mcast_receiver, open_mcast_sender])
def test_network_is_no_interface(opener: Any) -> None:
    with pytest.raises(TypeError, match="not IPv4Network"):
        opener(GROUP, PORT, interfaces=ip_network("10.0.0.0/30"))


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ("wlan0,wlan1", r"'wlan0,wlan1'; for several give a list, \['wlan0', 'wlan1'\]"),
        ("eth0,eth1", r"'eth0,eth1'; for several give a list, \['eth0', 'eth1'\]; there are: eth0"),
        ("eth0 10.0.0.9", "for several give a list"),
        ("2", "'2'; the index of an interface is an int, 2; there are"),
        (" eth0", "without the spaces around it, write 'eth0'"),
        ("ETH0", "did you mean 'eth0'"),
        ("10.0.0.1/24", "the address alone is wanted, '10.0.0.1'"),
        ("[fe80::1]", "the address alone is wanted, 'fe80::1'"),
        ("fe80::1%", "the zone after the % is missing"),
        ("wlan0", "'wlan0'; there are: eth0"),
    ],
)
def test_name_that_no_interface_has_is_answered(selector: str, said: str) -> None:
    with pytest.raises(InterfaceNotFoundError, match=said):
        select_interfaces([selector], [ETH0, ETH1])


def test_interface_with_an_odd_name_is_found_all_the_same() -> None:
    for name in ("eth0,eth1", "2", " eth0", "10.0.0.1/24"):
        odd = Interface(name=name, index=7)
        (selection,) = select_interfaces([name], [ETH0, ETH1, odd])
        assert selection.interface is odd


# Sending ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "kind", "said"),
    [
        (Datagram(b"", Endpoint("10.0.0.1", 5), GROUP, ETH0), TypeError, "to=datagram.source"),
        ("239.1.2.3:5", ValueError, r"write '239.1.2.3'; give a pair .*, \(address, 5\)"),
        ("10.0.0.1:5", ValueError, "give a pair of address and port"),
        (["10.0.0.1", 5], TypeError, "make a tuple of it"),
        (("10.0.0.1", "5"), TypeError, r"int\(\)"),
        ("ff02::fb%", ValueError, "zone after the % is missing"),
    ],
)
def test_destination_is_answered(to: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        parse_destination(to, PORT)


def test_text_as_payload_is_answered() -> None:
    with pytest.raises(TypeError, match="not str: 'hello': encode it"):
        checked_payload("hello")  # type: ignore[arg-type]


# File descriptors ---------------------------------------------------------------------------------


@needs_module("resource")
@pytest.mark.parametrize("opener", [open_mcast_receiver, open_mcast_sender])
async def test_running_out_of_descriptors_is_told_in_numbers(
    opener: Any, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async with VirtualNetwork() as network:
        host, lan = network.host("a"), network.switch("lan")
        names = [f"eth{number}" for number in range(3)]
        for number, name in enumerate(names):
            host.plug(name, lan, f"10.0.0.{number + 1}/24")
        real, left = host.open_socket, [None, None]

        def open_socket(socket_spec: SocketSpec) -> Any:
            if not left:
                raise SocketSetupError(errno.EMFILE, "too many: raise it", step="socket")
            left.pop()
            return real(socket_spec)

        monkeypatch.setitem(vars(host), "open_socket", open_socket)
        said = r"^too many: raise it \(needed here: 3 for the sockets, .* may have [\d,]+ in all"
        with host, pytest.raises(SocketSetupError, match=said) as caught:
            async with opener(GROUP, PORT, interfaces=names):
                pytest.fail("entered")
        assert (caught.value.errno, caught.value.step) == (errno.EMFILE, "socket")
