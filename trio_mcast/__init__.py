"""UDP multicast for Trio: exactly the groups, interfaces and sources that were asked for."""

from __future__ import annotations

from ._interfaces import (
    InterfaceChange,
    default_interface,
    find_interfaces,
    list_interfaces,
    watch_interfaces,
)
from ._open import open_mcast_receiver, open_mcast_sender
from ._plan.socket_spec import SocketSpec
from ._platform.options import SocketOption
from ._receive.datagram_receiver import DatagramReceiver
from ._receive.membership import Membership
from ._receive.receiver import McastReceiver
from ._send.sender import McastSender
from ._specs import McastReceiverSpec, McastSenderSpec
from ._values.addresses import Endpoint
from ._values.datagram import Datagram
from ._values.errors import (
    AmbiguousInterfaceError,
    InterfaceNotFoundError,
    McastError,
    SocketSetupError,
)
from ._values.interface import Interface, InterfaceAddress
from ._values.statistics import (
    DatagramCounts,
    MembershipStatistics,
    ReceiverStatistics,
    SenderInterfaceStatistics,
    SenderStatistics,
)

__all__ = [
    "AmbiguousInterfaceError",
    "Datagram",
    "DatagramCounts",
    "DatagramReceiver",
    "Endpoint",
    "Interface",
    "InterfaceAddress",
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
