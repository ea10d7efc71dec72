"""What changes about an interface while receivers are joined on it, and what is refused then."""

from __future__ import annotations

import errno
import socket

import pytest
import trio

from tests.lab.machine import on
from tests.support.changing_lan import ChangingLan, exclusive_program, until_memberships
from tests.support.leftovers import nothing_left_over, open_socket_names, settled_tasks
from tests.support.traffic import PORT, plain_sender, receive, with_prefix
from tests.support.waiting import wait_for
from tests.support.watched_host import ip
from trio_mcast import McastReceiver, SocketSetupError, open_mcast_receiver

pytestmark = pytest.mark.once

# Changes -----------------------------------------------------------------------------------------


async def test_change_of_address_keeps_the_socket_and_doubles_nothing(net: ChangingLan) -> None:
    net.plug()
    with on(net.a):
        async with open_mcast_receiver(net.group, PORT, interfaces="eth0") as receiver:
            sockets = open_socket_names()
            net.sender.sendto(b"before", (net.group, PORT))
            (new,) = with_prefix([net.address(21)])
            (old,) = with_prefix([net.address(1)])
            net.a.address("eth0", add=[new], remove=[old])
            await wait_for(
                lambda: new in map(str, _addresses(receiver)), "the new address in the membership"
            )
            await until_memberships(receiver, "eth0 joined")
            assert (await receive(receiver)).data == b"before"
            for _ in range(3):
                assert await net.heard(receiver) == ["eth0"]
            datagram_interface = receiver.interfaces[0]
            net.sender.sendto(b"after", (net.group, PORT))
            assert (await receive(receiver)).interface == datagram_interface
            assert open_socket_names() == sockets


def _addresses(receiver: McastReceiver) -> list[object]:
    interface = receiver.memberships[0].interface
    return [*interface.ipv4_addresses, *interface.ipv6_addresses]


async def test_without_loopback_what_comes_from_a_new_address_is_rejected(net: ChangingLan) -> None:
    net.plug()
    with on(net.a):
        async with open_mcast_receiver(net.group, PORT, loopback=False) as receiver:
            assert await net.heard(receiver) == ["eth0"]
            (new,) = with_prefix([net.address(21)])
            net.a.address("eth0", add=[new])
            await wait_for(lambda: new in map(str, _addresses(receiver)), "the new address")
            with plain_sender(net.a, net.group, "eth0", net.address(21)) as own:
                own.sendto(b"own", (net.group, PORT))
            assert await net.heard(receiver) == ["eth0"]
            assert receiver.statistics().rejected_by_reason == {"own": 1}
            # An address of another interface is one of this machine's, too.
            ip(net.a, "link add off0 type bridge", "link set off0 up")
            other = with_prefix([net.address(31).replace(":1::", ":9::").replace(".1.", ".9.")])[0]
            ip(net.a, f"address add {other} dev off0 {'nodad' if ':' in other else ''}")
            await until_memberships(receiver, "eth0 joined", "off0 joined")
            with plain_sender(net.a, net.group, "eth0", other.partition("/")[0]) as own:
                await wait_for(lambda: _sends(own, net.group), "an address that can be used")
            await wait_for(lambda: receiver.statistics().rejected >= 2, "the rejection")
            assert await net.heard(receiver) == ["eth0"]


def _sends(sock: socket.socket, group: str) -> bool:
    sock.sendto(b"own", (group, PORT))
    return True


async def test_address_that_moves_takes_its_membership_along(net: ChangingLan) -> None:
    net.plug()
    net.plug(number=11, name="eth1")
    (moving,) = with_prefix([net.address(21)])
    net.a.address("eth0", add=[moving])
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT, interfaces=net.address(21)) as receiver:
            await until_memberships(receiver, "eth0 joined")
            net.a.address("eth0", remove=[moving])
            await until_memberships(receiver, f"{net.address(21)} waiting")
            net.a.address("eth1", add=[moving])
            await until_memberships(receiver, "eth1 joined")
            assert await net.heard(receiver) == ["eth1"]


async def test_mtu_below_that_of_ipv6_and_back_joins_again(net6: ChangingLan) -> None:
    net6.plug()
    with on(net6.a), nothing_left_over():
        async with open_mcast_receiver(
            [net6.group, "239.1.2.3"], PORT, interfaces="eth0"
        ) as receiver:
            ip(net6.a, "link set eth0 mtu 1000")
            failed, _ = await until_memberships(receiver, "eth0 failed", "eth0 joined")
            assert failed.error is not None
            assert failed.error.errno == errno.EINVAL
            assert "mtu of less than 1,280" in str(failed.error)
            ip(net6.a, "link set eth0 mtu 1500")
            await until_memberships(receiver, "eth0 joined", "eth0 joined")
            assert await net6.heard(receiver) == ["eth0"]


