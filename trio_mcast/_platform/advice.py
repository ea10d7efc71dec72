"""Advice on errors of the operating system, by step and number. Pure."""

from __future__ import annotations

import errno
import os
from typing import Final

from .._values.errors import SocketSetupError, error_name
from .darwin import DARWIN
from .model import PlatformName

BROADCAST_ADVICE: Final = (
    "it is a broadcast address, to which a sender does not send: send to a group, or to each peer"
)

_UNTIMED_ADVICE: Final = "only Linux tells when a datagram leaves: use send()"

# The step of a datagram that goes to one peer, where there is other advice than for a group.
_TO_PEER: Final = "send to a peer"

# The advice for Linux, by (step, errno); a step of None serves every step. Taken from ip(7),
# ipv6(7), udp(7), ip-sysctl.rst of the Linux kernel, and tests on Linux 6.18.
_LINUX_ADVICE: dict[tuple[str | None, int], str] = {
    (None, errno.EMFILE): (
        "the process has used up its file descriptors, and each membership needs one: "
        "raise the limit (ulimit -n, resource.setrlimit, LimitNOFILE= in a systemd unit)"
    ),
    (None, errno.ENFILE): "the system's file table is full: raise the sysctl fs.file-max",
    ("bind", errno.EADDRINUSE): (
        "another program is bound to this port and does not share it with this one: it has set "
        "neither SO_REUSEADDR nor SO_REUSEPORT, or only SO_REUSEPORT, which counts among programs "
        "of one user, and runs as another (ss -lunpe shows who): stop that program, run both as "
        "one user, or use another port"
    ),
    ("bind", errno.EACCES): (
        "this port needs a privilege: use a port from 1024 up, or lower the sysctl "
        "net.ipv4.ip_unprivileged_port_start"
    ),
    ("bind", errno.EADDRNOTAVAIL): (
        "the address is not usable on that interface; a new IPv6 address is not until the system "
        "has checked that nobody else has it (about a second)"
    ),
    ("bind", errno.ENODEV): "the interface has gone",
    ("MCAST_JOIN_GROUP", errno.ENODEV): (
        "the interface has gone, or this family is switched off on it "
        "(sysctl net.ipv6.conf.<interface>.disable_ipv6)"
    ),
    ("MCAST_JOIN_SOURCE_GROUP", errno.ENODEV): (
        "the interface has gone, or this family is switched off on it "
        "(sysctl net.ipv6.conf.<interface>.disable_ipv6)"
    ),
    ("MCAST_JOIN_SOURCE_GROUP", errno.ENOBUFS): (
        "the system takes fewer sources on one socket than is usual: raise the sysctl "
        "net.ipv4.igmp_max_msf (10 by default) or net.ipv6.mld_max_msf (64)"
    ),
    ("MCAST_BLOCK_SOURCE", errno.ENOBUFS): (
        "the system takes fewer sources on one socket than is usual: raise the sysctl "
        "net.ipv4.igmp_max_msf (10 by default) or net.ipv6.mld_max_msf (64)"
    ),
    ("MCAST_JOIN_GROUP", errno.ENOBUFS): (
        "the system is out of room for memberships: raise the sysctl "
        "net.ipv4.igmp_max_memberships or net.core.optmem_max"
    ),
    ("MCAST_JOIN_GROUP", errno.EINVAL): (
        "an interface with an mtu of less than 1,280 has no IPv6 (ip link set <interface> mtu 1280)"
    ),
    ("socket", errno.EAFNOSUPPORT): "this family is not available on this machine",
    ("send", errno.ENETUNREACH): (
        "the interface is down or has no route for it; for IPv6 groups over the loopback interface "
        "one must be added: ip -6 route add local ff00::/8 dev lo"
    ),
    ("send", errno.EMSGSIZE): "the datagram is larger than the path allows: send smaller ones",
    ("send", errno.EPERM): "a firewall of this machine refuses it: look at nft list ruleset",
    ("send", errno.EACCES): (
        f"{BROADCAST_ADVICE}; or a route of this machine prohibits it (ip route)"
    ),
    ("send", errno.ENETDOWN): "the interface is down",
    ("send", errno.ENODEV): "the interface has gone",
    (
        "send",
        errno.EINVAL,
    ): "the address that it is to come from may have gone from that interface",
    (_TO_PEER, errno.ENETUNREACH): "the interface is down, or there is no route to the peer there",
    (_TO_PEER, errno.EHOSTUNREACH): (
        "a route of this machine says so (unreachable), or the peer does not answer"
    ),
    (_TO_PEER, errno.EINVAL): (
        "a route of this machine discards it (blackhole), or the address that it is to come from "
        "has gone from that interface"
    ),
}

_NOT_ON_INTERFACE = (
    "the interface has gone, is not connected, or this family is switched off on it: look at "
    "ipconfig /all"
)

