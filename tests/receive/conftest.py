"""Makes the LAN that changes known to the tests of this directory."""

from tests.support.changing_lan import net, net4, net6

__all__ = ["net", "net4", "net6"]
