"""The ways of frames through a switch: when a frame arrives at which interface, if it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ._core import Core
from ._frames import Frame, fragments
from ._impairment import Impairment, Path, has_chance, nanoseconds
from ._interface import VirtualInterface
from ._trunk import TrunkEnd

# An end of a way; `None` is the switch itself.
_End = VirtualInterface | TrunkEnd | None


class SwitchPaths:
    """The ways through one switch.

    Where chance has no part, a frame reaches all its targets together: they are one entry in the
    schedule, and what would be kept for each pair of interfaces is not.
    """

    def __init__(
        self,
        core: Core,
        name: str,
        impairment: Impairment,
        arrive: Callable[[_End, Sequence[_End], Frame], None],
        lose: Callable[[_End, _End, Frame], None],
    ) -> None:
        """Begin with no frame under way.

        Args:
            core: The core of the network.
            name: The switch's name.
            impairment: The impairments of the switch, which may change.
            arrive: Called when a frame arrives: with the source, the targets, and the frame.
            lose: Called when a frame is lost, alike.
        """
        self._core = core
        self._name = name
        self._impairment = impairment
        self._arrive = arrive
        self._lose = lose
        # When the last frame arrives that an interface has sent, by its number, without chance;
        # and when the last of all arrives that chance had a part in.
        self._last_due: dict[int, int] = {}
        self._last_by_chance = 0
        # Where chance has a part, by the numbers of the interfaces at both ends; 0 is the switch.
        self._paths: dict[tuple[int, int], Path] = {}

    def send(self, source: _End, targets: Sequence[_End], frame: Frame) -> None:
        """Send a frame on its way to some targets."""
        scheduler = self._core.scheduler
        number = source.number if source else 0
        earliest = self._last_due.get(number, 0)
        due = max(scheduler.now_ns() + nanoseconds(self._impairment.delay), earliest)
        if has_chance(self._impairment) or due < self._last_by_chance:
            for target in targets:
                self._send_by_chance(source, target, frame, earliest)
        elif targets:
            self._last_due[number] = due
            scheduler.schedule(due, (number, 0), partial(self._arrive, source, targets, frame))

    def _send_by_chance(self, source: _End, target: _End, frame: Frame, earliest: int) -> None:
        order = (source.number if source else 0, target.number if target else 0)
        path = self._paths.get(order)
        if path is None:
            ends = f"{source or self._name}/{target or self._name}"
            path = self._paths[order] = Path(f"{self._core.seed}/{self._name}/{ends}")
        scheduler = self._core.scheduler
        dues = path.fate(self._impairment, scheduler.now_ns(), fragments(frame), earliest)
        if not dues:
            self._lose(source, target, frame)
        for due in dues:
            self._last_by_chance = max(self._last_by_chance, due)
            scheduler.schedule(due, order, partial(self._arrive, source, [target], frame))
