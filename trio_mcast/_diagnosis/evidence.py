"""`Evidence`: all that was gathered about one question, as frozen values. Pure.

A part is `None` where it was not gathered; then `Evidence.not_gathered` has the reason under the
part's name. The rules look at nothing else, so evidence that was saved on one machine is judged
alike on any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs

from .frames import PhaseName, Queries, Tally
from .probe.measured import Peer

Role: TypeAlias = Literal["receiver", "sender"]

# What a question is about: without a group, the machine itself.
Subject: TypeAlias = Literal["receiver", "sender", "machine"]

# What a membership that was not asked for differs in from what was.
Widening: TypeAlias = Literal["source", "interface", "port"]


@attrs.frozen
class Question:
    """The arguments of `diagnose`.

    Attributes:
        groups: The groups, as text.
        port: The port; `None` without groups, if the question is about the machine itself.
        interfaces: The interfaces that were named, as text; `None` if none was.
        sources: The only sources that are wanted; `None` for any.
        listen_seconds: How long to listen.
        role: ``"receiver"`` or ``"sender"``.
        routed: Whether a router stands between the two.
        send: How many datagrams a sender sends to each group; 0 for none.
        peer: The other machine of a two-ended probe, and its control port; `None` without one.
    """

    groups: tuple[str, ...]
    port: int | None
    interfaces: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None
    listen_seconds: float = 6
    role: Role = "receiver"
    routed: bool = False
    send: int = 0
    peer: str | None = None

    @property
    def subject(self) -> Subject:
        """The subject: the role, or ``"machine"`` if no group is in question."""
        return self.role if self.groups else "machine"


@attrs.frozen
class Link:
    """An interface, with what the system tells of its link.

    Attributes:
        name: The name.
        index: The index.
        is_up: Whether it is switched on.
        is_running: Whether it has a carrier; `None` if unknown.
        is_multicast: Whether it is marked as capable of multicast.
        is_loopback: Whether it is the loopback interface.
        is_point_to_point: Whether it leads to one other end only; `None` if unknown.
        is_chosen: Whether the question is about it: by name or, where none was named, as it is one
            that is taken then.
        kind: The kind of a virtual interface, such as ``"bridge"``; empty for others and if
            unknown.
        link_address: The hardware address; `None` if there is none.
        mtu: The largest packet in bytes; 0 if unknown.
        master: The interface of which it is a port; `None` if there is none.
        addresses: The addresses with their prefix lengths.
        lower: The interface of this machine that a VLAN or macvlan stands on; empty if there is
            none.
        is_fit: Whether it is fit for multicast in at least one family.
        against: What stands against it, or against one family on it.
    """

    name: str
    index: int
    is_up: bool
    is_running: bool | None
    is_multicast: bool
    is_loopback: bool
    is_point_to_point: bool | None
    is_chosen: bool
    kind: str = ""
    link_address: str | None = None
    mtu: int = 0
    master: str | None = None
    addresses: tuple[str, ...] = ()
    lower: str = ""
    is_fit: bool = True
    against: tuple[str, ...] = ()


@attrs.frozen
class JoinedGroup:
    """A group that some program has joined on an interface before the listening.

    Attributes:
        interface: The interface.
        group: The group.
        users: The number of memberships; `None` if unknown.
        querier: The version of the oldest querier heard, such as ``"V3"``; empty if unknown.
        included: The sources that memberships want, and no other.
        excluded: The sources that memberships do not want.
    """

    interface: str
    group: str
    users: int | None = None
    querier: str = ""
    included: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


@attrs.frozen
class UdpSocket:
    """A socket of any program: on the port in question, or one that sends without the loop.

    Attributes:
        address: The address to which it is bound.
        port: The port.
        user: The number of its user.
        inode: The number by which /proc/PID/fd tells whose it is.
        drops: The datagrams that it lost for want of room.
        drops_later: The same after the listening; `None` if it was closed.
        program: The program and its process id; empty if unknown.
        loops: Whether what it sends to groups of IPv4 comes to this machine's own programs as well
            (``IP_MULTICAST_LOOP``); `None` if unknown.
    """

    address: str
    port: int
    user: int
    inode: int
    drops: int
    drops_later: int | None = None
    program: str = ""
    loops: bool | None = None


@attrs.frozen
class RouteFact:
    """The system's answer to the question where an address's datagrams go.

    Attributes:
        destination: The address asked for.
        through: The interface that was given with the question; empty if none was.
        interface: The interface of the answer; empty if there is no route.
        gateway: The gateway of the route; empty if there is none.
        kind: The type of the route, such as ``"multicast"`` or ``"local"``.
        errno: The error number of the answer; 0 if there is a route.
    """

    destination: str
    through: str
    interface: str = ""
    gateway: str = ""
    kind: str = ""
    errno: int = 0


@attrs.frozen
class Phase:
    """One phase of the listening, and what the counters of the system rose by in it.

    Attributes:
        name: The phase; ``"left"`` and ``"rejoined"`` come twice, in turn.
        seconds: How long it took.
        rises: The counters that rose, as ``"IpExt.InMcastPkts"``, or with the interface before it,
            as ``"eth0/Ip6InMcastPkts"``.
    """

    name: PhaseName
    seconds: float
    rises: Mapping[str, int]

    def rise(self, counter: str) -> int:
        """Return what a counter rose by."""
        return self.rises.get(counter, 0)


@attrs.frozen
class Refusal:
    """The step of an opening that the system refused.

    Attributes:
        step: The step, as `SocketSetupError.step` has it.
        errno: The error number; `None` if there is none.
        name: The name of the error number, such as ``"EADDRINUSE"``; empty if there is none.
        text: The error as text.
    """

    step: str
    errno: int | None
    name: str
    text: str


@attrs.frozen
class Heard:
    """One membership in one phase, and what came for it.

    Attributes:
        phase: The phase.
        group: The group.
        interface: The interface.
        port: The port.
        widening: What it differs in from what was asked; `None` for what was asked.
        count: The datagrams that came.
        by_source: The datagrams by the address that they came from.
        drops: The datagrams that were lost for want of room in the receive buffer.
        buffer: The size of the receive buffer in bytes.
        mean_gap: The mean time between two datagrams in seconds; `None` of less than two.
        longest_gap: The longest time between two datagrams in seconds; `None` of less than two.
        silence: The seconds from the last datagram to the end; `None` if none came.
        largest: The bytes of the largest datagram.
        refusal: The refusal, if there could be no such membership.
    """

    phase: PhaseName
    group: str
    interface: str
    port: int
    widening: Widening | None = None
    count: int = 0
    by_source: Mapping[str, int] = attrs.Factory(dict)
    drops: int = 0
    buffer: int = 0
    mean_gap: float | None = None
    longest_gap: float | None = None
    silence: float | None = None
    largest: int = 0
    refusal: Refusal | None = None


@attrs.frozen
class Sent:
    """The datagrams that were sent to a group on request, and what came back.

    Attributes:
        group: The group.
        interface: The interface.
        tried: How many datagrams were to be sent until now.
        count: How many the system has taken.
        refusal: The last refusal, if there was one.
        replies: The datagrams that came back to the sender's own port.
        replies_seen: How many of these were seen at the interfaces; `None` if that takes root.
    """

    group: str
    interface: str
    tried: int
    count: int
    refusal: Refusal | None
    replies: int
    replies_seen: int | None = None


@attrs.frozen
class Twice:
    """The datagrams of one source that came on two interfaces with the same data.

    Attributes:
        group: The group.
        interfaces: The two interfaces.
        count: How many.
    """

    group: str
    interfaces: tuple[str, ...]
    count: int


@attrs.frozen
class DroppingRule:
    """A rule or policy of a packet filter that drops.

    Attributes:
        place: The chain, as ``"inet filter input"``.
        hook: The hook of the chain, as ``"input"``; empty for one that others jump to.
        text: The rule as text, or ``"policy drop"``.
        before: The packets counted before the listening; `None` without a counter.
        after: The packets counted after it; `None` without a counter.
    """

    place: str
    hook: str
    text: str
    before: int | None
    after: int | None


@attrs.frozen
class Evidence:
    """All that was gathered about one question, in parts, each `None` if it was not gathered.

    Attributes:
        question: The question.
        system: The platform, such as ``"linux"``.
        links: The interfaces.
        unmatched: Whatever was named in the question and is no interface of this machine.
        settings: Settings of the system, such as ``"net.ipv4.conf.all.rp_filter"``.
        joined_before: The groups that were joined before the listening.
        sockets: The sockets on the port.
        routes: Where datagrams go.
        phases: The phases of the listening, with what the counters rose by.
        heard: What came, for each membership and phase.
        twice: The datagrams that came on two interfaces.
        sent: The datagrams that a sender was asked to send, and what became of them.
        captured: The frames seen on the interfaces.
        queries: The queries seen on the interfaces.
        filters: The rules of the packet filter that drop.
        peer: What came of the probes between this machine and another one.
        not_gathered: For each part that is `None`, the reason.
    """

    question: Question
    system: str = ""
    links: tuple[Link, ...] | None = None
    unmatched: tuple[str, ...] | None = None
    settings: Mapping[str, str] | None = None
    joined_before: tuple[JoinedGroup, ...] | None = None
    sockets: tuple[UdpSocket, ...] | None = None
    routes: tuple[RouteFact, ...] | None = None
    phases: tuple[Phase, ...] | None = None
    heard: tuple[Heard, ...] | None = None
    twice: tuple[Twice, ...] | None = None
    sent: tuple[Sent, ...] | None = None
    captured: tuple[Tally, ...] | None = None
    queries: tuple[Queries, ...] | None = None
    filters: tuple[DroppingRule, ...] | None = None
    peer: Peer | None = None
    not_gathered: Mapping[str, str] = attrs.Factory(dict)


# The parts that rules may need, by name.
PARTS = tuple(
    field.name
    for field in attrs.fields(Evidence)
    if field.name not in {"question", "system", "not_gathered"}
)
