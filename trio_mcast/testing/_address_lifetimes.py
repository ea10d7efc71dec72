"""The lifetimes of addresses on a virtual interface, such as DHCP and routers give."""

from __future__ import annotations

from collections.abc import Callable

from .._values.addresses import IPAddress
from .._values.numbers import parse_seconds
from ._core import Core


def check_lifetimes(valid: float | None, preferred: float | None) -> None:
    """Check the lifetimes of an address.

    Raises:
        TypeError: A value is not a number.
        ValueError: A value is out of range, or the address is to be preferred longer than valid.
    """
    if valid is not None:
        parse_seconds(valid, "valid_seconds", above=True)
    if preferred is not None:
        parse_seconds(preferred, "preferred_seconds")
    if valid is not None and preferred is not None and preferred > valid:
        raise ValueError(
            f"preferred_seconds={preferred} is more than valid_seconds={valid}: "
            "an address is preferred as long as it is valid, or less"
        )


class AddressLifetimes:
    """The lifetimes on one interface, as far as they have not ended."""

    def __init__(
        self,
        core: Core,
        number: int,
        deprecate: Callable[[IPAddress], None],
        remove: Callable[[IPAddress], None],
    ) -> None:
        """Begin with no lifetime.

        Args:
            core: The core of the network.
            number: The number of the interface, which decides what ends first.
            deprecate: Called when an address is no longer preferred.
            remove: Called when an address is no longer valid.
        """
        self._core = core
        self._number = number
        self._deprecate = deprecate
        self._remove = remove
        self._latest: dict[IPAddress, object] = {}

    def begin(self, address: IPAddress, valid: float | None, preferred: float | None) -> None:
        """Give an address lifetimes, in place of those that it had; `None` has no end."""
        lifetime = self._latest[address] = object()

        def schedule(seconds: float | None, end: Callable[[IPAddress], None]) -> None:
            def call() -> None:
                if self._latest.get(address) is lifetime:
                    end(address)

            if seconds is not None:
                scheduler = self._core.scheduler
                scheduler.schedule(scheduler.later(seconds), (self._number,), call)

        if preferred != 0 and preferred != valid:
            schedule(preferred, self._deprecate)
        schedule(valid, self._remove)

    def forget(self, address: IPAddress) -> None:
        """End the lifetimes of an address without a consequence."""
        self._latest.pop(address, None)
