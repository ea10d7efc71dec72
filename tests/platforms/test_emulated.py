"""The archive that an emulated kernel gets has what a root has, as other programs read it."""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

import pytest

from tests.platforms.emulated import archive_parts, entries
from tests.support.needs import needs_program

pytestmark = pytest.mark.once


@needs_program("cpio")
def test_archive_has_the_root_and_the_module(tmp_path: Path) -> None:
    root, kernel, target = (tmp_path / name for name in ("root", "kernel", "target"))
    for name, text in {
        "usr/bin/tool": "a tool",
        "usr/lib/systemd/unit": "",
        "check/x.py": "1",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "usr/bin/tool").chmod(0o755)
    (root / "bin").symlink_to("usr/bin")
    module = kernel / "lib/modules/6.1/kernel/drivers/net/veth.ko.xz"
    module.parent.mkdir(parents=True)
    module.write_bytes(lzma.compress(b"a module"))
    target.mkdir()
    subprocess.run(
        ["cpio", "--extract", "--quiet"],
        input=b"".join(archive_parts(entries(root, kernel))),
        cwd=target,
        check=True,
    )
    assert (target / "bin/tool").read_text() == "a tool"
    assert (target / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert (target / "check/x.py").read_text() == "1"
    assert (target / "modules/veth.ko").read_bytes() == b"a module"
    assert not (target / "usr/lib/systemd").exists()
    assert (target / "init").read_text().startswith("#!/usr/bin/python3\n")
    assert (target / "init").stat().st_mode & 0o111
