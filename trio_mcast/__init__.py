"""UDP multicast for Trio: exactly the groups, interfaces and sources that were asked for."""

from __future__ import annotations

import inspect

from ._channel.channel import McastChannel
from ._diagnosis.diagnose import diagnose
from ._diagnosis.diagnosis import (
    Certainty,
    Diagnosis,
    Finding,
    NotChecked,
    Place,
    Reading,
    Severity,
)
from ._interfaces import (
    InterfaceChange,
    default_interface,
    find_interfaces,
    list_interfaces,
    watch_interfaces,
)
from ._open import open_mcast_channel, open_mcast_receiver, open_mcast_sender
from ._plan.socket_spec import BindAddress, SocketSpec
from ._platform.model import PlatformName
from ._platform.options import SocketOption
from ._receive.datagram_receiver import DatagramReceiver
from ._receive.membership import Membership
from ._receive.receiver import McastReceiver
from ._receive.store import Overflow
from ._receive.watching import MembershipChange
from ._send.destinations import Buffer, Destination
from ._send.sender import McastSender
from ._send.transmitter import SenderOverflow
from ._specs.channel import McastChannelSpec
from ._specs.receiver import McastReceiverSpec
from ._specs.sender import McastSenderSpec
from ._values.addresses import AddressLike, Endpoint, Family
from ._values.datagram import Datagram
from ._values.errors import (
    AmbiguousInterfaceError,
    InterfaceNotFoundError,
    McastError,
    SocketSetupError,
)
from ._values.interface import (
    ALL_INTERFACES,
    AddressScope,
    AddressState,
    Interface,
    InterfaceAddress,
    InterfaceSelector,
    InterfaceSelectors,
)
from ._values.statistics import (
    ChannelStatistics,
    DatagramCounts,
    MembershipStatistics,
    ReceiverStatistics,
    SenderInterfaceStatistics,
    SenderStatistics,
)

__all__ = [
    "ALL_INTERFACES",
    "AddressLike",
    "AddressScope",
    "AddressState",
    "AmbiguousInterfaceError",
    "BindAddress",
    "Buffer",
    "Certainty",
    "ChannelStatistics",
    "Datagram",
    "DatagramCounts",
    "DatagramReceiver",
    "Destination",
    "Diagnosis",
    "Endpoint",
    "Family",
    "Finding",
    "Interface",
    "InterfaceAddress",
    "InterfaceChange",
    "InterfaceNotFoundError",
    "InterfaceSelector",
    "InterfaceSelectors",
    "McastChannel",
    "McastChannelSpec",
    "McastError",
    "McastReceiver",
    "McastReceiverSpec",
    "McastSender",
    "McastSenderSpec",
    "Membership",
    "MembershipChange",
    "MembershipStatistics",
    "NotChecked",
    "Overflow",
    "Place",
    "PlatformName",
    "Reading",
    "ReceiverStatistics",
    "SenderInterfaceStatistics",
    "SenderOverflow",
    "SenderStatistics",
    "Severity",
    "SocketOption",
    "SocketSetupError",
    "SocketSpec",
    "default_interface",
    "diagnose",
    "find_interfaces",
    "list_interfaces",
    "open_mcast_channel",
    "open_mcast_receiver",
    "open_mcast_sender",
    "watch_interfaces",
]

# Tracebacks and documentation show where a name is imported from, not where it is kept. Aliases of
# types have no such place.
for _public in map(globals().__getitem__, __all__):
    if inspect.isclass(_public) or inspect.isfunction(_public):
        _public.__module__ = __name__
del _public, inspect
