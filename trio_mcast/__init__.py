"""UDP multicast for Trio: exactly the groups, interfaces and sources that were asked for."""

from __future__ import annotations

from ._addresses import Endpoint
from ._changes import InterfaceChange
from ._channel import DatagramChannel
from ._datagram import Datagram
from ._errors import (
    AmbiguousInterfaceError,
    InterfaceNotFoundError,
    McastError,
    SocketSetupError,
)
from ._host import default_interface, find_interfaces, list_interfaces
from ._interface import Interface
from ._open import open_mcast_receiver, open_mcast_sender
from ._plan import SocketSpec
from ._platform import SocketOption
from ._receiver import McastReceiver, Membership
from ._sender import McastSender
from ._specs import McastReceiverSpec, McastSenderSpec
from ._statistics import (
    DatagramCounts,
    MembershipStatistics,
    ReceiverStatistics,
    SenderInterfaceStatistics,
    SenderStatistics,
)
from ._watch import watch_interfaces

__all__ = [
    "AmbiguousInterfaceError",
    "Datagram",
    "DatagramChannel",
    "DatagramCounts",
    "Endpoint",
    "Interface",
    "InterfaceChange",
    "InterfaceNotFoundError",
    "McastError",
    "McastReceiver",
    "McastReceiverSpec",
    "McastSender",
    "McastSenderSpec",
    "Membership",
    "MembershipStatistics",
    "ReceiverStatistics",
    "SenderInterfaceStatistics",
    "SenderStatistics",
    "SocketOption",
    "SocketSetupError",
    "SocketSpec",
    "default_interface",
    "find_interfaces",
    "list_interfaces",
    "open_mcast_receiver",
    "open_mcast_sender",
    "watch_interfaces",
]

# Tracebacks and documentation show where a name is imported from, not where it is kept.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
