"""Rules about what reaches this machine, and is dropped before the socket. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..evidence import Phase
from .captured import arrived
from .rule import Match, reading, rises, rule
from .view import FEWEST, View

_RECEIVED = "Ip.InReceives"
_GROUPS = "IpExt.InMcastPkts"
_DELIVERED = "Ip.InDelivers"
_NOT_TAKEN = "Udp.IgnoredMulti"
_FILTERED = "TcpExt.IPReversePathFilter"
_FRAGMENTS = "Ip.ReasmReqds"
_WHOLE = "Ip.ReasmOKs"
_BAD_SUMS = "Udp.InCsumErrors"
_MERGED_OF_IPV6 = ("Ip6ReasmReqds", "Ip6ReasmOKs")
_BEFORE_INPUT = (
    "at a hook before input; or they bear an address of this machine as their source, which takes "
    "root to see"
)
# Twice as many fragments as the whole datagrams have, less what is just under way.
_MERGED = 1.7
# The one interface gets at least so many times more datagrams than the other.
_MERGED_COUNTS = 8


@rule(
    "reverse-path-filter",
    needs=("heard", "phases", "settings"),
    explains=("firewall", "nothing-arrived", "other-port"),
)
def reverse_path_filter(view: View) -> Iterator[Match]:
    """Find interfaces on which the check of the way back drops what comes for the group."""
    # Of one of several sources that is dropped, the counter follows the membership as well.
    group = view.silent_group(4) or next(iter(view.opened_groups(4)), None)
    if group is None or not view.follows(_FILTERED):
        return
    filtering: dict[str, tuple[int, str]] = {}
    for heard in view.opened:
        setting = view.larger_setting("ipv4", heard.interface, "rp_filter")
        if heard.group == group and setting[0]:
            filtering[heard.interface] = setting
    # The counter is one for all interfaces: where frames were seen, they tell which it is.
    losing = {heard.interface for heard, *_ in arrived(view) if heard.group == group}
    suspects = [interface for interface in filtering if interface in losing] or list(filtering)
    for interface in suspects:
        value, name = filtering[interface]
        mode = "strict" if value == 1 else "loose"
        yield Match(
            interface,
            group,
            {"dropped": view.rise(_FILTERED), "mode": mode, "setting": name, "value": value},
            (*rises(view, _FILTERED), *reading(name, value)),
            certainty="certain" if len(suspects) == 1 else "likely",
        )


def loses_some(phases: Sequence[Phase]) -> bool:
    """Tell whether counters suggest that some is lost, so that joining again may show it."""
    before, joined = phases[0], phases[1]
    scale = joined.seconds / before.seconds if before.seconds else 0
    filtered = joined.rise(_FILTERED) - before.rise(_FILTERED) * scale
    missing = joined.rise(_GROUPS) - joined.rise(_DELIVERED)
    bad_sums = joined.rise(_BAD_SUMS) + joined.rise("Udp6InCsumErrors")
    return max(filtered, missing, bad_sums) >= FEWEST


def _passes_fragments(view: View, counter: str) -> bool:
    """Tell whether fragments come: these count one by one as received, and whole as delivered."""
    return any(phase.rise(counter) for phase in view.evidence.phases or ())


def _is_router(view: View) -> bool:
    return bool(view.setting("net.ipv4.conf.all.mc_forwarding"))


_FIREWALL_NEEDS = ("heard", "phases", "settings")


@rule("firewall", needs=_FIREWALL_NEEDS, explains=("nothing-arrived", "other-port"))
def firewall_after_routing(view: View) -> Iterator[Match]:
    """Find IPv4 datagrams of the group that reach the machine, and nothing behind its filter."""
    group = view.silent_group(4)
    if group is None or _passes_fragments(view, _FRAGMENTS) or _is_router(view):
        return
    # What is delivered includes unicast: so this difference is never too large.
    count = view.rise(_GROUPS) - view.rise(_DELIVERED)
    # Another group may be dropped: the same then comes before, and while the groups are left.
    is_ours = view.follows(_GROUPS) if view.is_toggled else view.exceeds(_GROUPS)
    if count < FEWEST or not is_ours:
        is_taken = view.follows(_NOT_TAKEN) or view.follows(_DELIVERED)
        count = 0 if is_taken else view.follows(_GROUPS)
    if count:
        values = {"count": count, "hook": "at the hook input"}
        yield Match(None, group, values, rises(view, _GROUPS, _DELIVERED, _NOT_TAKEN))


@rule("firewall", needs=_FIREWALL_NEEDS)
def firewall_in_part(view: View) -> Iterator[Match]:
    """Find IPv4 groups of which some comes, and some is dropped behind the routing.

    The counters are those of all groups: while one is silent, what is missing may be all of it.
    """
    if view.silent_group(4) is not None or _passes_fragments(view, _FRAGMENTS) or _is_router(view):
        return
    groups = view.opened_groups(4)
    missing = view.rise(_GROUPS) - view.rise(_DELIVERED)
    if groups and missing >= FEWEST and view.follows(_GROUPS, less=(_DELIVERED,)):
        values = {"count": missing, "hook": "at the hook input"}
        yield Match(None, groups[0], values, rises(view, _GROUPS, _DELIVERED))


@rule("firewall", needs=_FIREWALL_NEEDS, explains=("nothing-arrived", "other-port"))
def firewall_before_routing(view: View) -> Iterator[Match]:
    """Find IPv4 datagrams that come while joined, and are dropped before they are routed.

    They leave the same evidence if they bear an address of this machine as their source.
    """
    group = view.silent_group(4)
    if group is None or _passes_fragments(view, _FRAGMENTS) or _is_router(view):
        return
    counters = (_RECEIVED, _GROUPS, _DELIVERED, _FILTERED)
    count = view.follows(_RECEIVED, less=(_DELIVERED, _FILTERED))
    if count and not view.follows(_GROUPS) and not view.follows(_FILTERED):
        values = {"count": count, "hook": _BEFORE_INPUT}
        yield Match(None, group, values, rises(view, *counters), certainty="likely")


@rule("firewall", needs=_FIREWALL_NEEDS, explains=("nothing-arrived", "other-port"))
def firewall_of_ipv6(view: View) -> Iterator[Match]:
    """Find IPv6 datagrams that come while joined and are not delivered."""
    group = view.silent_group(6)
    if group is None or _passes_fragments(view, "Ip6ReasmReqds"):
        return
    if view.setting("net.ipv6.conf.all.mc_forwarding"):
        return
    for heard in view.opened:
        received, delivered = (
            f"{heard.interface}/{name}" for name in ("Ip6InMcastPkts", "Ip6InDelivers")
        )
        count = view.follows(received, less=(delivered,))
        if heard.group == group and count and not view.follows("Udp6InCsumErrors"):
            values = {"count": count, "hook": "at the hook input"}
            readings = rises(view, received, delivered)
            yield Match(heard.interface, group, values, readings, certainty="likely")


@rule(
    "bad-checksum",
    needs=("heard", "phases"),
    explains=("nothing-arrived", "other-port", "receive-buffer-overflow"),
)
def bad_checksum(view: View) -> Iterator[Match]:
    """Find datagrams of the group that are dropped for their checksum."""
    for version, counter in ((4, _BAD_SUMS), (6, "Udp6InCsumErrors")):
        group = view.silent_group(version) or next(iter(view.opened_groups(version)), None)
        if group is not None and view.follows(counter):
            yield Match(None, group, {"count": view.rise(counter)}, rises(view, counter))


@rule("fragments-lost", needs=("heard", "phases"), explains=("nothing-arrived", "other-port"))
def fragments_lost(view: View) -> Iterator[Match]:
    """Find large datagrams of which only some fragments come."""
    for version, begun, whole in ((4, _FRAGMENTS, _WHOLE), (6, "Ip6ReasmReqds", "Ip6ReasmOKs")):
        group = view.silent_group(version)
        if group is None or any(phase.rise(whole) for phase in view.evidence.phases or ()):
            continue
        count = view.follows(begun)
        # A network that floods sends the fragments whether the group is joined or not; the system
        # begins to put together what it takes.
        if count and view.exceeds(begun):
            headers = 28 if version == 4 else 48
            values = {"count": view.rise(begun), "headers": headers}
            yield Match(None, group, values, rises(view, begun, whole), certainty="likely")


@rule(
    "fragments-merged",
    needs=("heard", "phases", "links"),
    explains=(
        "nothing-arrived",
        "other-interface",
        "firewall",
        "fragments-lost",
        "other-port",
        "stopped-arriving",
    ),
)
def fragments_merged(view: View) -> Iterator[Match]:
    """Find interfaces whose fragments are put together with those of another one.

    The number of fragments that came is then twice what the whole datagrams were made of.
    """
    for heard in view.opened:
        for other in view.evidence.heard or ():
            link = view.links.get(other.interface)
            is_other = other.interface != heard.interface and other.widening in (None, "interface")
            if not (is_other and other.group == heard.group and link):
                continue
            # One or two may have come before the other interface had joined.
            if other.count < _MERGED_COUNTS * max(1, heard.count):
                continue
            version = view.groups[heard.group].version
            headers, names = (28, (_FRAGMENTS, _WHOLE)) if version == 4 else (48, _MERGED_OF_IPV6)
            # Each fragment but the last has a multiple of eight bytes.
            fragment = max(8, (link.mtu - headers + 8) // 8 * 8)
            number = -(-(other.largest + 8) // fragment)
            begun, whole = map(view.rise, names)
            if number > 1 and whole >= FEWEST and begun >= _MERGED * whole * number:
                values = {"second": other.interface, "headers": headers}
                where = rises(view, *names)
                yield Match(heard.interface, heard.group, values, where, certainty="likely")


@rule("receive-buffer-overflow", needs=("heard", "phases", "settings"))
def receive_buffer_overflow(view: View) -> Iterator[Match]:
    """Find memberships whose datagrams were lost for want of room in the receive buffer."""
    most = view.setting("net.core.rmem_max")
    # The drops of a socket are those with a wrong checksum, too.
    if not view.rise("Udp.RcvbufErrors") + view.rise("Udp6RcvbufErrors"):
        return
    for heard in view.opened:
        if heard.drops:
            yield Match(
                heard.interface,
                heard.group,
                {"drops": heard.drops, "buffer": heard.buffer, "most": most or "unknown"},
                reading("SO_MEMINFO of the socket, drops", heard.drops),
            )


@rule("other-program-drops", "warning", needs=("sockets",), role=None)
def other_program_drops(view: View) -> Iterator[Match]:
    """Find sockets of other programs on the port that lost datagrams meanwhile."""
    is_machine = view.question.subject == "machine"
    for sock in view.evidence.sockets or ():
        if sock.port != view.port and not is_machine:
            continue
        if sock.drops_later is not None and sock.drops_later > sock.drops:
            drops = sock.drops_later - sock.drops
            program = sock.program or f"user {sock.user}, inode {sock.inode}"
            yield Match(
                values={
                    "drops": drops,
                    "program": program,
                    "address": sock.address,
                    "number": sock.port,
                },
                readings=reading("/proc/net/udp, drops", f"{sock.drops}, later {sock.drops_later}"),
            )


RULES = (
    reverse_path_filter,
    firewall_after_routing,
    firewall_in_part,
    firewall_before_routing,
    firewall_of_ipv6,
    bad_checksum,
    fragments_lost,
    fragments_merged,
    receive_buffer_overflow,
    other_program_drops,
)
