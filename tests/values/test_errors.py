"""The errors: what they are, what they say, and that they survive a pickle."""

from __future__ import annotations

import ast
import copy
import errno
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

import trio_mcast
from trio_mcast import AmbiguousInterfaceError, InterfaceNotFoundError, McastError, SocketSetupError
from trio_mcast._platform.advice import explain_refusal, is_exhaustion
from trio_mcast._platform.model import PlatformName
from trio_mcast._values import errors
from trio_mcast._values.errors import all_failed

KINDS: list[tuple[type[Exception], tuple[type[Exception], ...]]] = [
    (McastError, (Exception,)),
    (InterfaceNotFoundError, (McastError, LookupError)),
    (AmbiguousInterfaceError, (McastError,)),
    (SocketSetupError, (McastError, OSError)),
]


@pytest.mark.parametrize(("kind", "bases"), KINDS)
def test_error_is_also(kind: type[Exception], bases: tuple[type[Exception], ...]) -> None:
    assert issubclass(kind, bases)
    assert all(issubclass(kind, base) for base in bases)
    # A wrong argument is something else.
    assert not issubclass(kind, (TypeError, ValueError))
    assert kind.__name__ in trio_mcast.__all__


@pytest.mark.parametrize("kind", [McastError, InterfaceNotFoundError, AmbiguousInterfaceError])
def test_error_str_is_its_message_unquoted(kind: type[Exception]) -> None:
    assert str(kind("no interface is called 'eth9'")) == "no interface is called 'eth9'"


def refusal(
    number: int | None,
    *,
    step: str = "MCAST_JOIN_GROUP",
    group: str | None = "239.1.2.3",
    interface: str | None = "eth0",
    detail: str = "",
    platform: PlatformName = "linux",
) -> SocketSetupError:
    error = OSError("it did not say") if number is None else OSError(number, os.strerror(number))
    return explain_refusal(
        error, step=step, group=group, interface=interface, detail=detail, platform=platform
    )


# Steps -----------------------------------------------------------------------------------------


def _steps_of_the_package() -> Iterator[str]:
    """What stands as text in ``step=...`` anywhere."""
    for path in Path(trio_mcast.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.keyword)
                and node.arg == "step"
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                yield node.value.value


@pytest.mark.once
def test_every_step_that_an_error_can_name_is_documented() -> None:
    steps = set(_steps_of_the_package())
    assert {"send", "route", "list interfaces"} <= steps
    text = Path(errors.__file__).read_text(encoding="utf-8")
    assert sorted(step for step in steps if f'``"{step}"``' not in text) == []


# explain_refusal -------------------------------------------------------------------------------


def test_refusal_says_what_failed_where_and_why() -> None:
    error = refusal(errno.EPROTO)
    assert str(error) == (
        "MCAST_JOIN_GROUP failed for group 239.1.2.3 on interface eth0: "
        f"{os.strerror(errno.EPROTO)} (EPROTO)"
    )
    assert (error.errno, error.step) == (errno.EPROTO, "MCAST_JOIN_GROUP")
    assert (error.group, error.interface, error.causes) == ("239.1.2.3", "eth0", ())
    assert error.strerror == str(error)


def test_refusal_leaves_out_what_it_is_not_about() -> None:
    error = refusal(errno.EINVAL, step="epoll_create", group=None, interface=None)
    assert str(error) == f"epoll_create failed: {os.strerror(errno.EINVAL)} (EINVAL)"
    assert (error.group, error.interface) == (None, None)


def test_refusal_names_the_detail() -> None:
    error = refusal(errno.EINVAL, step="bind", detail="to 239.1.2.3 port 5000")
    # The group is not named twice.
    assert str(error).startswith("bind to 239.1.2.3 port 5000 failed on ")
    assert error.step == "bind"


def test_refusal_without_a_number_gives_the_message() -> None:
    error = refusal(None)
    assert error.errno is None
    assert "it did not say" in str(error)


def test_refusal_with_an_unknown_number_gives_the_number() -> None:
    error = refusal(123_456)
    assert error.errno == 123_456
    assert "(123456)" in str(error)