# The advice for Windows, by (step, winerror). The errno is no key: Python gives some numbers of
# Windows Sockets unchanged and some as the errno of C, which can mean other things. Taken from
# Microsoft's "Windows Sockets Error Codes" and its pages on bind, setsockopt and sendto.
_WINDOWS_ADVICE: dict[tuple[str | None, int], str] = {
    ("send", errno.EOPNOTSUPP): _UNTIMED_ADVICE,
    (None, 10024): (
        "the process has used up its sockets, and each membership needs one: use fewer groups or "
        "interfaces"
    ),
    ("socket", 10047): "this family is not available on this machine",
    ("socket", 10055): "the system is out of memory for sockets: close programs that hold many",
    **dict.fromkeys(
        [("bind", 10013), ("bind", 10048)],
        "another program has this port: for itself alone, or at the same address without sharing "
        "it, or as another user without sharing it; or Windows has reserved it (netsh interface "
        "ipv4 show excludedportrange udp): stop that program or use another port",
    ),
    ("bind", 10049): (
        "the address is not usable on that interface: it is not connected, or the system has not "
        "yet checked that nobody else has the address (some seconds)"
    ),
    ("MCAST_JOIN_GROUP", 10049): _NOT_ON_INTERFACE,
    ("MCAST_JOIN_SOURCE_GROUP", 10049): _NOT_ON_INTERFACE,
    ("IP_MULTICAST_IF", 10049): _NOT_ON_INTERFACE,
    ("IPV6_MULTICAST_IF", 10049): _NOT_ON_INTERFACE,
    ("MCAST_JOIN_SOURCE_GROUP", 10042): "this system does not know source filters",
    ("MCAST_BLOCK_SOURCE", 10042): "this system does not know source filters",
    ("send", 10013): (
        f"{BROADCAST_ADVICE}; or the firewall of this machine refuses it: look at wf.msc"
    ),
    ("send", 10040): "the datagram is larger than the path allows: send smaller ones",
    ("send", 10050): "the interface is down",
    ("send", 10051): "there is no route for it on that interface, which may not be connected",
    ("send", 10065): "there is no route for it on that interface, which may not be connected",
}

# The advice for macOS and FreeBSD. Taken from their ip(4), sysctl(8) and in_mcast.c, and Apple's
# technical note TN3179. Advice above that does not name a part of Linux holds for them, too.
_JOIN_STEPS = ("MCAST_JOIN_GROUP", "MCAST_JOIN_SOURCE_GROUP", "MCAST_BLOCK_SOURCE")

# The errors of a join on an interface that is not there, or not for the family.
_NOT_THERE = (errno.ENODEV, errno.ENXIO, errno.EADDRNOTAVAIL)

_BSD_ADVICE: dict[tuple[str | None, int], str] = {
    ("send", errno.EOPNOTSUPP): _UNTIMED_ADVICE,
    (None, errno.EMFILE): (
        "the process has used up its file descriptors, and each membership needs one: "
        "raise the limit (ulimit -n, resource.setrlimit)"
    ),
    (None, errno.ENFILE): "the system's file table is full: raise the sysctl kern.maxfiles",
    ("bind", errno.EADDRINUSE): (
        "another program is bound to this port: it has not set SO_REUSEPORT, or runs as another "
        "user, with whom these systems share no address of the machine: stop that program, run "
        "both as one user, or use another port"
    ),
    ("bind", errno.EACCES): "this port needs a privilege: use a port from 1024 up",
    ("send", errno.EADDRNOTAVAIL): (
        "the interface has no address of this family to send from: give it one"
    ),
    **{
        (step, errno.ENOSPC): (
            "the sources of a group on an interface are too many, those of all programs together "
            "(512 by default): raise the sysctl net.inet.ip.mcast.maxgrpsrc, or that of "
            "net.inet6.ip6.mcast"
        )
        for step in _JOIN_STEPS
    },
    **{
        (step, errno.ENOMEM): (
            "the system takes fewer sources on one socket than is usual (128): raise the sysctl "
            "net.inet.ip.mcast.maxsocksrc, or that of net.inet6.ip6.mcast"
        )
        for step in _JOIN_STEPS
    },
    **{
        (step, number): "the interface has gone, or cannot do multicast"
        for step in _JOIN_STEPS
        for number in (errno.ENODEV, errno.ENXIO, errno.EADDRNOTAVAIL)
    },
    **{
        (step, number): (
            "this family is not set up on that interface, which has no address of it: give it one"
        )
        for step in _JOIN_STEPS
        for number in (errno.EAFNOSUPPORT, errno.EINVAL)
    },
    **{
        (step, errno.ENOBUFS): "not even room for one datagram: raise kern.ipc.maxsockbuf"
        for step in ("SO_RCVBUF", "SO_SNDBUF")
    },
    ("send", errno.ENETUNREACH): "there is no route for it on that interface (route add)",
    ("send", errno.EPERM): "a firewall of this machine refuses it: look at pfctl -sr",
    ("send", errno.EACCES): (
        f"{BROADCAST_ADVICE}; or a firewall of this machine refuses it: look at ipfw list"
    ),
    ("send", errno.ENOBUFS): "the interface's queue stayed full: send more slowly",
    **{
        key: _LINUX_ADVICE[key]
        for key in [
            ("bind", errno.EADDRNOTAVAIL),
            ("socket", errno.EAFNOSUPPORT),
            ("send", errno.EMSGSIZE),
            ("send", errno.ENETDOWN),
        ]
    },
}

