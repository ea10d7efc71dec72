"""The sdist has all files of the project, the wheel the package; each build is the same."""

from __future__ import annotations

import os
import re
import tarfile
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from time import gmtime
from urllib.parse import urlsplit

import pytest

from tests.distribution import archives
from tests.distribution.archives import ROOT, files_problem, project_files
from tests.support.needs import needs, needs_module

pytestmark = [pytest.mark.once, needs(files_problem), needs_module("hatchling")]


def test_sdist_has_every_file_of_the_project_as_it_is(built: dict[str, Path]) -> None:
    contents = archives.sdist_files(built["sdist"])
    assert contents.pop("PKG-INFO")
    assert sorted(contents) == project_files()
    assert all(content == (ROOT / name).read_bytes() for name, content in contents.items())


def test_wheel_has_the_package_and_what_installers_read(built: dict[str, Path]) -> None:
    contents = archives.wheel_files(built["wheel"])
    package = [name for name in project_files() if name.startswith("trio_mcast/")]
    assert "trio_mcast/py.typed" in package
    assert all(contents[name] == (ROOT / name).read_bytes() for name in package)
    others = [name.partition(".dist-info/")[2] for name in set(contents) - set(package)]
    assert sorted(others) == ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"]


def test_wheel_is_for_every_system_and_asks_for_three_packages(built: dict[str, Path]) -> None:
    assert built["wheel"].name.endswith("-py3-none-any.whl")
    metadata = _metadata(built["wheel"])
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(line.partition(">")[0] for line in required) == ["attrs", "ifaddr", "trio"]
    assert metadata.get_all("Provides-Extra") == ["cli", "testing"]
    assert metadata["Metadata-Version"] == "2.4"


def test_two_builds_give_the_same_bytes(
    built: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another directory, another time, other rights, and files that come in another order.
    source = tmp_path / "elsewhere"
    umask = os.umask(0o077)
    try:
        archives.copy_project(source)
        for path in sorted(source.rglob("*"), reverse=True):
            os.utime(path, (1_000_000_000, 1_000_000_000))
            if path.is_file():
                path.chmod(path.stat().st_mode & 0o700)
        monkeypatch.setenv("TZ", "Asia/Kathmandu")
        again = archives.build(source, tmp_path / "built")
    finally:
        os.umask(umask)
    for kind, path in built.items():
        assert again[kind].name == path.name
        assert again[kind].read_bytes() == path.read_bytes()


def test_archives_bear_the_date_that_they_are_given(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as archive:
        assert {info.date_time for info in archive.infolist()} == {gmtime(archives.EPOCH)[:6]}
    with tarfile.open(built["sdist"]) as archive_of_sources:
        assert {member.mtime for member in archive_of_sources} == {archives.EPOCH}


def test_wheel_from_the_sdist_is_the_wheel(built: dict[str, Path], tmp_path: Path) -> None:
    with tarfile.open(built["sdist"]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    again = archives.build_wheel(source, tmp_path / "built")
    assert again.read_bytes() == built["wheel"].read_bytes()


def test_package_has_no_links_while_there_are_none_and_has_them_afterwards(
    built: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    contacts = (ROOT / "contacts.ini").read_text()
    if "repository =\n" in contacts:
        assert _metadata(built["wheel"]).get_all("Project-URL") is None
        assert _targets(built["wheel"]) <= {"https"}
    settled = tmp_path / "settled"
    archives.copy_project(settled)
    (settled / "contacts.ini").write_text(
        "[project]\nrepository = https://example.org/it/\ndocumentation = https://docs.example.org\n"
    )
    again = archives.build_wheel(settled, tmp_path / "built")
    assert _metadata(again).get_all("Project-URL") == [
        "Documentation, https://docs.example.org",
        "Source, https://example.org/it",
        "Issues, https://example.org/it/issues",
    ]
    assert _targets(again) == {"https"}
    pictures = re.findall(r"^\.\. image:: (.*)$", _description(again), re.MULTILINE)
    assert "https://example.org/it/raw/HEAD/docs/pictures/doctor.svg" in pictures


def _description(wheel: Path) -> str:
    """Return what PyPI shows: the README."""
    metadata = _metadata(wheel)
    assert metadata["Description-Content-Type"] == "text/x-rst"
    text = metadata.get_payload()
    assert isinstance(text, str)
    assert "open_mcast_receiver" in text
    return text


def _targets(wheel: Path) -> set[str]:
    """Return the kinds of what the links and pictures of the description lead to, such as https."""
    links = r"<([^<>]+)>`__?|^\.\. (?:image::|_.*:) (.*)$"
    targets = re.findall(links, _description(wheel), re.MULTILINE)
    # What ends with "_" is a place in the text itself, which docutils checks.
    return {urlsplit(link or other).scheme for link, other in targets if not link.endswith("_")}


def _metadata(wheel: Path) -> Message:
    contents = archives.wheel_files(wheel)
    (text,) = (content for name, content in contents.items() if name.endswith("/METADATA"))
    return BytesParser().parsebytes(text)