ADVICE = [
    ("socket", errno.EMFILE, "raise the limit (ulimit -n"),
    ("MCAST_JOIN_GROUP", errno.EMFILE, "each membership needs one"),
    ("epoll_create", errno.EMFILE, "LimitNOFILE="),
    ("socket", errno.ENFILE, "raise the sysctl fs.file-max"),
    ("socket", errno.EAFNOSUPPORT, "this family is not available on this machine"),
    ("bind", errno.EADDRINUSE, "another program is bound to this port and does not share it"),
    ("bind", errno.EACCES, "net.ipv4.ip_unprivileged_port_start"),
    ("bind", errno.EADDRNOTAVAIL, "a new IPv6 address is not until the system has checked"),
    ("bind", errno.ENODEV, "the interface has gone"),
    ("MCAST_JOIN_GROUP", errno.ENOBUFS, "net.ipv4.igmp_max_memberships"),
    ("MCAST_JOIN_GROUP", errno.ENOBUFS, "net.core.optmem_max"),
    ("MCAST_JOIN_GROUP", errno.ENODEV, "net.ipv6.conf.<interface>.disable_ipv6"),
    ("MCAST_JOIN_SOURCE_GROUP", errno.ENODEV, "net.ipv6.conf.<interface>.disable_ipv6"),
    ("MCAST_JOIN_SOURCE_GROUP", errno.ENOBUFS, "net.ipv4.igmp_max_msf (10 by default)"),
    ("MCAST_JOIN_SOURCE_GROUP", errno.ENOBUFS, "net.ipv6.mld_max_msf (64)"),
    ("MCAST_BLOCK_SOURCE", errno.ENOBUFS, "net.ipv4.igmp_max_msf"),
    ("MCAST_JOIN_GROUP", errno.EINVAL, "mtu 1280"),
    ("send", errno.ENETUNREACH, "ip -6 route add local ff00::/8 dev lo"),
    ("send", errno.EMSGSIZE, "send smaller ones"),
    ("send", errno.EPERM, "nft list ruleset"),
    ("send", errno.ENETDOWN, "the interface is down"),
]


@pytest.mark.parametrize(("step", "number", "says"), ADVICE)
def test_refusal_says_what_to_do_about_it(step: str, number: int, says: str) -> None:
    message = str(refusal(number, step=step))
    assert f"({errno.errorcode[number]}); " in message
    assert says in message
    assert "\n" not in message


ELSEWHERE = [
    ("darwin", "send", errno.EHOSTUNREACH, "Privacy & Security > Local Network"),
    ("darwin", "SO_RCVBUF", errno.ENOBUFS, "kern.ipc.maxsockbuf"),
    ("darwin", "bind", errno.EADDRINUSE, "SO_REUSEPORT"),
    ("freebsd", "MCAST_JOIN_SOURCE_GROUP", errno.ENOSPC, "net.inet.ip.mcast.maxgrpsrc"),
    ("freebsd", "MCAST_JOIN_SOURCE_GROUP", errno.ENOMEM, "net.inet.ip.mcast.maxsocksrc"),
    ("darwin", "MCAST_JOIN_SOURCE_GROUP", errno.ENOMEM, "net.inet.ip.mcast.maxsocksrc"),
    ("darwin", "MCAST_JOIN_GROUP", errno.EBUSY, "although nothing is wrong"),
    ("darwin", "MCAST_JOIN_GROUP", errno.EAFNOSUPPORT, "family is not set up"),
    ("darwin", "send", errno.EHOSTUNREACH, "as awdl0"),
    ("darwin", "send", errno.EADDRNOTAVAIL, "no address of this family"),
    ("darwin", "socket", errno.EMFILE, "ulimit -n 10240"),
    ("darwin", "bind", errno.EACCES, "below 1024 at an address or a group"),
    ("darwin", "bind", errno.EADDRNOTAVAIL, "not usable on that interface"),
    ("freebsd", "bind", errno.EADDRINUSE, "runs as another user"),
    ("freebsd", "bind", errno.EADDRNOTAVAIL, "in a jail"),
    ("freebsd", "bind", errno.EAFNOSUPPORT, "ip4=inherit"),
    ("freebsd", "MCAST_BLOCK_SOURCE", errno.ENOSPC, "net.inet6.ip6.mcast"),
    ("freebsd", "MCAST_JOIN_GROUP", errno.ENXIO, "the interface has gone"),
    ("linux", "send", errno.EACCES, "send to a group, or to each peer"),
    ("freebsd", "send", errno.EACCES, "send to a group, or to each peer"),
    ("freebsd", "send", errno.EACCES, "ipfw list"),
    ("freebsd", "send", errno.EMSGSIZE, "send smaller ones"),
    ("freebsd", "socket", errno.ENFILE, "kern.maxfiles"),
]


