"""Rules about frames that were seen on the interfaces, which takes root. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from ..evidence import Heard, RouteFact
from ..frames import PhaseName, Queries, Tally
from .rule import Match, dropping, reading, rule
from .view import FEWEST, View, is_never_reported, parse

# The part of what was seen that may be missing: what is still on its way at the end.
_MAY_MISS: Final = 0.05
_FEWEST_QUERIES: Final = 2

_SEEN: Final = "frames seen on {}, from {}"


def _inbound(view: View) -> Iterator[Tally]:
    """Yield what came from outside for a group that was asked for, while joined."""
    for tally in view.evidence.captured or ():
        link = view.links.get(tally.interface)
        is_from_outside = not tally.is_outgoing and link is not None and not link.is_loopback
        if tally.phase == "joined" and is_from_outside and tally.destination in view.bare_groups:
            yield tally


def arrived(view: View) -> Iterator[tuple[Heard, str, int, int]]:
    """Yield a membership and a source of which datagrams came, how many, and how many arrived.

    Only sources that are wanted, and only those of which some were lost on this machine.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    for tally in _inbound(view):
        if tally.kind == "udp" and tally.port == view.question.port:
            counts[tally.interface, tally.destination, tally.source] += tally.count
    wanted = view.question.sources
    for heard in view.opened:
        for (interface, group, source), count in counts.items():
            if (interface, group) != (heard.interface, heard.group.partition("%")[0]):
                continue
            if wanted is not None and source not in wanted:
                continue
            delivered = heard.by_source.get(source, 0) + sum(
                number
                for name, number in heard.by_source.items()
                if name != source and name.partition("%")[0] == source
            )
            missing = count - delivered - heard.drops
            if missing >= FEWEST and missing > _MAY_MISS * count:
                yield heard, source, count, delivered


def _values(heard: Heard, source: str, count: int, delivered: int) -> dict[str, object]:
    return {
        "source": source,
        "arrived": count,
        "delivered": delivered,
        "missing": count - delivered,
    }


_NEEDS = ("heard", "captured", "links", "settings", "routes")
_EXPLAINS = (
    "firewall",
    "nothing-arrived",
    "other-port",
)


def _link_sources(view: View, heard: Heard, source: str) -> set[str]:
    return {
        tally.link_source
        for tally in _inbound(view)
        if (tally.interface, tally.source) == (heard.interface, source)
    }


def _from_own_address(view: View, *, own_link: bool) -> Iterator[Match]:
    own_links = {link.link_address for link in view.links.values()}
    for heard, source, count, delivered in arrived(view):
        accepts, name = view.larger_setting("ipv4", heard.interface, "accept_local")
        if source not in view.own_addresses or accepts or ":" in source:
            continue
        links = _link_sources(view, heard, source)
        if bool(links <= own_links) == own_link:
            values = {**_values(heard, source, count, delivered), "links": ", ".join(links)}
            where = _SEEN.format(heard.interface, source)
            evidence = reading(where, f"{count}, sent by {', '.join(links)}")
            yield Match(heard.interface, heard.group, values, evidence + reading(name, accepts))


@rule("source-is-own-address", needs=_NEEDS, explains=_EXPLAINS)
def source_is_own_address(view: View) -> Iterator[Match]:
    """Find datagrams from an own address that come from outside, sent by another own interface."""
    return _from_own_address(view, own_link=True)


@rule("duplicate-address", needs=_NEEDS, explains=_EXPLAINS)
def duplicate_address(view: View) -> Iterator[Match]:
    """Find datagrams from an own address that another machine sends."""
    return _from_own_address(view, own_link=False)


def _route_back(view: View, source: str) -> RouteFact | None:
    for route in view.evidence.routes or ():
        if route.destination == source and not route.through:
            return route
    return None


def _fails_filter(view: View, heard: Heard, source: str) -> RouteFact | None:
    """Return the route back to a source for which the reverse path filter drops it, if it does."""
    route = _route_back(view, source)
    mode, _ = view.larger_setting("ipv4", heard.interface, "rp_filter")
    if route is None or ":" in source or not mode or source in view.own_addresses:
        return None
    is_elsewhere = route.interface != heard.interface
    return route if route.errno or (mode == 1 and is_elsewhere) else None


