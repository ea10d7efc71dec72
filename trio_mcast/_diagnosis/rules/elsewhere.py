"""Rules about datagrams that come, but not where they were asked for. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..evidence import Heard, Widening
from .rule import Match, reading, rises, rule
from .view import View


def swapped(port: int) -> int:
    """Return a port with its two bytes in the other order."""
    return (port & 0xFF) << 8 | port >> 8


def _widened(view: View, widening: Widening) -> Iterator[Heard]:
    for heard in view.heard_in("widened"):
        if heard.widening == widening and heard.count and heard.group in view.silent_groups:
            yield heard


def _sources(heard: Heard) -> str:
    most = Counter(heard.by_source).most_common(4)
    return ", ".join(f"{source} ({count})" for source, count in most)


def _readings(heard: Heard) -> str:
    return f"a socket for {heard.group} port {heard.port} on {heard.interface}, widened"


def _match(heard: Heard, **values: object) -> Match:
    return Match(
        heard.interface,
        heard.group,
        {"count": heard.count, "sources": _sources(heard), **values},
        reading(_readings(heard), f"{heard.count} datagrams, from {_sources(heard)}"),
    )


@rule("other-source", needs=("heard",), explains=("nothing-arrived", "firewall", "other-port"))
def other_source(view: View) -> Iterator[Match]:
    """Find groups of which datagrams come, but from none of the sources that are wanted."""
    asked = ", ".join(view.question.sources or ())
    for heard in _widened(view, "source"):
        if not set(heard.by_source) & set(view.question.sources or ()):
            yield _match(heard, asked=asked)


@rule("port-byte-order", needs=("heard",), explains=("nothing-arrived", "other-port"))
def port_byte_order(view: View) -> Iterator[Match]:
    """Find senders that have the bytes of the port in the wrong order."""
    port = view.port
    for heard in _widened(view, "port"):
        if heard.port == swapped(port) != port:
            yield _match(heard, port=port, seen=heard.port)


@rule("other-port", needs=("heard",), explains=("nothing-arrived",))
def other_port(view: View) -> Iterator[Match]:
    """Find groups of which datagrams come, but to another port."""
    port = view.port
    for heard in _widened(view, "port"):
        if heard.port not in (port, swapped(port)):
            yield _match(heard, port=port, seen=heard.port)


@rule("other-port", needs=("heard", "phases", "settings"), explains=("nothing-arrived",))
def other_port_of_no_socket(view: View) -> Iterator[Match]:
    """Find groups whose datagrams no socket takes, by the counter of these."""
    if any(heard.count for heard in view.heard_in("widened")):
        return
    for version, counter in ((4, "Udp.IgnoredMulti"), (6, "Udp6IgnoredMulti")):
        group = view.silent_group(version)
        if group is not None and (count := view.follows(counter)):
            values = {
                "count": count,
                "sources": "unknown",
                "port": view.question.port,
                "seen": "unknown",
            }
            yield Match(None, group, values, rises(view, counter))


def _is_local(view: View, heard: Heard) -> bool:
    return all(source.partition("%")[0] in view.own_addresses for source in heard.by_source)


_INTERFACE_EXPLAINS = ("nothing-arrived", "firewall", "other-port", "no-carrier")


@rule("other-interface", needs=("heard", "links"), explains=_INTERFACE_EXPLAINS)
def other_interface(view: View) -> Iterator[Match]:
    """Find groups of which datagrams come, but on an interface that was not asked for."""
    for heard in _widened(view, "interface"):
        if not _is_local(view, heard):
            yield _match(heard, asked=", ".join(link.name for link in view.chosen))


@rule("sent-on-another-interface", needs=("heard", "links"), explains=_INTERFACE_EXPLAINS)
def sent_on_another_interface(view: View) -> Iterator[Match]:
    """Find senders on this machine that send on an interface that was not asked for."""
    for heard in _widened(view, "interface"):
        if _is_local(view, heard):
            yield _match(heard, asked=", ".join(link.name for link in view.chosen))


@rule("duplicates-on-two-interfaces", "warning", needs=("twice",))
def duplicates_on_two_interfaces(view: View) -> Iterator[Match]:
    """Find datagrams that come on two interfaces, so that a program gets each twice."""
    for twice in view.evidence.twice or ():
        first, second = twice.interfaces
        yield Match(
            first,
            twice.group,
            {"second": second, "count": twice.count},
            reading("datagrams with the same source and data on both", twice.count),
        )


RULES = (
    other_source,
    port_byte_order,
    other_port,
    other_port_of_no_socket,
    other_interface,
    sent_on_another_interface,
    duplicates_on_two_interfaces,
)
