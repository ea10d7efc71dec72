"""Wrong values given to a virtual network: one sentence names the value and the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from trio_mcast.testing import VirtualNetwork, network_test

pytestmark = pytest.mark.once


class _Parts:
    def __init__(self, network: VirtualNetwork) -> None:
        self.network: Any = network
        self.lan: Any = network.switch("lan", snooping=True)
        self.a: Any = network.host("a")
        self.router: Any = network.router("r")
        self.eth0: Any = self.a.plug("eth0", self.lan, "10.0.0.1/24")
        self.router.plug("eth0", self.lan, "10.0.0.254/24")
        self.attic: Any = network.switch("attic")
        self.trunk: Any = self.lan.plug(self.attic)
        self.lo: Any = self.a.interface("lo")


WRONG: list[tuple[str, Callable[[_Parts], object], type[Exception], str]] = [
    (
        "switch_name_of_a_control_character",
        lambda parts: parts.network.switch("\n"),
        ValueError,
        r"a name must consist of what can be printed, unlike '\\n'",
    ),
    (
        "host_name_of_a_control_character",
        lambda parts: parts.network.host("a\x1b[1m"),
        ValueError,
        r"what can be printed, unlike 'a\\x1b\[1m'",
    ),
    (
        "snooping",
        lambda parts: parts.network.switch("x", snooping="no"),
        TypeError,
        "snooping must be True or False, not str: 'no'",
    ),
    (
        "querier",
        lambda parts: parts.network.switch("x", querier=125),
        TypeError,
        "querier must be True or False, not int: 125",
    ),
    (
        "forwards_joined",
        lambda parts: parts.network.router("x", forwards_joined=["239.1.2.3"]),
        TypeError,
        "forwards_joined must be True or False, not list",
    ),
    (
        "rp_filter",
        lambda parts: parts.network.host("x", rp_filter=True),
        ValueError,
        "rp_filter must be 0, 1 or 2, not True",
    ),
    (
        "interface_name_list",
        lambda parts: parts.a.plug([], parts.lan),
        TypeError,
        r"name must be a str, not list: \[\]",
    ),
    (
        "router_interface_name_dict",
        lambda parts: parts.router.plug({}, parts.lan),
        TypeError,
        r"name must be a str, not dict: \{\}",
    ),
    (
        "master",
        lambda parts: parts.a.plug("eth1", parts.lan, master=0),
        TypeError,
        "name must be a str, not int: 0",
    ),
    (
        "alternative_names_of_one_str",
        lambda parts: parts.a.plug("eth1", parts.lan, alternative_names="lan0"),
        TypeError,
        "alternative_names must be a list of names, not str: 'lan0'",
    ),
    (
        "alternative_names_of_a_number",
        lambda parts: parts.a.plug("eth1", parts.lan, alternative_names=1),
        TypeError,
        "alternative_names must be a list of names, not int: 1",
    ),
    ("set_master", lambda parts: parts.eth0.set_master(3), TypeError, "name must be a str"),
    ("interface", lambda parts: parts.a.interface([]), TypeError, "name must be a str, not list"),
    (
        "temporary",
        lambda parts: parts.eth0.add_address("fd00::1/64", temporary="no"),
        TypeError,
        "temporary must be True or False, not str: 'no'",
    ),
    (
        "check_seconds",
        lambda parts: parts.eth0.add_address("fd00::1/64", check_seconds=True),
        TypeError,
        "check_seconds must be a number, not bool: True",
    ),
    (
        "no_state",
        lambda parts: parts.eth0.change_address("10.0.0.1", None),
        TypeError,
        "state must be a str, not None",
    ),
    (
        "forward_from_a_list",
        lambda parts: parts.router.forward("239.1.2.3", []),
        TypeError,
        "interface must be a str, not list",
    ),
    (
        "route_to_a_number",
        lambda parts: parts.a.routes.add(0, "eth0"),
        TypeError,
        "destination must be a str, not int: 0",
    ),
    (
        "route_to_no_network",
        lambda parts: parts.a.routes.add("10.9.0.1/16", "eth0"),
        ValueError,
        "'10.9.0.1/16' is no network such as '10.9.0.0/16': .*host bits",
    ),
    (
        "gateway_that_is_a_group",
        lambda parts: parts.a.routes.add("10.9.0.0/16", "eth0", gateway="239.1.2.3"),
        ValueError,
        "gateway '239.1.2.3' is not an address that one host can have",
    ),
    (
        "gateway_of_a_route_off_every_network",
        lambda parts: parts.a.routes.add("10.9.0.0/16", "eth0", gateway="192.168.9.9"),
        ValueError,
        "gateway 192.168.9.9 is in none of the networks of a/eth0: 10.0.0.0/24",
    ),
    (
        "gateway_that_is_the_host",
        lambda parts: parts.a.plug("eth1", parts.attic, "10.1.0.1/24", gateway="10.1.0.1"),
        ValueError,
        "gateway 10.1.0.1 is an address of a/eth1 itself",
    ),
    (
        "gateway_that_is_for_broadcasts",
        lambda parts: parts.a.plug("eth1", parts.attic, "10.1.0.1/24", gateway="10.1.0.255"),
        ValueError,
        "gateway 10.1.0.255 is the broadcast address of a network, or its own",
    ),
    (
        "link_local_gateway_off_every_network",
        lambda parts: parts.a.plug("eth1", parts.attic, "10.1.0.1/24", gateway="169.254.1.1"),
        ValueError,
        "gateway 169.254.1.1 is in none of the networks of a/eth1: 10.1.0.0/24",
    ),
    (
        "gateway_without_an_interface",
        lambda parts: parts.a.routes.add("10.9.0.0/16", gateway="10.0.0.254"),
        ValueError,
        "gateway 10.0.0.254 without an interface: name that, too",
    ),
    (
        "gateway_of_another_family",
        lambda parts: parts.a.routes.add("10.9.0.0/16", "eth0", gateway="fe80::9"),
        ValueError,
        "gateway fe80::9 is of another family than 10.9.0.0/16",
    ),
    (
        "source_that_the_host_does_not_have",
        lambda parts: parts.a.routes.add("10.9.0.0/16", "eth0", source="10.0.0.99"),
        ValueError,
        "source 10.0.0.99 is not an address of this host",
    ),
    (
        "interface_name_that_is_long",
        lambda parts: parts.a.plug("sixteen-letters1", parts.lan),
        ValueError,
        "an interface's name has at most 15 bytes, unlike 'sixteen-letters1'",
    ),
    (
        "interface_name_with_a_space",
        lambda parts: parts.a.rename("eth0", "eth 0"),
        ValueError,
        "an interface of Linux cannot be called 'eth 0'",
    ),
    (
        "interface_name_that_begins_with_a_space",
        lambda parts: parts.a.rename("eth0", " eth0"),
        ValueError,
        "an interface of Linux cannot be called ' eth0': its name has no space, colon or slash",
    ),
    (
        "interface_name_with_a_byte_that_is_a_space_to_linux",
        lambda parts: parts.a.rename("eth0", "là"),
        ValueError,
        "an interface of Linux cannot be called 'là'",
    ),
    (
        "interface_name_of_dots",
        lambda parts: parts.a.plug("..", parts.lan),
        ValueError,
        "an interface of Linux cannot be called '..'",
    ),
    (
        "loss_of_loopback",
        lambda parts: setattr(parts.lo.outgoing, "loss", 1.0),
        ValueError,
        "a/lo is a loopback interface, which has no cable",
    ),
    (
        "loss_of_an_interface",
        lambda parts: setattr(parts.eth0, "loss", 0.5),
        AttributeError,
        "no attribute 'loss'; .*; impairments are attributes of its outgoing and incoming cable",
    ),
    (
        "loss_of_a_trunk",
        lambda parts: setattr(parts.trunk, "loss", 0.5),
        AttributeError,
        "Trunk has no attribute 'loss'; .* of its outgoing and incoming cable",
    ),
    (
        "attribute_of_a_rule",
        lambda parts: setattr(parts.lan.drop(bool), "dropped", 0),
        AttributeError,
        "'dropped' of a DropRule cannot be changed",
    ),
    (
        "attribute_of_the_trace",
        lambda parts: setattr(parts.network.trace, "keep", 10),
        AttributeError,
        "VirtualTrace has no attribute 'keep'",
    ),
    (
        "no_such_route",
        lambda parts: parts.a.routes.remove("10.9.0.0/16"),
        ValueError,
        "there is no route to 10.9.0.0/16",
    ),
    (
        "removed_number",
        lambda parts: parts.eth0.remove_address(True),
        TypeError,
        "address must be a str, .* not bool: True",
    ),
    (
        "removed_nonsense",
        lambda parts: parts.eth0.remove_address("10.0.0"),
        ValueError,
        "address '10.0.0' is not an IPv4 or IPv6 address",
    ),
    (
        "renewed_list",
        lambda parts: parts.eth0.renew_address([]),
        TypeError,
        r"address must be a str, .* not list: \[\]",
    ),
    (
        "changed_nonsense",
        lambda parts: parts.eth0.change_address("10.0.0.1/33", "deprecated"),
        ValueError,
        "'10.0.0.1/33' is not an interface address, such as",
    ),
    (
        "user",
        lambda parts: parts.a.user(501).__enter__(),
        TypeError,
        "name must be a str, not int: 501",
    ),
    (
        "path_of_a_capture",
        lambda parts: parts.lan.capture(1.5),
        TypeError,
        "path must be a str or a path object, not float: 1.5",
    ),
    (
        "address_without_its_port",
        lambda parts: parts.network.trace.sent(to=("10.0.0.1",)),
        ValueError,
        r"to must be an address, or a pair of address and port, not \('10.0.0.1',\)",
    ),
    (
        "port_that_is_text",
        lambda parts: parts.network.trace.sent(to=("10.0.0.1", "mdns")),
        TypeError,
        "port of to must be an int, not str: 'mdns'",
    ),
    (
        "port_too_large",
        lambda parts: parts.network.trace.select(source=("10.0.0.1", 70_000)),
        ValueError,
        "port of source must be from 1 to 65535, not 70000",
    ),
    (
        "endless_rate",
        lambda parts: setattr(parts.eth0.outgoing, "rate", float("inf")),
        ValueError,
        "rate must be at most 1,000,000,000,000,000 bits per second, or None for no limit, not inf",
    ),
    (
        "kind_of_event",
        lambda parts: parts.network.trace.select("snt"),
        ValueError,
        "there is no kind of event 'snt'; there are: plugged, .*sent",
    ),
    (
        "name_of_nobody",
        lambda parts: parts.network.trace.lost(at="lna"),
        ValueError,
        "this network has nothing called 'lna'; there are: lan, a, r",
    ),
    (
        "totals_of_nobody",
        lambda parts: parts.network.trace.totals("anna"),
        ValueError,
        "this network has nothing called 'anna'",
    ),
]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [wrong[1:] for wrong in WRONG],
    ids=[wrong[0] for wrong in WRONG],
)
@network_test
async def test_wrong_value_is_refused_with_a_sentence(
    network: VirtualNetwork,
    wrong: Callable[[_Parts], object],
    error: type[Exception],
    message: str,
) -> None:
    parts = _Parts(network)
    before = network.trace[:]
    with pytest.raises(error, match=message):
        wrong(parts)
    assert network.trace == before


@network_test
async def test_expect_refuses_wrong_values(network: VirtualNetwork) -> None:
    anything: Any = network
    with pytest.raises(ValueError, match="there is no kind of event 3"):
        await anything.expect(3)
    with pytest.raises(ValueError, match="nothing called 'b'; there are: none"):
        await network.expect("sent", at="b")
    with pytest.raises(TypeError, match="since must be a number, not str: 'x'"):
        await anything.expect("sent", since="x")


@pytest.mark.parametrize("keep", [False, 1, True])
async def test_expect_shows_what_happened_though_few_events_are_kept(
    keep: int, autojump_clock: object
) -> None:
    async with VirtualNetwork(trace=keep) as network, trio.open_nursery() as nursery:
        lan = network.switch("lan")
        network.host("a").plug("eth0", lan, "10.0.0.1/24")

        async def change() -> None:
            await trio.sleep(1)
            network.host("c").plug("eth0", lan, "10.0.0.3/24")

        nursery.start_soon(change)
        with pytest.raises(AssertionError, match=r"what happened:\n +1\.0+ c +plugged"):
            await network.expect("sent", at="a")


@network_test
async def test_repr_of_a_large_network_is_short(network: VirtualNetwork) -> None:
    for number in range(10):
        network.host(f"h{number}")
    assert repr(network).endswith("(h0, h1, h2, h3, h4, h5, h6, h7, h8, h9)>")
    network.host("h10")
    assert repr(network).endswith("(h0, h1, h2, h3, h4, h5, h6, h7, h8, and 2 more)>")
