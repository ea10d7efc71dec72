"""The look of ``trio-mcast status``: a table, or JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .._diagnosis.ownership import OwnedGroup, Owner, Ownership, Program


def render(ownership: Ownership) -> Group:
    """Return the tables of what is joined and of the ports, and what is not told."""
    parts: list[RenderableType] = []
    if ownership.groups:
        parts.append(_groups_table(ownership.groups))
    else:
        parts.append(Text("Nothing is joined on this machine."))
    if ownership.on_ports:
        parts += ["", Text("Others on these ports, which have joined none of these groups:")]
        parts += [
            Text(f"  {describe_bind(it)}  {describe_holder(it)}") for it in ownership.on_ports
        ]
    if ownership.not_told:
        parts += ["", Text("Not told:")]
        parts += [Text(f"  * {reason}") for reason in ownership.not_told]
    return Group(*parts)


def _groups_table(groups: Iterable[OwnedGroup]) -> Table:
    # Two spaces between columns: one of padding, one of the box's.
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("interface", overflow="fold")
    table.add_column("group", overflow="fold")
    table.add_column("sources", overflow="fold")
    table.add_column("port", justify="right", no_wrap=True)
    table.add_column("joined by", overflow="fold")
    # Those of programs first, as they are what is mostly asked for.
    for group in sorted(groups, key=lambda group: not (group.owners or group.untold)):
        name, address = group.joined.interface, group.joined.group
        for owner in group.owners:
            likely = "" if owner.is_certain else "likely "
            who = likely + describe_holder(owner)
            # What is not known of one socket is known of all together.
            sources = describe_sources(owner) if owner.is_certain else _describe_all_sources(group)
            table.add_row(name, address, sources, str(owner.port or ""), who)
        if group.untold and all(owner.is_certain for owner in group.owners):
            who = f"not told ({group.untold})" if group.untold > 1 else "not told"
            table.add_row(name, address, _describe_all_sources(group), "", Text(who, "yellow"))
        if group.of_system:
            table.add_row(name, address, "any", "", "the system itself", style="dim")
    return table


def describe_sources(owner: Owner) -> str:
    """Return from which sources a socket wants a group."""
    if not owner.sources:
        return "any" if owner.excludes else "none"
    return f"{'all but' if owner.excludes else 'only'} {', '.join(owner.sources)}"


def _describe_all_sources(group: OwnedGroup) -> str:
    """Return the sources of all who have joined a group, as the kernel lists them."""
    parts = []
    if group.joined.included:
        parts.append(f"only {', '.join(group.joined.included)}")
    if group.joined.excluded:
        parts.append(f"all but {', '.join(group.joined.excluded)}")
    return " / ".join(parts) or "any"


def describe_bind(owner: Owner) -> str:
    """Return the address and port of a socket."""
    host = f"[{owner.address}]" if ":" in owner.address else owner.address
    return f"{host}:{owner.port}"


def describe_holder(owner: Owner) -> str:
    """Return whose a socket is, as far as it is known."""
    return "; ".join(map(_describe_program, owner.programs)) or f"a program of {owner.user}"


def _describe_program(program: Program) -> str:
    since = "" if program.since is None else f", since {_short_time(program.since)}"
    return f"{program.name} (pid {program.pid}, {program.user}{since})"


def _short_time(seconds: float) -> str:
    """Return the local time; with the day, if it is another than today."""
    then = datetime.fromtimestamp(seconds).astimezone()
    is_today = then.date() == datetime.now().astimezone().date()
    return f"{then:%H:%M:%S}" if is_today else f"{then:%Y-%m-%d}"


def as_json(ownership: Ownership) -> dict[str, object]:
    """Return whose memberships there are as plain values."""
    return {
        "memberships": [
            {
                "interface": group.joined.interface,
                "group": group.joined.group,
                "users": group.joined.users,
                "of_system": group.of_system,
                "untold": group.untold,
                "included_sources": list(group.joined.included),
                "excluded_sources": list(group.joined.excluded),
                "querier": group.joined.querier or None,
                "joined_by": list(map(_owner_as_json, group.owners)),
            }
            for group in ownership.groups
        ],
        "others_on_ports": [_owner_as_json(owner) for owner in ownership.on_ports],
        "not_told": list(ownership.not_told),
    }


def _owner_as_json(owner: Owner) -> dict[str, object]:
    mode = {None: None, True: "exclude", False: "include"}[owner.excludes]
    return {
        "address": owner.address or None,
        "port": owner.port or None,
        "user": owner.user,
        "certain": owner.is_certain,
        "mode": mode,
        "sources": list(owner.sources),
        "programs": [
            {
                "pid": program.pid,
                "name": program.name,
                "user": program.user,
                "since": None if program.since is None else _utc(program.since),
            }
            for program in owner.programs
        ],
    }


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
