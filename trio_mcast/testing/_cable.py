"""`Cable`: one direction of the cable between an interface and its switch, with its impairments."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, cast

import attrs

from .._values.numbers import parse_float, parse_int
from ._arguments import FixedAttributes
from ._core import Core
from ._frames import Frame, Packet, fragments, wire_bytes
from ._impairment import IMPAIRMENTS, Path, check_impairment, show_impairments
from ._scheduler import NS_PER_SECOND
from ._trace import EventKind

# The bits of the traffic class by which senders say that datagrams may be marked, and the mark
# (RFC 3168, 5): 01 and 10 can be marked, 11 is the mark.
_ECN_BITS: Final = 0b11


# The most bits per second, and bytes, that a cable can be given: more than any network has.
_MOST: Final = 10**15

# Said about attributes of what has two cables.
IN_CABLES: Final[str] = "; impairments are attributes of its outgoing and incoming cable"


def _check_limit(name: str, value: object) -> None:
    if name == "rate":
        rate = cast("float", value)
        parse_float(
            rate, name, 1, _MOST, unit="bits per second", otherwise=", or None for no limit"
        )
    else:
        size = cast("int", value)
        parse_int(size, name, 0, _MOST, unit="bytes", otherwise=", or None for no limit")


@attrs.define(eq=False)
class Waiting:
    """A frame that waits for a cable with a rate.

    Attributes:
        frame: The frame.
        until_ns: When it leaves this end, or was lost here.
        is_lost: Whether the link was lost before it could leave.
    """

    frame: Frame
    until_ns: int
    is_lost: bool = False


class Cable(FixedAttributes):
    """One direction of the cable between an interface and its switch, from the host's side.

    ``interface.outgoing`` is what the host sends, and ``interface.incoming`` is what it gets. All
    attributes can be set at any time, and count for frames that are sent from then on; they come
    on top of the impairments of the switch. What ``outgoing`` loses is lost for all receivers.
    """

    CHANGEABLE = frozenset({*IMPAIRMENTS, "rate", "queue", "mark"})

    loss: float
    """The probability with which a frame is lost, 0 to 1."""
    delay: float
    """How long a frame is under way, in seconds."""
    jitter: float
    """Up to so many seconds more, evenly distributed. Frames keep their order."""
    duplicate: float
    """The probability with which a frame arrives twice."""
    reorder: float
    """The probability with which a frame is held back, so that later frames overtake."""
    reorder_delay: float
    """How long such a frame is held back, in seconds."""
    rate: float | None
    """The bits per second that pass, counted as on Ethernet: with preamble, header, checksum, and
    the gap between frames (IEEE 802.3). `None`, the default, for no limit.
    """
    queue: int | None
    """The bytes that can wait for a cable with a ``rate``; a frame that finds no room is dropped.
    `None`, the default, for no limit.
    """
    mark: int | None
    """How many bytes have to wait for datagrams to be marked with congestion experienced
    (RFC 3168), if their senders allow it by ``traffic_class``. `None`, the default, for never.
    """

    def __init__(self, core: Core, place: str, interface: str, number: int, direction: str) -> None:
        for name in IMPAIRMENTS:
            setattr(self, name, 0.01 if name == "reorder_delay" else 0.0)
        self.rate = self.queue = self.mark = None
        self._core = core
        self._place = place
        self._interface = interface
        self._number = number
        self._direction = direction
        self._path = Path(f"{core.seed}/{place}/{interface}/{direction}")
        self._free_ns = 0
        self._waiting: deque[Waiting] = deque()

    def __setattr__(self, name: str, value: object) -> None:
        if name in IMPAIRMENTS:
            check_impairment(name, value)
        elif name in self.CHANGEABLE and value is not None:
            _check_limit(name, value)
        super().__setattr__(name, value)
        if not name.startswith("_"):
            self._is_perfect = None

    def __repr__(self) -> str:
        limits = "".join(
            f" {name}={getattr(self, name)}"
            for name in ("rate", "queue", "mark")
            if getattr(self, name) is not None
        )
        shown = f"{show_impairments(self)}{limits}"
        return f"<Cable {self._direction} of {self._place}/{self._interface}{shown}>"

    _is_perfect: bool | None = None

    @property
    def is_perfect(self) -> bool:
        """Whether frames pass at once, and all of them."""
        if self._is_perfect is None:
            names = ("loss", "delay", "jitter", "duplicate", "reorder", "rate")
            self._is_perfect = not any(getattr(self, name) for name in names)
        return self._is_perfect

    def be_renamed(self, interface: str) -> None:
        """Note the new name of the interface. For the interface only."""
        self._interface = interface

    def cut(self) -> None:
        """Lose what waits for the cable, as the link is gone. For the interface only.

        A Linux host empties its queues then (dev_deactivate_many in net/sched/sch_generic.c).
        """
        now = self._core.scheduler.now_ns()
        self._free_ns = min(self._free_ns, now)
        self._path.begin_again(now)
        for waiting in self._waiting:
            if waiting.until_ns > now:
                waiting.until_ns, waiting.is_lost = now, True
                self._record("dropped", waiting.frame, "the link was lost before it could leave")
        self._waiting.clear()

    def pass_on(self, frame: Frame, deliver: Callable[[Frame], None]) -> Waiting | None:
        """Have a frame arrive at the other end: at once, later, twice, or never.

        Returns:
            The frame that waits for a cable with a rate; `None` if it has left this end.
        """
        if self.is_perfect:
            deliver(frame)
            return None
        scheduler = self._core.scheduler
        now = scheduler.now_ns()
        left_ns, frame_now = self._leave_queue(frame, now)
        if left_ns is None:
            self._record("dropped", frame, "the queue of the cable is full")
            return None
        dues = self._path.fate(self, left_ns, fragments(frame))
        if not dues:
            self._record("lost", frame, f"{self._direction} cable")
        waiting = Waiting(frame_now, left_ns)

        def arrive() -> None:
            if not waiting.is_lost:
                deliver(frame_now)

        for due in dues:
            scheduler.schedule(due, (self._number, 0), arrive)
        if left_ns <= now:
            return None
        while self._waiting and self._waiting[0].until_ns <= now:
            self._waiting.popleft()
        self._waiting.append(waiting)
        return waiting

    def _leave_queue(self, frame: Frame, now: int) -> tuple[int | None, Frame]:
        """Return when a frame has left, or `None` if it finds no room; and the frame, marked."""
        if self.rate is None:
            return now, frame
        size = wire_bytes(frame)
        waiting = max(self._free_ns - now, 0) * self.rate / 8 / NS_PER_SECOND
        if self.queue is not None and waiting and waiting + size > self.queue:
            return None, frame
        self._free_ns = max(self._free_ns, now) + round(size * 8 * NS_PER_SECOND / self.rate)
        if (
            self.mark is not None
            and waiting >= self.mark
            and isinstance(frame, Packet)
            and frame.traffic_class & _ECN_BITS
        ):
            frame = attrs.evolve(frame, traffic_class=frame.traffic_class | _ECN_BITS)
        return self._free_ns, frame

    def _record(self, what: EventKind, frame: Frame, reason: str) -> None:
        if isinstance(frame, Packet):
            self._core.record(
                self._place, what, interface=self._interface, subject=frame, reason=reason
            )
        else:
            self._core.record(
                self._place, what, interface=self._interface, reason=f"a report or query: {reason}"
            )
