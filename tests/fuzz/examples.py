"""How many examples each test of this folder takes, and what all of them draw from."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st

# How many messages each check of them takes: some seconds in all. ``tox -e fuzz`` takes half a
# million. What users give is drawn by Hypothesis, which takes fifty times as long; so less of it.
MESSAGES: Final = int(os.environ.get("TRIO_MCAST_FUZZ_EXAMPLES", "1000"))
of_words: Final = settings(settings.get_profile("any speed"), max_examples=max(20, MESSAGES // 20))

_KNOWN: Final = (
    "239.1.2.3",
    "224.0.0.251",
    "ff02::fb",
    "ff02::fb%eth0",
    "ff05::1%3",
    "10.0.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:239.1.2.3",
    "::1",
    "255.255.255.255",
    "0.0.0.0",
    "eth0",
    "eth0.100",
    "lo",
    "7",
)

_CHARACTERS: Final = st.sampled_from(
    [*"0123456789abcdefABCDEF.:%/-_ []", "\0", "\n", "eth0", "\udcff", "é", "٣", "²"]
)


@st.composite
def changed_text(draw: st.DrawFn) -> str:
    """Draw a known text with some characters put in, taken out or replaced."""
    text = draw(st.sampled_from(_KNOWN))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(text)))
        removed = draw(st.integers(0, 2))
        text = text[:place] + draw(_CHARACTERS | st.just("")) + text[place + removed :]
    return text


texts: Final = changed_text() | st.lists(_CHARACTERS, max_size=20).map("".join) | st.text()

_objects: Final = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address),
    st.integers(0, 2**128 - 1).map(IPv6Address),
    st.integers(2**128 - 2**120, 2**128 - 1).map(IPv6Address),
    st.builds(IPv4Interface, st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32))),
    st.builds(IPv6Interface, st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128))),
)

scalars: Final = st.one_of(
    texts,
    _objects,
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-1, 10),
    st.floats(),
    st.binary(max_size=10),
)

values: Final = scalars | st.lists(scalars, max_size=4) | st.sets(texts, max_size=3)
