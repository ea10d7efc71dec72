"""A host of the lab with nothing but a loopback interface, which carries both families."""

from __future__ import annotations

import pytest

from tests.lab import Host, Lab
from tests.support.traffic import Family

LOCAL: dict[Family, list[str]] = {"ipv4": ["127.0.0.1", "127.0.0.2"], "ipv6": ["::1", "fd00::1"]}


@pytest.fixture
def host(lab: Lab) -> Host:
    """Return host ``a``, whose ``lo`` has the addresses of `LOCAL`."""
    host = lab.host("a")
    # Type local: over a route of type multicast the kernel silently discards everything on lo.
    host.run("ip", "-6", "route", "add", "local", "ff00::/8", "dev", "lo")
    # Without nodad it could not be bound for a moment, even on lo.
    host.run("ip", "address", "add", "fd00::1/128", "dev", "lo", "nodad")
    return host
