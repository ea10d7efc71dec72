"""``trio-mcast send``, as people run it, and how its datagrams are made."""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import subprocess
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import click
import pytest
import trio

from tests.lab.fixtures import TwoHosts
from tests.support.needs import needs_program
from trio_mcast import Datagram, McastSenderSpec, open_mcast_receiver
from trio_mcast._cli.payloads import Content, choose_content, lines, pieces
from trio_mcast._cli.send import Sending, describe_sent
from trio_mcast._diagnosis.probe.header import Header, Kind

from .test_demo import COMMAND, environment

pytestmark = pytest.mark.once

SEND = (*COMMAND, "send", "239.1.2.3:5000")
# How long the first datagram may take to come.
PATIENCE_SECONDS = 60


async def all_of(lists: AsyncGenerator[list[bytes], None]) -> list[bytes]:
    async with aclosing(lists):
        return [payload async for payloads in lists for payload in payloads]


@pytest.mark.parametrize(
    ("data", "payloads"),
    [
        (b"", []),
        (b"one\ntwo\n", [b"one", b"two"]),
        (b"one\r\n\nlast", [b"one", b"", b"last"]),
        (b"x" * 65_507 + b"\n", [b"x" * 65_507]),
    ],
)
async def test_line_is_a_datagram(data: bytes, payloads: list[bytes]) -> None:
    assert await all_of(lines(io.BytesIO(data))) == payloads


async def test_line_that_no_datagram_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="larger than a datagram can be, 65,507 bytes"):
        await all_of(lines(io.BytesIO(b"x" * 200_000)))


async def test_line_is_there_as_soon_as_it_came() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as file:
        first = lines(file)
        os.write(writing, b"one\ntw")
        assert await anext(first) == [b"one"]
        os.write(writing, b"o\n")
        assert await anext(first) == [b"two"]
        os.close(writing)
        assert await all_of(first) == []


async def test_file_is_sent_in_pieces(tmp_path: Path) -> None:
    data = os.urandom(200_001)
    (tmp_path / "file").write_bytes(data)
    parts = await all_of(pieces(tmp_path / "file", 1400))
    assert b"".join(parts) == data
    assert {len(part) for part in parts[:-1]} == {1400}


def content(**arguments: object) -> Content:
    defaults = dict.fromkeys(("message", "file", "count", "rate", "size"))
    return choose_content(**{**defaults, "numbered": False, **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "say what to send"),
        ({"message": "x", "file": Path(__file__)}, "not both"),
        ({"message": "hello", "size": 4}, "the message has 5 bytes, not 4"),
        ({"numbered": True, "size": 32}, "more than the 32 bytes"),
        ({"message": "x" * 65_508}, "at most 65,507 bytes"),
        ({"message": "x" * 65_500, "numbered": True}, "at most 65,507 bytes"),
        ({"message": "-", "size": 100}, "--size does not go with"),
    ],
)
def test_arguments_that_contradict_each_other_are_told(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(click.UsageError, match=message):
        content(**arguments)


def test_message_lines_and_files_arrive(two_hosts: TwoHosts, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3000))
    send = shlex.join(SEND)
    script = (
        f"{send} hello --ttl 3 --count 2 --rate 100; printf 'one\\ntwo' | {send} -; "
        f"{send} --file {path}; {send} --numbered --count 3 --rate 50 --size 100"
    )

    async def receive() -> list[Datagram]:
        async with open_mcast_receiver("239.1.2.3", 5000, receive_ttl=True) as receiver:
            process = two_hosts.b.popen("sh", "-c", script, env=environment())
            with process, trio.fail_after(30):
                return [await receiver.receive() for _ in range(10)]

    with two_hosts.a.inside():
        datagrams = trio.run(receive)
    payloads = [datagram.data for datagram in datagrams]
    assert payloads[:4] == [b"hello", b"hello", b"one", b"two"]
    assert [datagram.ttl for datagram in datagrams[:4]] == [3, 3, 1, 1]
    assert [len(payload) for payload in payloads[4:]] == [1400, 1400, 200, 100, 100, 100]
    headers = [Header.unpack(payload) for payload in payloads[7:]]
    assert [(header.kind, header.sequence, header.ttl) for header in headers] == [
        (Kind.NUMBERED, number, 1) for number in range(3)
    ]
    assert len({header.run for header in headers}) == 1
    # 50 a second: 40 ms from the first to the third, by the sender's clock; on a busy machine more.
    assert 0.039 < (headers[2].time_ns - headers[0].time_ns) / 1e9 < 1.9


