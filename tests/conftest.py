"""Makes the lab's fixtures known to every test."""

import sys

from tests.lab.fixtures import lab, two_hosts, two_lans

__all__ = ["lab", "two_hosts", "two_lans"]

if sys.platform == "linux":
    from tests.following import net, net4, net6

    __all__ += ["net", "net4", "net6"]
