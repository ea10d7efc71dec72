"""The machine itself as text: what `diagnose` has gathered where no group is in question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .._diagnosis.evidence import Evidence, JoinedGroup, Link, UdpSocket
from .._diagnosis.rules.view import View, is_joined_by_system, parse
from .rendering import counted

_FILTER_MODES = {0: "", 1: "strict reverse path filter", 2: "loose reverse path filter"}
_WILDCARDS = frozenset({"0.0.0.0", "::"})


def describe_machine(evidence: Evidence) -> Iterator[tuple[str, list[str]]]:
    """Yield the parts of a page about a machine: a title, and lines."""
    view = View(evidence)
    parts = {
        "Interfaces": [_describe_link(view, link) for link in view.links.values()],
        "Where datagrams to groups go, if no interface is named": list(_routes(view)),
        "Joined groups": list(_joined(evidence)),
        "UDP sockets": [_describe_socket(sock) for sock in _by_port(evidence)],
        "Packet filter, what drops": list(_filters(evidence)),
        "Queriers heard": list(_queriers(view)),
        "Limits and buffers": list(_limits(evidence)),
    }
    return ((title, lines) for title, lines in parts.items() if lines)


def _describe_link(view: View, link: Link) -> str:
    facts = ["fit" if link.is_fit else "not fit", *link.against]
    if link.kind:
        facts.append(f"{link.kind} on {link.lower}" if link.lower else link.kind)
    mode, _ = view.larger_setting("ipv4", link.name, "rp_filter")
    if _FILTER_MODES.get(mode):
        facts.append(_FILTER_MODES[mode])
    if view.setting(f"net.ipv6.conf.{link.name}.disable_ipv6"):
        facts.append("IPv6 switched off")
    return f"{link.name}: {', '.join(facts)}; {', '.join(link.addresses) or 'no address'}"


def _routes(view: View) -> Iterator[str]:
    for route in view.evidence.routes or ():
        if view.is_group(route.destination) and not route.through:
            family = "IPv6" if ":" in route.destination else "IPv4"
            via = f" via {route.gateway}" if route.gateway else ""
            place = f"{route.interface}{via}" if not route.errno else "there is no route"
            yield f"{family}: {place}"


def _joined(evidence: Evidence) -> Iterator[str]:
    programs: dict[str, list[str]] = {}
    for sock in evidence.sockets or ():
        if sock.address not in _WILDCARDS:
            programs.setdefault(sock.address, []).append(_describe_owner(sock))
    by_system = set()
    for joined in evidence.joined_before or ():
        if is_joined_by_system(parse(joined.group)):
            by_system.add(joined.interface)
            continue
        bound = dict.fromkeys(programs.get(joined.group, ()))
        yield "; ".join((_describe_joined(joined), *bound))
    if by_system:
        names = ", ".join(sorted(by_system))
        yield f"and those that the system itself joins for all hosts and for addresses: {names}"


def _describe_joined(joined: JoinedGroup) -> str:
    text = f"{joined.interface}: {joined.group}"
    if joined.users is not None and joined.users != 1:
        text += f", {counted(joined.users, 'membership')}"
    if joined.included:
        text += f", from {', '.join(joined.included)}"
    if joined.excluded:
        text += f", not from {', '.join(joined.excluded)}"
    return text


def _by_port(evidence: Evidence) -> list[UdpSocket]:
    return sorted(evidence.sockets or (), key=lambda sock: (sock.port, sock.address))


def _describe_owner(sock: UdpSocket) -> str:
    return f"port {sock.port}: {_describe_program(sock)}"


def _describe_program(sock: UdpSocket) -> str:
    return sock.program or f"a program of user {sock.user}"


def _describe_socket(sock: UdpSocket) -> str:
    drops = sock.drops if sock.drops_later is None else sock.drops_later
    lost = f", has lost {counted(drops)}" if drops else ""
    silent = ", sends no copy to this machine" if sock.loops is False else ""
    return f"{sock.port} on {sock.address}: {_describe_program(sock)}{lost}{silent}"


def _filters(evidence: Evidence) -> Iterator[str]:
    for rule in evidence.filters or ():
        hook = f" (hook {rule.hook})" if rule.hook else ""
        count = "" if rule.after is None else f", {counted(rule.after, 'packet')}"
        yield f"{rule.place}{hook}: {rule.text}{count}"
    if evidence.filters == ():
        yield "nothing"


def _queriers(view: View) -> Iterator[str]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for tally in view.evidence.captured or ():
        if tally.kind == "query" and not tally.is_outgoing:
            protocol = "MLD" if ":" in tally.source else "IGMP"
            counts[tally.interface, protocol, tally.source] += tally.count
    for (interface, protocol, querier), count in sorted(counts.items()):
        queries = "1 query" if count == 1 else f"{count:,} queries"
        yield f"{interface}: {protocol}, {querier}, {queries}"
    if view.evidence.captured is not None and not counts:
        seconds = sum(phase.seconds for phase in view.phases("before"))
        yield f"none in {seconds:.0f} s; a querier asks every 125 s, as a rule"


def _limits(evidence: Evidence) -> Iterator[str]:
    for name, value in (evidence.settings or {}).items():
        if ".conf." not in name:
            yield f"{name} = {value}"
