"""The imperative shell: everything that touches the operating system goes through a `Host`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from .._addresses import AddressLike, parse_group
from .._interface import Interface, InterfaceSelectors, by_zone, parse_selectors, select_interfaces
from ._protocols import Host, InterfaceWatcher, McastSocket, Poller, Rejection
from ._system import SystemHost

__all__ = [
    "Host",
    "InterfaceWatcher",
    "McastSocket",
    "Poller",
    "Rejection",
    "SystemHost",
    "current_host",
    "default_interface",
    "find_interfaces",
    "host_variable",
    "list_interfaces",
]

_SYSTEM_HOST: Final = SystemHost()

# The host on which what is opened is opened; the machine itself unless something else was set.
host_variable: Final[ContextVar[Host]] = ContextVar("trio_mcast.host", default=_SYSTEM_HOST)


def current_host() -> Host:
    """The host on which this task opens sockets."""
    return host_variable.get()


def list_interfaces() -> list[Interface]:
    """Every network interface of this machine, by index; also those that are down or addressless.

    Returns:
        A list of `Interface` values, as things are now: they do not follow later changes.

    Raises:
        McastError: The system refused.
    """
    return current_host().list_interfaces()


def find_interfaces(selector: InterfaceSelectors | None) -> list[Interface]:
    """The interfaces that ``interfaces=selector`` means to `open_mcast_receiver`.

    Args:
        selector: A name, an index, an address, an `Interface`, or an iterable of these; `None` for
            every interface that is up, capable of multicast and not loopback.

    Returns:
        A list of `Interface` values in the order of the selectors, each once.

    Raises:
        TypeError: The selector is none of these.
        ValueError: The iterable is empty.
        InterfaceNotFoundError: It matches no interface; the message lists those there are.
        AmbiguousInterfaceError: An address is on two interfaces.
    """
    selections = select_interfaces(parse_selectors(selector), list_interfaces())
    return list(dict.fromkeys(selection.interface for selection in selections))


def default_interface(group: AddressLike = "239.0.0.0") -> Interface | None:
    """The interface to which the system would send a group's datagrams. Sends nothing.

    Asks the system's routing. A default gateway is not needed, only a route that covers the group.

    Args:
        group: The group; the default stands for IPv4 groups at large. With a zone, the zone's
            interface is the answer.

    Returns:
        The interface, or `None` if the system has no route for the group; that is always so for an
        IPv6 group of link-local scope without a zone.

    Raises:
        TypeError: The group is not a `str` or an address object.
        ValueError: It is not a multicast address.
        InterfaceNotFoundError: Its zone names no interface.
    """
    parsed = parse_group(group)
    host = current_host()
    if parsed.zone is not None:
        return by_zone(parsed.zone, host.list_interfaces())
    return host.default_interface(parsed)
