"""The soak finds nothing in a few runs, and would find something; ``tox -e soak`` runs longer."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

import pytest

from tests.lab import Host, Lab
from tests.lab.fixtures import require_lab

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

from tests.soak import Load, network, run
from trio_mcast import Datagram, Endpoint, Interface

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    require_lab()
    with Lab() as lab:
        yield network(lab)


@pytest.mark.parametrize("seed", range(4))
async def test_every_datagram_comes_once_or_is_counted(hosts: tuple[Host, Host], seed: int) -> None:
    assert await run(*hosts, seed) > 0


@pytest.mark.parametrize(
    ("numbers", "is_right"),
    [([0, 1, 2], True), ([0, 2], True), ([0, 0], False), ([1, 0], False), ([0, 3], False)],
)
def test_doubled_and_misplaced_ones_are_noticed(numbers: list[int], is_right: bool) -> None:
    load = Load(random.Random(0), {})
    load.sent["239.3.0.1", "eth0"] = 3
    source, interface = Endpoint("10.0.0.1", 1), Interface(name="eth0", index=2)
    datagrams = [
        Datagram(number.to_bytes(4, sys.byteorder), source, "239.3.0.1", interface)
        for number in numbers
    ]
    if is_right:
        load.arrived(datagrams)
        assert load.got == len(numbers)
    else:
        with pytest.raises(AssertionError):
            load.arrived(datagrams)
