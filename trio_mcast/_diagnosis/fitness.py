"""Whether an interface is fit for multicast, and why not. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import attrs

from .._plan.selecting import is_candidate, is_port, why_no_candidate
from .._plan.source_address import choose_source
from .._values.addresses import FAMILY_LABEL, Family, Group, parse_group
from .._values.interface import Interface, families_without_room

# A group of a scope beyond the link, for each family: any would do.
ANY_GROUP: Final[Mapping[Family, Group]] = {
    "ipv4": parse_group("239.0.0.0"),
    "ipv6": parse_group("ff15::1"),
}


@attrs.frozen
class Fitness:
    """Whether an interface is fit for multicast.

    Attributes:
        is_default: Whether a receiver that names no interface joins on it.
        reasons: What stands against it in both families.
        lacks: By family, what stands against that one; nothing of an interface that is off
            or a port.
    """

    is_default: bool
    reasons: tuple[str, ...] = ()
    lacks: Mapping[Family, str] = attrs.Factory(dict)

    @property
    def is_fit(self) -> bool:
        """Whether nothing stands against it in at least one family."""
        return not self.reasons and len(self.lacks) < len(FAMILY_LABEL)

    def __str__(self) -> str:
        start = ["fit"] if self.is_fit else ["not fit"]
        return ", ".join([*start, *self.reasons, *self.lacks.values()])


def judge_interface(
    interface: Interface,
    *,
    is_running: bool | None = None,
    switched_off: Collection[Family] = (),
    needs_address: bool = False,
) -> Fitness:
    """Return whether an interface is fit for multicast.

    Args:
        interface: The interface.
        is_running: Whether it has a carrier; `None` if unknown.
        switched_off: The families that the system's settings switch off on it.
        needs_address: Whether the system joins only where there is an address of the family.
    """
    is_default = is_candidate(interface) and (
        not needs_address or any(map(interface.addresses, FAMILY_LABEL))
    )
    reasons = why_no_candidate(interface)
    if interface.is_up and is_running is False:
        reasons = (*reasons, "no carrier")
    lacks: dict[Family, str] = {}
    if not interface.is_up or is_port(interface):
        # IPv6 addresses come when it is switched on; a port needs none.
        return Fitness(is_default, reasons)
    for family, label in FAMILY_LABEL.items():
        if family in switched_off:
            lacks[family] = f"{label} switched off"
        elif family in families_without_room(interface.mtu):
            lacks[family] = f"mtu too small for {label}"
        elif choose_source(interface, ANY_GROUP[family]) is None:
            lacks[family] = f"no {label} address"
    return Fitness(is_default, reasons, lacks)
