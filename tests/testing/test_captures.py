"""Captures are read to the byte, and played into a virtual network at their times."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.support.captures import ETHERNET, ethernet, pcap, pcapng, udp
from trio_mcast import Datagram, Endpoint, McastReceiver, open_mcast_receiver
from trio_mcast._capture.datagrams import datagram_of
from trio_mcast.testing import (
    CapturedFrame,
    Replay,
    VirtualHost,
    VirtualNetwork,
    VirtualSwitch,
    read_capture,
)

pytestmark = pytest.mark.once

GROUP, SIX, PORT = "239.1.2.3", "ff05::1:3", 12345
START_NS = 1_700_000_000_123_456_000
FRAME = ethernet(udp("10.0.0.9", GROUP, b"hello"))

# Reading -----------------------------------------------------------------------------------------

FORMATS: dict[str, Any] = {
    "pcap": pcap,
    "pcap, big-endian": partial(pcap, order=">"),
    "pcap, nanoseconds": partial(pcap, nanoseconds=True),
    "pcap, nanoseconds, big-endian": partial(pcap, nanoseconds=True, order=">"),
    "pcapng": pcapng,
    "pcapng, big-endian": partial(pcapng, order=">"),
    "pcapng, nanoseconds": partial(pcapng, resolution=9),
    "pcapng, a power of two": partial(pcapng, resolution=0x80 | 30),
}


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
def test_capture_is_read(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "capture"
    times = [START_NS, START_NS + 1_000, START_NS + 3_600_000_000_000]
    path.write_bytes(write([(time_ns, FRAME + bytes([n])) for n, time_ns in enumerate(times)]))
    for argument in (path, str(path)):
        frames = list(read_capture(argument))
        assert [frame.data for frame in frames] == [FRAME + bytes([n]) for n in range(3)]
        assert {frame.link_type for frame in frames} == {ETHERNET}
        # A power of two does not divide a second into nanoseconds.
        assert all(abs(one.time_ns - told) <= 1 for one, told in zip(frames, times, strict=True))


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
def test_capture_that_was_cut_off_is_read_as_far_as_it_goes(write: Any, tmp_path: Path) -> None:
    whole = write([(START_NS, FRAME), (START_NS, FRAME)])
    for cut in (1, len(FRAME)):
        (tmp_path / "capture").write_bytes(whole[:-cut])
        assert len(list(read_capture(tmp_path / "capture"))) == 1


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08\x00", b"GET / HTTP/1.1"])
def test_file_that_is_no_capture_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "what").write_bytes(content)
    with pytest.raises(ValueError, match=r"what' is no capture: it is neither pcapng nor pcap"):
        list(read_capture(tmp_path / "what"))
    with pytest.raises(FileNotFoundError):
        list(read_capture(tmp_path / "nothing"))


def test_pcapng_without_its_package_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "one.pcap").write_bytes(pcap([(START_NS, FRAME)]))
    (tmp_path / "one.pcapng").write_bytes(pcapng([(START_NS, FRAME)]))
    program = (
        "import sys; sys.modules['pcapng'] = None\n"
        "from trio_mcast.testing import read_capture\n"
        f"assert len(list(read_capture({str(tmp_path / 'one.pcap')!r}))) == 1\n"
        f"list(read_capture({str(tmp_path / 'one.pcapng')!r}))\n"
    )
    ended = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True)
    assert (
        'python-pcapng, which is not installed: pip install "trio-mcast[testing]"' in ended.stderr
    )


# Frames ------------------------------------------------------------------------------------------

FOUR = udp("10.0.0.9", GROUP, b"hello", ttl=7, traffic_class=0xB9)
PACKET6 = udp("2001:db8::9", SIX, b"hello", ttl=7, traffic_class=0xB9)
OPTIONS = b"\x11" + bytes(7)  # Then UDP.
SLL = bytes(14) + b"\x08\x00"
SLL2 = b"\x86\xdd" + bytes(18)


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [
        (1, ethernet(FOUR)),
        (1, ethernet(PACKET6)),
        (1, ethernet(FOUR, vlan=5)),
        (1, ethernet(udp("2001:db8::9", SIX, b"hello", ttl=7, extension=OPTIONS))),
        (101, FOUR),
        (12, PACKET6),
        (0, b"\x02\0\0\0" + FOUR),
        (108, b"\0\0\0\x18" + PACKET6),
        (113, SLL + FOUR),
        (276, SLL2 + PACKET6),
    ],
)
def test_datagram_is_found_in_a_frame(link_type: int, frame: bytes) -> None:
    packet = datagram_of(link_type, frame)
    assert not isinstance(packet, str)
    assert (packet.data, packet.ttl) == (b"hello", 7)
    assert packet.traffic_class == (0 if OPTIONS in frame else 0xB9)
    assert (packet.source_port, packet.port) == (5000, PORT)
    ends = (str(packet.source), str(packet.destination))
    assert ends in [("10.0.0.9", GROUP), ("2001:db8::9", SIX)]


def changed(packet: bytes, place: int, *values: int) -> bytes:
    return packet[:place] + bytes(values) + packet[place + len(values) :]


@pytest.mark.parametrize(
    ("link_type", "frame", "reason"),
    [
        (1, bytes(12) + b"\x08\x06" + bytes(46), "not IP"),  # ARP.
        (1, ethernet(changed(FOUR, 9, 2)), "not UDP"),  # IGMP.
        (1, ethernet(changed(PACKET6, 6, 58)), "not UDP"),  # ICMPv6.
        (1, ethernet(changed(FOUR, 6, 0x20)), "fragment"),  # The first.
        (1, ethernet(changed(FOUR, 7, 0x10)), "fragment"),  # Another.
        (1, ethernet(changed(PACKET6, 6, 44)[:40] + OPTIONS + PACKET6[40:]), "fragment"),
        (105, bytes(100), "unknown link type"),  # WLAN.
        (1, ethernet(FOUR)[:30], "cut short"),
        (1, ethernet(PACKET6)[:-20], "cut short"),
        (1, b"", "cut short"),
        (101, changed(FOUR, 25, 200), "cut short"),
        (101, b"\x75" + FOUR[1:], "not IP"),
    ],
)
def test_frame_without_a_datagram_says_why(link_type: int, frame: bytes, reason: str) -> None:
    assert datagram_of(link_type, frame) == reason


def test_no_frame_however_damaged_is_an_error() -> None:
    for packet in (FOUR, PACKET6, udp("2001:db8::9", SIX, b"x", extension=OPTIONS)):
        frame = ethernet(packet, vlan=1)
        for link_type in (0, 1, 12, 113, 276):
            for size in range(len(frame)):
                datagram_of(link_type, frame[:size])
                datagram_of(link_type, changed(frame, size, 0xFF))


# Playing -----------------------------------------------------------------------------------------


async def received(receiver: McastReceiver) -> list[tuple[float, Datagram]]:
    start, datagrams = trio.current_time(), []
    with trio.move_on_after(100):
        async for datagram in receiver:
            datagrams.append((round(trio.current_time() - start, 6), datagram))
    return datagrams


def add_lan(network: VirtualNetwork, **options: Any) -> tuple[VirtualHost, VirtualSwitch]:
    host, lan = network.host("a"), network.switch("lan", **options)
    host.plug("eth0", lan, "10.0.0.1/24", "2001:db8::1/64")
    return host, lan


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
async def test_capture_is_played_at_its_times(
    write: Any, tmp_path: Path, autojump_clock: MockClock
) -> None:
    packets = [
        (0.0, udp("10.0.0.9", GROUP, b"one", ttl=3, traffic_class=0x2D)),
        (0.0, udp("10.0.0.9", "239.9.9.9", b"of another group")),
        (1.5, udp("2001:db8::9", SIX, b"two")),
        (1.5, udp("10.0.0.9", "255.255.255.255", b"to all")),
        (1.5, udp("10.0.0.9", "10.0.0.255", b"to all here")),
        (2.0, udp("10.0.0.9", "10.0.0.1", b"to me")),
        (2.0, udp("10.0.0.9", "10.0.0.77", b"to nobody")),
        (60.0, udp("10.0.0.8", GROUP, b"three")),
    ]
    path = tmp_path / "capture"
    frames = [(START_NS + round(time * 1e9), ethernet(packet)) for time, packet in packets]
    path.write_bytes(write([*frames, (START_NS, bytes(60))]))
    async with VirtualNetwork() as network:
        host, lan = add_lan(network)
        with host:
            async with (
                open_mcast_receiver(
                    [GROUP, SIX],
                    PORT,
                    accept_unicast=True,
                    receive_ttl=True,
                    receive_traffic_class=True,
                ) as receiver,
                trio.open_nursery() as nursery,
            ):
                results: list[Replay] = []

                async def play() -> None:
                    results.append(await network.replay(path, on=lan))

                nursery.start_soon(play)
                datagrams = await received(receiver)
        assert results == [Replay(6, {"broadcast": 2, "not IP": 1})]
        assert [one.traffic_class for _, one in datagrams] == [0x2D, 0, 0, 0]
        told = [(time, one.data, str(one.source), one.group, one.ttl) for time, one in datagrams]
        assert [(round(time, 3), *others) for time, *others in told] == [
            (0.0, b"one", "10.0.0.9:5000", GROUP, 3),
            (1.5, b"two", "[2001:db8::9]:5000", SIX, 1),
            (2.0, b"to me", "10.0.0.9:5000", None, 1),
            (60.0, b"three", "10.0.0.8:5000", GROUP, 1),
        ]
        dropped = [event for event in network.trace if event.what == "dropped"]
        assert "nobody here has the address 10.0.0.77" in {event.reason for event in dropped}


async def test_frames_can_be_chosen_and_changed(autojump_clock: MockClock) -> None:
    frames = [CapturedFrame(n, 101, udp("10.0.0.9", GROUP, b"%d" % n)) for n in range(5)]
    async with VirtualNetwork() as network:
        host, lan = add_lan(network)
        with host:
            async with open_mcast_receiver(GROUP, PORT) as receiver:
                chosen = (frame for frame in frames if frame.time_ns % 2 == 0)
                assert await network.replay(chosen, on=lan) == Replay(3, {})
                assert [(await receiver.receive()).data for _ in range(3)] == [b"0", b"2", b"4"]


async def test_switch_that_snoops_plays_to_those_who_joined(autojump_clock: MockClock) -> None:
    frames = [CapturedFrame(0, 101, udp("10.0.0.9", group, b"")) for group in (GROUP, "239.9.9.9")]
    async with VirtualNetwork() as network:
        host, lan = add_lan(network, snooping=True)
        with host:
            async with open_mcast_receiver(GROUP, PORT) as receiver:
                await network.replay(frames, on=lan)
                assert (await receiver.receive()).source == Endpoint("10.0.0.9", 5000)
        ((reason, destination),) = [
            (event.reason, event.destination) for event in network.trace if event.what == "dropped"
        ]
        assert (reason, destination) == ("nobody has reported to want it", "239.9.9.9:12345")


async def test_replay_that_is_cancelled_ends_at_once(autojump_clock: MockClock) -> None:
    frames = [CapturedFrame(n * 10**9, 101, udp("10.0.0.9", GROUP, b"")) for n in range(100)]
    async with VirtualNetwork() as network:
        _host, lan = add_lan(network)
        with trio.move_on_after(9.5):
            await network.replay(frames, on=lan)
        await trio.sleep(200)
        assert len([event for event in network.trace if event.what == "sent"]) == 10


async def test_switch_of_another_network_is_refused(autojump_clock: MockClock) -> None:
    async with VirtualNetwork() as network:
        host, lan = add_lan(network)
    async with VirtualNetwork() as other:
        add_lan(other)
        wrongs: list[Any] = [lan, host, "lan"]
        for wrong in wrongs:
            with pytest.raises(ValueError, match="on must be a switch of this network"):
                await other.replay([], on=wrong)


@pytest.mark.parametrize("capture", [5, b"bytes", [b"bytes"], [1]])
async def test_what_is_no_capture_is_answered(capture: Any, autojump_clock: MockClock) -> None:
    async with VirtualNetwork() as network:
        _, lan = add_lan(network)
        with pytest.raises(TypeError, match=r"iterable of CapturedFrame.*, not (int|bytes): "):
            await network.replay(capture, on=lan)