@rule("reverse-path-filter", needs=_NEEDS, explains=_EXPLAINS)
def reverse_path_filter_of_source(view: View) -> Iterator[Match]:
    """Find sources that the reverse path filter drops, by their routes."""
    for heard, source, count, delivered in arrived(view):
        route = _fails_filter(view, heard, source)
        if route is not None:
            value, name = view.larger_setting("ipv4", heard.interface, "rp_filter")
            mode = "strict" if value == 1 else "loose"
            through = route.interface or f"none, error {route.errno}"
            yield Match(
                heard.interface,
                heard.group,
                {"dropped": count - delivered, "mode": mode, "setting": name, "value": value},
                reading(_SEEN.format(heard.interface, source), f"{count}, delivered {delivered}")
                + reading(name, value)
                + reading(f"ip route get {source}, interface", through),
            )


_INBOUND_HOOKS: Final = frozenset({"", "ingress", "prerouting", "input"})


@rule("firewall", needs=_NEEDS, explains=("nothing-arrived", "other-port", "fragments-lost"))
def firewall_by_frames(view: View) -> Iterator[Match]:
    """Find sources of which frames come, and less is delivered, if nothing else says why."""
    for heard, source, count, delivered in arrived(view):
        is_own = source in view.own_addresses and ":" not in source
        if is_own or _fails_filter(view, heard, source) is not None:
            continue
        if view.follows("Udp.InCsumErrors") or view.follows("Udp6InCsumErrors"):
            continue
        suspects = dropping(view, _INBOUND_HOOKS) or "unknown"
        yield Match(
            heard.interface,
            heard.group,
            {"count": count - delivered, "hook": suspects},
            reading(_SEEN.format(heard.interface, source), f"{count}, delivered {delivered}")
            + reading("nft list ruleset, what drops", suspects),
        )


@rule("fragments-lost", needs=("heard", "captured"), explains=("nothing-arrived", "other-port"))
def fragments_lost_by_frames(view: View) -> Iterator[Match]:
    """Find large datagrams whose first fragments come, and not their later ones."""
    firsts: Counter[tuple[str, str]] = Counter()
    later: Counter[tuple[str, str]] = Counter()
    for tally in _inbound(view):
        key = tally.interface, tally.destination
        if tally.kind == "first fragment":
            firsts[key] += tally.count
        elif tally.kind == "later fragment":
            later[key] += tally.count
    for heard in view.opened:
        key = heard.interface, heard.group.partition("%")[0]
        most = max(firsts[key], later[key])
        if not heard.count and most >= FEWEST and min(firsts[key], later[key]) < most / 2:
            headers = 48 if ":" in heard.group else 28
            text = f"{firsts[key]} first ones, {later[key]} later ones"
            values = {"count": firsts[key] + later[key], "headers": headers}
            where = f"fragments seen on {heard.interface}"
            yield Match(heard.interface, heard.group, values, reading(where, text))


def _unanswered(view: View) -> Iterator[Queries]:
    """Yield the queriers that asked more than once, and got no answer though a group is joined."""
    joined = [(heard.interface, heard.group) for heard in view.opened]
    if view.question.subject == "machine":
        joined = [(one.interface, one.group) for one in view.evidence.joined_before or ()]
    reported = {
        (interface, parse(group).version)
        for interface, group in joined
        if not is_never_reported(parse(group))
    }
    for queries in view.evidence.queries or ():
        is_due = (queries.interface, queries.version) in reported
        if is_due and queries.count >= _FEWEST_QUERIES and not queries.answered:
            yield queries


def _query_match(view: View, queries: Queries) -> Match:
    value, name = view.larger_setting("ipv4", queries.interface, "rp_filter")
    return Match(
        queries.interface,
        None,
        {"count": queries.count, "querier": queries.querier},
        reading(f"queries of {queries.querier} seen, and answered", f"{queries.count}, 0")
        + reading(name, value),
    )


