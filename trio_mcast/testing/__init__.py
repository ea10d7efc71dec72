"""A virtual multicast network, on which programs that use trio_mcast run unchanged in tests."""

from __future__ import annotations

from ._host import VirtualHost
from ._interface import VirtualInterface
from ._network import VirtualNetwork
from ._router import VirtualRouter
from ._routes import VirtualRoutes
from ._switch import VirtualSwitch
from ._trace import TraceEvent

__all__ = [
    "TraceEvent",
    "VirtualHost",
    "VirtualInterface",
    "VirtualNetwork",
    "VirtualRouter",
    "VirtualRoutes",
    "VirtualSwitch",
]

for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
