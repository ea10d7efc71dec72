"""The errors that the world can cause, as opposed to a wrong argument.

A wrong argument is a plain `TypeError` or `ValueError`, raised before anything is opened.
What only the operating system can know is a `McastError`.
"""

from __future__ import annotations

import errno as _errno
import os
import sys
from collections.abc import Sequence

if sys.version_info < (3, 11):
    # Trio depends on it there. Not every Python that types are checked on has it.
    from exceptiongroup import ExceptionGroup  # type: ignore[import-not-found,unused-ignore]

__all__ = [
    "AmbiguousInterfaceError",
    "InterfaceNotFoundError",
    "McastError",
    "SocketSetupError",
]


def printable(text: str) -> str:
    """Return a text as it can be written anywhere: bytes of a name that are no UTF-8 are escaped.

    Linux lets the name of an interface be almost any bytes. Those that are no UTF-8 are lone
    surrogates in Python (PEP 383), so that the name still means the interface. No file and no
    terminal takes them: writing one raises `UnicodeEncodeError`.
    """
    return text.encode(errors="backslashreplace").decode()


class McastError(Exception):
    """Base class of the errors that this library raises about the world it runs in."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(arg) if isinstance(arg, str) else arg for arg in args))


class InterfaceNotFoundError(McastError, LookupError):
    """No interface of this machine matches what was asked for.

    The message names what was asked for and lists the interfaces that there are.
    """

    # KeyError-like reprs of LookupError subclasses would quote the sentence.
    __str__ = Exception.__str__


class AmbiguousInterfaceError(McastError):
    """More than one interface matches where exactly one is needed.

    Raised for an address that two interfaces share, and for a sender without ``interfaces`` when
    the operating system has no route to the group and there is more than one candidate. The message
    lists the candidates: name one of them in ``interfaces``.
    """


class SocketSetupError(McastError, OSError):
    """The operating system refused a step that a socket needs; also an `OSError`.

    Attributes:
        errno: The operating system's error number, as in any `OSError`.
        step: What was refused: ``"socket"``, ``"bind"``, ``"connect"``, ``"send"``,
            ``"receive"``, ``"epoll_create"``, ``"epoll_ctl"``, ``"kqueue"``, ``"kevent"``,
            ``"list interfaces"``, ``"watch interfaces"``, ``"route"`` (to ask where the system
            sends a group), or the symbol of the socket option, such as ``"MCAST_JOIN_GROUP"``.
        group: The group in question, or `None` where the step is not about one.
        interface: The name of the interface in question, or `None`.
        causes: When every membership of an opening failed, the error of each; else empty.
    """

    step: str
    group: str | None
    interface: str | None
    causes: tuple[SocketSetupError, ...]

    def __init__(
        self,
        errno: int | None,
        message: str,
        *,
        step: str,
        group: str | None = None,
        interface: str | None = None,
        causes: tuple[SocketSetupError, ...] = (),
    ) -> None:
        super().__init__(errno, message)
        self.step = step
        self.group = group
        self.interface = interface
        self.causes = causes

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[object, ...]:
        state = (self.errno, self.strerror, self.step, self.group, self.interface, self.causes)
        return (_rebuild_setup_error, state)


def _rebuild_setup_error(
    errno: int | None,
    message: str,
    step: str,
    group: str | None,
    interface: str | None,
    causes: tuple[SocketSetupError, ...],
) -> SocketSetupError:
    return SocketSetupError(
        errno, message, step=step, group=group, interface=interface, causes=causes
    )


# What to do about it, by (step, errno); a step of None serves every step. Sources: ip(7), ipv6(7),
# udp(7), ip-sysctl.rst of the Linux kernel, and what was seen on Linux 6.18.
_ADVICE: dict[tuple[str | None, int], str] = {
    (None, _errno.EMFILE): (
        "the process has used up its file descriptors, and each membership needs one: "
        "raise the limit (ulimit -n, resource.setrlimit, LimitNOFILE= in a systemd unit)"
    ),
    (None, _errno.ENFILE): "the system's file table is full: raise the sysctl fs.file-max",
    ("bind", _errno.EADDRINUSE): (
        "another program is bound to this port and does not share it (it has not set "
        "SO_REUSEADDR): stop that program or use another port"
    ),
    ("bind", _errno.EACCES): (
        "this port needs a privilege: use a port from 1024 up, or lower the sysctl "
        "net.ipv4.ip_unprivileged_port_start"
    ),
    ("bind", _errno.EADDRNOTAVAIL): (
        "the address is not usable on that interface; a new IPv6 address is not until the system "
        "has checked that nobody else has it (about a second)"
    ),
    ("bind", _errno.ENODEV): "the interface has gone",
    ("MCAST_JOIN_GROUP", _errno.ENODEV): (
        "the interface has gone, or this family is switched off on it "
        "(sysctl net.ipv6.conf.<interface>.disable_ipv6)"
    ),
    ("MCAST_JOIN_SOURCE_GROUP", _errno.ENODEV): (
        "the interface has gone, or this family is switched off on it "
        "(sysctl net.ipv6.conf.<interface>.disable_ipv6)"
    ),
    ("MCAST_JOIN_SOURCE_GROUP", _errno.ENOBUFS): (
        "the system takes fewer sources on one socket than is usual: raise the sysctl "
        "net.ipv4.igmp_max_msf (10 by default) or net.ipv6.mld_max_msf (64)"
    ),
    ("MCAST_BLOCK_SOURCE", _errno.ENOBUFS): (
        "the system takes fewer sources on one socket than is usual: raise the sysctl "
        "net.ipv4.igmp_max_msf (10 by default) or net.ipv6.mld_max_msf (64)"
    ),
    ("MCAST_JOIN_GROUP", _errno.ENOBUFS): (
        "the system is out of room for memberships: raise the sysctl "
        "net.ipv4.igmp_max_memberships or net.core.optmem_max"
    ),
    ("MCAST_JOIN_GROUP", _errno.EINVAL): (
        "an interface with an mtu of less than 1,280 has no IPv6 (ip link set <interface> mtu 1280)"
    ),
    ("socket", _errno.EAFNOSUPPORT): "this family is not available on this machine",
    ("send", _errno.ENETUNREACH): (
        "the interface is down or has no route for it; for IPv6 groups over the loopback interface "
        "one must be added: ip -6 route add local ff00::/8 dev lo"
    ),
    ("send", _errno.EMSGSIZE): "the datagram is larger than the path allows: send smaller ones",
    ("send", _errno.EPERM): "a firewall of this machine refuses it: look at nft list ruleset",
    ("send", _errno.EACCES): "it is a broadcast address, or a route of this machine prohibits it",
    ("send", _errno.ENETDOWN): "the interface is down",
    ("send", _errno.ENODEV): "the interface has gone",
    (
        "send",
        _errno.EINVAL,
    ): "the address that it is to come from may have gone from that interface",
}

_NOT_ON_INTERFACE = (
    "the interface has gone, is not connected, or this family is switched off on it: look at "
    "ipconfig /all"
)

# The same for Windows, by (step, winerror): numbers of Windows Sockets, which Python gives as they
# are or, some of them, as the errno of C, that can mean other things. Sources: Microsoft's "Windows
# Sockets Error Codes" and its pages on bind, setsockopt and sendto.
_WINDOWS_ADVICE: dict[tuple[str | None, int], str] = {
    (None, 10024): (
        "the process has used up its sockets, and each membership needs one: use fewer groups or "
        "interfaces"
    ),
    ("socket", 10047): "this family is not available on this machine",
    ("socket", 10055): "the system is out of memory for sockets: close programs that hold many",
    ("bind", 10013): (
        "another program has this port for itself alone, or Windows has reserved it (netsh "
        "interface ipv4 show excludedportrange udp): stop that program or use another port"
    ),
    ("bind", 10048): (
        "another program is bound to this port and does not share it (it has not set "
        "SO_REUSEADDR): stop that program or use another port"
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
    ("send", 10013): "the firewall of this machine refuses it: look at wf.msc",
    ("send", 10040): "the datagram is larger than the path allows: send smaller ones",
    ("send", 10050): "the interface is down",
    ("send", 10051): "there is no route for it on that interface, which may not be connected",
    ("send", 10065): "there is no route for it on that interface, which may not be connected",
}


# The same for macOS and FreeBSD. Sources: their ip(4), sysctl(8) and in_mcast.c, and Apple's
# technical note TN3179. What is said above without a word of Linux holds there, too.
_JOIN_STEPS = ("MCAST_JOIN_GROUP", "MCAST_JOIN_SOURCE_GROUP", "MCAST_BLOCK_SOURCE")
_BSD_ADVICE: dict[tuple[str | None, int], str] = {
    (None, _errno.EMFILE): (
        "the process has used up its file descriptors, and each membership needs one: "
        "raise the limit (ulimit -n, resource.setrlimit)"
    ),
    (None, _errno.ENFILE): "the system's file table is full: raise the sysctl kern.maxfiles",
    ("bind", _errno.EADDRINUSE): (
        "another program is bound to this port and does not share it (it has not set "
        "SO_REUSEPORT): stop that program or use another port"
    ),
    ("bind", _errno.EACCES): "this port needs a privilege: use a port from 1024 up",
    **{
        (step, _errno.ENOSPC): (
            "the system takes fewer sources than is usual: raise the sysctls "
            "net.inet.ip.mcast.maxsocksrc and maxgrpsrc, or those of net.inet6.ip6.mcast"
        )
        for step in _JOIN_STEPS
    },
    **{
        (step, number): "the interface has gone, or cannot do multicast"
        for step in _JOIN_STEPS
        for number in (_errno.ENODEV, _errno.ENXIO, _errno.EADDRNOTAVAIL)
    },
    **{
        (step, _errno.ENOBUFS): "not even room for one datagram: raise kern.ipc.maxsockbuf"
        for step in ("SO_RCVBUF", "SO_SNDBUF")
    },
    ("send", _errno.ENETUNREACH): "there is no route for it on that interface (route add)",
    ("send", _errno.EPERM): "a firewall of this machine refuses it: look at pfctl -sr",
    ("send", _errno.EACCES): "a firewall of this machine refuses it: look at ipfw list",
    ("send", _errno.ENOBUFS): "the interface's queue stayed full: send more slowly",
    **{
        key: _ADVICE[key]
        for key in [
            ("bind", _errno.EADDRNOTAVAIL),
            ("socket", _errno.EAFNOSUPPORT),
            ("send", _errno.EMSGSIZE),
            ("send", _errno.ENETDOWN),
        ]
    },
}
_ADVICE_OF: dict[str, dict[tuple[str | None, int], str]] = {
    "freebsd": _BSD_ADVICE,
    "darwin": {
        **_BSD_ADVICE,
        ("send", _errno.EHOSTUNREACH): (
            "from macOS 15 on this mostly means that the program may not use the local network: "
            "allow it in System Settings > Privacy & Security > Local Network, for the program "
            "itself or the one that started it; else there is no route"
        ),
    },
}


def explain_refusal(
    error: OSError,
    *,
    step: str,
    group: str | None,
    interface: str | None,
    detail: str = "",
    system: str | None = None,
    advice: str | None = None,
) -> SocketSetupError:
    """The `SocketSetupError` for an `OSError`: which step, where, why, and what to do about it.

    Args:
        error: What the system said.
        step: What was refused.
        group: The group in question, if it is about one.
        interface: The interface in question, if it is about one.
        detail: What goes with the step.
        system: The name of the platform whose advice it is to give; `None` for Linux's.
        advice: What to do about it, where that is known better than from the step and the error.
    """
    number = error.errno
    what = f"{step} {detail}".strip()
    where = "".join(
        [
            f" for group {group}" if group is not None and group not in detail else "",
            f" on interface {interface}" if interface is not None else "",
        ]
    )
    symbol = _errno.errorcode.get(number or 0, str(number))
    reason = os.strerror(number) if number is not None else str(error)
    known, key = _ADVICE_OF.get(system or "linux", _ADVICE), number or 0
    on_windows: int | None = getattr(error, "winerror", None)
    if on_windows is not None:
        symbol = _errno.errorcode.get(on_windows, str(on_windows))
        reason = str(error.strerror)  # `os.strerror` knows the numbers of C only.
        known, key = _WINDOWS_ADVICE, on_windows
    advice = advice or known.get((step, key)) or known.get((None, key))
    message = f"{what} failed{where}: {reason} ({symbol})"
    if advice:
        message += f"; {advice}"
    return SocketSetupError(number, message, step=step, group=group, interface=interface)


def is_exhaustion(error: SocketSetupError) -> bool:
    """Whether the process has run out of something, which no other membership would escape."""
    if (error.step, error.errno) == ("socket", _errno.ENOBUFS):
        return True  # What Windows says when it has no memory for a socket.
    return error.errno in (_errno.EMFILE, _errno.ENFILE, _errno.ENOMEM)


def all_failed(what: str, causes: tuple[SocketSetupError, ...]) -> SocketSetupError:
    """One error for what was tried in several places and failed in every one of them."""
    first = causes[0]
    if len(causes) == 1:
        return first
    listed = "".join(f"\n  * {cause}" for cause in causes)
    return SocketSetupError(
        first.errno,
        f"{what}:{listed}",
        step=first.step,
        causes=causes,
    )


def none_sent(failures: Sequence[SocketSetupError]) -> Exception:
    """The error of a datagram that was refused everywhere: the one that there is, or all of them.

    A socket's error is an `OSError`, and so is this, as long as there is one place to send to. Of
    several, each may have a cause and a cure of its own.
    """
    if len(failures) == 1:
        return failures[0]
    several: Exception = ExceptionGroup(
        f"nothing could be sent to any of {len(failures)} groups and interfaces", failures
    )
    return several
