"""Receivers of IPv4 and IPv6 groups, where an interface has only one of them."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
import trio
import trio.testing

from tests.lab import Host, Lab
from tests.lab.machine import on
from tests.support.changing_lan import states
from tests.support.virtual_hosts import GROUP4, GROUP6, PORT
from tests.support.waiting import until
from trio_mcast import SocketSetupError, SocketSpec, open_mcast_receiver
from trio_mcast._platform.advice import explain_refusal, lacks_family
from trio_mcast._platform.model import PlatformName
from trio_mcast.testing import VirtualHost, VirtualNetwork

pytestmark = pytest.mark.once

WITHOUT_IPV6 = pytest.mark.parametrize("how", ["disable_ipv6", "mtu"])


@pytest.fixture
def host(lab: Lab) -> Host:
    host = lab.host("a")
    for name in ("eth0", "eth1"):
        host.plug(
            name, lab.switch(f"lan-{name}"), "10.0.1.1/24" if name == "eth0" else "10.0.2.1/24"
        )
    return host


def set_ipv6(host: Host, how: str, *, there: bool) -> None:
    if how == "mtu":
        host.run("ip", "link", "set", "eth0", "mtu", "1500" if there else "1200")
    else:
        host.namespace.set_parameters({"ipv6/conf/eth0/disable_ipv6": str(int(not there))})


@WITHOUT_IPV6
@pytest.mark.parametrize("groups", [(GROUP4, GROUP6), (GROUP6, "ff02::5", GROUP4)])
async def test_ipv4_is_joined_where_there_is_no_ipv6(
    how: str, groups: tuple[str, ...], host: Host
) -> None:
    set_ipv6(host, how, there=False)
    with on(host):
        async with open_mcast_receiver(groups, PORT, interfaces="eth0") as receiver:
            assert states(receiver) == [
                (group, "eth0", "joined" if group == GROUP4 else "failed") for group in groups
            ]
            for membership in receiver.memberships:
                expected = "disable_ipv6" if how == "disable_ipv6" else "mtu of less than 1,280"
                assert membership.group == GROUP4 or expected in str(membership.error)
            set_ipv6(host, how, there=True)
            await until(lambda: {state for _, _, state in states(receiver)}, {"joined"})


@WITHOUT_IPV6
async def test_ipv4_is_joined_there_while_the_receiver_runs(how: str, host: Host) -> None:
    set_ipv6(host, how, there=False)
    with on(host):
        async with open_mcast_receiver([GROUP4, GROUP6], PORT, interfaces="eth1") as receiver:
            await receiver.join([GROUP6, GROUP4], interfaces="eth0")
            assert sorted(states(receiver)) == [
                (GROUP4, "eth0", "joined"),
                (GROUP4, "eth1", "joined"),
                (GROUP6, "eth0", "failed"),
                (GROUP6, "eth1", "joined"),
            ]


@WITHOUT_IPV6
async def test_opening_fails_where_everything_does(how: str, host: Host) -> None:
    set_ipv6(host, how, there=False)
    with on(host), pytest.raises(SocketSetupError) as caught:
        async with open_mcast_receiver([GROUP6, "ff02::5"], PORT, interfaces="eth0"):
            pass
    assert {cause.group for cause in caught.value.causes} == {GROUP6, "ff02::5"}


async def test_kernel_without_ipv6_joins_ipv4(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def make(family: int = -1, *arguments: Any, **more: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *arguments, **more)

    with on(host):
        monkeypatch.setattr("trio_mcast._host.system.socket.socket", make)
        async with open_mcast_receiver([GROUP4, GROUP6], PORT, interfaces="eth0") as receiver:
            monkeypatch.undo()
            assert states(receiver) == [(GROUP4, "eth0", "joined"), (GROUP6, "eth0", "failed")]


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.EPERM])
async def test_other_refusals_on_the_only_interface_are_errors(
    number: int, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with VirtualNetwork() as network:
        host = network.host("a")
        host.plug("eth0", network.switch("lan"), "10.0.0.1/24")
        refuse_ipv6(host, number, "MCAST_JOIN_GROUP", monkeypatch)
        with host, pytest.raises(SocketSetupError) as caught:
            async with open_mcast_receiver([GROUP4, GROUP6], PORT, interfaces="eth0"):
                pass
        assert caught.value.errno == number


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd", "windows"])
async def test_new_address_for_unicast_refuses_no_group(
    platform: PlatformName,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On Linux it is bound to at once; elsewhere, and on old kernels, that is refused for a while.
    async with VirtualNetwork() as network:
        host = network.host("a", platform=platform)
        host.plug("eth0", network.switch("lan"), "10.0.0.1/24", "fd00::1/64")
        refuse_ipv6(host, errno.EADDRNOTAVAIL, "bind", monkeypatch, groups=platform == "windows")
        with host:
            async with open_mcast_receiver(
                [GROUP4, GROUP6], PORT, interfaces="eth0", accept_unicast=True
            ) as receiver:
                joined = {group for group, _, state in states(receiver) if state == "joined"}
                assert GROUP4 in joined
                assert (GROUP6 in joined) is (platform != "windows")
                monkeypatch.undo()
                await trio.sleep(1)
                assert {state for _, _, state in states(receiver)} == {"joined"}


def refuse_ipv6(
    host: VirtualHost,
    number: int,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    groups: bool = True,
) -> None:
    """Have IPv6 sockets refused at a step, of groups and of unicast or of unicast only."""
    real = host.open_socket

    def open_socket(socket_spec: SocketSpec) -> Any:
        if socket_spec.family == "ipv6" and (groups or socket_spec.group is None):
            raise explain_refusal(
                OSError(number, "refused"),
                step=step,
                group=socket_spec.group,
                interface="eth0",
                platform=host.platform.name,
            )
        return real(socket_spec)

    monkeypatch.setitem(vars(host), "open_socket", open_socket)


@pytest.mark.parametrize(
    ("step", "group", "number", "expected"),
    [
        ("MCAST_JOIN_GROUP", GROUP6, errno.ENODEV, True),
        ("MCAST_JOIN_SOURCE_GROUP", GROUP6, errno.ENXIO, True),
        ("MCAST_JOIN_GROUP", GROUP6, errno.EINVAL, True),
        ("MCAST_JOIN_GROUP", GROUP4, errno.EINVAL, False),
        ("MCAST_JOIN_GROUP", GROUP6, errno.ENOBUFS, False),
        ("SO_BINDTODEVICE", GROUP6, errno.ENODEV, False),
        ("socket", GROUP6, errno.EAFNOSUPPORT, True),
        ("socket", GROUP6, 10047, True),
        ("socket", GROUP6, errno.EMFILE, False),
    ],
)
def test_lack_of_a_family_is_told_from_other_refusals(
    step: str, group: str, number: int, expected: bool
) -> None:
    assert lacks_family(SocketSetupError(number, "", step=step, group=group)) is expected
