"""What is known of an interface besides its name and addresses, on every platform."""

from __future__ import annotations

from typing import NamedTuple


class InterfaceFacts(NamedTuple):
    """What the system says of one interface, apart from its name, index and addresses."""

    link_address: str | None
    mtu: int
    is_up: bool
    is_loopback: bool
    is_multicast: bool
