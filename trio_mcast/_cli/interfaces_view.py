"""The look of ``trio-mcast interfaces``: a table, lines about changes, or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from .._diagnosis.fitness import Fitness
from .._values.errors import printable
from .._values.interface import Interface, InterfaceAddress, assumed_details


@attrs.frozen
class InterfaceRow:
    """One interface, and what multicast can be done on it.

    Attributes:
        interface: The interface.
        fitness: Whether it is fit, and why not.
    """

    interface: Interface
    fitness: Fitness


@attrs.frozen
class Default:
    """Where a group is received and sent if no interface is named.

    Attributes:
        group: The group.
        is_example: Whether nobody asked for this group, so that it stands for all of its family.
        receiver: The interfaces on which a receiver joins.
        sender: The interface on which a sender sends; `None` if there is none.
        refusal: Why there is no interface to send on; empty if there is one.
    """

    group: str
    is_example: bool
    receiver: tuple[str, ...]
    sender: str | None
    refusal: str = ""


@attrs.frozen
class Snapshot:
    """The interfaces at one moment.

    Attributes:
        rows: The interfaces, by index.
        defaults: The defaults of the groups that were asked about.
    """

    rows: tuple[InterfaceRow, ...]
    defaults: tuple[Default, ...]


def render(snapshot: Snapshot) -> Group:
    """Return the table of the interfaces, with the defaults below it."""
    # Two spaces between columns: one of padding, one of the box's.
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("interface", "for multicast", "addresses"):
        table.add_column(heading, overflow="fold")
    for number, row in enumerate(snapshot.rows):
        if number:
            table.add_row()
        table.add_row(_name_cell(row.interface), _fitness_cell(row), _addresses_cell(row.interface))
    lines = [Text(describe_default(default)) for default in snapshot.defaults]
    return Group(table, "", *lines)


def _name_cell(interface: Interface) -> Text:
    cell = Text(str(interface), "bold")
    lines = [f"index {interface.index}, mtu {interface.mtu}"]
    if interface.link_address:
        lines.append(interface.link_address)
    lines += [f"also {printable(name)}" for name in interface.alternative_names]
    if interface.description not in ("", interface.name):
        lines.append(printable(interface.description))
    return cell.append("".join(f"\n{line}" for line in lines), "not bold dim")


def _fitness_cell(row: InterfaceRow) -> Text:
    fitness = row.fitness
    cell = Text("fit" if fitness.is_fit else "not fit", "green" if fitness.is_fit else "yellow")
    for reason in (*fitness.reasons, *fitness.lacks.values()):
        cell.append(f"\n{reason}", "default")
    return cell


def _addresses_cell(interface: Interface) -> Text:
    return Text("\n".join(describe_address(detail) for detail in _details(interface)))


def describe_address(detail: InterfaceAddress) -> str:
    """Return an address with what is special about it."""
    notes: list[str] = [] if detail.scope == "global" else [detail.scope]
    if detail.state not in (None, "preferred"):
        notes.append(str(detail.state))
    if detail.temporary:
        notes.append("temporary")
    return f"{_bare(detail)} ({', '.join(notes)})" if notes else _bare(detail)


def _bare(detail: InterfaceAddress) -> str:
    """Return an address with its network, without the zone, which is the interface itself."""
    address, _, prefix = str(detail.address).partition("/")
    return f"{address.partition('%')[0]}/{prefix}"


def _details(interface: Interface) -> tuple[InterfaceAddress, ...]:
    if interface.address_details:
        return interface.address_details
    ipv4 = assumed_details(interface.ipv4_addresses)
    return (*ipv4, *assumed_details(interface.ipv6_addresses))


def describe_default(default: Default) -> str:
    """Return where a group is received and sent if no interface is named."""
    family = "IPv6" if ":" in default.group else "IPv4"
    what = f"{family} groups" if default.is_example else default.group
    joined = ", ".join(default.receiver) or "no interface"
    sent = f"sends on {default.sender}" if default.sender else f"cannot send: {default.refusal}"
    return f"{what}: a receiver joins on {joined}; a sender {sent}"


def as_json(snapshot: Snapshot, changes: Sequence[str] | None = None) -> dict[str, object]:
    """Return the interfaces as plain values, with what has changed, if anything is said of that."""
    said = {} if changes is None else {"changes": list(changes)}
    return {
        **said,
        "interfaces": [_row_as_json(row) for row in snapshot.rows],
        "defaults": [
            {
                "group": default.group,
                "receiver": list(default.receiver),
                "sender": default.sender,
                "refusal": default.refusal or None,
            }
            for default in snapshot.defaults
        ],
    }


def _row_as_json(row: InterfaceRow) -> dict[str, object]:
    interface, fitness = row.interface, row.fitness
    return {
        "name": printable(interface.name),
        "index": interface.index,
        "description": printable(interface.description),
        "other_names": [printable(name) for name in interface.alternative_names],
        "link_address": interface.link_address,
        "mtu": interface.mtu,
        "up": interface.is_up,
        "loopback": interface.is_loopback,
        "multicast": interface.is_multicast,
        "master": None if interface.master is None else printable(interface.master),
        "fit": fitness.is_fit,
        "default": fitness.is_default,
        "reasons": list(fitness.reasons),
        "lacks": dict(fitness.lacks),
        "addresses": [
            {
                "address": _bare(detail),
                "scope": detail.scope,
                "state": detail.state,
                "temporary": detail.temporary,
            }
            for detail in _details(interface)
        ],
    }


def describe_changes(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Yield a line for each difference between two moments."""
    old = {row.interface.index: row for row in before.rows}
    new = {row.interface.index: row for row in after.rows}
    for index, row in old.items():
        if index not in new:
            yield f"{row.interface} removed"
    for index, row in new.items():
        if index not in old:
            addresses = ", ".join(map(describe_address, _details(row.interface))) or "no address"
            yield f"{row.interface} added: {row.fitness}; {addresses}"
        elif row != old[index]:
            yield from _describe_change(old[index], row)
    yield from (describe_default(it) for it in after.defaults if it not in before.defaults)


def _describe_change(before: InterfaceRow, after: InterfaceRow) -> Iterator[str]:
    name = str(after.interface)
    was, now = _comparable(before), _comparable(after)
    for field, value in now.items():
        if was[field] != value:
            yield f"{name}: {field} was {was[field]}, is {value}"
    old = dict.fromkeys(map(describe_address, _details(before.interface)))
    new = dict.fromkeys(map(describe_address, _details(after.interface)))
    yield from (f"{name}: address {text} removed" for text in old if text not in new)
    yield from (f"{name}: address {text} added" for text in new if text not in old)


def _comparable(row: InterfaceRow) -> Mapping[str, str]:
    interface = row.interface
    return {
        "name": str(interface),
        "for multicast": str(row.fitness),
        "mtu": str(interface.mtu),
        "link address": str(interface.link_address),
        "other names": ", ".join(map(printable, interface.alternative_names)) or "none",
    }
