"""`SwitchCapture`: what passes a virtual switch, as a pcapng file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import attrs

from .._values.addresses import Endpoint
from .._values.datagram import Datagram
from .._values.interface import Interface
from ._arguments import FixedAttributes
from ._frames import Packet
from ._interface import VirtualInterface
from ._trunk import TrunkEnd

try:
    from .._capture.writing import CaptureWriter
except ImportError as _error:
    if _error.name != "pcapng":
        raise
    CaptureWriter = None  # type: ignore[assignment, misc]


class SwitchCapture(FixedAttributes):
    """A capture of a switch's datagrams to a file; made by `VirtualSwitch.capture`.

    It ends with the ``with`` block, or with `close`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        switch: str,
        time_ns: Callable[[], int],
        end: Callable[[SwitchCapture], None],
    ) -> None:
        if CaptureWriter is None:
            raise ImportError(
                "writing pcapng needs python-pcapng, which is not installed: "
                'pip install "trio-mcast[testing]"',
                name="pcapng",
            )
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(
                f"path must be a str or a path object, not {type(path).__name__}: {path!r}"
            )
        self._path = path
        self._switch = switch
        self._time_ns = time_ns
        self._end = end
        self._file: BinaryIO = Path(path).open("wb")  # noqa: SIM115 - closed by close().
        self._writer = CaptureWriter(self._file, "trio_mcast.testing")
        self._written = 0

    def __repr__(self) -> str:
        return f"<SwitchCapture of {self._switch} to {os.fspath(self._path)!r}>"

    def __enter__(self) -> SwitchCapture:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def written(self) -> int:
        """The number of datagrams in the file."""
        return self._written

    def close(self) -> None:
        """End the capture and close the file. Idempotent."""
        self._end(self)
        self._file.close()

    def write(self, source: VirtualInterface | TrunkEnd | None, packet: Packet) -> None:
        """Write a datagram that has come from a port. For the switch only."""
        if source is None:
            interface = Interface(name=self._switch, index=0)
        elif isinstance(source, TrunkEnd):
            interface = Interface(name=str(source), index=source.number)
        else:
            interface = attrs.evolve(source.value, name=str(source), index=source.number)
        destination = Endpoint(str(packet.destination), packet.port)
        self._writer.write(
            Datagram(
                data=packet.data,
                source=Endpoint(*packet.sender),
                group=destination.host if packet.is_to_group else None,
                interface=interface,
                ttl=packet.ttl,
                timestamp_ns=self._time_ns(),
                destination=destination,
                traffic_class=packet.traffic_class,
            )
        )
        self._written += 1
