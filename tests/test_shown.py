"""What people see of values and of live objects: reprs, tables, public fields, docstrings."""

from __future__ import annotations

import ast
import functools
import inspect
import typing
from ipaddress import IPv4Interface
from pathlib import Path
from types import ModuleType

import attrs
import pytest
import trio

import trio_mcast
import trio_mcast.testing
from tests.support.interfaces import ETH0, ETH1
from trio_mcast import (
    Datagram,
    DatagramCounts,
    Endpoint,
    Interface,
    InterfaceAddress,
    InterfaceChange,
    McastReceiverSpec,
    McastSenderSpec,
    Membership,
    MembershipStatistics,
    ReceiverStatistics,
    SenderInterfaceStatistics,
    SenderStatistics,
    SocketSetupError,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast._values.datagram import make_datagram
from trio_mcast.testing import VirtualNetwork

GROUP, PORT = "239.1.2.3", 12345
SOURCE = Endpoint("10.0.0.1", 5000)


# Live objects


async def test_receiver_shows_groups_port_and_states(
    autojump_clock: trio.testing.MockClock,
) -> None:
    groups = [GROUP, "239.1.2.4", "239.1.2.5"]
    async with VirtualNetwork() as network:
        host = network.host("a")
        host.plug("eth0", network.switch("lan"), "10.0.0.1/24")
        with host:
            opening = open_mcast_receiver(
                groups, PORT, interfaces=["eth0", "eth9"], allow_missing=True
            )
            async with opening as receiver:
                assert repr(receiver) == (
                    "<McastReceiver 239.1.2.3 and 2 more, port 12345: 3 joined, 3 waiting>"
                )
                await receiver.leave(groups[1:])
                assert (
                    repr(receiver) == "<McastReceiver 239.1.2.3, port 12345: 1 joined, 1 waiting>"
                )
                await receiver.leave(GROUP)
                assert repr(receiver).endswith("port 12345: nothing joined>")
            assert repr(receiver).endswith("port 12345: closed>")


async def test_sender_shows_group_port_and_interfaces(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with VirtualNetwork() as network:
        host, lan = network.host("a"), network.switch("lan")
        interface = host.plug("eth0", lan, "10.0.0.1/24")
        host.plug("eth1", lan, "10.0.0.2/24")
        with host:
            async with open_mcast_sender(
                GROUP, PORT, interfaces=["eth0", "eth1"], receive_replies=True
            ) as sender:
                replies = sender.replies
                assert repr(sender) == "<McastSender 239.1.2.3, port 12345: on eth0 and 1 more>"
                assert repr(replies) == "<DatagramReceiver: 0 datagrams waiting>"
                interface.unplug()
                await trio.sleep(1)
                assert repr(sender) == "<McastSender 239.1.2.3, port 12345: on eth1>"
            assert repr(sender) == "<McastSender 239.1.2.3, port 12345: closed>"
            assert repr(replies) == "<DatagramReceiver: closed>"


# Values


@pytest.mark.parametrize("make", [lambda fields: Datagram(*fields), make_datagram])
def test_datagram_shows_interface_as_name_and_no_long_payload(
    make: typing.Callable[[tuple[object, ...]], Datagram],
) -> None:
    defaults = tuple(Datagram._field_defaults.values())[2:]
    datagram = make((b"hello", SOURCE, GROUP, ETH0, 7, None, *defaults))
    assert repr(datagram) == (
        f"Datagram(data=b'hello', source={SOURCE!r}, group='239.1.2.3', interface=eth0, ttl=7)"
    )
    long = repr(datagram._replace(data=b"x" * 60_000))
    assert "b'" + 32 * "x" + "'... (60000 bytes), " in long
    assert len(long) < 250


def test_values_show_an_interface_as_its_name() -> None:
    values: list[object] = [
        Membership(GROUP, ETH0, (), (), "joined"),
        MembershipStatistics(group=GROUP, interface=ETH0),
        InterfaceChange(ETH0, None),
        *McastReceiverSpec(GROUP, PORT, interfaces=ETH0).plan([ETH0], "linux"),
    ]
    for value in values:
        assert "Interface(" not in repr(value)
        assert "=eth0" in repr(value)
    for spec in (McastReceiverSpec, McastSenderSpec):
        assert "interfaces=(eth0,)," in repr(spec(GROUP, PORT, interfaces=ETH0))
        assert "interfaces=('lo', eth0)," in repr(spec(GROUP, PORT, interfaces=["lo", ETH0]))
        assert "interfaces=None," in repr(spec(GROUP, PORT))


def test_interface_with_an_odd_name_can_be_shown_and_printed() -> None:
    odd = Interface(name="a\udcff", index=3)
    repr(Membership(GROUP, odd, (), (), "joined")).encode()
    repr(Datagram(b"", SOURCE, GROUP, odd)).encode()
    str(MembershipStatistics(group=GROUP, interface=odd)).encode()
    counts = {odd.name: SenderInterfaceStatistics(1, 0)}
    str(SenderStatistics(1, 0, None, 0, interfaces=counts)).encode()


# Tables


def test_statistics_of_a_receiver_are_a_table() -> None:
    memberships = (
        MembershipStatistics(
            group=GROUP, interface=ETH0, received=1_200, received_bytes=64_000, delivered=1_200
        ),
        MembershipStatistics(group=None, interface=ETH1, dropped_by_kernel=None),
    )
    statistics = ReceiverStatistics(
        received=1_200,
        received_bytes=64_000,
        delivered=1_200,
        dropped_by_kernel=None,
        rejections={"own": 2, "unicast": 1},
        memberships=memberships,
        receive_buffer_asked=1_048_576,
        receive_buffer_granted=212_992,
    )
    assert str(statistics).splitlines() == [
        "                   received   bytes  delivered  waiting  dropped  by kernel  rejected",
        "239.1.2.3 on eth0     1,200  64,000      1,200        0        0          0         0",
        "unicast on eth1           0       0          0        0        0    unknown         0",
        "in all                1,200  64,000      1,200        0        0    unknown         3",
        "rejected: own 2, unicast 1",
        "receive buffer: 1,048,576 bytes asked for, 212,992 granted",
    ]


@pytest.mark.parametrize(("count", "lines"), [(16, 16), (17, 16), (4_000, 16)])
def test_table_of_many_memberships_is_short_and_adds_up(count: int, lines: int) -> None:
    memberships = tuple(
        MembershipStatistics(group=f"239.1.0.{number}", interface=ETH0, received=1, waiting=1)
        for number in range(count)
    )
    statistics = ReceiverStatistics(
        received=count,
        memberships=memberships,
        receive_buffer_asked=1,
        receive_buffer_granted=1,
        sockets_failed=5,
    )
    _head, *table, last, _, failed = str(statistics).splitlines()
    assert len(table) == lines
    assert last.split()[:3] == ["in", "all", f"{count:,}"]
    assert failed == "sockets that could not be read: 5"
    if count > lines:
        assert table[-1].split()[:3] == [f"{count - 15:,}", "more", f"{count - 15:,}"]


def test_statistics_of_a_sender_are_a_table() -> None:
    error = SocketSetupError(101, "no route", step="send")
    statistics = SenderStatistics(
        sent=4,
        failed=1_000,
        send_buffer_asked=None,
        send_buffer_granted=106_496,
        replies=ReceiverStatistics(receive_buffer_asked=1, receive_buffer_granted=1),
        interfaces={
            "eth0": SenderInterfaceStatistics(4, 0),
            "eth1": SenderInterfaceStatistics(0, 1_000, error),
        },
    )
    assert str(statistics).splitlines()[:7] == [
        "        sent  failed",
        "eth0       4       0",
        "eth1       0   1,000",
        "in all     4   1,000",
        f"last error on eth1: {error}",
        "send buffer: the system's choice, 106,496 bytes granted",
        "replies:",
    ]
    assert str(statistics).endswith(str(statistics.replies))


def test_counts_are_a_table_of_one_line() -> None:
    _head, line = str(DatagramCounts(received=3)).splitlines()
    assert line.split()[:3] == ["in", "all", "3"]


# Public names


def public_classes(module: ModuleType) -> list[type]:
    return [value for name in module.__all__ if inspect.isclass(value := getattr(module, name))]


CLASSES = [*public_classes(trio_mcast), *public_classes(trio_mcast.testing)]


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if attrs.has(cls)])
def test_public_values_have_public_fields_only(cls: type[attrs.AttrsInstance]) -> None:
    assert [field.name for field in attrs.fields(cls) if field.name.startswith("_")] == []


