"""The counters that the two ends tell each other, from mark to mark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from ..._host.current import current_host
from ..._host.system import SystemHost
from ..gather.counters import read_counters, rises_between

Mark: TypeAlias = "Mapping[str, int] | None"

# Those that the rules look at; of IPv6, those of all interfaces together.
_TOLD: Final = frozenset(
    {
        "Ip.InReceives",
        "Ip.InDelivers",
        "Ip.ReasmReqds",
        "Ip.ReasmOKs",
        "Udp.IgnoredMulti",
        "Udp.InCsumErrors",
        "Udp.RcvbufErrors",
        "TcpExt.IPReversePathFilter",
        "IpExt.InMcastPkts",
        "Ip6InReceives",
        "Ip6InDelivers",
        "Ip6InMcastPkts",
        "Ip6ReasmReqds",
        "Ip6ReasmOKs",
        "Udp6IgnoredMulti",
        "Udp6InCsumErrors",
        "Udp6RcvbufErrors",
    }
)


def read_mark() -> Mark:
    """Return the counters of this task's machine; `None` where there are none to be had."""
    host = current_host()
    if not (type(host) is SystemHost and host.platform.name == "linux"):
        return None
    try:
        counters = read_counters()
    except OSError:
        return None
    return {name: value for name, value in counters.items() if name in _TOLD}


def rises_since(mark: Mark) -> tuple[Mapping[str, int] | None, Mark]:
    """Return what the counters rose by since a mark, and the mark of now."""
    now = read_mark()
    return (None if mark is None or now is None else rises_between(mark, now)), now
