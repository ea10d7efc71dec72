"""Control messages: there and back, and the refusal of all that are hostile or broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trio_mcast import Endpoint
from trio_mcast._diagnosis.probe.control import (
    MESSAGES,
    MOST_BYTES,
    Message,
    is_token_of,
    token_for,
)

pytestmark = pytest.mark.once

KINDS = (*MESSAGES, *MESSAGES.values(), "refused", "challenge")
PLAIN = {"trio-mcast": 1, "kind": "mark", "id": 7, "token": "t"}
ME, OTHER = Endpoint("10.0.0.1", 27430), Endpoint("10.0.0.2", 27430)


@given(
    st.sampled_from(KINDS),
    st.integers(0, 2**64 - 1),
    st.dictionaries(st.sampled_from(["case", "token", "groups"]), st.text(max_size=9)),
    st.integers(0, MOST_BYTES),
)
def test_message_survives_the_wire(
    kind: str, number: int, fields: dict[str, Any], size: int
) -> None:
    message = Message(kind, number, fields)
    packed = message.encode(size=size)
    assert len(packed) >= size
    assert Message.decode(packed) == message


def test_answers_have_the_number_of_their_request() -> None:
    request = Message("mark", 7, {"token": "t"})
    assert request.answer(rises={}) == Message("marked", 7, {"rises": {}})
    assert request.refuse("busy") == Message("refused", 7, {"why": "busy"})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "Expecting value", id="empty"),
        pytest.param(b"\xff\xfe", "codec", id="no-utf-8"),
        pytest.param(b"[]", "JSON object", id="list"),
        pytest.param(b"[" * 1_200, "nested|Expecting", id="nested"),
        pytest.param(b'{"a":' * 240, "nested|Expecting", id="nested-objects"),
        pytest.param(b"1" * 1_200, "JSON object", id="number"),
        pytest.param(b"{}" + b" " * 1_199, "at most 1200 bytes", id="large"),
        pytest.param(b"{}", "version None", id="no-version"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Message.decode(data)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"trio-mcast": 2}, "version 2"),
        ({"trio-mcast": True}, "version True"),
        ({"trio-mcast": "1"}, "version '1'"),
        ({"kind": "format"}, "unknown kind 'format'"),
        ({"kind": ["open"]}, "unknown kind"),
        ({"id": -1}, "id must be"),
        ({"id": 2**64}, "id must be"),
        ({"id": True}, "id must be"),
        ({"id": 1.0}, "id must be"),
        ({"id": None}, "id must be"),
    ],
)
def test_message_with_a_wrong_head_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Message.decode(json.dumps({**PLAIN, **change}).encode())


@pytest.mark.parametrize(
    ("value", "reader"),
    [
        (4, "text"),
        ("x" * 101, "text"),
        ("4", "number"),
        (11, "number"),
        (float("nan"), "number"),
        ({}, "members"),
        ([0] * 65, "members"),
        ([], "mapping"),
    ],
)
def test_field_of_another_kind_is_refused(value: Any, reader: str) -> None:
    message = Message("send", 1, {"field": value})
    readers: dict[str, Callable[[str], object]] = {
        "number": lambda name: message.number(name, 1, 10),
        "text": message.text,
        "members": message.members,
        "mapping": message.mapping,
    }
    for name in ("field", "missing"):
        with pytest.raises(ValueError, match=f"{name} must be"):
            readers[reader](name)


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode())
)
@example(json.dumps(PLAIN).encode())
def test_any_datagram_is_a_message_or_a_value_error(data: bytes) -> None:
    try:
        message = Message.decode(data)
    except ValueError:
        return
    assert message.kind in KINDS


def test_token_is_of_one_address_and_one_secret() -> None:
    token = token_for(b"secret", ME)
    assert is_token_of(token, b"secret", ME)
    assert not is_token_of(token, b"secret", OTHER)
    assert not is_token_of(token, b"secret", ME._replace(port=1))
    assert not is_token_of(token, b"other", ME)
    wrong: object
    for wrong in ("", None, 7, [], token[:-1], "\ud800"):
        assert not is_token_of(wrong, b"secret", ME)
