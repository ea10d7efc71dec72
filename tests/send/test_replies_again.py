"""Replies after an error on a sender's socket: they come again, from the port that is told."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
import trio

from tests.lab import Host
from tests.lab.fixtures import TwoHosts
from tests.lab.machine import on
from tests.support.askers import GROUP, answer_all, counted, reply_to, wait_until_counted
from tests.support.needs import needs_program
from tests.support.senders import listening
from tests.support.traffic import FAMILIES, PORT, TIMEOUT_SECONDS, Family, group_of, sender_on
from trio_mcast import Datagram, Endpoint, McastSender, open_mcast_sender
from trio_mcast._host.protocols import McastSocket

pytestmark = pytest.mark.once


def abort(host: Host, sender: McastSender) -> None:
    """Have the system abort the socket of a sender, as an administrator does."""
    (endpoint,) = sender.local_endpoints
    killed = host.run("ss", "-K", "-uaH", "sport", "=", f":{endpoint.port}").stdout
    if not killed.strip():
        pytest.skip("this kernel cannot abort sockets (CONFIG_INET_DIAG_DESTROY)")


@needs_program("ss")
@FAMILIES
@pytest.mark.parametrize("source_port", [0, 4000])
async def test_replies_come_again_after_the_socket_was_aborted(
    two_hosts: TwoHosts, family: Family, source_port: int
) -> None:
    a, b, group = two_hosts.a, two_hosts.b, group_of(family)
    settings: dict[str, Any] = {"source_port": source_port, "receive_replies": True}
    with await listening(b, two_hosts.lan, group) as program:
        async with sender_on(a, group, interfaces="eth0", **settings) as asker:
            endpoints = asker.local_endpoints
            abort(a, asker)
            await wait_until_counted(asker, lambda seen: seen.sockets_failed == 1)
            with trio.fail_after(TIMEOUT_SECONDS):
                while True:
                    await asker.send(b"?")
                    _, address = program.recvfrom(100)
                    assert address[1] == asker.local_endpoints[0].port
                    program.sendto(b"!", address)
                    with trio.move_on_after(0.1):
                        assert (await asker.replies.receive()).data == b"!"
                        # One may have come by the old socket still, which is read to its end.
                        if asker.local_endpoints == endpoints:
                            break
            assert counted(asker).sockets_failed == 1


@needs_program("ss")
@FAMILIES
async def test_closing_right_after_an_abort_leaves_the_program_running(
    two_hosts: TwoHosts, family: Family
) -> None:
    """The task that takes times of departure pauses then, as there is nothing to take."""
    a = two_hosts.a
    async with sender_on(a, group_of(family), interfaces="eth0") as sender:
        assert await sender.send_timestamped(b"?")
        abort(a, sender)
        await trio.sleep(0.03)  # So that it has noticed, and is in its pause.
    await trio.sleep(0.2)  # Longer than the pause.


@needs_program("ss")
@FAMILIES
async def test_sender_tells_the_port_that_its_datagrams_come_from(
    two_hosts: TwoHosts, family: Family
) -> None:
    """Linux takes the port away from a socket that it aborts, and gives it another."""
    a, b, group = two_hosts.a, two_hosts.b, group_of(family)
    with await listening(b, two_hosts.lan, group) as program:
        async with sender_on(a, group, interfaces="eth0") as sender:
            abort(a, sender)
            for _ in range(2):
                await sender.send(b"?")
                _, address = program.recvfrom(100)
                assert sender.local_endpoints[0].port == address[1]


def readings_of(sock: McastSocket) -> dict[str, Callable[..., list[Datagram]]]:
    """The methods by which a socket is read, by name."""
    names = ("receive", "receive_first")
    return {name: getattr(type(sock), name) for name in names if hasattr(type(sock), name)}


async def test_socket_whose_reading_fails_each_time_is_replaced_after_longer_and_longer_pauses(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: dict[McastSocket, float] = {}
    with on(host):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo", receive_replies=True) as asker:
            endpoint: Endpoint = asker.local_endpoints[0]
            (first,) = asker._outlets.open_sockets

            def refusing(
                read: Callable[..., list[Datagram]],
            ) -> Callable[..., list[Datagram]]:
                def refuse(self: McastSocket, *arguments: Any) -> list[Datagram]:
                    # A socket is read once more when it is closed, and fails again.
                    if len(failures) < 3 or self in failures:
                        failures.setdefault(self, trio.current_time())
                        raise OSError(errno.ENETDOWN, "Network is down")
                    return read(self, *arguments)

                return refuse

            for name, read in readings_of(first).items():
                monkeypatch.setattr(type(first), name, refusing(read))
            with trio.fail_after(TIMEOUT_SECONDS):
                while counted(asker).received < 1:
                    answer_all(host, asker, [b"!"])
                    await trio.sleep(0.01)
            assert (await reply_to(asker)).data == b"!"
            assert asker.local_endpoints == (endpoint,)
            assert counted(asker).sockets_failed == 3
            await asker.send(b"?")
            assert asker.statistics().sent == 1
    one, two, three = failures.values()
    assert two - one >= 0.1
    assert three - two >= 0.2


async def test_closing_does_not_wait_for_a_socket_to_be_replaced(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: McastSocket, *arguments: Any) -> list[Datagram]:
        raise OSError(errno.ENETDOWN, "Network is down")

    with on(host), trio.fail_after(TIMEOUT_SECONDS):
        async with open_mcast_sender(GROUP, PORT, interfaces="lo", receive_replies=True) as asker:
            (sock,) = asker._outlets.open_sockets
            for name in readings_of(sock):
                monkeypatch.setattr(type(sock), name, refuse)
            answer_all(host, asker, [b"!"])
            await wait_until_counted(asker, lambda seen: seen.sockets_failed == 1)
