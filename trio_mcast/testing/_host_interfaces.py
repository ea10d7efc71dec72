"""The interfaces of one virtual host: by name and by index, with those that are gone."""

from __future__ import annotations

from collections.abc import Iterator

from .._platform.model import PlatformName
from .._values.addresses import Family, IPAddress
from ._arguments import check_interface_name, check_text
from ._interface import VirtualInterface


class HostInterfaces:
    """A table of a host's interfaces, in the order of plugging in: the loopback interface first."""

    def __init__(self, host: str, platform: PlatformName, loopback: VirtualInterface) -> None:
        """Begin with the loopback interface alone.

        Args:
            host: The host's name.
            platform: The platform whose rules the host follows.
            loopback: The loopback interface.
        """
        self._host = host
        self._platform = platform
        self._by_name: dict[str, VirtualInterface] = {loopback.name: loopback}
        # By index, the last names of interfaces that are gone: what happens there is still told.
        self._former_names: dict[int, str] = {}

    def __iter__(self) -> Iterator[VirtualInterface]:
        return iter(self._by_name.values())

    def check_free(self, name: str) -> None:
        """Check a name for another interface.

        Raises:
            TypeError: The name is not a `str`.
            ValueError: The name is taken, or cannot be one.
        """
        check_interface_name(name, self._platform)
        if name in self._by_name:
            raise ValueError(f"{self._host} has an interface {name!r} already")

    def add(self, interface: VirtualInterface) -> None:
        """Take in an interface that is plugged in."""
        self._by_name[interface.name] = interface

    def remove(self, interface: VirtualInterface) -> None:
        """Forget an interface that is gone, except for its name."""
        del self._by_name[interface.name]
        self._former_names[interface.index] = interface.name

    def rename(self, interface: str, name: str) -> None:
        """Give an interface another name; the order stays."""
        self._by_name = {
            name if former == interface else former: each for former, each in self._by_name.items()
        }

    def named(self, name: str) -> VirtualInterface:
        """Return the interface of a name.

        Raises:
            TypeError: The name is not a `str`.
            ValueError: There is no interface of that name.
        """
        check_text(name, "name")
        interface = self._by_name.get(name)
        if interface is None:
            names = ", ".join(self._by_name)
            raise ValueError(f"{self._host} has no interface {name!r}; there are: {names}")
        return interface

    def at(self, index: int) -> VirtualInterface | None:
        """Return the interface of an index."""
        for interface in self._by_name.values():  # There are few, and few calls this way.
            if interface.index == index:
                return interface
        return None

    def name_of(self, index: int) -> str:
        """Return the name of an interface; the last one, if the interface is gone."""
        interface = self.at(index)
        return self._former_names.get(index, "") if interface is None else interface.name

    def index_of(self, name: str) -> int | None:
        """Return the index of an interface."""
        interface = self._by_name.get(name)
        return None if interface is None else interface.index

    def has_index(self, index: int) -> bool:
        """Tell whether there is an interface of that index."""
        return self.at(index) is not None

    def has_room(self, index: int, family: Family) -> bool:
        """Tell whether the mtu of an interface is large enough for a family."""
        interface = self.at(index)
        return interface is not None and family not in interface.families_without_room

    def has_family(self, index: int, family: Family) -> bool:
        """Tell whether an interface has an address of a family."""
        interface = self.at(index)
        return interface is not None and bool(interface.addresses(family))

    def index_with(self, address: IPAddress) -> int | None:
        """Return the index of the interface that has an address, and is up for an IPv6 one."""
        for interface in self:
            if interface.has_usable(address) and (interface.is_up or address.version == 4):
                return interface.index
        return None
