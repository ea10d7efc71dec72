"""`diagnose`: its arguments and its documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from .._plan.selecting import parse_named
from .._specs.receiver import McastReceiverSpec
from .._values.addresses import AddressLike, Endpoint, parse_port
from .._values.interface import InterfaceSelector, InterfaceSelectors
from .._values.numbers import parse_int, parse_seconds
from .diagnosis import Diagnosis
from .evidence import Question, Role
from .examination import Examination
from .gather.links import selector_text
from .judging import judge
from .phases import Progress, ignore
from .probe.peer_name import parse_peer

# Arbitrary: a limit against typing errors, as it all goes to the network.
MOST_SENT: Final = 10_000
_ANY_PORT: Final = 9


async def diagnose(
    groups: AddressLike | Iterable[AddressLike],
    port: int | None,
    *,
    interfaces: InterfaceSelectors | None = None,
    sources: AddressLike | Iterable[AddressLike] | None = None,
    listen_seconds: float = 6,
    role: Role = "receiver",
    routed: bool = False,
    send: int | None = None,
    peer: str | Endpoint | None = None,
) -> Diagnosis:
    """Find out why nothing arrives, or where datagrams go, on this machine.

    As a receiver, the machine listens without joining, then joins the groups as a receiver with
    these arguments would, and counts what comes and what the system drops meanwhile. If nothing
    comes of a group, it listens more widely for a while: without the sources, on other interfaces,
    on other ports; then it leaves and joins again, twice, to see what follows. Pure rules judge
    what was gathered.

    Without groups, ``diagnose((), None)``, it is about the machine itself: its interfaces and why
    each is fit or not, which groups are joined with which sources, who has which port, the packet
    filter, limits and buffers, and the queriers that are heard. Nothing is joined then.

    Nothing is sent but the reports of these joins, unless ``send`` or ``peer`` asks for more. The
    machine joins nothing else, and everything is left again in the end. It takes no privilege; with
    root, or CAP_NET_RAW and CAP_NET_ADMIN on Linux, it also sees the frames on the network and the
    rules of the packet filter, and so tells more. What was not looked at is in ``not_checked`` of
    the result.

    What is wrong with the machine is a finding, and never an exception: an interface that is not
    there, a port that another program has, a join that is refused.

    Args:
        groups: The groups, as for `open_mcast_receiver`; ``()`` for the machine itself.
        port: The port; `None` without groups.
        interfaces: The interfaces, as for `open_mcast_receiver`; `None` for those that it would
            choose.
        sources: The only sources that are wanted; `None` for any.
        listen_seconds: How long to listen, in seconds; give at least three times the time between
            two datagrams. Listening ends earlier once 20 datagrams of every group have come on
            every interface, unless this is more than 60: that is for memberships that are forgotten
            after minutes. A receiver takes 1.5 times this in all. If nothing comes, it takes up to
            twice this more, of which leaving and joining again takes 3.2 seconds at least. A
            sender, or the machine itself, takes exactly this.
        role: ``"receiver"`` if datagrams do not arrive here, ``"sender"`` if they do not arrive
            elsewhere. A sender is looked at for ``listen_seconds``.
        routed: Whether a router stands between sender and receiver.
        send: As a sender, how many datagrams of 32 bytes to send to each group, on each interface
            that is named, or on the one that the system chooses; 1 to 10,000. They go in the first
            part of ``listen_seconds``, with a ttl of 1, or of 32 if ``routed``. `None` to send
            nothing.
        peer: Another machine, on which ``trio-mcast respond`` runs, by address or name:
            ``"10.0.0.2"``, ``"10.0.0.2:27430"`` with its control port, or an `Endpoint`. After the
            listening, both machines send each other numbered datagrams, by unicast, by broadcast
            and to the groups on this port, and compare what comes with what their systems count:
            so the result also tells of what only the network between them does. The probe takes
            some ten seconds, and then ``listen_seconds`` more, in which memberships may be
            forgotten.
            Neither end needs privilege. The other machine joins the groups on every interface,
            and sends at most 200 of these datagrams. At most 8 groups and 8 interfaces are
            probed; the result names the others under ``not_checked``.

    Returns:
        A `Diagnosis`, which has a verdict in a sentence, findings with evidence and cure, and all
        the evidence. It can be saved.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or arguments contradict each other.

    Cancellation:
        If cancelled, all groups are left, and nothing stays open.

    Platforms:
        On Linux, all of it. On other systems, and on a virtual network, what can be told from the
        interfaces, the joins and the listening; the rest is in ``not_checked`` of the result.
    """
    question, named = parse_question(
        groups,
        port,
        interfaces=interfaces,
        sources=sources,
        listen_seconds=listen_seconds,
        role=role,
        routed=routed,
        send=send,
        peer=peer,
    )
    return await examine(question, named)


def parse_question(
    groups: AddressLike | Iterable[AddressLike],
    port: int | None,
    *,
    interfaces: InterfaceSelectors | None,
    sources: AddressLike | Iterable[AddressLike] | None,
    listen_seconds: float,
    role: Role,
    routed: bool,
    send: int | None,
    peer: str | Endpoint | None,
) -> tuple[Question, tuple[InterfaceSelector, ...] | None]:
    """Check the arguments of `diagnose`, and return the question and the selectors in it."""
    # A machine without a group has no port; any will do to check the other arguments.
    spec = McastReceiverSpec(
        groups, _ANY_PORT if port is None else port, interfaces=interfaces, sources=sources
    )
    if bool(spec.groups) != (port is not None):
        raise ValueError(
            "groups and port go together: name at least one group and the port, or neither, as in "
            "diagnose((), None), for the machine itself"
        )
    if not spec.groups and (sources is not None or role != "receiver" or routed):
        raise ValueError("sources, role and routed are about groups: name at least one group")
    if not spec.groups and peer is not None:
        raise ValueError("a peer is probed with groups: name at least one group and the port")
    if port is not None:
        parse_port(port, "port")
    _check_send(send, role)
    parse_seconds(listen_seconds, "listen_seconds", above=True)
    if role not in ("receiver", "sender"):
        raise ValueError(f"role must be 'receiver' or 'sender', not {role!r}")
    named = parse_named(spec.interfaces)
    question = Question(
        spec.groups,
        port,
        None if named is None else tuple(map(selector_text, named)),
        spec.sources,
        listen_seconds,
        role,
        routed,
        send or 0,
        None if peer is None else str(parse_peer(peer)),
    )
    return question, named


def _check_send(send: int | None, role: Role) -> None:
    if send is None:
        return
    parse_int(send, "send", 1, MOST_SENT, otherwise=", or None")
    if role != "sender":
        raise ValueError('send is for senders: it needs role="sender"')


async def examine(
    question: Question,
    named: tuple[InterfaceSelector, ...] | None,
    on_progress: Callable[[Progress], None] = ignore,
) -> Diagnosis:
    """Answer a question, and tell meanwhile how far the listening is."""
    return judge(await Examination(question, named, on_progress).run())
