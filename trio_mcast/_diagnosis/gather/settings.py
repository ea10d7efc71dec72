"""Settings of Linux, as sysctl(8) has them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Final

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows.
    resource = None

_SYSCTLS: Final = Path("/proc/sys")
_OF_INTERFACES: Final = (
    ("ipv4", "rp_filter"),
    ("ipv4", "accept_local"),
    ("ipv4", "force_igmp_version"),
    ("ipv4", "mc_forwarding"),
    ("ipv6", "disable_ipv6"),
    ("ipv6", "force_mld_version"),
    ("ipv6", "mc_forwarding"),
)
_OF_MACHINE: Final = (
    "net.core.rmem_default",
    "net.core.rmem_max",
    "net.core.wmem_default",
    "net.core.wmem_max",
    "net.ipv4.igmp_max_memberships",
    "net.ipv4.igmp_max_msf",
    "net.ipv6.mld_max_msf",
)


def read_settings(interfaces: Iterable[str]) -> dict[str, str]:
    """Return settings of the system, by the name that sysctl(8) has for them.

    Raises:
        OSError: There is no /proc/sys to read.
    """
    if not _SYSCTLS.is_dir():
        raise FileNotFoundError(f"there is no {_SYSCTLS}")
    paths = {name: _SYSCTLS / name.replace(".", "/") for name in _OF_MACHINE}
    for interface in ("all", *interfaces):
        for family, name in _OF_INTERFACES:
            path = _SYSCTLS / "net" / family / "conf" / interface / name
            paths[f"net.{family}.conf.{interface}.{name}"] = path
    settings = {}
    for name, path in paths.items():
        try:
            settings[name] = path.read_text().strip()
        except OSError:
            continue  # Not of this kernel, or the interface has gone.
    return settings


def read_limits() -> dict[str, str]:
    """Return how many file descriptors this program may have, by the name in getrlimit(2)."""
    if resource is None:
        return {}
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {"RLIMIT_NOFILE": "unlimited" if limit == resource.RLIM_INFINITY else str(limit)}