def test_numbered_ones_end_on_ctrl_c_with_the_summary_and_status_0(two_hosts: TwoHosts) -> None:
    command = ("env", "--default-signal=INT", *SEND, "--numbered", "--rate", "200")

    async def first() -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            async with open_mcast_receiver("239.1.2.3", 5000) as receiver:
                await receiver.receive()

    with two_hosts.a.inside():
        popen = two_hosts.b.popen(*command, stderr=subprocess.PIPE, env=environment())
        with popen as process:
            trio.run(first)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            summary = process.stderr.read().splitlines()
            assert process.wait() == 0
    assert re.match(r"[\d,]+ datagrams?, ", summary[0])
    assert summary[1].endswith(" sent, 0 failed")


def test_ctrl_c_ends_it_while_it_waits_for_a_line(two_hosts: TwoHosts) -> None:
    command = ("env", "--default-signal=INT", *SEND, "-")

    async def first() -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            async with open_mcast_receiver("239.1.2.3", 5000) as receiver:
                while process.stdin is not None:
                    process.stdin.write("line\n")
                    process.stdin.flush()
                    with trio.move_on_after(0.1):
                        await receiver.receive()
                        return

    with two_hosts.a.inside():
        popen = two_hosts.b.popen(
            *command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        with popen as process:
            trio.run(first)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            summary = process.stderr.read().splitlines()
            assert process.wait() == 130
    assert re.match(r"[\d,]+ datagrams?, ", summary[0])
    assert len(summary) == 2


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("x", "--interface", "nope"), 1, "no interface is called 'nope'"),
        (("x", "--from", "10.9.9.9"), 1, "10.9.9.9"),
        (("--file", "/no/file"), 2, "'/no/file' does not exist"),
        (("x", "--rate", "fast"), 2, "'fast' is no rate"),
        (("x", "--ttl", "256"), 2, "--ttl"),
    ],
)
def test_error_is_one_sentence(
    two_hosts: TwoHosts, arguments: tuple[str, ...], status: int, sentence: str
) -> None:
    result = two_hosts.b.run(*SEND, *arguments, check=False, env=environment())
    assert (result.returncode, result.stdout) == (status, "")
    assert result.stderr.startswith("trio-mcast send: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_source_written_with_the_group_counts(two_hosts: TwoHosts) -> None:
    target = "10.0.1.2@239.1.2.3:5000"
    result = two_hosts.b.run(*SEND[:-1], target, "x", "--from", "10.9.9.9", env=environment())
    assert result.stderr == "1 datagram, 1 byte\n  on eth0: 1 sent, 0 failed\n"


@needs_program("nft")
def test_refused_datagrams_are_counted_and_told(two_hosts: TwoHosts) -> None:
    rules = (
        "table ip f { chain o { type filter hook output priority 0; ip daddr 239.1.2.3 drop; }; }"
    )
    two_hosts.b.run("nft", "-f", "-", input=rules)
    result = two_hosts.b.run(
        *SEND, "x", "--count", "3", "--rate", "100", check=False, env=environment()
    )
    assert result.returncode == 1
    assert "  on eth0: 0 sent, 3 failed\n" in result.stderr
    assert "(EPERM)" in result.stderr.splitlines()[-1]


async def test_counts_are_told_by_interface(two_hosts: TwoHosts) -> None:
    spec = McastSenderSpec("239.1.2.3", 5000, interfaces="lo")
    sending = Sending(spec, content(message="12345", count=2), numbered=False)
    assert describe_sent(sending) == []
    with two_hosts.a.inside():
        await sending.run()
    assert describe_sent(sending)[0].startswith("2 datagrams, 10 bytes in 0.1")
    assert describe_sent(sending)[1] == "  on lo: 2 sent, 0 failed"
