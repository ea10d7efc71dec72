"""Send 18 levels to each of the universes 1 to 60 with the package sacn, and end them on stdin.

Channel 1 has the number of the universe, channel 2 counts up to 255.
Usage: python sacn_sender.py ADDRESS
"""

import sys
import time

import sacn  # type: ignore[import-untyped]

UNIVERSES = range(1, 61)

sender = sacn.sACNsender(bind_address=sys.argv[1], source_name="desk", universeDiscovery=False)
for universe in UNIVERSES:
    sender.activate_output(universe)
    sender[universe].multicast = True
for level in range(238, 256):
    for universe in UNIVERSES:
        sender[universe].dmx_data = (universe, level)
    sender.flush()
    time.sleep(0.02)
sys.stdin.readline()
for universe in UNIVERSES:
    sender.deactivate_output(universe)  # Says so three times.
