"""The ``trio-mcast`` command: the collection of its commands."""

from __future__ import annotations

import platform
from importlib import import_module

import click
import trio

from .running import Commands, program_version

# Each is a module of this package, and in it the function of the same name.
NAMES = (
    "demo",
    "doctor",
    "interfaces",
    "listen",
    "measure",
    "mesh",
    "ping",
    "plan",
    "replay",
    "respond",
    "send",
    "status",
)


class _CommandsByName(Commands):
    """The commands, each imported when it is wanted.

    A shell that completes starts the program at each press of the key, and all commands together
    take as long to import as the library does.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a name, if there is one."""
        if cmd_name not in NAMES:
            return None
        command = getattr(import_module(f".{cmd_name}", __package__), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=_CommandsByName,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(
    program_version(),
    "-V",
    "--version",
    message=f"trio-mcast %(version)s, trio {trio.__version__}, "
    f"Python {platform.python_version()}, {platform.system()}",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """UDP multicast for Trio: see it work on this machine, and find out why it does not."""
    # click's own way of showing the help here ends with status 0 or 2, depending on its version.
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
