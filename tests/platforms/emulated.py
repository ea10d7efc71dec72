"""Another kernel, maybe of another processor, in an emulator, with a root in its memory."""

from __future__ import annotations

import lzma
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from tests.platforms.roots import Root, make_site, program, put_project, run

# Emulated, a check takes some twenty times as long as natively (measured).
_LIMIT_SECONDS = 600.0

# What the kernel starts. It has no network card, and makes a network for itself.
_INIT = """#!/usr/bin/python3
import ctypes, os, subprocess
libc = ctypes.CDLL(None, use_errno=True)
for kind, place in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp")):
    os.makedirs(place, exist_ok=True)
    libc.mount(kind.encode(), place.encode(), kind.encode(), 0, None)
os.environ.update(
    PATH="/usr/sbin:/usr/bin:/sbin:/bin",
    PYTHONPATH="/check/site:/check",
    PYTHONDONTWRITEBYTECODE="1",
    LC_ALL="C.UTF-8",
)
for module in sorted(os.listdir("/modules")):
    subprocess.run(["insmod", f"/modules/{module}"])
subprocess.run(["python3", "-m", "tests.platform", "--own-network"], cwd="/check")
os.sync()
libc.reboot(0x4321FEDC)  # linux/reboot.h: power off
"""

# Of a root, what Python, ip and insmod need.
_WANTED = (
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib64",
    "bin",
    "sbin",
    "lib",
    "lib64",
    "etc/ld.so.conf.d",
)
_UNWANTED = (
    "usr/lib/modules",
    "usr/lib/firmware",
    "usr/lib/python3/dist-packages",
    "usr/lib/systemd",
)


@attrs.frozen
class Emulated:
    """A kernel of Debian, run by qemu-system."""

    name: str
    description: str
    emulator: tuple[str, ...]
    # The package that has the emulator.
    package: str
    console: str
    kernel: Root
    userland: Root

    def prepare(self, directory: Path) -> None:
        program(self.emulator[0], self.package)
        self.kernel.make(directory)
        self.userland.make(directory)
        make_site(directory)

    def run(self, directory: Path, log: Path) -> int:
        kernel, root = self.kernel.make(directory), self.userland.make(directory)
        put_project(root, make_site(directory))
        archive = directory / f"{self.name}.cpio"
        with archive.open("wb") as output:
            for part in archive_parts(entries(root, kernel)):
                output.write(part)
        (image,) = kernel.glob("boot/vmlinuz-*")
        command = [
            *(program(self.emulator[0], self.package), *self.emulator[1:]),
            *("-m", "1024", "-nic", "none", "-nographic", "-no-reboot"),
            *("-kernel", str(image), "-initrd", str(archive)),
            *("-append", f"console={self.console} quiet panic=-1"),
        ]
        try:
            return run(command, log, _LIMIT_SECONDS)
        finally:
            archive.unlink()


_Entry = tuple[str, int, bytes]


def entries(root: Path, kernel: Path) -> Iterator[_Entry]:
    """Yield what the archive has: path, mode and content, directories before what is in them."""
    for name in ("dev", "etc", "proc", "sys", "tmp", "usr", "modules"):
        yield name, stat.S_IFDIR | 0o755, b""
    yield "init", stat.S_IFREG | 0o755, _INIT.encode()
    # "lib" may be a link to "usr/lib".
    (path,) = (kernel / "lib" / "modules").resolve().glob("*/kernel/**/veth.ko*")
    content = path.read_bytes()
    module = lzma.decompress(content) if path.suffix == ".xz" else content
    yield "modules/veth.ko", stat.S_IFREG | 0o644, module
    for name in (*_WANTED, "check"):
        yield from _tree(root, root / name)


def _tree(root: Path, path: Path) -> Iterator[_Entry]:
    name = str(path.relative_to(root))
    if name in _UNWANTED or not os.path.lexists(path):
        return
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        yield name, mode, os.readlink(path).encode()
    elif stat.S_ISREG(mode):
        yield name, mode, path.read_bytes()
    elif stat.S_ISDIR(mode):
        yield name, mode, b""
        for child in sorted(path.iterdir()):
            yield from _tree(root, child)


def archive_parts(contents: Iterable[_Entry]) -> Iterator[bytes]:
    """Yield a cpio archive as kernels take it (Documentation/driver-api/early-userspace)."""
    number = 0
    for number, (name, mode, content) in enumerate((*contents, ("TRAILER!!!", 0, b"")), start=1):
        encoded = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        yield header + bytes(-len(header) % 4) + content + bytes(-len(content) % 4)
