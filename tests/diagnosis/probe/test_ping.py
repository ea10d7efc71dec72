"""The payload of ping answers: byte for byte, back again, never larger than the question."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_mcast._diagnosis.probe.header import HEADER_SIZE, Header, Kind
from trio_mcast._diagnosis.probe.ping import LEAST_QUESTION, PingAnswer

pytestmark = pytest.mark.once

NUMBER = st.integers(0, 2**64 - 1)
QUESTION = Header(Kind.PING_QUESTION, 11, 3, 1_700_000_000_000_000_000, 4)
ANSWER = PingAnswer(0x0102030405060708, 1_000, 3, "eth0", "pumpe")
PACKED = bytes.fromhex("0102030405060708 00000000000003e8 03 04 05") + b"eth0pumpe"


def test_answer_is_these_bytes_after_the_header() -> None:
    packed = ANSWER.pack(QUESTION, 64, 128)
    assert packed is not None
    assert packed[HEADER_SIZE:] == PACKED
    assert Header.unpack(packed) == QUESTION._replace(kind=Kind.PING_ANSWER, ttl=64)
    assert PingAnswer.unpack(packed) == ANSWER
    assert LEAST_QUESTION == 51


@given(NUMBER, NUMBER, st.integers(0, 255), st.text(), st.text(), st.integers(0, 400))
def test_answer_is_never_larger_than_its_question(
    responder: int, alive: int, ttl: int, interface: str, name: str, size: int
) -> None:
    packed = PingAnswer(responder, alive, ttl, interface, name).pack(QUESTION, 1, size)
    if size < LEAST_QUESTION:
        assert packed is None
        return
    assert packed is not None
    assert len(packed) <= size
    answer = PingAnswer.unpack(packed)
    assert (answer.responder, answer.alive_ns, answer.ttl) == (responder, alive, ttl)


def test_names_are_cut_between_characters() -> None:
    packed = PingAnswer(1, 1, 1, "eth0", "Küche").pack(QUESTION, 1, LEAST_QUESTION + 6)
    assert packed is not None
    assert PingAnswer.unpack(packed).name == "K"


def test_names_move_no_cursor() -> None:
    packed = PingAnswer(1, 1, 1, "e\x1b[2J", "a\n\u202eb\x85").pack(QUESTION, 1, 200)
    assert packed is not None
    answer = PingAnswer.unpack(packed)
    assert (answer.interface, answer.name) == ("e?[2J", "a??b?")


def test_names_that_are_no_text_are_sent_and_shown_all_the_same() -> None:
    packed = PingAnswer(1, 1, 1, "e\udcff", "x").pack(QUESTION, 1, 200)
    assert packed is not None
    assert PingAnswer.unpack(packed).interface == "e?"


@given(st.binary(max_size=120))
def test_any_bytes_are_an_answer_or_a_value_error(data: bytes) -> None:
    try:
        answer = PingAnswer.unpack(data)
    except ValueError:
        return
    assert answer.name.isprintable()
    assert answer.interface.isprintable()


@pytest.mark.parametrize(
    ("field", "value"), [("responder", 2**64), ("alive_ns", -1), ("ttl", 256)], ids=str
)
def test_numbers_that_do_not_fit_are_refused(field: str, value: int) -> None:
    values = {"responder": 1, "alive_ns": 1, "ttl": 1, field: value}
    with pytest.raises(ValueError, match="does not fit its field"):
        PingAnswer(**values, interface="eth0", name="a").pack(QUESTION, 1, 128)