@pytest.mark.parametrize(("platform", "step", "number", "says"), ELSEWHERE)
def test_advice_is_that_of_the_system(
    platform: PlatformName, step: str, number: int, says: str
) -> None:
    assert says in str(refusal(number, step=step, platform=platform))


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENETUNREACH, "no route to the peer"),
        (errno.EHOSTUNREACH, "(unreachable)"),
        (errno.EINVAL, "(blackhole)"),
    ],
)
def test_refusal_to_send_to_a_peer_says_nothing_of_groups(number: int, says: str) -> None:
    message = str(refusal(number, step="send", group=None))
    assert says in message
    assert "ff00::/8" not in message


LINUX_WORDS = ("net.ipv4", "net.ipv6", "net.core", "ip link", "ip -6", "nft", "systemd", "fs.file")


@pytest.mark.parametrize("platform", ["darwin", "freebsd"])
def test_other_systems_are_not_told_to_do_what_is_for_linux(platform: PlatformName) -> None:
    for step, number, _ in ADVICE:
        message = str(refusal(number, step=step, platform=platform))
        for word in (
            "sysctl net.ipv4",
            "net.core",
            "ip link",
            "ip -6",
            "nft",
            "systemd",
            "fs.file",
        ):
            assert word not in message


OTHERS_THAN_MACOS: tuple[PlatformName, ...] = ("linux", "freebsd", "windows")


def test_local_network_permission_is_for_macos_only() -> None:
    for platform in OTHERS_THAN_MACOS:
        error = refusal(errno.EHOSTUNREACH, step="send", platform=platform)
        assert "Local Network" not in str(error)


def windows_refusal(step: str, winerror: int) -> SocketSetupError:
    """As on Windows, where an OSError has another number and the text for that."""
    error = OSError(errno.EACCES, "Windows says no")
    setattr(error, "winerror", winerror)  # noqa: B010  # Declared on Windows only.
    return explain_refusal(
        error, step=step, group="239.1.2.3", interface="Ethernet", platform="windows"
    )


def test_jail_is_no_reason_where_no_group_is_bound() -> None:
    error = refusal(errno.EADDRNOTAVAIL, step="bind", group=None, platform="freebsd")
    assert "jail" not in str(error)


WINDOWS_ADVICE = [
    ("bind", 10013, "as another user"),
    ("bind", 10048, "excludedportrange"),
    ("socket", 10024, "use fewer groups"),
    ("bind", 10013, "excludedportrange"),
    ("bind", 10049, "not connected"),
    ("MCAST_JOIN_GROUP", 10049, "ipconfig /all"),
    ("send", 10051, "no route"),
]


@pytest.mark.parametrize(("step", "winerror", "says"), WINDOWS_ADVICE)
def test_refusal_by_windows_says_what_to_do_about_it(step: str, winerror: int, says: str) -> None:
    error = windows_refusal(step, winerror)
    assert "Windows says no (" in str(error)
    assert says in str(error)
    assert "sysctl" not in str(error)
    assert error.errno == errno.EACCES


def test_error_has_the_name_that_the_manual_has() -> None:
    assert str(refusal(errno.EOPNOTSUPP, step="SO_X")).endswith("(EOPNOTSUPP)")
    assert str(refusal(errno.EDEADLK, step="SO_X")).endswith("(EDEADLK)")


