"""The `Datagram`: the same whether a program makes it or the library does, for many at once."""

from __future__ import annotations

import copy
import pickle

import pytest

from trio_mcast import Datagram, Endpoint, Interface
from trio_mcast._values.datagram import make_datagram

INTERFACE = Interface("eth0", 2, mtu=1500)
TO = Endpoint("239.1.2.3", 5000)
FIELDS = (b"data", Endpoint("10.0.0.2", 5000), "239.1.2.3", INTERFACE, 3, 1_700_000_000, TO, 184)


def test_made_datagram_is_what_calling_the_class_gives() -> None:
    made, called = make_datagram(FIELDS), Datagram(*FIELDS)
    assert isinstance(made, Datagram)
    assert made == called
    assert hash(made) == hash(called)
    assert repr(made) == repr(called)
    assert made._asdict() == called._asdict()
    assert [getattr(made, name) for name in Datagram._fields] == list(FIELDS)


def test_made_datagram_is_immutable_and_replaced_by_a_datagram() -> None:
    made = make_datagram(FIELDS)
    with pytest.raises(AttributeError):
        made.data = b"other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        made.other = 1  # type: ignore[attr-defined]
    replaced = made._replace(ttl=1)
    assert isinstance(replaced, Datagram)
    assert replaced == Datagram(*FIELDS)._replace(ttl=1)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_made_datagram_is_copied(way: object) -> None:
    assert callable(way)
    again = way(make_datagram(FIELDS))
    assert type(again) is Datagram
    assert again == Datagram(*FIELDS)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_made_datagram_survives_a_pickle(protocol: int) -> None:
    again = pickle.loads(pickle.dumps(make_datagram(FIELDS), protocol))
    assert type(again) is Datagram
    assert again == Datagram(*FIELDS)
