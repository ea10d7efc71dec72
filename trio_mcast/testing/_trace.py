"""`TraceEvent`: one event on a virtual network. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from .._values.errors import printable
from .._values.shown import cut_payload

EventKind: TypeAlias = Literal[
    "plugged",
    "unplugged",
    "up",
    "down",
    "addressed",
    "joined",
    "left",
    "sent",
    "refused",
    "lost",
    "forwarded",
    "delivered",
    "dropped",
    "queried",
    "learned",
    "forgot",
    "partitioned",
    "crashed",
    "restarted",
    "stepped",
]


@attrs.frozen
class TraceEvent:
    """One event on a `VirtualNetwork`; ``str()`` gives one readable line."""

    time: float
    """When, in seconds since the network was entered."""
    where: str
    """The name of the host, switch or router."""
    what: EventKind
    """``"joined"`` or ``"left"``: a socket's membership, on a host. ``"sent"`` or ``"refused"``: a
    datagram, by a host; for a refused datagram, the host's system gave an error. ``"delivered"``: a
    datagram, to a socket of a host; once for each socket. ``"dropped"``: a datagram, by a host,
    switch or router; ``reason`` says why. ``"lost"``: a datagram or a report, on a switch, by
    chance. ``"forwarded"``: a datagram, by a router, or by a switch to another. ``"queried"``,
    ``"learned"``, ``"forgot"``: a switch that snoops, or a router, asked for reports, learned from
    a report, or forgot one because of a newer one or because of age. ``"plugged"``,
    ``"unplugged"``: an interface, or at a switch the cable to another. ``"up"``, ``"down"``,
    ``"addressed"``: an interface. ``"partitioned"``: a switch, also when the switch is whole again.
    ``"crashed"``, ``"restarted"``, ``"stepped"``: a host, and its clock.
    """
    interface: str | None = None
    """The interface in question, or `None`. On a switch, the interface of a host or router, as
    ``"host/interface"``, or the name of another switch that is plugged in.
    """
    destination: str | None = None
    """The group, or the address and port, as text; or `None`."""
    source: str | None = None
    """The address and port that a datagram came from, as text; or `None`."""
    data: bytes | None = None
    """The payload of a datagram; `None` for everything else."""
    reason: str = ""
    """Further detail, for people."""

    def __str__(self) -> str:
        parts = [f"{self.time:10.6f}", f"{self.where:<8}", f"{self.what:<11}"]
        if self.interface is not None:
            parts.append(self.interface)
        if self.source is not None:
            parts.append(f"{self.source} ->")
        if self.destination is not None:
            parts.append(self.destination)
        if self.data is not None:
            parts.append(cut_payload(self.data))
        if self.reason:
            parts.append(f"({self.reason})")
        return printable(" ".join(parts).rstrip())
