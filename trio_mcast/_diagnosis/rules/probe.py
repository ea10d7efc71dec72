"""Rules about the way between two machines, from the two-ended probe. Pure.

Of each group and direction, the first code that fits is told: `code_of` has their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import attrs

from ..diagnosis import Certainty, Place, Reading
from ..probe.answers import is_forgotten
from ..probe.control import CONTROL_PORT
from ..probe.measured import ProbeCase
from ..probe.peer_name import parse_peer
from ..probe_wording import NOTHING_ANSWERED
from ..wording import fill
from .lanes import Lane, find_lanes
from .rule import Match, rule
from .view import View

_REFUSED_BY_FILTER = {"EPERM", "EACCES"}


def code_of(lane: Lane) -> str | None:
    """Return the code of what is wrong with a lane; `None` if nothing is, or nothing is known."""
    if lane.came:
        return _code_if_came(lane)
    if any(case.refusal_name in _REFUSED_BY_FILTER and not case.sent for case in lane.cases):
        return "send-blocked"
    if lane.refusal is not None and lane.failed:
        return "port-held" if lane.refusal.name == "EADDRINUSE" else "cannot-join"
    if not lane.failed:
        return None
    if lane.filtered is not None:
        return "reverse-path-filter"
    if lane.dropped is not None:
        return "firewall"
    if lane.local is not None and lane.local.came:
        return "filtered-by-snooping"
    if lane.broadcast is not None and lane.broadcast.came:
        return "multicast-blocked"
    # IPv6 has no broadcast: without a router between, only groups are known to be lost.
    if lane.broadcast is None and lane.routers == 0:
        return "multicast-blocked"
    return "no-broadcast-domain"


def _code_if_came(lane: Lane) -> str | None:
    best = lane.best
    assert best is not None, "it came"
    if any(case.purpose == "ageing" and case.sent and not case.got for case in lane.cases):
        return None  # The membership was forgotten in the midst of the cases.
    if lane.near is not None and lane.near.failed:
        return "ttl-too-small"
    if lane.fragmented is not None and lane.fragmented.failed:
        return "fragments-lost"
    if 2 * best.duplicates >= (best.got or 0) and len(best.by_interface) > 1:
        return "duplicates-on-two-interfaces"
    return None


def _matches(
    view: View,
    code: str,
    values: Callable[[Lane], Mapping[str, object]] = lambda lane: {},
    certainty: Callable[[Lane], Certainty] = lambda lane: "certain",
    *,
    at_sender: bool = False,
) -> Iterator[Match]:
    for lane in find_lanes(view.evidence):
        if code_of(lane) == code:
            is_there = (lane.direction == "there") != at_sender
            place: Place = "peer" if is_there else "here"
            ends = {"sender": lane.sender, "receiver": lane.receiver, "from_interface": _on(lane)}
            yield Match(
                None,
                lane.group,
                {**ends, **values(lane)},
                tuple(_readings(lane)),
                certainty(lane),
                place=place,
            )


def _on(lane: Lane) -> str:
    return f"{lane.interface} of {lane.sender}"


def _readings(lane: Lane) -> Iterator[Reading]:
    """Yield the cases that tell of a lane."""
    way = "there" if lane.direction == "there" else "back"
    for case in lane.cases:
        if case.purpose == "case" and case.got is not None:
            yield Reading(f"{way}, {_name(case)}", _came(case))
    examined = lane.filtered or (lane.dropped or (None,))[0]
    for counter, rise in ((examined.rises if examined is not None else None) or {}).items():
        yield Reading(f"{counter} of {lane.receiver}, rise", str(rise))


def _name(case: ProbeCase) -> str:
    place = f" on {case.interface}" if case.interface else ""
    ttl = f", ttl {case.ttl}" if case.to == "group" else ""
    destination = "" if case.destination == case.to else f" {case.destination}"
    name = {"group": "group", "local": "flooded group"}.get(case.to, case.to)
    return f"{name}{destination}{place}{ttl}, {case.size} bytes"


def _came(case: ProbeCase) -> str:
    text = f"{case.got} of {case.sent} came"
    if case.refusal:
        text += f"; refused: {case.refusal}"
    if case.duplicates:
        text += f", {case.duplicates} of them twice"
    if case.ttls and case.to != "local":
        text += f", with a ttl of {min(case.ttls)}"
    return text


@rule("no-unicast", needs=("peer",), role=None)
def no_unicast(view: View) -> Iterator[Match]:
    """Find another machine that answers nothing."""
    peer = view.evidence.peer
    assert peer is not None, "the rule needs it"
    if not peer.answered:
        port = parse_peer(peer.asked).port
        option = "" if port == CONTROL_PORT else f" --control-port {port}"
        words = {"control_port": port, "respond": f"trio-mcast respond{option}"}
        so, advice = NOTHING_ANSWERED[peer.failed]
        values = {
            "asked": peer.asked,
            "problem": peer.problem,
            "did": "has refused" if peer.failed == "refused" else "has not answered by unicast",
            "so": so,
            "advice": fill(advice, words),
        }
        readings = (Reading(f"requests to {peer.address or peer.asked}", peer.problem),)
        yield Match(None, None, values, readings, place="peer")


@rule("send-blocked", needs=("peer",), role=None)
def send_blocked(view: View) -> Iterator[Match]:
    """Find a machine that is not allowed to send to a group."""

    def values(lane: Lane) -> Mapping[str, object]:
        texts = [case.refusal for case in lane.cases if case.refusal_name in _REFUSED_BY_FILTER]
        return {"error": texts[0]}

    return _matches(view, "send-blocked", values, at_sender=True)


def _refused(lane: Lane) -> Mapping[str, object]:
    refusal = lane.refusal
    assert refusal is not None, "the code needs it"
    return {"receiving_interface": refusal.interface, "error": refusal.text}


@rule("port-held", needs=("peer",), role=None)
def port_held(view: View) -> Iterator[Match]:
    """Find a machine where another program has the port."""
    return _matches(view, "port-held", _refused)


@rule("cannot-join", needs=("peer",), role=None)
def cannot_join(view: View) -> Iterator[Match]:
    """Find a machine that refuses to join a group."""
    return _matches(view, "cannot-join", _refused)


@rule("reverse-path-filter", needs=("peer",), role=None)
def reverse_path_filter(view: View) -> Iterator[Match]:
    """Find a machine whose check of the way back drops the probes."""

    def values(lane: Lane) -> Mapping[str, object]:
        case = lane.filtered
        assert case is not None, "the code needs it"
        return {"dropped": case.rise("TcpExt.IPReversePathFilter"), "sent": case.sent}

    return _matches(view, "reverse-path-filter", values)


@rule("firewall", needs=("peer",), role=None)
def firewall(view: View) -> Iterator[Match]:
    """Find a machine whose packet filter drops the probes."""

    def values(lane: Lane) -> Mapping[str, object]:
        assert lane.dropped is not None, "the code needs it"
        case, hook = lane.dropped
        return {"sent": case.sent, "hook": hook}

    def certainty(lane: Lane) -> Certainty:
        return "certain" if lane.dropped is not None and lane.dropped[1] == "input" else "likely"

    return _matches(view, "firewall", values, certainty)


def _likely(lane: Lane) -> Certainty:
    return "likely"


@rule("filtered-by-snooping", needs=("peer",), role=None)
def filtered_by_snooping(view: View) -> Iterator[Match]:
    """Find groups that are lost while the group that every switch floods comes."""
    # A filter that leaves no trace in the counters of the receiver looks the same.
    return _matches(view, "filtered-by-snooping", certainty=_likely)


@rule("multicast-blocked", needs=("peer",), role=None)
def multicast_blocked(view: View) -> Iterator[Match]:
    """Find networks that let broadcast pass, and no group."""

    def certainty(lane: Lane) -> Certainty:
        return "likely" if lane.broadcast is None else "certain"

    return _matches(view, "multicast-blocked", certainty=certainty)


@rule("no-broadcast-domain", needs=("peer",), role=None)
def no_broadcast_domain(view: View) -> Iterator[Match]:
    """Find two machines between which unicast passes only."""

    def values(lane: Lane) -> Mapping[str, object]:
        if lane.peer.is_translated:
            why = f"the addresses are translated: {lane.peer.seen_as} is none of this machine's"
        elif lane.routers:
            number = "a router" if lane.routers == 1 else f"{lane.routers} routers"
            why = f"there is {number} between, which does not forward the group"
        else:
            why = (
                "there is no router between, so the network isolates them: a client isolation of "
                "Wi-Fi, an isolated port, a cloud, a VPN"
            )
        return {"why": why}

    return _matches(view, "no-broadcast-domain", values)


@rule("ttl-too-small", needs=("peer",), role=None)
def ttl_too_small(view: View) -> Iterator[Match]:
    """Find routers that end what is sent with a ttl of 1."""

    def values(lane: Lane) -> Mapping[str, object]:
        case = next(case for case in lane.small if case.came)
        on_arrival = min(case.ttls, default=case.ttl)
        routers = case.ttl - on_arrival
        return {"ttl": case.ttl, "on_arrival": on_arrival, "least": max(routers, 1) + 1}

    return _matches(view, "ttl-too-small", values)


@rule("fragments-lost", needs=("peer",), role=None)
def fragments_lost(view: View) -> Iterator[Match]:
    """Find networks in which datagrams of more than one packet are lost."""

    def values(lane: Lane) -> Mapping[str, object]:
        assert lane.fragmented is not None, "the code needs it"
        unicast = lane.large_unicast
        also = (
            "; by unicast they are lost as well" if unicast is not None and unicast.failed else ""
        )
        fits = lane.full.size if lane.full is not None and lane.full.came else 64
        return {"size": lane.fragmented.size, "also": also, "fits": fits}

    return _matches(view, "fragments-lost", values)


@rule("duplicates-on-two-interfaces", "warning", needs=("peer",), role=None)
def duplicates(view: View) -> Iterator[Match]:
    """Find machines that get each datagram on two interfaces."""

    def values(lane: Lane) -> Mapping[str, object]:
        case = lane.best
        assert case is not None, "the code needs it"
        names = " and ".join(case.by_interface)
        return {"names": names, "count": case.duplicates, "sent": case.sent}

    return _matches(view, "duplicates-on-two-interfaces", values)


@rule("membership-aged-out", needs=("peer",), role=None)
def membership_aged_out(view: View) -> Iterator[Match]:
    """Find groups of which probes came for a while, and then no more."""
    peer = view.evidence.peer
    assert peer is not None, "the rule needs it"
    for case in peer.cases:
        if case.purpose != "ageing" or not is_forgotten(case):
            continue
        again = [
            one
            for one in peer.cases
            if (one.purpose, one.direction, one.destination)
            == ("rejoined", case.direction, case.destination)
        ]
        lane = Lane(peer, case.direction, case.version, case.destination, case.interface, [])
        seconds = case.seconds * ((case.last or 0) + 1) / case.sent
        values = {
            "sender": lane.sender,
            "receiver": lane.receiver,
            "seconds": f"{seconds:.0f}" if case.got else "a few",
            "again": sum(one.got or 0 for one in again),
        }
        readings = tuple(
            Reading(f"{one.purpose}, {_name(one)}", f"{_came(one)}, the last {one.last}")
            for one in (case, *again)
        )
        place: Place = "peer" if case.direction == "there" else "here"
        came_again = any(one.came for one in again)
        yield Match(
            None,
            case.destination,
            values,
            readings,
            "certain" if came_again else "likely",
            place=place,
        )


# In the order in which `code_of` looks for them. Their sentences are those of the probe.
RULES = tuple(
    attrs.evolve(each, is_of_probe=True)
    for each in (
        no_unicast,
        send_blocked,
        port_held,
        cannot_join,
        reverse_path_filter,
        firewall,
        filtered_by_snooping,
        multicast_blocked,
        no_broadcast_domain,
        ttl_too_small,
        fragments_lost,
        duplicates,
        membership_aged_out,
    )
)
