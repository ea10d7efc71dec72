"""The lab as a whole: it makes switches, hosts and routers, and takes everything away again."""

from __future__ import annotations

import shutil
from types import TracebackType
from typing import TypeVar

from ._host import Host
from ._namespace import LabError, namespace_problem
from ._node import Node, Programs
from ._router import Router
from ._switch import Switch

NodeType = TypeVar("NodeType", bound=Node)

# iproute2's two, and util-linux's, which kills programs when their starter dies.
_PROGRAMS = ("ip", "bridge", "setpriv")

# The Debian package of each program that tests run, where the name differs.
_PACKAGES = {
    "avahi-browse": "avahi-utils",
    "bird": "bird2",
    "bridge": "iproute2",
    "gssdp-discover": "gupnp-tools",
    "ip": "iproute2",
    "minidlnad": "minidlna",
    "nft": "nftables",
    "ping": "iputils-ping",
    "ptp4l": "linuxptp",
    "/usr/lib/frr/pimd": "frr",
    "setpriv": "util-linux",
    "smcrouted": "smcroute",
    "tc": "iproute2",
    "vtysh": "frr",
}


class Lab:
    """Networks of real kernels, for the length of a ``with`` block.

    Everything in it is held by this process, so nothing is left over, even if the process is
    killed. Labs do not see each other or the machine's own networks. A socket that is still open in
    a namespace keeps that namespace alive.
    """

    def __init__(self) -> None:
        """Make a lab with nothing in it."""
        self._programs = Programs()
        self._nodes: dict[str, Node] = {}

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def switch(
        self, name: str, *, snooping: bool = True, querier: bool = True, flood: bool = False
    ) -> Switch:
        """Make a switch, and return it when it is ready.

        Args:
            name: any, but no other node of the lab may have it.
            snooping: whether it listens to IGMP and MLD, and sends a group only where it was asked
                for. If not, it sends every group everywhere and knows of no subscriptions.
            querier: whether it asks once a second who wants which groups. If not, it asks a port
                only when something is plugged in, and so forgets each subscription three seconds
                after its last report, as switches do in networks without a querier. IPv6
                neighbours, too, find each other no longer by then.
            flood: whether it sends every group everywhere, though it knows of the subscriptions.
        """
        self._check_name(name)
        return self._add(
            Switch(name, self._programs, snooping=snooping, querier=querier, flood=flood)
        )

    def host(self, name: str) -> Host:
        """Make a host with no interface but ``lo``."""
        self._check_name(name)
        return self._add(Host(name, self._programs))

    def router(self, name: str) -> Router:
        """Make a host that forwards; multicast only after its ``start``."""
        self._check_name(name)
        return self._add(Router(name, self._programs))

    def close(self) -> None:
        """Stop all programs and let go of all namespaces. May be called again."""
        for node in reversed(self._nodes.values()):
            if isinstance(node, Router):
                node.stop()
        self._programs.close()
        for node in self._nodes.values():
            node.namespace.close()

    def _check_name(self, name: str) -> None:
        if name in self._nodes:
            raise LabError(f"the lab has {self._nodes[name]!r} already")

    def _add(self, node: NodeType) -> NodeType:
        self._nodes[node.name] = node
        return node


def lab_problem(*programs: str) -> str | None:
    """Say in a sentence why a lab cannot be used here, or return None.

    Args:
        programs: what is needed besides the lab's own, such as ``smcrouted`` for a router.
    """
    problem = namespace_problem()
    if problem is not None:
        return problem
    return program_problem(*_PROGRAMS, *programs)


def program_problem(*programs: str) -> str | None:
    """Say in a sentence which of these programs are missing here, or return None."""
    missing = [
        f"{program} (Debian package {_PACKAGES.get(program, program)})"
        for program in programs
        if shutil.which(program) is None
    ]
    if missing:
        return f"programs are not installed, or not in PATH: {', '.join(missing)}"
    return None
