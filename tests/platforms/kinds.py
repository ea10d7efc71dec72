"""What the checks are run on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Protocol

import attrs

from tests.platforms.emulated import Emulated
from tests.platforms.roots import Root, make_site, put_project, run, run_in_root
from tests.platforms.sandbox import PROFILES

# Until one that hangs is ended. Arbitrary; natively the checks take some seconds (measured).
_LIMIT_SECONDS = 300.0


class Platform(Protocol):
    """Something to run the checks on."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    def prepare(self, directory: Path) -> None:
        """Fetch what is needed, unless it is there.

        Raises:
            Unavailable: This machine has not got it, and cannot get it.
        """

    def run(self, directory: Path, log: Path) -> int:
        """Run the checks, with what they print in the log; their exit status."""


@attrs.frozen
class Sandbox:
    """A seccomp profile."""

    profile: str

    @property
    def name(self) -> str:
        return f"seccomp-{self.profile}"

    @property
    def description(self) -> str:
        refused = (
            f"{name}{'' if value is None else '(AF_NETLINK)'}" for name, value, _ in self._rules
        )
        return "refused: " + ", ".join(refused)

    @property
    def _rules(self) -> list[tuple[str, int | None, int]]:
        return PROFILES[self.profile]

    def prepare(self, directory: Path) -> None:
        """Need nothing."""

    def run(self, directory: Path, log: Path) -> int:
        return run(
            [sys.executable, "-m", "tests.platforms.sandbox", self.profile], log, _LIMIT_SECONDS
        )


@attrs.frozen
class OtherPython:
    """A Python in a Debian root, on this machine's kernel."""

    name: str
    description: str
    root: Root
    command: tuple[str, ...]

    def prepare(self, directory: Path) -> None:
        self.root.make(directory)
        make_site(directory)

    def run(self, directory: Path, log: Path) -> int:
        root = self.root.make(directory)
        put_project(root, make_site(directory))
        return run_in_root(root, self.command, log, _LIMIT_SECONDS)


@attrs.frozen
class FastPathTests:
    """The tests of the fast path, in a Debian root."""

    name: str
    description: str
    root: Root

    def prepare(self, directory: Path) -> None:
        self.root.make(directory)
        make_site(directory, *_PYTEST)

    def run(self, directory: Path, log: Path) -> int:
        root = self.root.make(directory)
        put_project(root, make_site(directory, *_PYTEST), everything=True)
        words = (
            "python3",
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "fast_path",
            "tests/host",
        )
        return run_in_root(root, words, log, _LIMIT_SECONDS)


# The newest hypothesis that is pure Python, and so serves any processor.
_PYTEST = ("hypothesis<6.156", "pytest", "pytest-trio", "pytest-xdist")


@attrs.frozen
class GVisor:
    """The kernel in user space that some clouds run containers on, with a network of its own."""

    name: str = "gvisor"
    description: str = (
        "gVisor of Debian 13, with CPython; its network has a loopback interface only"
    )

    def prepare(self, directory: Path) -> None:
        _GVISOR.make(directory)
        make_site(directory)

    def run(self, directory: Path, log: Path) -> int:
        root = _GVISOR.make(directory)
        put_project(root, make_site(directory))
        inside = [
            "/usr/bin/env",
            "PATH=/usr/bin",
            "PYTHONPATH=/check/site:/check",
            "PYTHONDONTWRITEBYTECODE=1",
        ]
        # It takes the option, and tells no time.
        checks = ["python3", "-m", "tests.platform", "--lacks", "the time of arrival is told"]
        runsc = [str(root / "usr/bin/runsc"), "--ignore-cgroups", "--network=none"]
        command = [*runsc, "do", f"--root={root}", "--cwd=/", *inside, *checks]
        # Its processes stay in a network whose loopback interface is down.
        alone = ["unshare", "--net", "sh", "-euc", 'cd / && exec "$@"', "sh"]
        return run([*alone, *command], log, _LIMIT_SECONDS)


_GVISOR = Root("gvisor", "trixie", ("runsc", "python3"))

# insmod is kmod's.
_USERLAND = ("python3", "iproute2", "kmod", "dash")
_S390X = Root("s390x", "bookworm", ("linux-image-s390x", *_USERLAND), "s390x", variant="extract")

_I386 = Root("i386", "trixie", ("python3", "iproute2"), "i386")

_CHECKS = ("-m", "tests.platform", "--own-network")

PLATFORMS: tuple[Platform, ...] = (
    *(Sandbox(profile) for profile in PROFILES),
    OtherPython(
        "pypy",
        "PyPy of Debian 13",
        Root("pypy", "trixie", ("pypy3", "iproute2")),
        ("pypy3", *_CHECKS),
    ),
    OtherPython("i386", "32 bits: CPython of Debian 13 for i386", _I386, ("python3", *_CHECKS)),
    FastPathTests("i386-fast-path", "32 bits: the tests of the fast path", _I386),
    OtherPython(
        "python3.14",
        "CPython 3.14 of Debian sid",
        Root("sid", "sid", ("python3.14", "iproute2")),
        ("python3.14", *_CHECKS),
    ),
    GVisor(),
    Emulated(
        "linux-5.10",
        "Linux 5.10 of Debian 11, emulated",
        ("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max"),
        "qemu-system-x86",
        "ttyS0",
        kernel=Root("kernel-5.10", "bullseye", ("linux-image-amd64",), variant="extract"),
        userland=Root("userland", "trixie", _USERLAND),
    ),
    Emulated(
        "s390x",
        "s390x, whose numbers begin with the high byte: Debian 12, emulated",
        ("qemu-system-s390x", "-accel", "tcg", "-cpu", "max"),
        "qemu-system-misc",
        "ttysclp0",
        kernel=_S390X,
        userland=_S390X,
    ),
)
