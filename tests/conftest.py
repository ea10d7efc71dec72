"""Makes the lab's fixtures known to every test."""

import sys

from tests.lab.fixtures import lab, two_hosts, two_lans
from tests.support.blocks import on_virtual_host

__all__ = ["lab", "on_virtual_host", "two_hosts", "two_lans"]

if sys.platform == "linux":
    from tests.support.following import net, net4, net6

    __all__ += ["net", "net4", "net6"]
