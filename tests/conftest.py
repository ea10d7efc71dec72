"""Makes the lab's fixtures and other hosts known to every test, and looks at what each needs."""

import pytest
from hypothesis import HealthCheck, settings

from tests.lab.fixtures import lab, require_lab, two_hosts, two_lans
from tests.support import needs
from tests.support.blocks import on_virtual_host
from tests.support.loopback import host

__all__ = ["host", "lab", "on_virtual_host", "two_hosts", "two_lans"]

# How long an example takes depends on what else the machine does: a busy one is no failure.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    needs.check(item)
    # Looked at here, too, since pytest tells one reason for all: of a fixture, one for each test.
    if "lab" in getattr(item, "fixturenames", ()):
        require_lab()
