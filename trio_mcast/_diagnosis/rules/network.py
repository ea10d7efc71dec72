"""Rules about what the network does with memberships, and what is left without a cause. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Heard
from .rule import Match, reading, rises, rule
from .view import FEWEST, View

# A flow counts as stopped when it has been silent for longer than each of these: so many seconds,
# so many of its mean gaps, and so many of its longest gap. Senders that send in bursts do not
# pass for stopped then (3 of 8 did without the last; 0 of 8 with it).
_SILENT_SECONDS = 1.0
_SILENT_MEAN_GAPS = 10
_SILENT_LONGEST_GAPS = 3


def has_stopped(heard: Heard) -> bool:
    """Tell whether datagrams came for a while and then no more."""
    if heard.count < FEWEST or None in (heard.silence, heard.mean_gap, heard.longest_gap):
        return False
    assert heard.silence is not None
    assert heard.mean_gap is not None
    assert heard.longest_gap is not None
    return (
        heard.silence > _SILENT_SECONDS
        and heard.silence > _SILENT_MEAN_GAPS * heard.mean_gap
        and heard.silence > _SILENT_LONGEST_GAPS * heard.longest_gap
    )


def _stopped(view: View) -> Iterator[tuple[Heard, int]]:
    """Yield the memberships that went silent, with what came after joining again."""
    for heard in view.opened:
        if has_stopped(heard):
            yield (
                heard,
                sum(
                    again.count
                    for again in view.heard_in("rejoined")
                    if (again.group, again.interface) == (heard.group, heard.interface)
                ),
            )


def _stop(heard: Heard, again: int) -> Match:
    return Match(
        heard.interface,
        heard.group,
        {"count": heard.count, "silence": f"{heard.silence:.1f}", "again": again},
        reading(
            "the joined socket",
            f"{heard.count} datagrams, then {heard.silence:.1f} s of silence; "
            f"{again} after leaving and joining again",
        ),
    )


@rule("membership-aged-out", needs=("heard", "phases"), explains=("stopped-arriving",))
def membership_aged_out(view: View) -> Iterator[Match]:
    """Find groups that fell silent, and came back when they were joined again."""
    return (_stop(heard, again) for heard, again in _stopped(view) if again)


@rule("stopped-arriving", "warning", needs=("heard", "phases"))
def stopped_arriving(view: View) -> Iterator[Match]:
    """Find groups that fell silent, and did not come back."""
    return (_stop(heard, again) for heard, again in _stopped(view) if not again)


_OLD_IGMP = (1, 2)


@rule("igmp-version-too-low", "warning", needs=("settings", "joined_before"))
def igmp_version_too_low(view: View) -> Iterator[Match]:
    """Find interfaces that speak an IGMP that cannot name sources, though sources are wanted."""
    if view.question.sources is not None and view.has_family(4):
        yield from old_igmp(view)


def old_igmp(view: View) -> Iterator[Match]:
    """Yield interfaces that speak an IGMP that cannot name sources."""
    queriers = {one.interface: one.querier for one in view.evidence.joined_before or ()}
    for link in view.chosen:
        version, name = view.larger_setting("ipv4", link.name, "force_igmp_version")
        querier = queriers.get(link.name, "")
        if version in _OLD_IGMP:
            because = f"{name} is {version}"
            yield Match(link.name, None, {"because": because}, reading(name, version))
        elif querier in ("V1", "V2"):
            because = f"a querier in the network speaks IGMP{querier.lower()}"
            where = f"/proc/net/igmp, column Querier of {link.name}"
            yield Match(link.name, None, {"because": because}, reading(where, querier))


@rule("mld-version-too-low", "warning", needs=("settings", "phases", "links"))
def mld_version_too_low(view: View) -> Iterator[Match]:
    """Find interfaces that speak an MLD that cannot name sources, though sources are wanted."""
    if view.question.sources is not None and view.has_family(6):
        yield from old_mld(view)


def old_mld(view: View) -> Iterator[Match]:
    """Yield interfaces that speak an MLD that cannot name sources."""
    for link in view.chosen:
        version, name = view.larger_setting("ipv6", link.name, "force_mld_version")
        old, new = (
            f"{link.name}/{each}" for each in ("Icmp6OutGroupMembResponses", "Icmp6OutMLDv2Reports")
        )
        if version == 1:
            because = f"{name} is 1"
            yield Match(link.name, None, {"because": because}, reading(name, version))
        elif view.rise(old) and not view.rise(new):
            because = "a querier in the network speaks MLDv1"
            yield Match(link.name, None, {"because": because}, rises(view, old, new))


@rule("joined-before-no-new-report", "note", needs=("heard", "joined_before"))
def joined_before_no_new_report(view: View) -> Iterator[Match]:
    """Find silent groups that some program had joined already: joining again reported nothing."""
    for heard in view.opened:
        if heard.group in view.silent_groups:
            bare_group = str(view.groups[heard.group])
            for one in view.evidence.joined_before or ():
                if (one.interface, one.group) == (heard.interface, bare_group):
                    where = f"the groups joined on {one.interface} before, memberships"
                    users = "unknown" if one.users is None else one.users
                    yield Match(
                        heard.interface, heard.group, {"users": users}, reading(where, users)
                    )


@rule("nothing-arrived", "note", needs=("heard",))
def nothing_arrived(view: View) -> Iterator[Match]:
    """Find groups of which nothing came, if nothing else says why."""
    seconds = sum(phase.seconds for phase in view.phases("joined"))
    seconds = seconds or view.question.listen_seconds
    for group in view.silent_groups:
        places = [heard.interface for heard in view.opened if heard.group == group]
        values = {"interfaces": ", ".join(places), "seconds": f"{seconds:.1f}"}
        yield Match(None, group, values, reading("the joined sockets", "0 datagrams"))


RULES = (
    membership_aged_out,
    stopped_arriving,
    igmp_version_too_low,
    mld_version_too_low,
    joined_before_no_new_report,
    nothing_arrived,
)
