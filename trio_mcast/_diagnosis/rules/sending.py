"""Rules about what this machine sends: what it lets out, and who on it gets a copy. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..evidence import Heard, Link, Sent
from .rule import Match, dropping, reading, rule
from .view import FEWEST, View

_OUTBOUND_HOOKS: Final = frozenset({"", "output", "postrouting", "egress"})
_REPLY_HOOKS: Final = frozenset({"", "ingress", "prerouting", "input"})
# Interfaces that stand on another one, their parent, and exchange nothing with it.
_ON_PARENT: Final = frozenset({"macvlan", "macvtap", "ipvlan"})


_NO_DESCRIPTOR: Final = frozenset({"EMFILE", "ENFILE"})


def _blocked(sent: Sent, tried: int, how: str, where: str, value: object) -> Match:
    values = {"refused": tried - sent.count or sent.count, "tried": tried, "how": how}
    return Match(sent.interface or None, sent.group, values, reading(where, value))


@rule("send-blocked", needs=("sent",), role="sender")
def send_blocked(view: View) -> Iterator[Match]:
    """Find groups to which the system refuses to send."""
    for sent in view.evidence.sent or ():
        # Where there could be no socket, nothing was tried.
        tried = sent.tried or view.question.send
        if sent.refusal is None or sent.refusal.name in _NO_DESCRIPTOR:
            continue
        if sent.count < tried:
            hooks = dropping(view, _OUTBOUND_HOOKS)
            how = f"{sent.refusal.text} ({hooks})" if hooks else sent.refusal.text
            error = sent.refusal.name or sent.refusal.text
            where = f"sending, {tried - sent.count} of {tried} refused"
            yield _blocked(sent, tried, how, where, error)


@rule("descriptor-limit", needs=("sent",), role="sender")
def descriptor_limit_of_sender(view: View) -> Iterator[Match]:
    """Find groups to which nothing could be sent, as no file descriptor was left."""
    for sent in view.evidence.sent or ():
        if sent.refusal is not None and sent.refusal.name in _NO_DESCRIPTOR:
            where = reading("opening a socket to send", sent.refusal.name)
            yield Match(sent.interface or None, sent.group, readings=where)


@rule("send-blocked", needs=("sent", "captured", "links"), role="sender")
def send_blocked_without_error(view: View) -> Iterator[Match]:
    """Find groups of which the system takes datagrams, and none leaves, as at the hook egress."""
    for sent in view.evidence.sent or ():
        link = view.links.get(sent.interface)
        if link is None or link.is_loopback or sent.count < FEWEST or not link.is_running:
            continue
        left = sum(
            tally.count
            for tally in view.evidence.captured or ()
            if tally.is_outgoing
            and (tally.interface, tally.port) == (sent.interface, view.port)
            and tally.destination == str(view.groups[sent.group])
        )
        if not left:
            how = dropping(view, _OUTBOUND_HOOKS) or "the rules of the packet filter tell nothing"
            where = f"frames seen on {sent.interface}, sent, of {sent.count} datagrams"
            yield _blocked(sent, sent.tried, how, where, 0)


@rule("replies-blocked", needs=("sent",), role="sender")
def replies_blocked(view: View) -> Iterator[Match]:
    """Find answers that reach the machine, and not the sender."""
    for sent in view.evidence.sent or ():
        if sent.replies_seen and not sent.replies:
            hook = dropping(view, _REPLY_HOOKS) or "something before the socket"
            seen = f"{sent.replies_seen}, delivered 0"
            where = f"frames seen on {sent.interface} for the sender's own port"
            yield Match(
                sent.interface,
                sent.group,
                {"seen": sent.replies_seen, "hook": hook},
                reading(where, seen),
                certainty="certain" if sent.replies_seen >= FEWEST else "likely",
            )


def _silent(view: View) -> Iterator[Heard]:
    return (heard for heard in view.opened if heard.group in view.silent_groups)


def _sent_here(view: View, heard: Heard) -> int:
    """Return how many datagrams this machine sent where a membership is, and to its port."""
    return sum(
        tally.count
        for tally in view.evidence.captured or ()
        if tally.is_outgoing
        and tally.phase == "joined"
        and (tally.interface, tally.port) == (heard.interface, heard.port)
        and tally.destination == str(view.groups[heard.group])
    )


@rule(
    "sender-loopback-off",
    needs=("heard", "captured", "phases", "sockets"),
    explains=("nothing-arrived",),
)
def sender_loopback_off(view: View) -> Iterator[Match]:
    """Find senders on this machine that send where the group is joined, but not to this machine."""
    for heard in _silent(view):
        count = _sent_here(view, heard)
        if count < FEWEST:
            continue
        if view.groups[heard.group].version == 4:
            value = sum(sock.loops is False for sock in view.evidence.sockets or ())
            where, is_off = "sockets of IPv4 with IP_MULTICAST_LOOP off", value > 0
        else:
            # What is looped back counts as received.
            where = f"{heard.interface}/Ip6InMcastPkts, rise"
            value = view.rise(f"{heard.interface}/Ip6InMcastPkts")
            is_off = value < count / 2
        if is_off:
            seen = reading(f"frames seen on {heard.interface}, sent", count)
            values = {"count": count, "what": f"{count} datagrams were seen leaving"}
            yield Match(heard.interface, heard.group, values, seen + reading(where, value))


@rule("sender-loopback-off", "note", needs=("heard", "sockets"))
def sender_may_have_loopback_off(view: View) -> Iterator[Match]:
    """Find programs that would not be heard here if it is they who send: a hint without root."""
    off = [sock for sock in view.evidence.sockets or () if sock.loops is False]
    groups = [group for group in view.silent_groups if view.groups[group].version == 4]
    if view.evidence.captured is not None or not off or not groups:
        return
    programs = ", ".join(
        f"port {sock.port} of {sock.program or f'user {sock.user}'}" for sock in off[:4]
    )
    values = {"what": f"{len(off)} sockets may be such ({programs})"}
    where = reading("sock_diag, sockets of IPv4 with IP_MULTICAST_LOOP off", programs)
    yield Match(None, groups[0], values, where, certainty="likely")


def _parent_of(link: Link | None, other: Link | None) -> Link | None:
    """Return which of two interfaces is the one that the other stands on; `None` if neither is."""
    if link is None or other is None:
        return None
    if link.kind in _ON_PARENT and link.lower == other.name:
        return other
    return link if other.kind in _ON_PARENT and other.lower == link.name else None


@rule(
    "macvlan-parent",
    needs=("heard", "links"),
    explains=("sent-on-another-interface", "other-interface", "nothing-arrived"),
)
def macvlan_parent(view: View) -> Iterator[Match]:
    """Find groups that this machine sends on a macvlan, and that are wanted on its parent, or so.

    Such interfaces exchange nothing with their parent, only with the network and each other.
    """
    for heard in view.heard_in("widened"):
        is_local = all(one.partition("%")[0] in view.own_addresses for one in heard.by_source)
        if heard.widening != "interface" or not heard.count or not is_local:
            continue
        for asked in _silent(view):
            parent = _parent_of(view.links.get(asked.interface), view.links.get(heard.interface))
            if asked.group == heard.group and parent is not None:
                is_parent = parent.name == heard.interface
                child = view.links[asked.interface if is_parent else heard.interface]
                values = {"child": child.name, "kind": child.kind, "parent": parent.name}
                where = f"the system's list of interfaces, {child.name}"
                yield Match(
                    asked.interface,
                    heard.group,
                    {**values, "case": "Datagrams were heard on the one, and not on the other."},
                    reading(where, f"{child.kind} on {parent.name}"),
                )


@rule("macvlan-parent", "note", needs=("links",), role=None)
def macvlan_may_have_its_parent_elsewhere(view: View) -> Iterator[Match]:
    """Find interfaces that do not reach the machine whose interface they stand on, or so."""
    if view.question.subject == "receiver" and not view.silent_groups:
        return
    if any(True for _ in macvlan_parent.find(view)):
        return
    for link in view.chosen:
        if link.kind in _ON_PARENT:
            parent = link.lower or "an interface of the host"
            where = f"the system's list of interfaces, {link.name}"
            values = {"child": link.name, "kind": link.kind, "parent": parent, "case": ""}
            is_on = reading(where, f"{link.kind} on {parent}")
            yield Match(link.name, None, values, is_on, certainty="likely")


RULES = (
    send_blocked,
    descriptor_limit_of_sender,
    send_blocked_without_error,
    replies_blocked,
    sender_loopback_off,
    sender_may_have_loopback_off,
    macvlan_parent,
    macvlan_may_have_its_parent_elsewhere,
)
