"""Print address and port of a service that python-zeroconf finds by way of one address.

Usage: python zeroconf_lookup.py ADDRESS TYPE NAME
"""

import sys

from zeroconf import Zeroconf

address, kind, name = sys.argv[1:]
with Zeroconf(interfaces=[address]) as zeroconf:
    info = zeroconf.get_service_info(f"{kind}.local.", f"{name}.{kind}.local.", timeout=10_000)
if info is None:
    sys.exit("nobody has answered")
print(*info.parsed_addresses(), info.port)
