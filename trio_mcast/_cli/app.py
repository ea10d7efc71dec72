"""The ``trio-mcast`` command: the collection of its commands."""

from __future__ import annotations

import platform

import click
import trio

from .demo import demo
from .doctor import doctor
from .interfaces import interfaces
from .listen import listen
from .measure import measure
from .mesh import mesh
from .ping import ping
from .plan import plan
from .replay import replay
from .respond import respond
from .running import Commands, program_version
from .send import send
from .status import status


@click.group(
    cls=Commands,
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


cli.add_command(demo)
cli.add_command(doctor)
cli.add_command(measure)
cli.add_command(mesh)
cli.add_command(ping)
cli.add_command(respond)
cli.add_command(interfaces)
cli.add_command(plan)
cli.add_command(status)
cli.add_command(listen)
cli.add_command(send)
cli.add_command(replay)
