"""Interfaces whose names are no UTF-8, or hold characters that mean something elsewhere."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import re
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv6Interface
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_mcast
from tests.lab import Host, Lab
from tests.lab._polling import wait_until_async
from tests.lab.machine import on
from tests.support.traffic import PORT, TIMEOUT_SECONDS, receive, sender_on
from trio_mcast import (
    AmbiguousInterfaceError,
    Datagram,
    Endpoint,
    Interface,
    InterfaceChange,
    InterfaceNotFoundError,
    McastError,
    McastReceiver,
    McastReceiverSpec,
    McastSender,
    McastSenderSpec,
    SocketSetupError,
    find_interfaces,
    list_interfaces,
    open_mcast_receiver,
    open_mcast_sender,
    watch_interfaces,
)
from trio_mcast._platform import bsd
from trio_mcast.testing import VirtualHost, VirtualNetwork

pytestmark = pytest.mark.once

# What `os.fsdecode`, and so ``sys.argv``, makes of a name in Latin-1; and how it is shown.
LATIN1 = "caf\udce9"
SHOWN = r"caf\udce9"
# A "%" cannot be in a name on Linux, where it is taken for a pattern.
NAMES = ["a.b", "-f", "a'b\"", "{}", "a\\b", "0x1", "café", LATIN1]
FEW_NAMES = pytest.mark.parametrize("name", [LATIN1, "café"])
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@dataclass(frozen=True)
class Pair:
    """Two hosts with one interface each, both of the same name."""

    a: Host
    b: Host


def pair_called(lab: Lab, name: str) -> Pair:
    lan = lab.switch("lan", flood=True)
    hosts = lab.host("a"), lab.host("b")
    for number, host in enumerate(hosts, start=1):
        host.plug("eth0", lan, f"10.0.1.{number}/24", f"fd00:1::{number}/64")
        host.run("ip", "link", "set", "dev", "eth0", "name", name)
    return Pair(*hosts)


@pytest.fixture
def pair(lab: Lab, name: str) -> Pair:
    return pair_called(lab, name)


@pytest.fixture
def latin1(lab: Lab) -> Pair:
    return pair_called(lab, LATIN1)


def add_interface(host: Host, name: str) -> None:
    host.run("ip", "link", "add", "dev", name, "type", "bridge")
    host.run("ip", "link", "set", "dev", name, "up")


@asynccontextmanager
async def receiver_at(
    host: Host, groups: str | Iterable[str], **options: Any
) -> AsyncIterator[McastReceiver]:
    with on(host):
        async with open_mcast_receiver(groups, PORT, **options) as receiver:
            yield receiver


async def until(satisfied: Callable[[], bool]) -> None:
    await wait_until_async(satisfied, bool, "it to be so")


# Listing and selecting --------------------------------------------------------------------------


def test_name_that_is_no_utf8_is_listed_as_the_system_decodes_it(latin1: Pair) -> None:
    with on(latin1.a):
        listed = list_interfaces()
    with latin1.a.inside():
        named = socket.if_nameindex()
    assert [(interface.index, interface.name) for interface in listed] == named
    assert os.fsencode(listed[1].name) == b"caf\xe9"
    assert [str(address) for address in listed[1].ipv4_addresses] == ["10.0.1.1/24"]


def test_interface_is_selected_by_whatever_names_it(lab: Lab) -> None:
    host = lab.host("a")
    for name in NAMES:
        add_interface(host, name)
    with on(host):
        for name in NAMES:
            (interface,) = find_interfaces(name)
            assert interface.name == name
            assert find_interfaces([interface, interface.index]) == [interface]


@FEW_NAMES
def test_interface_is_selected_by_its_zone(name: str, pair: Pair) -> None:
    with on(pair.b):
        (interface,) = find_interfaces(name)
        address = next(item.ip for item in interface.ipv6_addresses if item.is_link_local)
        for zone in (name, interface.index):
            assert find_interfaces(f"{address}%{zone}") == [interface]


# Receiving and sending --------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["239.1.2.3", "ff02::1:3", "ff05::1:3"])
@FEW_NAMES
async def test_datagrams_and_replies_pass(name: str, group: str, pair: Pair) -> None:
    async with (
        receiver_at(pair.b, group, interfaces=name) as receiver,
        sender_on(pair.a, group, interfaces=name, receive_replies=True) as asker,
    ):
        await asker.send(b"who is there?")
        question = await receive(receiver)
        assert (question.data, question.interface.name) == (b"who is there?", name)
        async with sender_on(pair.b, group, interfaces=question.interface) as answerer:
            await answerer.send(b"I am", to=question.source)
            with trio.fail_after(TIMEOUT_SECONDS):
                assert (await asker.replies.receive()).data == b"I am"


@FEW_NAMES
async def test_zone_is_the_name(name: str, pair: Pair) -> None:
    group = f"ff02::1:3%{name}"
    async with (
        receiver_at(pair.b, group) as receiver,
        sender_on(pair.a, "ff02::1:3", interfaces=name) as sender,
    ):
        await sender.send(b"hello")
        source = (await receive(receiver)).source
        assert source.host.startswith("fe80::")
        assert source.host.partition("%")[2] == name
        assert source == sender.local_endpoints[0]
        await receiver.leave(group)
        assert receiver.memberships == ()


async def test_unicast_comes_to_every_address(latin1: Pair) -> None:
    group = "ff02::1:3"
    async with (
        receiver_at(latin1.b, group, interfaces=LATIN1, accept_unicast=True) as receiver,
        sender_on(latin1.a, group, interfaces=LATIN1) as sender,
    ):
        addresses = [str(item.ip) for item in receiver.interfaces[0].ipv6_addresses]
        assert len(addresses) == 2
        for address in addresses:
            zone = f"%{LATIN1}" if address.startswith("fe80") else ""
            await sender.send(address.encode(), to=(f"{address}{zone}", PORT))
            datagram = await receive(receiver)
            assert (datagram.data, datagram.group) == (address.encode(), None)


async def test_ipv6_that_is_switched_off_is_noticed(latin1: Pair) -> None:
    latin1.b.namespace.set_parameters({f"ipv6/conf/{LATIN1}/disable_ipv6": "1"})
    with pytest.raises(SocketSetupError) as caught:
        async with receiver_at(latin1.b, "ff05::1:3", interfaces=LATIN1):
            pass
    assert (caught.value.errno, caught.value.interface) == (errno.ENODEV, LATIN1)
    assert f"on interface {SHOWN}" in str(caught.value)


# Coming and going -------------------------------------------------------------------------------


async def test_interface_that_comes_is_told_joined_and_harms_nobody(lab: Lab) -> None:
    host = lab.host("a")
    host.plug("eth0", lab.switch("lan", flood=True), "10.0.1.1/24")
    with on(host):
        watching = watch_interfaces()
        async with (
            receiver_at(host, "239.1.2.3") as receiver,
            receiver_at(host, "239.1.2.3", interfaces="eth0") as other,
            sender_on(host, "239.1.2.3", interfaces="eth0") as sender,
            watching as changes,
        ):
            add_interface(host, LATIN1)
            with trio.fail_after(TIMEOUT_SECONDS):
                change = await changes.receive()
            assert (change.kind, change.interface.name) == ("added", LATIN1)
            await until(lambda: [item.name for item in receiver.interfaces] == ["eth0", LATIN1])
            await sender.send(b"still here")
            assert (await receive(receiver)).data == b"still here"
            assert (await receive(other)).data == b"still here"
            host.run("ip", "link", "delete", "dev", LATIN1)
            # Nobody has named it: it is forgotten.
            await until(lambda: len(receiver.memberships) == 1)


async def test_name_that_is_no_utf8_is_waited_for_and_logged(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trio_mcast")
    host = lab.host("a")
    async with receiver_at(host, "ff05::1:3", interfaces=LATIN1, allow_missing=True) as receiver:
        assert receiver.memberships[0].state == "waiting"
        add_interface(host, LATIN1)
        await until(lambda: receiver.memberships[0].state == "joined")
        host.run("ip", "link", "delete", "dev", LATIN1)
        await until(lambda: receiver.memberships[0].state == "waiting")
        with pytest.raises(ValueError, match=r"is waited for on interface caf\\udce9 already"):
            await receiver.join("ff05::1:3", interfaces=LATIN1)
        await receiver.leave("ff05::1:3", interfaces=LATIN1)
    assert [record.getMessage() for record in caplog.records] == [
        f"group ff05::1:3 on interface {SHOWN} is joined",
        f"group ff05::1:3 on interface {SHOWN} is waiting",
    ]


# What is printed --------------------------------------------------------------------------------

CAFE = Interface(LATIN1, 7, ipv6_addresses=(IPv6Interface("fe80::1/64"),))
TEA = Interface("t\udcff", 8, ipv6_addresses=(IPv6Interface("fe80::1/64"),))


def test_values_are_shown_escaped() -> None:
    source = Endpoint(f"fe80::1%{LATIN1}", 5000)
    assert str(CAFE) == SHOWN
    assert str(source) == rf"[fe80::1%{SHOWN}]:5000"
    for value in (
        CAFE,
        source,
        Datagram(b"", source, "ff02::1:3", CAFE),
        InterfaceChange(None, CAFE),
        McastReceiverSpec("ff02::1:3", 5000, interfaces=CAFE),
        *McastReceiverSpec("ff02::1:3", 5000, interfaces=LATIN1).plan([CAFE], "linux"),
    ):
        assert SHOWN in str(value)
        assert str(value).isascii()
        assert repr(value).isascii()


@pytest.mark.parametrize(
    ("refused", "kind"),
    [
        (lambda: McastReceiverSpec("ff02::1:3", 5, interfaces="eth0"), InterfaceNotFoundError),
        (lambda: McastReceiverSpec("ff02::1:3", 5, interfaces=9), InterfaceNotFoundError),
        (lambda: McastReceiverSpec("ff02::1:3", 5, interfaces="caf"), InterfaceNotFoundError),
        (lambda: McastReceiverSpec(f"ff02::1:3%{LATIN1}x", 5), InterfaceNotFoundError),
        (lambda: McastReceiverSpec("ff02::1:3", 5, interfaces="fe80::1"), AmbiguousInterfaceError),
        (lambda: McastReceiverSpec(f"ff02::1:3%{LATIN1}", 5, interfaces=8), ValueError),
        (lambda: McastSenderSpec("ff02::1:3", 5), AmbiguousInterfaceError),
        (
            lambda: McastSenderSpec("239.1.2.3", 5, interfaces=LATIN1, source_address="10.0.0.1"),
            ValueError,
        ),
    ],
)
def test_error_that_names_it_can_be_printed(
    refused: Callable[[], McastReceiverSpec | McastSenderSpec], kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        refused().plan([CAFE, TEA], "linux")
    assert SHOWN in str(caught.value)
    assert str(caught.value).isascii()
    assert all(argument.isascii() for argument in caught.value.args)


def test_error_of_a_socket_keeps_the_name_apart_from_the_text() -> None:
    error = SocketSetupError(
        errno.ENODEV, f"no {LATIN1}", step="bind", group="239.1.2.3", interface=LATIN1
    )
    copied = pickle.loads(pickle.dumps(error))
    for each in (error, copied):
        assert (str(each), each.strerror, each.interface) == (f"no {SHOWN}", f"no {SHOWN}", LATIN1)
        assert each.errno == errno.ENODEV
    assert str(McastError(LATIN1, 3)) == str((SHOWN, 3))


async def test_errors_while_open_can_be_printed(latin1: Pair) -> None:
    async with (
        receiver_at(latin1.a, "ff02::1:3", interfaces=LATIN1) as receiver,
        sender_on(latin1.a, "ff02::1:3", interfaces=LATIN1) as sender,
    ):
        (interface,) = receiver.interfaces
        calls: list[Callable[[], Any]] = [
            lambda: receiver.join("ff02::1:3", interfaces=interface),
            lambda: receiver.leave("ff02::1:3%eth9"),
            lambda: receiver.leave("ff02::1:3", interfaces="eth9"),
            lambda: receiver.join("ff02::1:4", interfaces="eth9"),
            lambda: sender.send(b"", to=("fe80::1%eth9", PORT)),
        ]
        for call in calls:
            with pytest.raises((ValueError, McastError)) as caught:
                await call()
            assert str(caught.value).isascii(), caught.value
        assert str(receiver.statistics()).isascii()
        assert str(receiver.memberships).isascii()
        assert str(sender.statistics()).isascii()
        latin1.a.run("ip", "link", "delete", "dev", LATIN1)
        await until(lambda: not sender.interfaces)
        with pytest.raises(SocketSetupError, match=r"on interface caf\\udce9") as refused:
            await sender.send(b"")
        assert str(refused.value).isascii()


def in_ascii() -> dict[str, str]:
    """The environment of a program that can write ASCII only."""
    path = str(Path(trio_mcast.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "ascii", "COLUMNS": "80"}


def test_programs_of_the_documentation_print_where_only_ascii_can_be(latin1: Pair) -> None:
    command = (sys.executable, "-u")
    shown = latin1.b.run(*command, str(EXAMPLES / "show_interfaces.py"), env=in_ascii()).stdout
    assert rf"  {latin1.b.index(LATIN1)} {SHOWN} 10.0.1.2/24" in shown
    both = latin1.b.run(*command, str(EXAMPLES / "both.py"), LATIN1, env=in_ascii())
    assert both.stdout.splitlines()[0] == "received number 0"


@FEW_NAMES
def test_demo_prints_where_only_ascii_can_be(name: str, lab: Lab) -> None:
    shown = {LATIN1: SHOWN, "café": r"caf\xe9"}[name]
    host = lab.host("a")
    host.run("ip", "link", "set", "dev", "lo", "down")
    host.run("ip", "link", "set", "dev", "lo", "name", name)
    down = host.run(sys.executable, "-m", "trio_mcast", "demo", env=in_ascii(), check=False)
    # click finds a way to write all of Unicode to standard error.
    assert re.search(rf"the loopback interface ({re.escape(shown)}|café) is down", down.stderr)
    host.run("ip", "link", "set", "dev", name, "up")
    result = host.run(sys.executable, "-m", "trio_mcast", "demo", env=in_ascii())
    assert f"Multicast on the loopback interface {shown};" in result.stdout
    assert "24 of 24 datagrams arrived, each once." in result.stdout


# Bytes, and other systems -----------------------------------------------------------------------


def test_name_goes_to_the_system_as_the_very_bytes() -> None:
    (socket_spec,) = McastReceiverSpec("ff02::1:3", 5000, interfaces=LATIN1).plan([CAFE], "linux")
    (option,) = [option for option in socket_spec.options if option.symbol == "SO_BINDTODEVICE"]
    assert option.value == b"caf\xe9\0"
    assert bsd.mtu_request(LATIN1)[:5] == b"caf\xe9\0"


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd", "windows"])
@pytest.mark.parametrize("name", [LATIN1, "Ethernet 2%b"])
async def test_virtual_host_can_have_such_an_interface(platform: Any, name: str) -> None:
    name = name.replace(" ", "") if platform == "linux" else name  # Which takes no spaces.
    async with VirtualNetwork() as network:
        lan = network.switch("lan", snooping=True)
        a, b = (network.host(host, platform=platform) for host in ("a", "b"))
        for number, host in enumerate((a, b), start=1):
            host.plug(name, lan, f"10.0.1.{number}/24", f"fe80::{number}/64")
        for group, source in (("239.1.2.3", "10.0.1.1"), ("ff02::1:3", f"fe80::1%{zone(name)}")):
            async with (
                virtual_receiver(a, group, interfaces=name) as receiver,
                virtual_sender(b, group, interfaces=name, receive_replies=True) as asker,
            ):
                await trio.sleep(1)
                await asker.send(b"who is there?")
                question = await receive(receiver)
                assert question.interface.name == name
                async with virtual_sender(a, group, interfaces=question.interface) as answerer:
                    await answerer.send(b"I am", to=question.source)
                    reply = await asker.replies.receive()
                assert (reply.data, reply.source.host) == (b"I am", source)
    lines = [str(event) for event in network.trace]
    assert any(SHOWN in line or "2%b" in line for line in lines)
    assert all(line.isascii() for line in lines)


def zone(name: str) -> str:
    """The zone of the virtual hosts' only interface, which has index 2, in an address."""
    # `ipaddress` takes no zone with a "%" in it.
    return "2" if "%" in name else name


@asynccontextmanager
async def virtual_receiver(
    host: VirtualHost, group: str, **options: Any
) -> AsyncIterator[McastReceiver]:
    with host:
        async with open_mcast_receiver(group, PORT, **options) as receiver:
            yield receiver


@asynccontextmanager
async def virtual_sender(
    host: VirtualHost, group: str, **options: Any
) -> AsyncIterator[McastSender]:
    with host:
        async with open_mcast_sender(group, PORT, **options) as sender:
            yield sender
