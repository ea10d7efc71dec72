"""``trio-mcast interfaces``: what is read, the options, and how changes are followed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import click
import trio
from rich.live import Live
from rich.text import Text

from .._diagnosis.fitness import ANY_GROUP, judge_interface
from .._diagnosis.gather.settings import read_settings
from .._host.current import current_host
from .._host.fact_values import LinkFacts
from .._host.facts import link_facts
from .._host.protocols import Host
from .._host.system import SystemHost
from .._interfaces import watch_interfaces
from .._plan.selecting import by_zone, is_candidate
from .._plan.sender import plan_sender
from .._specs.sender import McastSenderSpec
from .._values.addresses import Family, Group, parse_group
from .._values.errors import AmbiguousInterfaceError, InterfaceNotFoundError, McastError
from .._values.interface import Interface
from .interfaces_view import (
    Default,
    InterfaceRow,
    Snapshot,
    as_json,
    describe_changes,
    render,
)
from .output import can_redraw, open_console, print_json
from .running import Command, run_until_stopped

# A carrier that comes or goes, and a route, are no change of an interface: so there is a look now
# and then. It takes some milliseconds.
_LOOK_SECONDS = 1.0
# Any port: the plan of a sender depends on none.
_PORT = 5000


def take_snapshot(groups: Iterable[Group] = ()) -> Snapshot:
    """Return the interfaces of this host, and the defaults of groups; else of each family.

    Raises:
        McastError: The system refuses to list its interfaces.
    """
    host = current_host()
    interfaces = host.list_interfaces()
    facts, settings = _ask_system(host, interfaces)
    rows = []
    for interface in interfaces:
        known = facts.get(interface.index)
        switch = settings.get(f"net.ipv6.conf.{interface.name}.disable_ipv6", "0")
        switched_off: list[Family] = [] if switch == "0" else ["ipv6"]
        fitness = judge_interface(
            interface,
            is_running=None if known is None else known.is_running,
            switched_off=switched_off,
            needs_address=not host.platform.joins_without_address,
        )
        rows.append(InterfaceRow(interface, fitness))
    asked = list(groups)
    defaults = [
        _find_default(group, not asked, host, interfaces) for group in asked or ANY_GROUP.values()
    ]
    return Snapshot(tuple(rows), tuple(defaults))


def _ask_system(
    host: Host, interfaces: Iterable[Interface]
) -> tuple[dict[int, LinkFacts], dict[str, str]]:
    """Return what only the system knows, of this machine and as far as the system tells."""
    if not isinstance(host, SystemHost):
        return {}, {}
    facts: dict[int, LinkFacts] = {}
    settings: dict[str, str] = {}
    try:
        facts = link_facts() or {}
        settings = read_settings(interface.name for interface in interfaces)
    except OSError:
        pass  # A sandbox, or another system.
    return facts, settings


def _find_default(
    group: Group, is_example: bool, host: Host, interfaces: list[Interface]
) -> Default:
    joined: tuple[str, ...]
    if group.zone is None:
        needs_address = not host.platform.joins_without_address
        candidates = [interface for interface in interfaces if is_candidate(interface)]
        joined = tuple(
            str(interface)
            for interface in candidates
            if interface.addresses(group.family) or not needs_address
        )
    else:
        joined = (str(by_zone(group.zone, interfaces)),)
    request = McastSenderSpec(str(group), _PORT)._request
    find_route = partial(host.find_route, interfaces=interfaces)
    try:
        plan = plan_sender(request, interfaces, host.platform, find_route)
    except McastError as error:
        return Default(str(group), is_example, joined, None, _refusal(error))
    if not plan.sockets:
        reason = plan.absent[0][2].reason
        return Default(str(group), is_example, joined, None, reason)
    return Default(str(group), is_example, joined, str(plan.sockets[0].interface))


def _refusal(error: McastError) -> str:
    """Return why a sender finds no interface; the table tells which interfaces there are."""
    if isinstance(error, AmbiguousInterfaceError):
        return "this machine has no route to it, and more than one interface is fit"
    if isinstance(error, InterfaceNotFoundError):
        return "no interface is fit"
    return str(error)


async def follow(groups: Iterable[Group], show: Callable[[Snapshot, list[str]], None]) -> None:
    """Show the interfaces now, and again whenever anything about them has changed, for ever."""
    asked = tuple(groups)
    async with watch_interfaces() as changes:
        last = take_snapshot(asked)
        show(last, [])
        while True:
            with trio.move_on_after(_LOOK_SECONDS):
                await changes.receive()
            snapshot = take_snapshot(asked)
            if snapshot != last:
                show(snapshot, list(describe_changes(last, snapshot)))
            last = snapshot


def _show_as_json(snapshot: Snapshot, changes: list[str]) -> None:
    print_json(as_json(snapshot, changes))


@click.command(
    cls=Command,
    examples=["trio-mcast interfaces", "trio-mcast interfaces 239.1.2.3 --json"],
)
@click.argument("groups", metavar="[GROUP]...", nargs=-1)
@click.option("--json", "as_lines", is_flag=True, help="Print JSON: one object, with --live more.")
@click.option("--live", is_flag=True, help="Follow changes until Ctrl-C.")
def interfaces(groups: tuple[str, ...], as_lines: bool, live: bool) -> None:
    """Show the network interfaces, and which of them multicast uses.

    For each interface: its index, mtu, hardware address and other names; whether it is fit for
    multicast, and if not, why; its addresses, and what is special about them, such as "tentative":
    not to be used yet. Below stands where groups are received and sent if no interface is named;
    GROUP asks for certain groups.

    With --live, the table follows what changes, on a terminal in its place. In a pipe, a line tells
    of each change. Sends nothing, joins nothing, and needs no privilege.
    """
    asked = [parse_group(group) for group in groups]
    if live:
        _show_live(asked, as_lines)
    elif as_lines:
        print_json(as_json(take_snapshot(asked)))
    else:
        open_console().print(render(take_snapshot(asked)))


def _show_live(groups: list[Group], as_lines: bool) -> None:
    console = open_console()
    if as_lines:
        run_until_stopped(partial(follow, groups, _show_as_json), endless=True)
        return
    if not can_redraw(console):

        def show_lines(snapshot: Snapshot, changes: list[str]) -> None:
            if not changes:
                console.print(render(snapshot))
            for change in changes:
                console.print(Text(change), soft_wrap=True)
            console.file.flush()

        run_until_stopped(partial(follow, groups, show_lines), endless=True)
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:

        def draw(snapshot: Snapshot, changes: list[str]) -> None:
            live.update(render(snapshot), refresh=True)

        run_until_stopped(partial(follow, groups, draw), endless=True)
