"""`Peer`: all that the two-ended probe has found out, as frozen values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs

# "there" is from this machine to the other one, "back" from the other one to this.
Direction: TypeAlias = Literal["there", "back"]
Destination: TypeAlias = Literal["unicast", "broadcast", "local", "group"]
Purpose: TypeAlias = Literal["case", "ageing", "rejoined"]


@attrs.frozen
class PeerLink:
    """An interface of the other machine.

    Attributes:
        name: The name.
        addresses: Some of its addresses, with their prefix lengths.
    """

    name: str
    addresses: tuple[str, ...] = ()


@attrs.frozen
class JoinRefusal:
    """A join that a machine refused when the probe began.

    Attributes:
        direction: ``"there"`` if the other machine refused it, ``"back"`` if this one did.
        group: The group.
        interface: The interface.
        name: The name of the error number, such as ``"EADDRINUSE"``; empty if there is none.
        text: The error as text.
    """

    direction: Direction
    group: str
    interface: str
    name: str
    text: str


@attrs.frozen
class ProbeCase:
    """Some numbered probes that are alike, and what came of them.

    Attributes:
        direction: ``"there"`` or ``"back"``.
        version: The IP version.
        to: ``"unicast"``, ``"broadcast"``, ``"local"`` (224.0.0.254 or ff02::1, which every switch
            floods), or ``"group"``.
        destination: The address that they were sent to.
        interface: The interface that they were sent on; empty if the route decides.
        ttl: The ttl that they were sent with.
        size: The bytes of each.
        purpose: ``"case"``; ``"ageing"`` for those sent over a long time; ``"rejoined"`` for those
            after the group was then left and joined again.
        seconds: How long they were sent.
        sent: How many were sent.
        refusal: The error of the sending, as text; empty if there was none.
        refusal_name: The name of its error number, such as ``"EPERM"``.
        got: How many of them came, each counted once; `None` if that could not be learnt.
        duplicates: How many came more than once.
        last: The number of the last that came; `None` if none came.
        by_interface: How many came on each interface.
        ttls: The ttls on arrival: the least and the most.
        sources: The addresses that they came from.
        rises: The counters of the receiving machine that rose meanwhile; `None` if it tells none.
    """

    direction: Direction
    version: int
    to: Destination
    destination: str
    interface: str
    ttl: int
    size: int
    purpose: Purpose = "case"
    seconds: float = 0
    sent: int = 0
    refusal: str = ""
    refusal_name: str = ""
    got: int | None = None
    duplicates: int = 0
    last: int | None = None
    by_interface: Mapping[str, int] = attrs.Factory(dict)
    ttls: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()
    rises: Mapping[str, int] | None = None

    @property
    def came(self) -> bool:
        """Whether at least half of them came."""
        return bool(self.got) and 2 * (self.got or 0) >= self.sent

    @property
    def failed(self) -> bool:
        """Whether they were sent, and at most a tenth of them came."""
        return self.got is not None and self.sent > 0 and 10 * self.got <= self.sent

    def rise(self, counter: str) -> int:
        """Return what a counter of the receiving machine rose by."""
        return (self.rises or {}).get(counter, 0)


Failed: TypeAlias = Literal["name", "send", "answer", "refused"]


@attrs.frozen
class Peer:
    """The other machine, and what came of the probes between it and this one.

    Attributes:
        asked: The other machine as it was named.
        address: Its address and control port; empty if its name has none.
        answered: Whether it answered.
        problem: The reason why it did not, as far as there is one.
        failed: What failed then: to find its address, to send to it, to hear an answer, or to have
            it do what it was asked for.
        round_trip: The seconds until the first answer; `None` without one.
        system: Its platform, such as ``"linux"``.
        seen_as: The address from which this machine's datagrams came there.
        is_translated: Whether that is none of this machine's own addresses.
        links: Its interfaces.
        refusals: The joins that were refused.
        cases: The cases.
        skipped: The cases that there were none of, with the reason.
    """

    asked: str
    address: str = ""
    answered: bool = False
    problem: str = ""
    failed: Failed = "answer"
    round_trip: float | None = None
    system: str = ""
    seen_as: str = ""
    is_translated: bool = False
    links: tuple[PeerLink, ...] = ()
    refusals: tuple[JoinRefusal, ...] = ()
    cases: tuple[ProbeCase, ...] = ()
    skipped: tuple[str, ...] = ()
