"""Makes known to the tests of this directory how the calls of Linux are counted."""

import sys

if sys.platform == "linux":
    from tests.support.readers import ring
    from tests.support.system_calls import calls, enters

    __all__ = ["calls", "enters", "ring"]
