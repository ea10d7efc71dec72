"""Rules about interfaces, and about memberships that could not be made. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Heard, Link, UdpSocket
from .rule import Match, reading, rule
from .view import View

_LINK = "the system's list of interfaces, {}"


@rule("no-such-interface", needs=("unmatched",), role=None)
def no_such_interface(view: View) -> Iterator[Match]:
    """Find names of interfaces that there are not."""
    names = ", ".join(view.links)
    for text in view.evidence.unmatched or ():
        is_named = text in view.zones or view.question.interfaces is not None
        values = {"interface": text, "names": names or "unknown"}
        where = reading("the question" if is_named else "the system's list of interfaces", text)
        yield Match(text if is_named else None, values=values, readings=where)


def _named(view: View) -> list[Link]:
    if view.question.interfaces is not None:
        return view.chosen
    return [link for link in view.chosen if {link.name, str(link.index)} & view.zones]


@rule("interface-down", needs=("links",), explains=("cannot-join", "no-carrier"), role=None)
def interface_down(view: View) -> Iterator[Match]:
    """Find interfaces that were named and are switched off."""
    for link in _named(view):
        if not link.is_up:
            yield Match(link.name, readings=reading(_LINK.format(link.name), "not UP"))


def without_carrier(view: View) -> Iterator[Match]:
    """Yield interfaces without a carrier: those that were named, or else all, if none has one."""
    # Where none was named, an interface that has no carrier is as good as not there, as long as
    # another one has: an unused port of the machine, or a tunnel that nobody serves.
    links = _named(view) or view.chosen
    lacking = [link for link in links if link.is_up and link.is_running is False]
    if view.question.interfaces is None and len(lacking) < len(view.chosen):
        return
    for link in lacking:
        yield Match(link.name, readings=reading(_LINK.format(link.name), "UP, but not RUNNING"))


@rule("no-carrier", needs=("links", "heard"), explains=("nothing-arrived",))
def no_carrier(view: View) -> Iterator[Match]:
    """Find interfaces without a carrier, if nothing came on them."""
    came = {heard.interface for heard in view.memberships if heard.count}
    return (match for match in without_carrier(view) if match.interface not in came)


@rule("no-carrier", needs=("links",), role="sender")
def no_carrier_of_sender(view: View) -> Iterator[Match]:
    """Find interfaces without a carrier."""
    return without_carrier(view)


@rule("no-multicast-flag", "warning", needs=("links",), role=None)
def no_multicast_flag(view: View) -> Iterator[Match]:
    """Find interfaces that are not marked as capable of multicast. Linux joins there as well."""
    for link in _named(view):
        if link.is_up and not link.is_multicast and not link.is_loopback:
            yield Match(link.name, readings=reading(_LINK.format(link.name), "no MULTICAST"))


def _refused(view: View, *names: str) -> Iterator[Heard]:
    for heard in view.memberships:
        if heard.refusal is not None and (not names or heard.refusal.name in names):
            yield heard


def _refusal(heard: Heard, **values: object) -> Match:
    assert heard.refusal is not None
    refusal = heard.refusal
    # Where the interfaces could not be listed, it is one of none.
    return Match(
        heard.interface or None,
        heard.group,
        {"step": refusal.step, "error": refusal.text, "port": heard.port, **values},
        reading(f"opening a socket, at {refusal.step}", refusal.name or refusal.text),
    )


@rule("descriptor-limit", needs=("heard",), explains=("cannot-join",))
def descriptor_limit(view: View) -> Iterator[Match]:
    """Find memberships for which no file descriptor was left."""
    return (_refusal(heard) for heard in _refused(view, "EMFILE", "ENFILE"))


@rule("source-or-membership-limit", needs=("heard",), explains=("cannot-join",))
def source_or_membership_limit(view: View) -> Iterator[Match]:
    """Find memberships or sources beyond a limit of the system."""
    return (_refusal(heard) for heard in _refused(view, "ENOBUFS"))


def _holders(view: View, heard: Heard) -> Iterator[UdpSocket]:
    return (sock for sock in view.evidence.sockets or () if sock.port == heard.port)


@rule("port-held", needs=("heard",), explains=("cannot-join",))
def port_held(view: View) -> Iterator[Match]:
    """Find ports that another program has and does not share."""
    for heard in _refused(view, "EADDRINUSE", "WSAEADDRINUSE"):
        holders = [
            f"{sock.address}, user {sock.user}, {sock.program or f'inode {sock.inode}'}"
            for sock in _holders(view, heard)
        ]
        listed = "; ".join(holders) or "not known which"
        match = _refusal(heard, holders=listed)
        yield Match(
            match.interface,
            match.group,
            match.values,
            match.readings + reading("the system's UDP sockets on the port", listed),
        )


@rule("cannot-join", needs=("heard", "links"), explains=("nothing-arrived",))
def cannot_join(view: View) -> Iterator[Match]:
    """Find memberships that the system has refused.

    Where no interface was named, one that cannot be used is left out, as long as another can.
    """
    joined = {heard.group for heard in view.opened}
    for heard in _refused(view):
        if view.question.interfaces is not None or heard.group not in joined:
            yield _refusal(heard)


RULES = (
    no_such_interface,
    interface_down,
    no_carrier,
    no_carrier_of_sender,
    no_multicast_flag,
    descriptor_limit,
    source_or_membership_limit,
    port_held,
    cannot_join,
)