@functools.cache
def attribute_docstrings() -> dict[str, set[str]]:
    """The attributes with a docstring below them, by class."""
    documented: dict[str, set[str]] = {}
    for path in Path(trio_mcast.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                pairs = zip(node.body, node.body[1:], strict=False)
                documented[node.name] = {
                    statement.target.id
                    for statement, below in pairs
                    if isinstance(statement, ast.AnnAssign)
                    and isinstance(statement.target, ast.Name)
                    and isinstance(below, ast.Expr)
                    and isinstance(below.value, ast.Constant)
                }
    return documented


def fields_of(cls: type) -> list[str]:
    fields = [field.name for field in attrs.fields(cls)] if attrs.has(cls) else []
    own = [*getattr(cls, "__annotations__", ()), *fields, *getattr(cls, "_fields", ())]
    return [name for name in dict.fromkeys(own) if not name.startswith("_")]


# A spec's fields are explained as arguments, by the function that opens.
@pytest.mark.once
@pytest.mark.parametrize("cls", [cls for cls in CLASSES if not cls.__name__.endswith("Spec")])
def test_editors_show_a_docstring_for_each_attribute(cls: type) -> None:
    documented = attribute_docstrings()
    known = {name for parent in cls.__mro__ for name in documented.get(parent.__name__, ())}
    assert [name for name in fields_of(cls) if name not in known] == []


def test_aliases_of_signatures_are_public() -> None:
    for opening in (open_mcast_receiver, open_mcast_sender):
        for annotation in opening.__annotations__.values():
            for name in ast.walk(ast.parse(annotation, mode="eval")):
                if isinstance(name, ast.Name) and name.id not in ("int", "bool", "str"):
                    standard = name.id in ("Iterable", "AbstractAsyncContextManager")
                    assert standard or hasattr(trio_mcast, name.id)


def test_interface_takes_its_facts_in_the_order_of_the_reference() -> None:
    address = IPv4Interface("10.0.0.1/24")
    detail = InterfaceAddress(address)
    interface = Interface(
        "veth0", 2, "", (address,), (), None, 1500, True, False, True, "br0", ("x",), (detail,)
    )
    assert (interface.master, interface.alternative_names) == ("br0", ("x",))
    assert interface.address_details == (detail,)
