"""Who may bind what, on each platform."""

from __future__ import annotations

import errno

import pytest

from trio_mcast import SocketSetupError
from trio_mcast._plan.socket_spec import SocketSpec
from trio_mcast.testing import VirtualHost

from ..support.virtual_hosts import (
    GROUP4,
    GROUP6,
    PLATFORMS,
    PORT,
    joining,
    open_plain,
    option,
    receiving,
    sending,
    two_on_lan,
)

pytestmark = pytest.mark.once

BSD = ("darwin", "freebsd")


def refusal(host: VirtualHost, bind: str, *options: object, **arguments: object) -> str:
    """The symbol of the error that opening gives, and the step at which."""
    with pytest.raises(SocketSetupError) as caught:
        open_plain(host, bind, *options, **arguments)  # type: ignore[arg-type]
    assert caught.value.errno is not None
    return f"{caught.value.step} {errno.errorcode[caught.value.errno]}"


@pytest.mark.parametrize("group", [GROUP4, GROUP6])
async def test_binding_to_a_group_fails_on_windows_only(group: str) -> None:
    for platform in PLATFORMS:
        async with two_on_lan(platform) as lan:
            if platform == "windows":
                assert refusal(lan.b, group) == "bind EADDRNOTAVAIL"
            else:
                assert open_plain(lan.b, group).local_endpoint == (group, PORT)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_binding_to_an_address_of_another_machine_fails(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        assert refusal(lan.b, "10.0.0.1") == "bind EADDRNOTAVAIL"
        assert refusal(lan.b, "fd00::1") == "bind EADDRNOTAVAIL"
        assert open_plain(lan.b, "10.0.0.2").local_endpoint == ("10.0.0.2", PORT)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_port_that_is_not_shared_is_taken(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        first = open_plain(lan.b, "0.0.0.0", shared=False)
        assert refusal(lan.b, "0.0.0.0", shared=False) == "bind EADDRINUSE"
        first.close()
        open_plain(lan.b, "0.0.0.0", shared=False)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_port_is_shared_with_the_options_of_the_planner(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        for bind in ("0.0.0.0", "0.0.0.0", "10.0.0.2", "10.0.0.2", "::"):
            open_plain(lan.b, bind)


@pytest.mark.parametrize("platform", ["linux", *BSD])
async def test_first_program_has_to_share_the_port_too(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        open_plain(lan.b, "0.0.0.0", shared=False)
        assert refusal(lan.b, "0.0.0.0") == "bind EADDRINUSE"


async def test_on_windows_whoever_asks_to_share_gets_the_port() -> None:
    async with two_on_lan("windows") as lan:
        open_plain(lan.b, "0.0.0.0", shared=False)
        open_plain(lan.b, "0.0.0.0")


@pytest.mark.parametrize("platform", BSD)
async def test_reuse_of_the_address_is_enough_for_a_group_but_not_for_the_wildcard(
    platform: str,
) -> None:
    async with two_on_lan(platform) as lan:
        reuse = option(lan.b, "SO_REUSEADDR", 1, "ipv4")
        for _ in range(2):
            open_plain(lan.b, GROUP4, reuse, shared=False)
        open_plain(lan.b, "0.0.0.0", reuse, shared=False, port=6000)
        assert refusal(lan.b, "0.0.0.0", reuse, shared=False, port=6000) == "bind EADDRINUSE"


async def test_linux_refuses_wildcard_beside_address_that_is_not_shared() -> None:
    async with two_on_lan() as lan:
        open_plain(lan.b, "10.0.0.2", shared=False)
        assert refusal(lan.b, "0.0.0.0", shared=False) == "bind EADDRINUSE"
        open_plain(lan.b, "127.0.0.1", shared=False)


@pytest.mark.parametrize(
    ("platform", "taken"),
    [("linux", True), ("darwin", True), ("freebsd", False), ("windows", False)],
)
async def test_ipv6_wildcard_takes_the_ipv4_port_unless_told_otherwise(
    platform: str, taken: bool
) -> None:
    async with two_on_lan(platform) as lan:
        open_plain(lan.b, "::", shared=False)
        if taken:
            assert refusal(lan.b, "0.0.0.0", shared=False) == "bind EADDRINUSE"
        else:
            open_plain(lan.b, "0.0.0.0", shared=False)
        only = option(lan.b, "IPV6_V6ONLY", 1, "ipv6")
        open_plain(lan.b, "::", only, shared=False, port=6000)
        open_plain(lan.b, "0.0.0.0", shared=False, port=6000)


async def test_linux_wants_a_scope_for_link_local_binds() -> None:
    async with two_on_lan() as lan:
        assert refusal(lan.b, "ff02::5") == "bind EINVAL"
        assert refusal(lan.b, "ff02::5", scope_id=77) == "bind ENODEV"
        assert refusal(lan.b, "fe80::2") == "bind EINVAL"
        open_plain(lan.b, "fe80::2", scope_id=2)
        open_plain(lan.b, "ff05::5", scope_id=77)  # Not looked at for a wider scope.


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_port_zero_gives_ports_in_order(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        open_plain(lan.b, "0.0.0.0", port=49_153)
        ports = [open_plain(lan.b, "0.0.0.0", port=0).local_endpoint.port for _ in range(3)]
        assert ports == [49_152, 49_154, 49_155]


async def test_what_was_refused_leaves_nothing_open() -> None:
    async with two_on_lan() as lan:
        join = joining(lan.b, 2, GROUP4)
        assert refusal(lan.b, "10.9.9.9", join) == "bind EADDRNOTAVAIL"
        assert lan.events("joined") == lan.events("left") == [GROUP4]
        open_plain(lan.b, "0.0.0.0", shared=False)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_bind_of_another_family_is_refused(platform: str) -> None:
    async with two_on_lan(platform) as lan:
        interface = lan.b.list_interfaces()[1]
        socket_spec = SocketSpec("ipv4", interface, None, (), ("::", 5000, 0, 0), ())
        with pytest.raises(SocketSetupError) as caught:
            lan.b.open_socket(socket_spec)
        assert caught.value.errno == errno.EAFNOSUPPORT


async def test_linux_shares_by_either_option_if_both_have_set_it() -> None:
    async with two_on_lan() as lan:
        address, port = (option(lan.b, f"SO_REUSE{which}", 1, "ipv4") for which in ("ADDR", "PORT"))
        open_plain(lan.b, "0.0.0.0", port, shared=False)
        open_plain(lan.b, "0.0.0.0", port, shared=False)
        assert refusal(lan.b, "0.0.0.0", address, shared=False) == "bind EADDRINUSE"
        open_plain(lan.b, "0.0.0.0", address, port, shared=False)


async def test_port_of_a_program_that_shares_by_port_is_taken_part_in() -> None:
    async with two_on_lan() as lan:
        only_port = option(lan.b, "SO_REUSEPORT", 1, "ipv4")
        open_plain(lan.b, "0.0.0.0", only_port, shared=False)
        open_plain(lan.b, GROUP4, only_port, shared=False)
        async with (
            receiving(lan.b, accept_unicast=True) as receiver,
            sending(lan.b, source_port=PORT),
        ):
            assert {membership.state for membership in receiver.memberships} == {"joined"}
            # Sockets for unicast have set the option because they had to.
            open_plain(lan.b, "10.0.0.2", only_port, shared=False)
        async with receiving(lan.a, accept_unicast=True):
            assert refusal(lan.a, "10.0.0.1", only_port, shared=False) == "bind EADDRINUSE"
            # Those of groups let it share the port, though it has come later.
            open_plain(lan.a, GROUP4, only_port, shared=False)
