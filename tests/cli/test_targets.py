"""Groups, sources and interfaces as they are written on the command line."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_mcast._cli.targets import (
    Joining,
    Seconds,
    Target,
    parse_interface,
    parse_target,
    plan_joins,
)

pytestmark = pytest.mark.once

FORMS = {
    "239.1.2.3:5000": Target("239.1.2.3", 5000),
    "[ff15::1]:5000": Target("ff15::1", 5000),
    "[FF15:0::0001]:1": Target("ff15::1", 1),
    "10.0.0.1@232.1.2.3:65535": Target("232.1.2.3", 65535, "10.0.0.1"),
    "udp://239.1.2.3:5000": Target("239.1.2.3", 5000),
    "udp://@239.1.2.3:5000": Target("239.1.2.3", 5000),
    "udp://10.0.0.1@232.1.2.3:5000": Target("232.1.2.3", 5000, "10.0.0.1"),
    "udp://[fd00::1]@[ff3e::1]:5000": Target("ff3e::1", 5000, "fd00::1"),
    "fd00::1@[ff3e::1]:5000": Target("ff3e::1", 5000, "fd00::1"),
    "239.1.2.3%eth0:5000": Target("239.1.2.3", 5000, None, "eth0"),
    "239.1.2.3%7:5000": Target("239.1.2.3", 5000, None, 7),
    "[ff02::1%eth0.5]:5000": Target("ff02::1", 5000, None, "eth0.5"),
    "udp://10.0.0.1@232.1.2.3%eth0:5000": Target("232.1.2.3", 5000, "10.0.0.1", "eth0"),
    "239.1.2.3%a@b:5000": Target("239.1.2.3", 5000, None, "a@b"),
    "[ff02::1%a@b]:5000": Target("ff02::1", 5000, None, "a@b"),
    "10.0.0.1@232.1.2.3%a@b:5000": Target("232.1.2.3", 5000, "10.0.0.1", "a@b"),
    "239.1.2.3%Ethernet 2:5000": Target("239.1.2.3", 5000, None, "Ethernet 2"),
}


@pytest.mark.parametrize("text", FORMS)
def test_target_is_read_and_written_again(text: str) -> None:
    target = parse_target(text)
    assert target == FORMS[text]
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no GROUP:PORT"),
        ("239.1.2.3", "is no GROUP:PORT"),
        ("239.1.2.3:", "is no GROUP:PORT"),
        ("239.1.2.3:x", "is no GROUP:PORT"),
        ("239.1.2.3:-1", "is no GROUP:PORT"),
        ("239.1.2.3:\u0665", "is no GROUP:PORT"),
        ("239.1.2.3:0", "port must be from 1 to 65535, not 0"),
        ("239.1.2.3:65536", "port must be from 1 to 65535, not 65536"),
        (":5000", "not an IPv4 or IPv6 address"),
        ("10.0.0.1:5000", "not a multicast group"),
        ("example.org:5000", "host names are not looked up"),
        ("ff15::1:5000", "in brackets"),
        ("ff15::1%eth0:5000", "in brackets"),
        ("239.1.2.3%:5000", "interface after the % is missing"),
        ("10.0.0.999@232.1.2.3:5000", "source '10.0.0.999' is not an IPv4 or IPv6 address"),
        ("255.255.255.255@232.1.2.3:5000", "not the address of a sender"),
        ("rtp://239.1.2.3:5000", "is no GROUP:PORT"),
    ],
)
def test_wrong_target_is_told_in_a_sentence(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_target(text)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="0123456789.:[]%@/f udpeth", max_size=40))
def test_any_text_is_a_target_or_an_error(text: str) -> None:
    try:
        target = parse_target(text)
    except ValueError:
        return
    assert parse_target(str(target)) == target


def test_interface_is_an_index_if_it_is_a_number() -> None:
    assert [parse_interface(text) for text in ("eth0", "10.0.0.1", "3")] == ["eth0", "10.0.0.1", 3]
    with pytest.raises(ValueError, match="empty"):
        parse_interface("")


def joins(*texts: str, **options: tuple[str, ...]) -> dict[int, tuple[Joining, ...]]:
    return plan_joins([parse_target(text) for text in texts], **options)


def test_targets_of_one_kind_are_one_join_for_each_port() -> None:
    assert joins("239.1.1.1:5000", "239.1.1.2:5000", "239.1.1.1:6000", "239.1.1.2:5000") == {
        5000: (Joining(("239.1.1.1", "239.1.1.2"), None, None, None),),
        6000: (Joining(("239.1.1.1",), None, None, None),),
    }


def test_sources_of_one_group_come_together_and_any_source_is_more() -> None:
    two = joins("10.0.0.1@232.1.1.1:5000", "10.0.0.2@232.1.1.1:5000")
    assert two == {5000: (Joining(("232.1.1.1",), None, ("10.0.0.1", "10.0.0.2"), None),)}
    for texts in (
        ("10.0.0.1@239.1.1.1:5000", "239.1.1.1:5000"),
        ("239.1.1.1:5000", "10.0.0.1@239.1.1.1:5000"),
    ):
        assert joins(*texts) == {5000: (Joining(("239.1.1.1",), None, None, None),)}


def test_target_goes_before_the_options() -> None:
    joined = joins(
        "239.1.1.1:5000",
        "10.0.0.9@239.1.1.2%eth1:5000",
        interfaces=("eth0", "eth0"),
        sources=("10.0.0.1",),
    )
    assert joined == {
        5000: (
            Joining(("239.1.1.1",), ("eth0",), ("10.0.0.1",), None),
            Joining(("239.1.1.2",), ("eth1",), ("10.0.0.9",), None),
        )
    }
    assert joins("239.1.1.1:5000", excluded=("10.0.0.1",)) == {
        5000: (Joining(("239.1.1.1",), None, None, ("10.0.0.1",)),)
    }


@pytest.mark.parametrize("text", ["nan", "inf", "1e999"])
def test_seconds_are_a_number_that_ends(text: str) -> None:
    with pytest.raises(click.BadParameter, match=f"'{text}' is no number of seconds"):
        Seconds(min=0.01)(text)
    assert Seconds(min=0.01)("2.5") == 2.5