def _is_filtered(view: View, queries: Queries) -> bool:
    """Tell whether the reverse path filter drops queries. Those from 0.0.0.0 pass."""
    phase: PhaseName = "before" if view.question.subject == "machine" else "joined"
    mode, _ = view.larger_setting("ipv4", queries.interface, "rp_filter")
    is_checked = queries.version == 4 and queries.querier != "0.0.0.0"
    return bool(mode) and is_checked and bool(view.rise("TcpExt.IPReversePathFilter", phase))


_QUERY_NEEDS = ("heard", "queries", "settings", "phases")
_QUERY_NEEDS_OF_MACHINE = ("joined_before", "queries", "settings", "phases")


@rule(
    "queries-dropped-by-reverse-path-filter",
    needs=_QUERY_NEEDS,
    explains=("membership-aged-out", "stopped-arriving"),
)
def queries_dropped_by_reverse_path_filter(view: View) -> Iterator[Match]:
    """Find queriers whose queries the reverse path filter drops, so that memberships end."""
    for queries in _unanswered(view):
        if _is_filtered(view, queries):
            yield _query_match(view, queries)


@rule(
    "queries-unanswered",
    needs=_QUERY_NEEDS,
    explains=("membership-aged-out", "stopped-arriving"),
)
def queries_unanswered(view: View) -> Iterator[Match]:
    """Find queriers that get no answer, as when a firewall drops IGMP."""
    for queries in _unanswered(view):
        if not _is_filtered(view, queries):
            yield _query_match(view, queries)


@rule(
    "queries-dropped-by-reverse-path-filter",
    needs=_QUERY_NEEDS_OF_MACHINE,
    role="machine",
)
def queries_of_machine_dropped_by_reverse_path_filter(view: View) -> Iterator[Match]:
    """Find queriers whose queries the reverse path filter drops, whatever is joined."""
    yield from queries_dropped_by_reverse_path_filter.find(view)


@rule("queries-unanswered", needs=_QUERY_NEEDS_OF_MACHINE, role="machine")
def queries_of_machine_unanswered(view: View) -> Iterator[Match]:
    """Find queriers that get no answer, whatever is joined."""
    yield from queries_unanswered.find(view)


@rule("other-group", "note", needs=("heard", "captured", "links"))
def other_group(view: View) -> Iterator[Match]:
    """Find other groups whose datagrams come to the port, if nothing of what was asked comes."""
    if view.total:
        return
    counts: Counter[tuple[str, str]] = Counter()
    for tally in view.evidence.captured or ():
        is_other = tally.destination not in view.bare_groups and tally.kind == "udp"
        is_inbound = tally.phase == "joined" and not tally.is_outgoing
        if is_inbound and is_other and tally.port == view.question.port:
            counts[tally.interface, tally.destination] += tally.count
    for (interface, group), count in counts.items():
        if count >= FEWEST:
            where = reading(f"frames seen on {interface}", f"{count} for {group}")
            values = {"count": count, "asked": ", ".join(view.groups)}
            yield Match(interface, group, values, where, certainty="likely")


@rule("ttl-too-small", needs=("captured",), role="sender")
def ttl_too_small(view: View) -> Iterator[Match]:
    """Find datagrams that this machine sends with a time to live that ends at the first router."""
    if not view.question.routed:
        return
    counts: Counter[tuple[str, str]] = Counter()
    for tally in view.evidence.captured or ():
        is_asked = tally.destination in view.bare_groups and tally.port == view.question.port
        if tally.is_outgoing and is_asked and tally.ttl == 1:
            counts[tally.interface, tally.destination] += tally.count
    for (interface, group), count in counts.items():
        where = reading(f"frames sent on {interface}, ttl", 1)
        yield Match(interface, group, {"count": count}, where)


RULES = (
    source_is_own_address,
    duplicate_address,
    reverse_path_filter_of_source,
    firewall_by_frames,
    fragments_lost_by_frames,
    queries_dropped_by_reverse_path_filter,
    queries_unanswered,
    queries_of_machine_dropped_by_reverse_path_filter,
    queries_of_machine_unanswered,
    other_group,
    ttl_too_small,
)
