"""Measures one subject, in a network of its own: ``python -m tests.benchmarks.worker NAME``.

It writes a line when it is ready, and then for each line that it reads a JSON object of figures.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from ._drain import Drain
from ._groups import Spread
from ._latency import Quiet
from ._near import Near
from ._network import Network, interface_names, network, plain_sender
from ._send import Burst
from ._subjects import Subject, find_subject

_BURST = 1_000


def main() -> None:
    subject = find_subject(sys.argv[1])
    module, _, function = subject.function.partition(".")
    measure = getattr(import_module(f"{__package__}.workers.{module}"), function)
    with network(subject.interfaces) as net:
        task = _task(subject, net)
        host = net.sender if subject.kind == "send" else net.receiver
        with host.inside():
            measure(task)


def _task(subject: Subject, net: Network) -> Any:
    """What the function that measures is given."""
    with net.sender.inside():
        senders = [plain_sender(interface) for interface in interface_names(subject.interfaces)]
    with net.receiver.inside():
        if subject.kind == "drain":
            return Drain(senders[0], subject.size, subject.units)
        if subject.kind == "send":
            payloads = [number.to_bytes(4, "big") * (subject.size // 4) for number in range(_BURST)]
            return Burst(net.receiver, payloads)
        if subject.kind == "quiet":
            return Quiet(senders[0])
        if subject.kind == "near":
            return Near(plain_sender())
        return Spread(senders, subject.groups)


if __name__ == "__main__":
    main()
