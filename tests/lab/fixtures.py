"""pytest fixtures that give a test a lab, or skip it where there can be none.

See `tests.support.needs` for what turns these skips into failures.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.needs import require

from . import Host, Lab, Switch, lab_problem

# The machine does not change while the tests run, and to find out costs some milliseconds.
_lab_problem = functools.cache(lab_problem)


def require_lab(*programs: str) -> None:
    """Skip the calling test, or fail it, unless there can be a lab with these programs.

    For synchronous fixtures and tests only; others are marked, see `tests.support.needs`.
    """
    require(_lab_problem(*programs))


@dataclass(frozen=True)
class TwoHosts:
    """Hosts ``a`` and ``b``, each with eth0 on ``lan``: 10.0.1.1 and .2, fd00:1::1 and ::2."""

    lab: Lab
    lan: Switch
    a: Host
    b: Host


@dataclass(frozen=True)
class TwoLans:
    """Hosts ``a`` and ``b``, each with eth0 on ``lan1`` and eth1 on ``lan2``.

    Their addresses are 10.0.1.x and fd00:1::x on ``lan1``, 10.0.2.x and fd00:2::x on ``lan2``; x is
    1 and 2.
    """

    lab: Lab
    lan1: Switch
    lan2: Switch
    a: Host
    b: Host


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Give a lab with nothing in it."""
    require_lab()
    with Lab() as lab:
        yield lab


@pytest.fixture
def two_hosts(lab: Lab) -> TwoHosts:
    """Give two hosts on a snooping switch."""
    lan = lab.switch("lan")
    a, b = lab.host("a"), lab.host("b")
    for number, host in enumerate((a, b), start=1):
        host.plug("eth0", lan, f"10.0.1.{number}/24", f"fd00:1::{number}/64")
    return TwoHosts(lab, lan, a, b)


@pytest.fixture
def two_lans(lab: Lab) -> TwoLans:
    """Give two hosts which are both on two snooping switches."""
    lan1, lan2 = lab.switch("lan1"), lab.switch("lan2")
    a, b = lab.host("a"), lab.host("b")
    for number, host in enumerate((a, b), start=1):
        host.plug("eth0", lan1, f"10.0.1.{number}/24", f"fd00:1::{number}/64")
        host.plug("eth1", lan2, f"10.0.2.{number}/24", f"fd00:2::{number}/64")
    return TwoLans(lab, lan1, lan2, a, b)
