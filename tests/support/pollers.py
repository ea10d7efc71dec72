"""For tests of pollers: what to do about a socket that cannot be read."""

from __future__ import annotations

from trio_mcast._host.poller import PassPoller
from trio_mcast._host.protocols import Host, McastSocket


def open_poller(host: Host) -> PassPoller:
    """Open a poller on a host, whose sockets are not expected to fail."""
    poller = host.open_poller(unexpected_failure)
    assert isinstance(poller, PassPoller)
    return poller


def unexpected_failure(socket: McastSocket, error: OSError) -> None:
    raise AssertionError(f"{socket} cannot be read") from error
