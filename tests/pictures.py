"""Make the pictures of the documentation: ``python -m tests.pictures``, or ``tox -e pictures``.

Each is what a command draws on a terminal of 80 columns, as SVG. The commands run on the virtual
network, or from what was recorded on real machines, so a picture is the same whenever it is made.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path

import attrs
import click
import trio
import trio.testing
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, Group, RenderableType
from rich.text import Text

from trio_mcast import McastReceiverSpec, open_mcast_sender
from trio_mcast._cli.diagnosis_text import print_diagnosis
from trio_mcast._cli.interfaces import take_snapshot
from trio_mcast._cli.interfaces_view import render
from trio_mcast._cli.live import subscriptions_of
from trio_mcast._cli.live_view import draw
from trio_mcast._cli.mesh import MeshRun, MeshWish, title_of
from trio_mcast._cli.mesh_view import matrix_lines
from trio_mcast._cli.streams import StreamTable
from trio_mcast._cli.targets import Target
from trio_mcast._diagnosis.evidence import Evidence
from trio_mcast._diagnosis.judging import judge
from trio_mcast._diagnosis.plain import from_plain
from trio_mcast._diagnosis.probe.header import Header, Kind
from trio_mcast.testing import VirtualNetwork

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
RECORDS = Path(__file__).parent / "data" / "diagnosis"
_WIDTH = 80
_PORT = 5000
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


async def draw_listen() -> RenderableType:
    """Return ``trio-mcast listen --live`` with four groups, after three quarters of a minute."""
    groups = ("239.1.2.3", "239.1.2.4", "239.1.2.5", "ff15::1")
    table = StreamTable()
    async with VirtualNetwork(seed=1) as network, trio.open_nursery() as nursery:
        lan = network.switch("lan", loss=0.01, jitter=0.002, reorder=0.01, snooping=True)
        listener = network.host("a")
        listener.plug("eth0", lan, "10.0.0.1/24", "fd00::1/64")
        spec = McastReceiverSpec(
            groups, _PORT, receive_ttl=True, receive_timestamp=True, receive_traffic_class=True
        )
        with listener:
            receiver = await nursery.start(spec.serve)

        async def take() -> None:
            async for batch in receiver.batches():
                table.add(batch, trio.current_time())

        nursery.start_soon(take)
        for number, stream in enumerate((_NUMBERED, _RTP, _SENSOR), start=2):
            host = network.host(f"host{number}")
            host.plug("eth0", lan, f"10.0.0.{number}/24")
            with host:
                nursery.start_soon(stream.send, groups[number - 2])
        await trio.sleep(45.5)
        table.subscribe(subscriptions_of({_PORT: receiver}))
        rows = table.rows(trio.current_time())
        nursery.cancel_scope.cancel()
    return draw(rows, (_WIDTH, 24), order="group")


async def draw_mesh() -> RenderableType:
    """Return ``trio-mcast mesh`` with four robots, of which one hears little, and one has left."""
    target = Target("239.1.2.3", _PORT)
    async with VirtualNetwork(seed=1) as network, trio.open_nursery() as nursery:
        lan = network.switch("lan", delay=0.001)
        runs, scopes = [], []
        for number in range(1, 5):
            host = network.host(f"robot-{number}")
            interface = host.plug("wlan0", lan, f"10.0.0.{number}/24")
            interface.incoming.loss = 0.25 if number == 4 else 0.02
            wish = MeshWish(target, (), f"robot-{number}", 1, 1)
            runs.append(MeshRun(wish, lambda changes: None, lambda rows: None))
            scopes.append(trio.CancelScope())
            with host:
                nursery.start_soon(_run_in, scopes[-1], runs[-1].run)
        await trio.sleep(20.5)
        scopes[2].cancel()
        await trio.sleep(10)
        rows = runs[0].rows()
        nursery.cancel_scope.cancel()
    return Group(title_of(target, rows), *matrix_lines(rows, _WIDTH))


async def _run_in(scope: trio.CancelScope, run: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await run()


@attrs.frozen
class _Stream:
    """Datagrams that are sent to a group: how often, for how long, and the payload of each."""

    rate: float
    seconds: float
    payload: Callable[[int], bytes]

    async def send(self, group: str) -> None:
        """Send until it is over. The rate rises and falls, to be seen."""
        number = 0
        async with open_mcast_sender(group, _PORT, ttl=4) as sender:
            while (now := trio.current_time()) < self.seconds:
                await sender.send(self.payload(number))
                number += 1
                await trio.sleep(1 / (self.rate * (1 + 0.6 * math.sin(now / 4))))


def _numbered(number: int) -> bytes:
    return Header(Kind.NUMBERED, 1, number, int(trio.current_time() * 1e9)).pack(1_000)


def _rtp(number: int) -> bytes:
    """Return a packet with a header of RTP (RFC 3550), and the payload type of MPEG video."""
    return struct.pack("!BBHII", 0x80, 33, number & 0xFFFF, number * 3_000, 7).ljust(1_328, b"\0")


_NUMBERED = _Stream(15, math.inf, _numbered)
_RTP = _Stream(25, math.inf, _rtp)
_SENSOR = _Stream(2, 38, lambda number: b"21.5 degrees")


# By name: the command line, and what draws it.
PICTURES: Mapping[str, tuple[str, Callable[[], Awaitable[RenderableType]]]] = {
    "interfaces": ("trio-mcast interfaces", draw_interfaces),
    "listen": ("trio-mcast listen --live 239.1.2.3:5000 239.1.2.4:5000 ...", draw_listen),
    "mesh": ("trio-mcast mesh 239.1.2.3:5000", draw_mesh),
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
