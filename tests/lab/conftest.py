"""Makes plain sockets known to the lab's own tests."""

import sys

if sys.platform == "linux":
    from tests.lab.sockets import sockets

    __all__ = ["sockets"]
