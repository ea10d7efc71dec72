"""A router: a host that forwards, multicast too.

The kernel forwards multicast as a daemon tells it; ours is smcrouted_, which does so by fixed
rules.

.. _smcrouted: https://github.com/troglobit/smcroute
"""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from ._host import Host
from ._namespace import LabError
from ._node import Programs
from ._polling import wait_until

_PARAMETERS = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv6/conf/default/forwarding": "1",
}

# The daemon wants to write a PID file and a socket. A /run of its own, which nobody else sees and
# which is gone with it, keeps these out of the machine's.
_SCRIPT = """
mount -t tmpfs lab /run &&
exec smcrouted -n -l warning -f "$1" -P /run/lab.pid -u /run/lab.sock
"""


@dataclass(frozen=True)
class _Rule:
    """A group to forward."""

    group: str
    inbound: str
    outbound: tuple[str, ...]

    def configuration(self) -> str:
        """Return the lines for smcroute.conf: first the route, as only the join can be seen."""
        return (
            f"mroute from {self.inbound} group {self.group} to {' '.join(self.outbound)}\n"
            f"mgroup from {self.inbound} group {self.group}\n"
        )


class Router(Host):
    """A host that forwards between its interfaces, and multicast where it was told to."""

    def __init__(self, name: str, programs: Programs) -> None:
        """Make a router without interfaces or multicast routes."""
        super().__init__(name, programs, _PARAMETERS)
        self._rules: list[_Rule] = []
        self._stack = ExitStack()
        self._configuration: IO[str] | None = None
        self._daemon: subprocess.Popen[str] | None = None

    def forward(self, group: str, *, inbound: str, outbound: str | Sequence[str]) -> None:
        """Join a group, IPv4 or IPv6, on one interface and forward it from there to others.

        The kernel asks the daemon about the first datagram of each source. Until it has the answer
        it keeps four datagrams and drops the others, so do not begin with a burst.
        """
        targets = (outbound,) if isinstance(outbound, str) else tuple(outbound)
        self._rules.append(_Rule(group, inbound, targets))
        if self._daemon is not None:
            self._write_configuration()
            if sys.platform != "win32":  # There is no lab on Windows, but types are checked for it.
                self._daemon.send_signal(signal.SIGHUP)
            self._wait_until_joined()

    def start(self) -> None:
        """Start to forward multicast, and return when the router has joined its groups."""
        if self._daemon is not None:
            raise LabError(f"{self!r} has been started already")
        # A file without a name, so that none is left over whatever happens.
        file = TemporaryFile("w")  # noqa: SIM115 - closed by the stack
        self._configuration = self._stack.enter_context(file)
        self._write_configuration()
        path = f"/proc/{os.getpid()}/fd/{self._configuration.fileno()}"
        self._daemon = self._stack.enter_context(
            self.popen(
                "unshare",
                "--mount",
                "sh",
                "-c",
                _SCRIPT,
                "smcrouted",
                path,
                stdout=subprocess.DEVNULL,
            )
        )
        # Seen from its own root. The daemon writes it when it is ready; before, SIGHUP would end
        # it.
        pid_file = Path(f"/proc/{self._daemon.pid}/root/run/lab.pid")
        wait_until(
            lambda: self._is_running() and pid_file.exists(),
            lambda ready: ready,
            f"smcrouted in {self!r} to be ready",
        )
        self._wait_until_joined()

    def stop(self) -> None:
        """Stop to forward multicast; the router leaves its groups."""
        self._daemon = None
        self._configuration = None
        self._stack.close()

    def _write_configuration(self) -> None:
        assert self._configuration is not None
        self._configuration.seek(0)
        self._configuration.truncate()
        self._configuration.writelines(rule.configuration() for rule in self._rules)
        self._configuration.flush()

    def _wait_until_joined(self) -> None:
        """Return when the daemon has made its routes and joins, and the switches know of them."""
        needed = {(rule.inbound, ipaddress.ip_address(rule.group)) for rule in self._rules}
        wait_until(self._joined, lambda joined: needed <= joined, f"{self!r} to join {needed}")
        for rule in self._rules:
            plug = self._plugs[rule.inbound]
            plug.switch.wait_for_groups(plug.port, {str(ipaddress.ip_address(rule.group))})

    def _is_running(self) -> bool:
        """Return true, or raise LabError if the daemon has ended."""
        if self._daemon is None or self._daemon.poll() is not None:
            raise LabError(f"smcrouted in {self!r} is not running; see what it wrote to stderr")
        return True

    def _joined(self) -> set[tuple[str, ipaddress.IPv4Address | ipaddress.IPv6Address]]:
        """Return the groups that the router has joined, as (interface, group)."""
        self._is_running()
        return {
            (interface["ifname"], ipaddress.ip_address(group["address"]))
            for interface in json.loads(self.run("ip", "-j", "maddress", "show").stdout)
            for group in interface["maddr"]
            if "address" in group
        }
