"""`Tally` and `Queries`: the frames that were seen on the network, as frozen values. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

# The phases of listening. In "widened" the memberships are others than were asked for.
PhaseName: TypeAlias = Literal["before", "joined", "widened", "left", "rejoined"]


@attrs.frozen
class Tally:
    """Frames that were seen on an interface and are alike.

    Attributes:
        phase: The phase.
        interface: The interface.
        is_outgoing: Whether this machine sent them.
        link_source: The hardware address that they came from.
        is_group_frame: Whether they were sent to a hardware address of groups.
        source: The address that they came from.
        destination: The address that they were sent to.
        ttl: The time to live, or hop limit.
        port: The port that they were sent to; 0 if unknown, as of later fragments.
        kind: ``"udp"``, ``"first fragment"``, ``"later fragment"``, ``"query"`` or ``"report"``.
        count: How many.
    """

    phase: PhaseName
    interface: str
    is_outgoing: bool
    link_source: str
    is_group_frame: bool
    source: str
    destination: str
    ttl: int
    port: int
    kind: str
    count: int


@attrs.frozen
class Queries:
    """The queries of one querier that asked which groups are joined, while groups were joined.

    Only queries of IGMPv3 and MLDv2, as the answer to an older one may be left to another machine,
    and only those whose time to answer was over.

    Attributes:
        interface: The interface.
        version: The IP version.
        querier: The address of the querier.
        count: How many.
        answered: How many this machine answered in time.
    """

    interface: str
    version: int
    querier: str
    count: int
    answered: int
