"""``trio-mcast plan``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Final

import click

from .._host.current import current_host
from .._plan.sender import plan_sender
from .._plan.socket_spec import SocketSpec
from .._platform.current import current_platform, platform_named
from .._platform.model import PlatformName
from .._specs.receiver import McastReceiverSpec
from .._specs.sender import McastSenderSpec
from .output import print_json
from .plan_view import describe_socket, socket_as_json
from .running import Command
from .targets import (
    Joining,
    Target,
    exclude_option,
    interface_option,
    plan_joins,
    source_option,
    targets_argument,
)

# Other names of the platforms: those of sys.platform, and what people say.
_OTHER_NAMES: Final[Mapping[str, PlatformName]] = {
    "linux": "linux",
    "android": "linux",
    "darwin": "darwin",
    "macos": "darwin",
    "freebsd": "freebsd",
    "windows": "windows",
    "win32": "windows",
}


def plan_sockets(
    port: int, joining: Joining, platform: PlatformName, *, sends: bool
) -> tuple[SocketSpec, ...]:
    """Return the sockets of one opening with this host's interfaces, and no other.

    For a sender on this platform the system is asked for its routes, as at opening.

    Raises:
        McastError: An interface is not there, or there are several for a sender.
        ValueError: The arguments do not go together.
    """
    host = current_host()
    interfaces = host.list_interfaces()
    if not sends:
        receiver = McastReceiverSpec(
            joining.groups,
            port,
            interfaces=joining.interfaces,
            sources=joining.sources,
            excluded_sources=joining.excluded_sources,
        )
        return receiver.plan(interfaces, platform)
    sender = McastSenderSpec(joining.groups, port, interfaces=joining.interfaces)
    find_route = partial(host.find_route, interfaces=interfaces)
    return plan_sender(sender._request, interfaces, platform_named(platform), find_route).sockets


def _plan_all(
    joins: Mapping[int, tuple[Joining, ...]], platform: PlatformName, *, sends: bool
) -> Iterator[SocketSpec]:
    for port, joinings in joins.items():
        for joining in joinings:
            yield from plan_sockets(port, joining, platform, sends=sends)


@click.command(
    cls=Command,
    examples=[
        "trio-mcast plan 239.1.2.3:5000 --interface lo",
        "trio-mcast plan 10.0.0.7@232.1.2.3:5000 --interface lo --platform windows",
    ],
)
@targets_argument
@click.option(
    "--platform",
    type=click.Choice(list(_OTHER_NAMES), case_sensitive=False),
    metavar="[linux|darwin|freebsd|windows]",
    help="The system to plan for; else this one.",
)
@click.option("--sender", is_flag=True, help="Plan a sender instead of a receiver.")
@interface_option
@source_option
@exclude_option
@click.option("--json", "as_lines", is_flag=True, help="Print JSON: an object for each socket.")
def plan(
    targets: tuple[Target, ...],
    platform: str | None,
    sender: bool,
    interfaces: tuple[str | int, ...],
    sources: tuple[str, ...],
    excluded: tuple[str, ...],
    as_lines: bool,
) -> None:
    """Show the sockets that would be opened, and each option with its bytes. Opens none.

    With the interfaces of this machine, for this system or another one. A run of zeros among the
    bytes is written as "00*120".
    """
    joins = plan_joins(targets, interfaces, sources, excluded)
    narrowed = any(
        joining.sources or joining.excluded_sources for joining in chain(*joins.values())
    )
    if sender and narrowed:
        raise click.UsageError("a sender has no sources to choose: leave them out with --sender")
    name = current_platform().name if platform is None else _OTHER_NAMES[platform.lower()]
    sockets = list(_plan_all(joins, name, sends=sender))
    for number, socket_spec in enumerate(sockets, start=1):
        if as_lines:
            print_json({"platform": name, **socket_as_json(socket_spec)})
        else:
            click.echo("\n".join(describe_socket(socket_spec, number, len(sockets))))
