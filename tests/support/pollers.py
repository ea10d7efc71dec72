"""Pollers whose sockets are all expected to be readable."""

from __future__ import annotations

from trio_mcast._host.poller import PassPoller
from trio_mcast._host.protocols import Host, McastSocket


def open_poller(host: Host) -> PassPoller:
    """Open a poller on a host, where a socket that cannot be read fails the test."""
    poller = host.open_poller(unexpected_failure)
    assert isinstance(poller, PassPoller)
    return poller


def unexpected_failure(socket: McastSocket, error: OSError) -> None:
    raise AssertionError(f"{socket} cannot be read") from error
