"""Groups, interfaces, sources and times as they are written on the command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import attrs
import click

from .._values.addresses import parse_group, parse_port, parse_sources
from .._values.mistakes import check_selector_text

_Function = TypeVar("_Function", bound=Callable[..., Any])

_FORM = "GROUP:PORT, such as 239.1.2.3:5000 or [ff15::1234]:5000"
_URL = "udp://"


@attrs.frozen
class Target:
    """A group and a port, and the source and the interface that were written with them.

    Attributes:
        group: The group's address, without an interface.
        port: The UDP port.
        source: The only source that is wanted, or `None`.
        interface: The name or index of the interface, or `None`.
    """

    group: str
    port: int
    source: str | None = None
    interface: str | int | None = None

    def __str__(self) -> str:
        """Return the target as it can be written on a command line."""
        group = self.group if self.interface is None else f"{self.group}%{self.interface}"
        source = "" if self.source is None else f"{self.source}@"
        return f"{source}[{group}]:{self.port}" if ":" in group else f"{source}{group}:{self.port}"


def parse_target(text: str) -> Target:
    """Return the target that a text stands for.

    Args:
        text: ``GROUP:PORT``, of IPv6 ``[GROUP]:PORT``; before that ``SOURCE@`` and before that
            ``udp://``; after the group ``%INTERFACE``, a name or an index.

    Raises:
        ValueError: The text is not of this form, no group, or no port.
    """
    source, place = _split_source(text.removeprefix(_URL))
    host, colon, port = place.rpartition(":")
    if "://" in place or not (colon and port.isdecimal() and port.isascii()):
        raise ValueError(f"{text!r} is no {_FORM}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host.partition("%")[0]:
        raise ValueError(f"{text!r}: write an IPv6 group in brackets: [ff15::1234]:5000")
    bare, percent, zone = host.partition("%")
    if percent and not zone:
        raise ValueError(f"{text!r}: the interface after the % is missing")
    group = str(parse_group(bare).address)
    number = parse_port(int(port), "port")
    interface = parse_interface(zone) if zone else None
    return Target(group, number, parse_source(source) if source else None, interface)


def _split_source(written: str) -> tuple[str, str]:
    """Return the source, empty if there is none, and what follows."""
    before, at, place = written.partition("@")
    # An interface's name may have an "@", too: then a group stands before it.
    if not at or _is_group(before.lstrip("[").partition("%")[0]):
        return "", written
    return before.removeprefix("[").removesuffix("]"), place


def _is_group(text: str) -> bool:
    try:
        parse_group(text)
    except ValueError:
        return False
    return True


def parse_source(text: str) -> str:
    """Return the address of a source, in its usual form.

    Raises:
        ValueError: The text is not the address of a sender.
    """
    (address,) = parse_sources(text, "source") or ()
    return str(address)


def parse_interface(text: str) -> str | int:
    """Return what selects an interface: its name or address, or its index if it is a number.

    Raises:
        ValueError: The text can be no interface.
    """
    if text.isascii() and text.isdecimal():
        return int(text)
    check_selector_text(text)
    return text


class Parsed(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A parameter that a function parses, which raises `ValueError` with one sentence."""

    def __init__(self, name: str, parse: Any) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Seconds(click.FloatRange):
    """A number of seconds: not infinite, and not NaN, which lies in every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is no number of seconds", param, ctx)
        return seconds


# The types of click parameters.
TARGET = Parsed("target", parse_target)
INTERFACE = Parsed("interface", parse_interface)
SOURCE = Parsed("source", parse_source)

# The argument and the options, for use as decorators; the functions get ``targets``,
# ``interfaces``, ``sources`` and ``excluded`` as tuples.
targets_argument = click.argument(
    "targets", metavar="GROUP:PORT...", nargs=-1, required=True, type=TARGET
)


def interface_option_else(otherwise: str) -> Callable[[_Function], _Function]:
    """Return the option ``--interface`` as a decorator, with the default in words."""
    return click.option(
        "--interface",
        "interfaces",
        multiple=True,
        metavar="NAME",
        type=INTERFACE,
        help="The interface, by name, index or address; may be given more than once. "
        f"Else {otherwise}.",
    )


interface_option = interface_option_else("those fit for multicast")
sending_interface_option = interface_option_else("the one to which the system routes the group")
source_option = click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="ADDRESS",
    type=SOURCE,
    help="The only source that is wanted; may be given more than once. Else any.",
)
exclude_option = click.option(
    "--exclude",
    "excluded",
    multiple=True,
    metavar="ADDRESS",
    type=SOURCE,
    help="A source that is not wanted; may be given more than once.",
)


@attrs.frozen
class Joining:
    """The arguments of one join: `McastReceiver.join`, or the opening.

    Attributes:
        groups: The groups.
        interfaces: The interfaces, or `None` for those fit for multicast.
        sources: The only sources that are wanted, or `None` for any.
        excluded_sources: The sources that are not wanted, or `None`.
    """

    groups: tuple[str, ...]
    interfaces: tuple[str | int, ...] | None
    sources: tuple[str, ...] | None
    excluded_sources: tuple[str, ...] | None


def plan_joins(
    targets: Iterable[Target],
    interfaces: Sequence[str | int] = (),
    sources: Sequence[str] = (),
    excluded: Sequence[str] = (),
) -> dict[int, tuple[Joining, ...]]:
    """Return the joins that targets and options mean, by port, in the order of the targets.

    A target's own interface and source count instead of those of the options. Duplicates collapse;
    a group that is wanted from several sources is joined once, with all of them.
    """
    wanted: dict[tuple[int, str, tuple[str | int, ...]], dict[str, None] | None] = {}
    for target in targets:
        places = tuple(interfaces) if target.interface is None else (target.interface,)
        own = tuple(sources) if target.source is None else (target.source,)
        key = (target.port, target.group, tuple(dict.fromkeys(places)))
        before = wanted.get(key, {})
        # Any source is more than some sources.
        wanted[key] = {**before, **dict.fromkeys(own)} if own and before is not None else None
    groups: dict[tuple[int, tuple[str | int, ...], tuple[str, ...]], list[str]] = {}
    for (port, group, places), filtered in wanted.items():
        groups.setdefault((port, places, tuple(filtered or ())), []).append(group)
    joins: dict[int, tuple[Joining, ...]] = {}
    for (port, places, only), joined in groups.items():
        joining = Joining(tuple(joined), places or None, only or None, tuple(excluded) or None)
        joins[port] = (*joins.get(port, ()), joining)
    return joins


def ttl_option(what: str) -> Callable[[_Function], _Function]:
    """Return the option for how far the datagrams of a command go, which are named."""
    return click.option(
        "--ttl",
        type=click.IntRange(1, 255),
        default=1,
        show_default=True,
        metavar="N",
        help=f"How far the {what} go: 1 not beyond the local network, more through routers.",
    )
