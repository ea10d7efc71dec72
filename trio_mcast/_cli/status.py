"""``trio-mcast status``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click

from .._diagnosis.gather.owners import gather_ownership
from .._diagnosis.ownership import Ownership
from .._interfaces import list_interfaces
from .._platform.current import current_platform
from .._platform.model import PlatformName
from .._values.errors import McastError
from .output import open_console, print_json
from .running import Command
from .status_view import as_json, render

# Other systems' own commands that list the groups of each interface; none tells by whom.
_LISTED_BY: Final[Mapping[PlatformName, str]] = {
    "darwin": "netstat -g",
    "freebsd": "ifmcstat",
    "windows": "netsh interface ip show joins",
}


def read_ownership(platform: PlatformName) -> Ownership:
    """Return whose memberships there are on this machine.

    Raises:
        McastError: The platform does not tell.
        OSError: The tables cannot be read.
    """
    listed_by = _LISTED_BY.get(platform)
    if listed_by is not None:
        raise McastError(
            "who has joined what can be read on Linux only; "
            f"the groups of each interface are listed here by: {listed_by}"
        )
    return gather_ownership(list_interfaces())


@click.command(
    cls=Command,
    examples=["trio-mcast status", "trio-mcast status --json"],
)
@click.option("--json", "as_object", is_flag=True, help="Print one JSON object.")
def status(as_object: bool) -> None:
    """Show who on this machine has joined which groups, and who has the ports.

    For each interface and group: the sources, the port, and the program, with the time when it was
    started; the kernel does not tell since when a group is joined. Programs of other users tell
    what they have joined only to root. Of theirs, a socket that is bound to a group has "likely"
    joined it; what remains is "not told". Of IPv4 and IPv6, every kernel joins some groups itself.

    Joins nothing and sends nothing. Linux only.
    """
    ownership = read_ownership(current_platform().name)
    if as_object:
        print_json(as_json(ownership))
    else:
        open_console().print(render(ownership))