async def test_ipv6_that_is_switched_off_and_on_receives_again(net6: ChangingLan) -> None:
    net6.plug()
    with on(net6.a), nothing_left_over():
        async with open_mcast_receiver(net6.group, PORT, interfaces="eth0") as receiver:
            before = receiver.memberships[0].interface
            net6.a.namespace.set_parameters({"ipv6/conf/eth0/disable_ipv6": "1"})
            await wait_for(
                lambda: receiver.memberships[0].interface != before, "its addresses to go"
            )
            net6.a.namespace.set_parameters({"ipv6/conf/eth0/disable_ipv6": "0"})
            await wait_for(lambda: _gets(net6, receiver), "a datagram")


def _gets(net: ChangingLan, receiver: McastReceiver) -> bool:
    net.sender.sendto(b"?", (net.group, PORT))
    try:
        receiver.receive_nowait()
    except trio.WouldBlock:
        return False
    return True


# Refusals ----------------------------------------------------------------------------------------


async def test_join_that_is_refused_as_ipv6_is_off_is_tried_again(net6: ChangingLan) -> None:
    net6.a.namespace.set_parameters({"ipv6/conf/default/disable_ipv6": "1"})
    with on(net6.a), nothing_left_over():
        async with open_mcast_receiver(
            net6.group, PORT, interfaces="eth0", allow_missing=True
        ) as receiver:
            net6.a.plug("eth0", net6.lan, "10.0.1.1/24", link_local=False)
            (failed,) = await until_memberships(receiver, "eth0 failed")
            assert isinstance(failed.error, SocketSetupError)
            assert failed.error.errno == errno.ENODEV
            assert "disable_ipv6" in str(failed.error)
            assert receiver.interfaces == ()
            net6.a.namespace.set_parameters({"ipv6/conf/eth0/disable_ipv6": "0"})
            (joined,) = await until_memberships(receiver, "eth0 joined")
            assert joined.error is None
            assert await net6.heard(receiver) == ["eth0"]


async def test_join_that_another_program_stands_in_the_way_of_is_tried_again(
    net: ChangingLan,
) -> None:
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(
            net.group, PORT, interfaces="eth0", allow_missing=True
        ) as receiver:
            net.plug()
            with exclusive_program(net.a, net.group, "eth0"):
                (failed,) = await until_memberships(receiver, "eth0 failed")
                assert failed.error is not None
                assert failed.error.errno == errno.EADDRINUSE
            await until_memberships(receiver, "eth0 joined")
            assert await net.heard(receiver) == ["eth0"]


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ENETDOWN])
async def test_socket_that_cannot_be_read_is_replaced(
    net: ChangingLan, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_recvmsg = getattr(socket.socket, "recvmsg", None)
    assert real_recvmsg is not None
    refused: list[object] = []

    def recvmsg(sock: socket.socket, size: int, control_size: int) -> object:
        if not refused:
            refused.append(sock.getsockname())
            raise OSError(number, "refused")
        return real_recvmsg(sock, size, control_size)

    net.plug()
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT, interfaces="eth0") as receiver:
            with_it = await settled_tasks()
            monkeypatch.setattr(socket.socket, "recvmsg", recvmsg)
            net.sender.sendto(b"lost", (net.group, PORT))
            (failed,) = await until_memberships(receiver, "eth0 failed")
            assert failed.error is not None
            assert failed.error.errno == number
            assert await settled_tasks() == with_it - 1
            await until_memberships(receiver, "eth0 joined")
            assert await net.heard(receiver) == ["eth0"]
            assert await settled_tasks() == with_it
            assert receiver.statistics().sockets_failed == 1


async def test_membership_that_waits_delivers_nothing(net: ChangingLan) -> None:
    """An interface that nobody named is up, and not fit: its multicast flag was taken away."""
    net.plug()
    net.plug(number=11, name="eth1")
    with on(net.a), nothing_left_over():
        async with open_mcast_receiver(net.group, PORT) as receiver:
            assert await net.heard(receiver) == ["eth0", "eth1"]
            ip(net.a, "link set eth1 multicast off")
            await until_memberships(receiver, "eth0 joined", "eth1 waiting")
            assert await net.heard(receiver) == ["eth0"]
            ip(net.a, "link set eth1 multicast on")
            await until_memberships(receiver, "eth0 joined", "eth1 joined")
            assert await net.heard(receiver) == ["eth0", "eth1"]
