"""Answers to likely mistakes in arguments: each says in one sentence what to write. Pure."""

from __future__ import annotations

import re
from collections.abc import Container
from ipaddress import IPv4Network, IPv6Network, ip_address

# A text with a port at its end: "239.1.2.3:5000", "[ff02::1]:5000", "ff02::1%eth0" without one.
_WITH_PORT = re.compile(
    r"\[(?P<bracketed>[^]]*)\](:(?P<port6>\d*))?|(?P<host>[\d.]+):(?P<port4>\d*)"
)

# A text that begins like a range: "239.0.0.0/8", "239.1.2.3-239.1.2.9".
_RANGE = re.compile(r"(?P<first>[^/-]+)[/-].*")

# Names that stand for every interface in other programs. An interface that is called so can still
# be named by its index.
_EVERY = ("all", "any", "*", "all_interfaces")


def about_address(text: str, what: str) -> str:
    """Return an explanation of a text that is no address, to be added to an error; may be empty.

    Args:
        text: The text.
        what: The name of the argument, ``"group"`` or ``"to"``, for instance.
    """
    parts = re.split(r"[\s,;]+", text.strip(" \t\r\n,;"))
    if len(parts) > 1 and all(map(_is_address, parts)):
        return f": it is several, so give a list, {parts!r}"
    stripped = text.strip()
    if not stripped:
        return ": it is empty"
    if stripped != text:
        return (
            about_address(stripped, what) or f": without the spaces around it, write {stripped!r}"
        )
    if "://" in text:
        return f": it is a URL, of which the address alone is wanted{_port_place(what, None)}"
    if text.endswith("%"):
        return (
            f": the zone after the % is missing; write {text + 'eth0'!r}, with the name of the "
            f"interface, or {text[:-1]!r}"
        )
    ranged = _RANGE.fullmatch(text)
    if ranged is not None and _is_address(ranged["first"]):
        return ": it is a range of addresses, and one address is wanted"
    if "%" in text.partition("%")[2]:
        return ": a zone has no % in it; write the index of the interface"
    with_port = _WITH_PORT.fullmatch(text)
    if with_port is None or not _is_address(with_port["bracketed"] or with_port["host"] or ""):
        return ""
    address = with_port["bracketed"] or with_port["host"]
    port = with_port["port6"] or with_port["port4"]
    if port is None:
        return f": without brackets, write {address!r}"
    return f": it has a port in it; write {address!r}{_port_place(what, port)}"


def _is_address(text: str) -> bool:
    if ":" not in text and text.count(".") != 3:
        return False  # Mostly it is a name, and that is told sooner than by an error.
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _port_place(what: str, port: str | None) -> str:
    """Return the place of a port that was given with an address."""
    number = "" if not port else f", {port}"
    if what == "group":
        return f"; the port is the second argument when opening{number}"
    if what == "to":
        return f"; give a pair of address and port, (address{number or ', port'})"
    return ", without a port"


def about_address_type(value: object, what: str) -> str:
    """Return an explanation of a value of a type that no address has; may be empty.

    Args:
        value: The value.
        what: The name of the argument.
    """
    if isinstance(value, (bytes, bytearray)):
        return ": decode it to text"
    if isinstance(value, (IPv4Network, IPv6Network)):
        return ": it is a range of addresses, and one address is wanted"
    if not what.startswith("group"):
        return ""
    port = value[-1] if isinstance(value, (tuple, list)) and value else value
    if isinstance(port, int):
        return (
            ": the groups are the first argument when opening, and the port, which is no part of "
            "them, is the second"
        )
    return ""


def about_number(text: str) -> str:
    """Return an explanation of a text where a number is wanted; may be empty."""
    numbers = [number for number in re.split(r"[\s,;]+", text) if number]
    if len(numbers) > 1 and all(number.isdecimal() for number in numbers):
        return f": it is several, so give a list, {list(map(int, numbers))!r}"
    return ": make a number of it with int()" if text.strip().isdecimal() else ""


def check_selector_text(text: str) -> None:
    """Check a text that selects an interface for what can never be one.

    Raises:
        ValueError: The text is no interface's name or address, whatever interfaces there are.
    """
    if not text.strip():
        raise ValueError(f"interfaces={text!r} is empty: name an interface, or leave it out")
    if text.lower() in _EVERY:
        raise ValueError(
            f"interfaces={text!r} is not the name of an interface: to receive on every one that is "
            "fit, leave interfaces out, and to send on them, give ALL_INTERFACES"
        )
    if not _is_address(text):
        return
    address = ip_address(text)
    if address.is_unspecified:
        raise ValueError(
            f"interfaces={text!r} is no interface's address: leave interfaces out, or name an "
            "interface"
        )
    if address.is_multicast:
        raise ValueError(
            f"interfaces={text!r} is a group, not an interface: groups are the first argument"
        )


def about_selector(text: str, names: Container[str]) -> str:
    """Return an explanation of a text that no interface is called, for an error; may be empty.

    Args:
        text: The text.
        names: The names of the interfaces that there are.
    """
    parts = [part for part in re.split(r"[\s,;]+", text) if part]
    if len(parts) > 1 and ("," in text or any(p in names or _is_address(p) for p in parts)):
        return f"; for several give a list, {parts!r}"
    (part,) = parts if len(parts) == 1 else (text,)
    if part != text and (part in names or _is_address(part)):
        return f"; without the spaces around it, write {part!r}"
    if part.isdecimal():
        return f"; the index of an interface is an int, {int(part)}"
    if part.endswith("%"):
        return "; the zone after the % is missing"
    address = part.partition("/")[0].strip("[]")
    if address != part and _is_address(address):
        return f"; the address alone is wanted, {address!r}"
    if part.lower() in names:
        return f"; did you mean {part.lower()!r}?"
    return ""
