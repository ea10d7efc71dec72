"""Absurd numbers wherever a number is wanted: one sentence, with the value and the way out."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import attrs
import pytest
import trio

from trio_mcast import (
    Endpoint,
    InterfaceNotFoundError,
    McastChannelSpec,
    McastReceiverSpec,
    McastSenderSpec,
    default_interface,
    diagnose,
    find_interfaces,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast.testing import CapturedFrame, VirtualNetwork, network_test

from ..support.virtual_hosts import GROUP4, PORT

pytestmark = pytest.mark.once


class NumpyFloat:
    """A number of a library whose floats are no float."""

    def __float__(self) -> float:
        return 0.5

    def __repr__(self) -> str:
        return "np.float32(0.5)"


HUGE = 10**400
UNSHOWABLE = 10**5000  # Python refuses to write it.


@attrs.frozen
class Place:
    """A network with a host, to which numbers are given."""

    network: VirtualNetwork

    def __attrs_post_init__(self) -> None:
        lan = self.network.switch("lan")
        self.network.host("a").plug("eth0", lan, "10.0.0.1/24", "fd00::1/64")

    @property
    def a(self) -> Any:
        return self.network._parts["a"]

    @property
    def lan(self) -> Any:
        return self.network._parts["lan"]

    @property
    def eth0(self) -> Any:
        return self.a.interface("eth0")


def setting(part: str, name: str) -> Callable[[Place, Any], object]:
    def give(place: Place, value: Any) -> None:
        target = place
        for attribute in part.split("."):
            target = getattr(target, attribute)
        setattr(target, name, value)

    return give


def keyword(call: Callable[..., object], name: str) -> Callable[[Place, Any], object]:
    return lambda place, value: call(place, **{name: value})


def seconds_of(part: str, *names: str) -> Iterator[tuple[str, Callable[[Place, Any], object]]]:
    def make(place: Place, **number: Any) -> object:
        return getattr(place.network, part)("new", **number)

    for name in names:
        yield f"{part}({name})", keyword(make, name)


def add_address(place: Place, **number: Any) -> None:
    place.eth0.add_address("fd00::5/64", **number)


def renew_address(place: Place, **number: Any) -> None:
    place.eth0.renew_address("10.0.0.1", **number)


_IMPAIRMENTS = ("loss", "delay", "jitter", "duplicate", "reorder", "reorder_delay")
_TIMES = ("query_seconds", "response_seconds", "membership_seconds", "last_member_seconds")

FLOATS: dict[str, Callable[[Place, Any], object]] = {
    **dict(seconds_of("switch", *_IMPAIRMENTS, *_TIMES)),
    **dict(seconds_of("router", *_TIMES)),
    **dict(seconds_of("host", "notice_seconds")),
    **{f"switch.{name}": setting("lan", name) for name in _IMPAIRMENTS},
    **{f"cable.{name}": setting("eth0.outgoing", name) for name in (*_IMPAIRMENTS, "rate")},
    "clock.drift": setting("a.clock", "drift"),
    "clock.step": lambda place, value: place.a.clock.step(value),
    **{
        f"add_address({name})": keyword(add_address, name)
        for name in ("check_seconds", "valid_seconds", "preferred_seconds")
    },
    **{
        f"renew_address({name})": keyword(renew_address, name)
        for name in ("valid_seconds", "preferred_seconds")
    },
    "expect(within)": lambda place, value: place.network.expect(within=value),
    "expect(since)": lambda place, value: place.network.expect(since=value),
    "diagnose(listen_seconds)": lambda place, value: diagnose(GROUP4, PORT, listen_seconds=value),
}


def spec(kind: Any, name: str) -> Callable[[Place, Any], object]:
    return lambda place, value: kind(GROUP4, **{"port": PORT, name: value})


def captured(time_ns: Any) -> list[CapturedFrame]:
    return [CapturedFrame(time_ns, 101, b"")]


_SENDING = ("port", "ttl", "unicast_ttl", "traffic_class", "send_buffer_size")
_RECEIVING = ("port", "max_buffered", "receive_buffer_size")
INTS: dict[str, Callable[[Place, Any], object]] = {
    **{f"receiver({name})": spec(McastReceiverSpec, name) for name in _RECEIVING},
    **{f"sender({name})": spec(McastSenderSpec, name) for name in (*_SENDING, "source_port")},
    **{f"channel({name})": spec(McastChannelSpec, name) for name in (*_SENDING, *_RECEIVING)},
    "cable.queue": setting("eth0.outgoing", "queue"),
    "cable.mark": setting("eth0.outgoing", "mark"),
    "set_mtu": lambda place, value: place.eth0.set_mtu(value),
    "plug(mtu)": lambda place, value: place.a.plug("eth1", place.lan, mtu=value),
    "host(rmem_max)": lambda place, value: place.network.host("new", rmem_max=value),
    "seed": lambda place, value: VirtualNetwork(seed=value),
    "network_test(seeds)": lambda place, value: network_test(seeds=[value]),
    "expect(port)": lambda place, value: place.network.expect("sent", to=(GROUP4, value)),
    "replay": lambda place, value: place.network.replay(captured(value), on=place.lan),
    "diagnose(port)": lambda place, value: diagnose(GROUP4, value),
    "diagnose(send)": lambda place, value: diagnose(GROUP4, PORT, role="sender", send=value),
}


async def refusal_of(give: Callable[[Place, Any], object], value: object) -> str:
    """Return the sentence by which a value is refused."""
    async with VirtualNetwork() as network:
        place = Place(network)
        try:
            with place.a, trio.fail_after(1):
                outcome = give(place, value)
                if isinstance(outcome, Awaitable):
                    await outcome
        except (TypeError, ValueError) as error:
            return str(error)
        pytest.fail("not refused")


@pytest.mark.parametrize("give", [*FLOATS.values(), *INTS.values()], ids=[*FLOATS, *INTS])
async def test_number_that_is_too_large_is_refused_and_shown_in_short(
    give: Callable[[Place, Any], object],
) -> None:
    for value, shown in ((HUGE, "401"), (-HUGE, "401"), (UNSHOWABLE, r"5,001")):
        sentence = await refusal_of(give, value)
        assert re.search(rf"must be .*, not -?1?0*\.\.\. \(some {shown} digits\)", sentence)
        assert len(sentence) < 150


@pytest.mark.parametrize("give", FLOATS.values(), ids=FLOATS)
async def test_value_that_is_no_finite_number_is_refused(
    give: Callable[[Place, Any], object],
) -> None:
    for value in (math.nan, math.inf, -math.inf, 1e308):
        assert re.search(r"must be .*, not -?(nan|inf|1e\+308)", await refusal_of(give, value))
    for other in (True, Decimal("0.5"), Fraction(1, 2), NumpyFloat(), 1j, "1"):
        sentence = await refusal_of(give, other)
        assert f"not {type(other).__name__}: {other!r}" in sentence
        if hasattr(other, "__float__") and not isinstance(other, bool):
            assert sentence.endswith(": make a number of it with float()")


@pytest.mark.parametrize("give", INTS.values(), ids=INTS)
async def test_value_that_is_no_int_is_refused(give: Callable[[Place, Any], object]) -> None:
    for value in (math.nan, 1e308, True, Decimal(1), Fraction(1), NumpyFloat(), 1j):
        assert f"not {type(value).__name__}: {value!r}" in await refusal_of(give, value)


@pytest.mark.parametrize("name", ["loss", "delay", "jitter"])
async def test_minus_zero_is_zero(name: str) -> None:
    async with VirtualNetwork() as network:
        setattr(Place(network).lan, name, -0.0)


async def test_queries_leave_time_for_something_else() -> None:
    async with VirtualNetwork() as network:
        with pytest.raises(ValueError, match=r"query_seconds must be at least 0\.001 seconds, not"):
            network.switch("new", snooping=True, query_seconds=1e-12)


@pytest.mark.parametrize("value", [HUGE, -HUGE, UNSHOWABLE], ids=["huge", "minus", "unshowable"])
async def test_number_in_place_of_something_else_is_shown_in_short(value: Any) -> None:
    async with VirtualNetwork() as network:
        place = Place(network)
        with place.a:
            for call in (
                lambda: find_interfaces(value),
                lambda: default_interface(value),
                lambda: McastReceiverSpec(value, PORT),
                lambda: McastReceiverSpec(GROUP4, PORT, sources=value),
                lambda: network.host("new", rp_filter=value),
            ):
                with pytest.raises(
                    (TypeError, ValueError, InterfaceNotFoundError), match=r"\(some .* digits\)"
                ):
                    call()
            async with open_mcast_sender(GROUP4, PORT, interfaces="eth0") as sender:
                with pytest.raises(TypeError, match=r"\(some .* digits\)"):
                    await sender.send(value)
                with pytest.raises(ValueError, match=r"\(some .* digits\)"):
                    await sender.send(b"x", to=Endpoint("10.0.0.2", value))
            with pytest.raises((ValueError, InterfaceNotFoundError), match="digits"):
                async with open_mcast_receiver(GROUP4, PORT, interfaces=value):
                    pytest.fail("opened")