_REPORT_SIZE_ADVICE: Final = (
    "macOS refuses this now and then although nothing is wrong: the number is then no error but "
    "the size of a report. It was tried several times: try again in a second, and if that does "
    "not help, look at the sysctls net.inet.ip.mcast.maxsocksrc and maxgrpsrc"
)

# Those of a bind in a jail that has other addresses, or none of the family (in_pcbbind_setup in
# FreeBSD's sys/netinet/in_pcb.c, prison_check_ip4 in in_jail.c).
_JAIL_ERRORS: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_JAIL_ADVICE: Final = (
    "in a jail with addresses of its own a group cannot be bound: give the jail ip4=inherit and "
    "ip6=inherit, or a network of its own (vnet)"
)

_ADVICE_OF: Final[dict[PlatformName, dict[tuple[str | None, int], str]]] = {
    "linux": _LINUX_ADVICE,
    "windows": _WINDOWS_ADVICE,
    "freebsd": _BSD_ADVICE,
    "darwin": {
        **_BSD_ADVICE,
        **{
            (step, number): _REPORT_SIZE_ADVICE
            for step in _JOIN_STEPS
            for number in DARWIN.passing_join_errors["ipv4"]
        },
        ("send", errno.EHOSTUNREACH): (
            "from macOS 15 on this mostly means that the program may not use the local network: "
            "allow it in System Settings > Privacy & Security > Local Network, for the program "
            "itself or the one that started it; else there is no route, or the system keeps the "
            "interface to itself, as awdl0"
        ),
        (None, errno.EMFILE): (
            "the process has used up its file descriptors, of which macOS allows 256, and each "
            "membership needs one: raise the limit (ulimit -n 10240, resource.setrlimit)"
        ),
        ("bind", errno.EACCES): (
            "a port below 1024 at an address or a group needs a privilege on macOS: use a port "
            "from 1024 up, or run as root"
        ),
    },
}


def explain_refusal(
    error: OSError,
    *,
    step: str,
    group: str | None,
    interface: str | None,
    platform: PlatformName,
    detail: str = "",
    advice: str | None = None,
) -> SocketSetupError:
    """Return the `SocketSetupError` for an `OSError`: step, place, reason, and advice.

    Args:
        error: The system's error.
        step: The step that was refused.
        group: The group in question, if any.
        interface: The interface in question, if any.
        platform: The platform whose advice is given.
        detail: An addition to the step.
        advice: Better advice than step and error alone give.
    """
    number = error.errno
    full_step = f"{step} {detail}".strip()
    where = "".join(
        [
            f" for group {group}" if group is not None and group not in detail else "",
            f" on interface {interface}" if interface is not None else "",
        ]
    )
    symbol = error_name(number) or str(number)
    reason = os.strerror(number) if number is not None else str(error)
    by_step, key = _ADVICE_OF[platform], number or 0
    winerror: int | None = getattr(error, "winerror", None)
    if winerror is not None:
        symbol = error_name(winerror) or str(winerror)
        reason = str(error.strerror)  # `os.strerror` knows the numbers of C only.
        key = winerror
    if step == "send" and group is None:
        advice = advice or by_step.get((_TO_PEER, key))
    if group is not None and (platform, step) == ("freebsd", "bind") and key in _JAIL_ERRORS:
        advice = advice or _JAIL_ADVICE
    advice = advice or by_step.get((step, key)) or by_step.get((None, key))
    message = f"{full_step} failed{where}: {reason} ({symbol})"
    if advice:
        message += f"; {advice}"
    return SocketSetupError(number, message, step=step, group=group, interface=interface)


def is_address_lacking(error: SocketSetupError) -> bool:
    """Tell whether an address cannot be used: not yet, or no more since it was listed."""
    return (error.step, error.errno) == ("bind", errno.EADDRNOTAVAIL)


def lacks_family(error: SocketSetupError) -> bool:
    """Tell whether an interface or the machine lacks the family that something was to be joined in.

    So it is with IPv6 where that is switched off, or the mtu is less than 1,280, which the join of
    Linux calls EINVAL. If it is the interface that is lacking, everything else is refused as well.
    """
    if error.step == "socket":
        return error.errno in (errno.EAFNOSUPPORT, 10047)  # The second by Windows.
    if error.step not in _JOIN_STEPS or error.group is None:
        return False
    is_ipv6 = ":" in error.group
    return error.errno in (*_NOT_THERE, errno.EAFNOSUPPORT) or (
        is_ipv6 and error.errno == errno.EINVAL
    )


def is_exhaustion(error: SocketSetupError, platform: PlatformName) -> bool:
    """Tell whether the process ran out of a resource, so that no other membership would succeed.

    Of a join, macOS and FreeBSD say ENOMEM where the sources are too many, and macOS such numbers
    also where nothing is wrong.
    """
    if platform in ("darwin", "freebsd") and error.step in _JOIN_STEPS:
        return False
    if (error.step, error.errno) == ("socket", errno.ENOBUFS):
        return True  # The error of Windows when there is no memory for a socket.
    return error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
