"""Whatever a user gives as group, source, interface, port or destination: a value or its error."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.examples import of_words, scalars, texts, values
from trio_mcast import Endpoint, Interface, McastError, McastReceiverSpec, McastSenderSpec
from trio_mcast._plan.selecting import parse_named, select_interfaces
from trio_mcast._send.destinations import checked_payloads, parse_destination
from trio_mcast._values.addresses import parse_address, parse_groups, parse_sources

pytestmark = pytest.mark.once

INTERFACES = [
    Interface(name="lo", index=1, is_up=True, is_loopback=True),
    Interface(
        name="eth0",
        index=3,
        ipv4_addresses=(IPv4Interface("10.0.0.1/24"),),
        ipv6_addresses=(IPv6Interface("fe80::1/64"), IPv6Interface("2001:db8::1/64")),
        is_up=True,
        is_multicast=True,
    ),
    Interface(name="7", index=4, is_up=True, is_multicast=True),
]
PLATFORMS = st.sampled_from(["linux", "darwin", "freebsd", "windows"])

# What tells the user that an argument is wrong, and what tells of the machine.
ARGUMENT = (TypeError, ValueError)
MACHINE = (McastError,)


def value_or(errors: tuple[type[Exception], ...], call: Callable[[], object]) -> Any:
    """Return the value of a call; `None` for one of the errors, which has to say something."""
    try:
        return call()
    except errors as caught:
        sentence = str(caught)
    assert sentence
    sentence.encode(errors="strict")
    return None


@of_words
@given(values)
def test_groups(value: Any) -> None:
    groups = value_or(ARGUMENT, lambda: parse_groups(value))
    for group in groups or ():
        assert group.address.is_multicast
        assert parse_groups(str(group)) == (group,)


@of_words
@given(values)
def test_sources(value: Any) -> None:
    for source in value_or(ARGUMENT, lambda: parse_sources(value, "sources")) or ():
        assert parse_sources(str(source), "sources") == (source,)


@of_words
@given(values)
def test_interfaces(value: Any) -> None:
    selections = value_or(
        ARGUMENT + MACHINE,
        lambda: select_interfaces(parse_named(value), INTERFACES),
    )
    for selection in selections or ():
        assert selection.interface in INTERFACES


@of_words
@given(
    st.one_of(
        scalars,
        st.tuples(scalars),
        st.tuples(scalars, scalars),
        st.tuples(texts, st.integers(-1, 65_536)),
        st.builds(Endpoint, texts, st.integers(-1, 65_536)),
        st.tuples(scalars, scalars, scalars),
    )
)
def test_destinations(to: Any) -> None:
    destination = value_or(ARGUMENT, lambda: parse_destination(to, 5_000))
    if destination is not None:
        address, port = destination
        assert 0 <= port <= 65_535
        assert parse_address(address, "to") == address


@of_words
@given(scalars | st.lists(st.binary() | scalars, max_size=5))
def test_payloads(datagrams: Any) -> None:
    for payload in value_or(ARGUMENT, lambda: checked_payloads(datagrams)) or ():
        assert type(payload) is bytes


@of_words
@given(st.data(), PLATFORMS)
def test_specs_of_receivers(data: st.DataObject, platform: Any) -> None:
    options: Any = data.draw(
        st.fixed_dictionaries(
            {"groups": values, "port": st.just(5_000) | scalars},
            optional={
                "interfaces": values,
                "sources": values,
                "excluded_sources": values,
                "accept_unicast": st.booleans(),
                "loopback": st.booleans(),
                "allow_missing": st.booleans(),
                "max_buffered": scalars,
                "receive_buffer_size": scalars,
                "overflow": scalars,
            },
        )
    )
    spec = value_or(ARGUMENT, lambda: McastReceiverSpec(**options))
    if spec is not None:
        value_or(ARGUMENT + MACHINE, lambda: spec.plan(INTERFACES, platform))
        hash(spec)
        assert repr(spec)


@of_words
@given(st.data(), PLATFORMS)
def test_specs_of_senders(data: st.DataObject, platform: Any) -> None:
    options: Any = data.draw(
        st.fixed_dictionaries(
            {"groups": values, "port": st.just(5_000) | scalars},
            optional={
                "interfaces": values,
                "ttl": scalars,
                "unicast_ttl": scalars,
                "source_address": scalars,
                "source_port": scalars,
                "send_buffer_size": scalars,
                "overflow": scalars,
            },
        )
    )
    spec = value_or(ARGUMENT, lambda: McastSenderSpec(**options))
    if spec is not None:
        value_or(ARGUMENT + MACHINE, lambda: spec.plan(INTERFACES, platform))
        hash(spec)
        assert repr(spec)
