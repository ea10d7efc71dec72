"""A virtual multicast network, on which programs that use trio_mcast run unchanged in tests."""

from __future__ import annotations

import inspect

from .._capture.reading import CapturedFrame, read_capture
from ._cable import Cable
from ._clock import VirtualClock
from ._drops import DatagramOnLink, DropRule
from ._event_list import TraceTotals, VirtualTrace
from ._host import VirtualHost
from ._interface import VirtualInterface
from ._interface_address import AddressWithPrefix
from ._network import VirtualNetwork
from ._replay import Replay
from ._router import VirtualRouter
from ._routes import VirtualRoutes
from ._switch import VirtualSwitch
from ._switch_capture import SwitchCapture
from ._trace import EventKind, TraceEvent
from ._trials import network_test
from ._trunk import Trunk

__all__ = [
    "AddressWithPrefix",
    "Cable",
    "CapturedFrame",
    "DatagramOnLink",
    "DropRule",
    "EventKind",
    "Replay",
    "SwitchCapture",
    "TraceEvent",
    "TraceTotals",
    "Trunk",
    "VirtualClock",
    "VirtualHost",
    "VirtualInterface",
    "VirtualNetwork",
    "VirtualRouter",
    "VirtualRoutes",
    "VirtualSwitch",
    "VirtualTrace",
    "network_test",
    "read_capture",
]

for _public in map(globals().__getitem__, __all__):
    if inspect.isclass(_public) or inspect.isfunction(_public):
        _public.__module__ = __name__
del _public, inspect
