"""What changed between two looks at a machine's interfaces. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import attrs

from ._interface import Interface


@attrs.frozen
class InterfaceChange:
    """An interface of this machine that came, went or changed.

    An interface is known by its index. One that was renamed has ``"changed"``; one that was removed
    and made again under the same name has another index, and is ``"removed"`` and then ``"added"``.

    Attributes:
        before: The interface as it was; `None` if it was added.
        after: The interface as it is; `None` if it was removed.
        kind: ``"added"``, ``"removed"`` or ``"changed"``. It follows from the other two.
    """

    before: Interface | None
    after: Interface | None
    kind: Literal["added", "removed", "changed"] = attrs.field(init=False)

    @kind.default
    def _kind_of_the_two(self) -> Literal["added", "removed", "changed"]:
        if self.before is None and self.after is None:
            raise ValueError("a change has a before, an after, or both, not neither")
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"

    @property
    def interface(self) -> Interface:
        """The interface as it is now or, if it was removed, as it was."""
        either = self.after or self.before
        assert either is not None
        return either


def interface_changes(
    before: Iterable[Interface], after: Iterable[Interface]
) -> tuple[InterfaceChange, ...]:
    """What leads from one list of interfaces to another.

    What was removed comes first, then what changed, then what was added, each by index: whoever
    keeps interfaces by name meets no name twice, unless interfaces have swapped theirs.
    """
    old = {item.index: item for item in before}
    new = {item.index: item for item in after}
    removed = [InterfaceChange(old[index], None) for index in sorted(old.keys() - new.keys())]
    changed = [
        InterfaceChange(old[index], new[index])
        for index in sorted(old.keys() & new.keys())
        if old[index] != new[index]
    ]
    added = [InterfaceChange(None, new[index]) for index in sorted(new.keys() - old.keys())]
    return (*removed, *changed, *added)
