"""`network_test`: the clock comes along, a failure says the seed, and many seeds are tried."""

from __future__ import annotations

import subprocess
import sys
import time
import unittest
from pathlib import Path

import pytest
import trio

from trio_mcast import open_mcast_receiver, open_mcast_sender
from trio_mcast.testing import VirtualNetwork, network_test

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 5000

_seeds_seen: list[str] = []


@network_test
async def test_hours_take_no_time(network: VirtualNetwork) -> None:
    start = time.monotonic()
    await trio.sleep(36_000)
    assert time.monotonic() - start < 5
    assert repr(network) == "<VirtualNetwork seed=0 (empty)>"


@network_test(seeds=3)
async def test_each_seed_has_a_network(network: VirtualNetwork) -> None:
    _seeds_seen.append(repr(network))


def test_all_seeds_were_tried() -> None:
    assert _seeds_seen == [f"<VirtualNetwork seed={seed} (empty)>" for seed in (0, 1, 2)]


class TestMethods:
    @pytest.mark.parametrize("loss", [0.0, 1.0])
    @network_test(seeds=[7])
    async def test_other_arguments_stay(
        self, network: VirtualNetwork, tmp_path: Path, loss: float
    ) -> None:
        assert str(tmp_path)
        assert network.switch("lan", loss=loss).loss == loss
        assert "seed=7" in repr(network)


async def _lose_everything(network: VirtualNetwork) -> None:
    lan = network.switch("lan", delay=0.001, loss=0.5)
    a, b = network.host("a"), network.host("b")
    a.plug("eth0", lan, "10.0.0.1/24")
    b.plug("eth0", lan, "10.0.0.2/24")
    with b:
        async with open_mcast_receiver(GROUP, PORT) as receiver:
            with a:
                async with open_mcast_sender(GROUP, PORT, interfaces="eth0") as sender:
                    for number in range(100):
                        await sender.send(b"%d" % number)
            await trio.sleep(1)
            assert receiver.statistics().received == 100


def test_failure_prints_seed_and_end_of_trace(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError):
        network_test(seeds=[4, 5], shown=5)(_lose_everything)()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        "The test failed with seed 4 of 2 seeds: @network_test(seeds=[4]) repeats it."
    )
    assert lines[1].startswith("The last 5 of ")
    assert len(lines) == 7
    assert all(" 10.0.0.1:" in line or " left " in line for line in lines[2:])


def test_skipping_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async def skip(network: VirtualNetwork) -> None:
        raise unittest.SkipTest("not today")

    with pytest.raises(unittest.SkipTest):
        network_test(skip)()
    assert capsys.readouterr().err == ""


def test_mistakes_are_refused() -> None:
    async def no_network() -> None:
        """Take no network."""

    with pytest.raises(TypeError, match="has no parameter 'network'"):
        network_test(no_network)
    with pytest.raises(TypeError, match="network_test makes a test of an async function, not of 7"):
        network_test(7)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="network_test makes a test of an async function"):
        network_test(lambda network: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match="seeds must be from 1 to 1000000, not 0"):
        network_test(seeds=0)
    with pytest.raises(TypeError, match="seed must be an int, not str: 'a'"):
        network_test(seeds="abc")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="seeds must be an int or an iterable of ints, not float"):
        network_test(seeds=1.5)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="shown must be at least 0, not -1"):
        network_test(shown=-1)


TEST = """
import trio
from trio_mcast.testing import VirtualNetwork, network_test
MARK
@network_test(seeds=20)
async def test_a_day(network: VirtualNetwork) -> None:
    await trio.sleep(86_400)
"""


@pytest.mark.parametrize("mode", ["plain", "trio_mode", "mark", "no plugin"])
def test_it_works_in_every_mode_of_pytest_trio(tmp_path: Path, mode: str) -> None:
    mark = "import pytest\npytestmark = pytest.mark.trio" if mode == "mark" else ""
    (tmp_path / "test_day.py").write_text(TEST.replace("MARK", mark))
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\ntrio_mode = true\n" if mode == "trio_mode" else "[pytest]\n"
    )
    options = ["-p", "no:trio"] if mode == "no plugin" else []
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options)
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr


def test_fixture_in_real_time_says_so(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "from trio_mcast.testing.fixtures import virtual_network\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n")
    (tmp_path / "test_wait.py").write_text(
        "import trio\n"
        "async def test_real(virtual_network):\n    await trio.sleep(1.1)\n"
        "async def test_virtual(virtual_network, autojump_clock):\n    await trio.sleep(9)\n"
    )
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "2 passed, 1 warning" in ended.stdout, ended.stdout + ended.stderr
    assert "as its clock is the real one: name autojump_clock" in ended.stdout
