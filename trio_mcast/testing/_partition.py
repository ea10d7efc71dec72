"""The parts into which a switch is split: which host is in which. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set


def parse_parts(groups: Iterable[object], known: Collection[str], switch: str) -> dict[str, int]:
    """Return the number of its part for each name.

    Args:
        groups: Hosts and routers, or their names: several in a list, or one by itself.
        known: The names of what is plugged in.
        switch: The switch's name.

    Raises:
        ValueError: A name is in two groups, or nothing of that name is plugged in.
    """
    parts: dict[str, int] = {}
    for number, group in enumerate(groups, start=1):
        hosts: list[object] = [group]
        if isinstance(group, Iterable) and not isinstance(group, str):
            hosts = list(group)
        names = [
            host if isinstance(host, str) else getattr(host, "name", repr(host)) for host in hosts
        ]
        if isinstance(group, Set):  # Its order differs from run to run.
            names.sort()
        for name in names:
            if name not in known:
                raise ValueError(f"nothing called {name!r} is plugged into {switch}")
            if parts.setdefault(name, number) != number:
                raise ValueError(f"{name!r} is in two groups")
    return parts


def describe_parts(parts: dict[str, int]) -> str:
    """Return the parts as people read them; nothing for none."""
    return " | ".join(
        ", ".join(name for name in parts if parts[name] == number)
        for number in sorted(set(parts.values()))
    )