def test_refusal_by_windows_without_advice_ends_with_its_number() -> None:
    # Not what the errno that Python makes of it would mean on Linux.
    assert str(windows_refusal("bind", 123_456)).endswith("Windows says no (123456)")


def test_a_system_without_memory_for_sockets_is_exhausted() -> None:
    assert is_exhaustion(refusal(errno.ENOBUFS, step="socket"), "windows")
    assert not is_exhaustion(refusal(errno.ENOBUFS, step="MCAST_JOIN_GROUP"), "linux")


@pytest.mark.parametrize(("step", "number"), [("SO_RCVBUF", errno.ENOBUFS), ("send", errno.EIO)])
def test_refusal_without_advice_ends_with_the_errno(step: str, number: int) -> None:
    assert str(refusal(number, step=step)).endswith(f"({errno.errorcode[number]})")


# SocketSetupError ------------------------------------------------------------------------------


def test_setup_error_is_caught_as_an_oserror_with_its_errno() -> None:
    with pytest.raises(OSError, match=r"EMFILE.*ulimit -n") as caught:
        raise refusal(errno.EMFILE)
    assert caught.value.errno == errno.EMFILE
    with pytest.raises(McastError):
        raise refusal(errno.EMFILE)


def nested() -> SocketSetupError:
    return all_failed("nothing worked", (refusal(errno.EINVAL), refusal(errno.ENODEV)))


@pytest.mark.parametrize("make", [lambda: refusal(errno.EMFILE), nested, lambda: refusal(None)])
@pytest.mark.parametrize("way", [lambda error: pickle.loads(pickle.dumps(error)), copy.deepcopy])
def test_setup_error_survives_a_pickle_and_a_copy(make: object, way: object) -> None:
    assert callable(make)
    assert callable(way)
    error = make()
    again = way(error)
    assert type(again) is SocketSetupError
    assert str(again) == str(error)
    for name in ("errno", "strerror", "step", "group", "interface"):
        assert getattr(again, name) == getattr(error, name)
    assert [str(cause) for cause in again.causes] == [str(cause) for cause in error.causes]


@pytest.mark.parametrize("kind", [McastError, InterfaceNotFoundError, AmbiguousInterfaceError])
def test_other_errors_survive_a_pickle(kind: type[Exception]) -> None:
    again = pickle.loads(pickle.dumps(kind("a message")))
    assert type(again) is kind
    assert str(again) == "a message"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EMFILE, True),
        (errno.ENFILE, True),
        (errno.ENOMEM, True),
        (errno.ENODEV, False),
        (errno.ENOBUFS, False),
        (None, False),
    ],
)
def test_is_exhaustion_of_what_no_other_membership_would_escape(
    number: int | None, expected: bool
) -> None:
    assert is_exhaustion(refusal(number), "linux") is expected


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EMFILE])
@pytest.mark.parametrize("step", ["MCAST_JOIN_GROUP", "MCAST_JOIN_SOURCE_GROUP"])
def test_sizes_of_reports_are_no_exhaustion(step: str, number: int) -> None:
    error = refusal(number, step=step, platform="darwin")
    assert not is_exhaustion(error, "darwin")
    assert "although nothing is wrong" in str(error)
    assert "file descriptors" not in str(error)
    assert is_exhaustion(refusal(number, step="socket", platform="darwin"), "darwin")


# all_failed ------------------------------------------------------------------------------------


def test_all_failed_of_one_is_that_one() -> None:
    error = refusal(errno.ENODEV)
    assert all_failed("no group could be joined anywhere", (error,)) is error


def test_all_failed_lists_every_cause() -> None:
    causes = (refusal(errno.ENODEV), refusal(errno.ENOBUFS, interface="eth1"))
    error = all_failed("no group could be joined anywhere", causes)
    lines = str(error).splitlines()
    assert lines == [
        "no group could be joined anywhere:",
        f"  * {causes[0]}",
        f"  * {causes[1]}",
    ]
    assert error.causes == causes
    assert (error.errno, error.step) == (errno.ENODEV, "MCAST_JOIN_GROUP")
    assert (error.group, error.interface) == (None, None)
