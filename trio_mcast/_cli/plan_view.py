"""The look of ``trio-mcast plan``: the steps of each planned socket, as lines or as JSON."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator

from .._plan.socket_spec import BindAddress, SocketSpec
from .._platform.options import SocketOption
from .._values.addresses import FAMILY_LABEL
from .._values.errors import printable
from .rendering import counted

_WIDTH = 80
# Structures with a sockaddr_storage are mostly zeros. A run of more bytes than this is shortened.
_LONGEST_RUN = 8


def describe_socket(socket_spec: SocketSpec, number: int, count: int) -> Iterator[str]:
    """Yield the lines of one socket: what it is for, then each step in order."""
    yield from _fill(f"Socket {number} of {count}: {purpose_of(socket_spec)}", "", "  ")
    for step, (kind, detail) in enumerate(_steps(socket_spec), start=1):
        lead = f"{step:>3}  {kind}"
        if isinstance(detail, SocketOption):
            yield from _describe_option(detail, lead)
        else:
            yield f"{lead} {address_text(detail)}"
    yield from _describe_reading(socket_spec)


def purpose_of(socket_spec: SocketSpec) -> str:
    """Return in one line what a socket is for."""
    label = FAMILY_LABEL[socket_spec.family]
    interface = socket_spec.interface
    if socket_spec.group is None:
        what = "receives unicast" if socket_spec.accepts_unicast else "sends"
        return f"{label}, {what}, on {interface}"
    sources = f" from {', '.join(socket_spec.sources)}" if socket_spec.sources else ""
    return f"{label}, receives {socket_spec.group}{sources}, on {interface}"


def address_text(address: BindAddress) -> str:
    """Return an address to bind or connect to as text; the index of its scope as a zone."""
    host, port = address[:2]
    if ":" not in host:
        return f"{host}:{port}"
    scope = address[3] if len(address) == 4 else 0
    return f"[{host}%{scope}]:{port}" if scope else f"[{host}]:{port}"


def value_bytes(option: SocketOption) -> bytes:
    """Return the bytes that ``setsockopt`` gets: an int is a C int in this machine's order."""
    if isinstance(option.value, bytes):
        return option.value
    return (option.value & 0xFFFFFFFF).to_bytes(4, sys.byteorder)


def bytes_text(value: bytes) -> str:
    """Return bytes in hexadecimal; a long run of zeros is told by its length."""
    words = []
    end = 0
    for run in re.finditer(rb"\x00{%d,}" % (_LONGEST_RUN + 1), value):
        words += _hexadecimal(value[end : run.start()])
        words.append(f"00*{len(run[0])}")
        end = run.end()
    return " ".join([*words, *_hexadecimal(value[end:])])


def _hexadecimal(value: bytes) -> list[str]:
    return [value.hex(" ")] if value else []


def _steps(socket_spec: SocketSpec) -> Iterator[tuple[str, SocketOption | BindAddress]]:
    """Yield what is done with a socket, in order."""
    once = [option for option in socket_spec.options if not option.if_taken]
    yield from (("set", option) for option in once if not option.after_bind)
    yield "bind to", socket_spec.bind
    for option in socket_spec.options:
        if option.if_taken and not option.after_bind:
            yield "if the port is in use, first set", option
    if socket_spec.bind_if_taken is not None:
        yield "if the port is in use, bind to", socket_spec.bind_if_taken
    for option in socket_spec.options:
        if option.if_taken and option.after_bind:
            yield "if the port was in use, set", option
    # What made the bind possible is not set again.
    taken = {option.symbol for option in socket_spec.options if option.if_taken}
    for option in once:
        if option.after_bind:
            yield "if it was not, set" if option.symbol in taken else "set", option
    if socket_spec.peer is not None:
        yield "connect to", socket_spec.peer


def _describe_option(option: SocketOption, lead: str) -> Iterator[str]:
    indent = " " * 5
    value = f" = {option.value}" if isinstance(option.value, int) else ""
    yield f"{lead} {option.symbol}{value}"
    goes_without = not (option.required or option.if_taken or option.fallback)
    note = " (goes without it where refused)" if goes_without else ""
    yield from _fill(f"{option.purpose}{note}", indent, indent)
    raw = value_bytes(option)
    numbers = f"level {option.level}, option {option.number}, {counted(len(raw), 'byte')}: "
    yield from _fill(numbers + bytes_text(raw), indent, indent)
    if option.fallback is not None:
        yield from _describe_option(option.fallback, f"{indent}if refused, set")


def _describe_reading(socket_spec: SocketSpec) -> Iterator[str]:
    rejected = sorted(socket_spec.rejected_sources)
    if rejected:
        yield from _fill(f"     after reading, leaves out {', '.join(rejected)}", "", "     ")
    if socket_spec.own_addresses:
        yield from _fill("     after reading, leaves out this machine's own", "", "     ")
    if socket_spec.checks_sources:
        yield from _fill("     after reading, leaves out other sources", "", "     ")
    if socket_spec.checks_interface:
        yield from _fill("     after reading, leaves out what came elsewhere", "", "     ")


def _fill(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def socket_as_json(socket_spec: SocketSpec) -> dict[str, object]:
    """Return a planned socket as plain values."""
    steps: list[dict[str, object]] = []
    for kind, detail in _steps(socket_spec):
        if isinstance(detail, SocketOption):
            steps.append({"step": "set", **_option_as_json(detail)})
        else:
            name = "bind_if_taken" if kind.startswith("if") else kind.partition(" ")[0]
            steps.append({"step": name, "address": list(detail)})
    return {
        "family": socket_spec.family,
        "interface": printable(socket_spec.interface.name),
        "index": socket_spec.interface.index,
        "group": socket_spec.group,
        "sources": list(socket_spec.sources),
        "purpose": purpose_of(socket_spec),
        "steps": steps,
        "rejected_sources": sorted(socket_spec.rejected_sources),
    }


def _option_as_json(option: SocketOption) -> dict[str, object]:
    fallback = option.fallback
    return {
        "option": option.symbol,
        "level": option.level,
        "number": option.number,
        "value": option.value if isinstance(option.value, int) else None,
        "bytes": value_bytes(option).hex(),
        "purpose": option.purpose,
        "required": option.required,
        "if_taken": option.if_taken,
        "fallback": None if fallback is None else _option_as_json(fallback),
    }
