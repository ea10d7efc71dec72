"""The checks of new addresses on a virtual interface: whether somebody else has the address."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from .._values.addresses import IPAddress
from .._values.interface import AddressState
from ._core import Core


@attrs.frozen(eq=False)
class _Check:
    """One check: how long it takes, and the state of the address after it."""

    seconds: float
    outcome: AddressState


class AddressChecks:
    """The checks on one interface, as far as they have not ended."""

    def __init__(
        self, core: Core, number: int, end: Callable[[IPAddress, AddressState], bool]
    ) -> None:
        """Begin with no check.

        Args:
            core: The core of the network.
            number: The number of the interface, which decides what ends first.
            end: Called when a check is over, with the address and its new state. It returns whether
                the check can end now; if not, the check is made anew by `begin_again`.
        """
        self._core = core
        self._number = number
        self._end = end
        self._checks: dict[IPAddress, _Check] = {}

    def begin(self, address: IPAddress, seconds: float, outcome: AddressState) -> None:
        """Begin to check an address."""
        check = self._checks[address] = _Check(seconds, outcome)

        def end() -> None:
            if self._checks.get(address) is check and self._end(address, outcome):
                self._checks.pop(address, None)

        scheduler = self._core.scheduler
        scheduler.schedule(scheduler.later(seconds), (self._number,), end)

    def begin_again(self) -> None:
        """Begin all checks anew, as the interface has come up."""
        for address, check in list(self._checks.items()):
            self.begin(address, check.seconds, check.outcome)

    def has(self, address: IPAddress) -> bool:
        """Tell whether an address is being checked."""
        return address in self._checks

    def forget(self, address: IPAddress) -> None:
        """End the check of an address, if there is one, without an outcome."""
        self._checks.pop(address, None)
