"""Make the pictures of the documentation: ``python -m tests.pictures``, or ``tox -e pictures``.

Each is what a command draws on a terminal of 80 columns, as SVG. The commands run on the virtual
network, or from what was recorded on real machines, so a picture is the same whenever it is made.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path

import click
import trio.testing
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType
from rich.text import Text

from trio_mcast._cli.diagnosis_text import print_diagnosis
from trio_mcast._cli.interfaces import take_snapshot
from trio_mcast._cli.interfaces_view import render
from trio_mcast._diagnosis.evidence import Evidence
from trio_mcast._diagnosis.judging import judge
from trio_mcast._diagnosis.plain import from_plain
from trio_mcast.testing import VirtualNetwork

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
RECORDS = Path(__file__).parent / "data" / "diagnosis"
_WIDTH = 80
# The pages of the documentation fetch nothing from elsewhere, and neither do their pictures.
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


async def draw_interfaces() -> RenderableType:
    """Return ``trio-mcast interfaces`` on a machine with a bridge, and a second network."""
    async with VirtualNetwork() as network:
        host, office, lab = network.host("a"), network.switch("office"), network.switch("lab")
        host.plug("eth0", office, "192.168.1.20/24", "2001:db8:1::20/64", "fe80::20/64")
        host.plug("eth1", lab).set_master("br0")
        host.plug("br0", lab, "10.0.0.1/24", "fe80::1/64")
        host.plug("wlan0", office, "192.168.1.21/24").take_down()
        host.routes.add("239.0.0.0/8", interface="eth0")
        with host:
            return render(take_snapshot())


async def draw_doctor() -> RenderableType:
    """Return what ``trio-mcast doctor`` said to root where the reverse path filter was strict."""
    record = json.loads((RECORDS / "rp_filter_strict-root.json").read_text())
    diagnosis = judge(from_plain(Evidence, record["evidence"]))
    with click.Context(click.Command("doctor"), color=True), redirect_stdout(io.StringIO()) as out:
        print_diagnosis(diagnosis)
    return Text.from_ansi(out.getvalue())


# By name: the command line, and what draws it.
PICTURES: Mapping[str, tuple[str, Callable[[], Awaitable[RenderableType]]]] = {
    "interfaces": ("trio-mcast interfaces", draw_interfaces),
    "doctor": ("sudo trio-mcast doctor 239.1.2.3:5000", draw_doctor),
}


def make(name: str) -> str:
    """Return a picture as SVG."""
    command, draw = PICTURES[name]
    clock = trio.testing.MockClock(autojump_threshold=0)
    console = Console(
        record=True,
        width=_WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(trio.run(draw, clock=clock))
    svg = console.export_svg(title=command, code_format=_FORMAT, unique_id=f"picture-{name}")
    return "".join(f"{line.rstrip()}\n" for line in svg.splitlines() if line.strip())


def words_of(svg: str) -> list[str]:
    """Return the words that a picture shows, without where they stand."""
    return " ".join(re.findall(r">([^<>]+)</text>", svg)).replace("&#160;", " ").split()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for picture in sys.argv[1:] or PICTURES:
        (FOLDER / f"{picture}.svg").write_text(make(picture), encoding="utf-8")
        print(f"docs/pictures/{picture}.svg")
