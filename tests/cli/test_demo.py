"""The ``trio-mcast`` command, as people run it: processes, their output and their exit status."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs
import pytest
import trio
from click.testing import CliRunner

import trio_mcast
from tests.lab import Host, Lab
from tests.support.needs import needs_program
from tests.support.privileges import UNPRIVILEGED
from trio_mcast import (
    Datagram,
    Endpoint,
    Interface,
    InterfaceNotFoundError,
    ReceiverStatistics,
    SenderStatistics,
    SocketSetupError,
)
from trio_mcast._cli.app import cli
from trio_mcast._cli.demo_run import (
    DATAGRAMS_PER_SENDER,
    GROUPS,
    Arrival,
    DemoResult,
    DemoSetup,
    loopback_interface,
    plan_datagrams,
    prepare_demo,
    run_demo,
)
from trio_mcast._cli.demo_view import describe_causes, describe_verdict

pytestmark = pytest.mark.once

COMMAND = (sys.executable, "-m", "trio_mcast")
DEMO = (*COMMAND, "demo")
# As a terminal starts it: the tests may run with SIGINT ignored, as in the background of a script.
INTERRUPTIBLE_DEMO = ("env", "--default-signal=INT", *DEMO)
ALL_ARRIVED = "24 of 24 datagrams arrived, each once."
# One line of the table of arrivals: time, group, interface, source, bytes, ttl, payload.
ROW = re.compile(
    r"^ *\d\.\d\d s +(239\.255\.42\.[12]) +(\S+) +127\.0\.0\.1:(\d+) +(\d+) +(\d+)"
    r" +sender ([12]): (\d+) of 12 *$",
    re.MULTILINE,
)

# A control sequence that sets a colour.
COLOUR = re.compile(r"\x1b\[(\d+;)*3\d")
CHANGES_LOOKS = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM")


def environment(**variables: str) -> dict[str, str]:
    """The environment for the command: nothing that would change its looks, unless named."""
    kept = {key: value for key, value in os.environ.items() if key not in CHANGES_LOOKS}
    return {**kept, "PYTHONPATH": str(Path(trio_mcast.__file__).parents[1]), **variables}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment(), timeout=30
    )


def run_here(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in this process: most of its time, a process of its own would import.

    For what says something and ends. Of each command, other tests run it as people do.
    """
    result = CliRunner(env=dict.fromkeys(CHANGES_LOOKS)).invoke(
        cli, arguments, prog_name="trio-mcast", catch_exceptions=False
    )
    command = ["trio-mcast", *arguments]
    return subprocess.CompletedProcess(command, result.exit_code, result.stdout, result.stderr)


def drop_udp(host: Host, hook: str) -> None:
    """Make a host's firewall drop all UDP."""
    chain = f"{{ type filter hook {hook} priority 0; ip protocol udp drop; }}"
    host.run("nft", "-f", "-", input=f"table ip firewall {{ chain udp_off {chain}; }}")


# --- Help and installation -------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help_names_the_commands(arguments: Sequence[str]) -> None:
    result = run(*COMMAND, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: python -m trio_mcast ")
    assert re.search(r"^ +demo +Send and receive real multicast", result.stdout, re.MULTILINE)
    assert "..." not in result.stdout.partition("\nCommands:")[2]


def test_help_of_the_demo_tells_its_exit_status() -> None:
    result = run(*DEMO, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "exit status is 0 if every datagram arrived" in result.stdout


def test_version_names_what_a_bug_report_needs() -> None:
    result = run(*COMMAND, "--version")
    assert (result.returncode, result.stderr) == (0, "")
    python = ".".join(map(str, sys.version_info[:3]))
    assert result.stdout.startswith("trio-mcast ")
    assert f", trio {trio.__version__}, Python {python}" in result.stdout


def test_unknown_command_is_a_usage_error() -> None:
    result = run(*COMMAND, "dmeo")
    assert result.returncode == 2
    assert "No such command 'dmeo'" in result.stderr


@pytest.mark.parametrize("missing", ["click", "pcapng", "rich"])
def test_without_the_extra_it_says_how_to_install_it(missing: str) -> None:
    program = (
        f"import runpy, sys; sys.modules[{missing!r}] = None; "
        "runpy.run_module('trio_mcast', run_name='__main__')"
    )
    result = run(sys.executable, "-c", program)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"The trio-mcast command needs {missing}, which is not installed: "
        'pip install "trio-mcast[cli]"\n'
    )


def test_library_does_not_import_the_extra() -> None:
    program = "import sys, trio_mcast; print({'click', 'pcapng', 'rich'} & set(sys.modules))"
    assert run(sys.executable, "-c", program).stdout == "set()\n"


# --- The demo --------------------------------------------------------------------------------


def test_demo_needs_no_privilege_and_nothing_but_lo(lab: Lab) -> None:
    host = lab.host("a")
    assert host.run("ip", "route", "show").stdout == ""
    status = host.run(*UNPRIVILEGED, "cat", "/proc/self/status").stdout
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    result = host.run(*UNPRIVILEGED, *DEMO, check=False, env=environment())
    assert (result.returncode, result.stderr) == (0, "")
    assert_all_rows(result.stdout)
    assert "loopback interface lo;" in result.stdout
    assert ALL_ARRIVED in result.stdout.splitlines()


def assert_all_rows(output: str) -> None:
    """The output is plain and fits in 80 columns, and tells of every datagram and its way."""
    assert not set(output) & {chr(code) for code in range(32) if code != 10}
    assert max(map(len, output.splitlines())) <= 80
    rows = ROW.findall(output)
    assert sorted((int(sender), int(number)) for *_, sender, number in rows) == [
        (sender, number) for sender in (1, 2) for number in range(1, DATAGRAMS_PER_SENDER + 1)
    ]
    for group, interface, *_, ttl, sender, _ in rows:
        assert (group, interface, ttl) == (GROUPS[int(sender) - 1], "lo", "1")
    for sender in ("1", "2"):
        assert len({source for _, _, source, _, _, who, _ in rows if who == sender}) == 1
    assert len({size for _, _, _, size, *_ in rows}) == len(rows)
    assert re.search(r"^sender 1 +12 +0 +\d+ KiB *$", output, re.MULTILINE)
    assert re.search(r"^sender 2 +12 +0 +\d+ KiB *$", output, re.MULTILINE)
    assert re.search(r"^receiver +24 +24 +0 +0 +\d+ KiB *$", output, re.MULTILINE)


@contextmanager
def demo_on_terminal(
    host: Host, **variables: str
) -> Iterator[tuple[subprocess.Popen[str], Iterator[str]]]:
    """Run the demo on a terminal of 80 x 20: the process, and what it writes, piece by piece."""
    if sys.platform == "win32":
        pytest.skip("Windows has no pseudo-terminals")
    terminal, its_side = os.openpty()

    def pieces() -> Iterator[str]:
        # EIO tells that nobody has the other side open any more.
        with suppress(OSError):
            while True:
                yield os.read(terminal, 65536).decode(errors="replace")

    env = environment(TERM="xterm-256color", COLUMNS="80", LINES="20", **variables)
    try:
        with host.popen(*INTERRUPTIBLE_DEMO, stdout=its_side, stderr=its_side, env=env) as process:
            os.close(its_side)
            yield process, pieces()
    finally:
        os.close(terminal)


def assert_cursor_shown_again(output: str) -> None:
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")


def test_demo_on_a_terminal_shows_datagrams_as_they_arrive(lab: Lab) -> None:
    with demo_on_terminal(lab.host("a")) as (process, pieces):
        output = "".join(pieces)
        assert process.wait() == 0
    # How many rows each of the pictures shows: as many as fit, and at the end all.
    pictures = output.split("payload")[1:]
    shown = [len(re.findall(r"sender \d: \d+ of 12", picture)) for picture in pictures]
    assert shown == [*range(15), *[14] * 10, 24]
    assert COLOUR.search(output)
    assert ALL_ARRIVED in output
    assert_cursor_shown_again(output)


def test_demo_on_a_terminal_honours_no_color_and_leaves_it_in_order_after_ctrl_c(lab: Lab) -> None:
    with demo_on_terminal(lab.host("a"), NO_COLOR="1") as (process, pieces):
        output = ""
        while "sender 2: 1 of 12" not in output:
            output += next(pieces)
        process.send_signal(signal.SIGINT)
        output += "".join(pieces)
        assert process.wait() == 130
    assert not COLOUR.search(output)
    assert "Traceback" not in output
    assert "arrived" not in output
    assert_cursor_shown_again(output)


def test_demo_is_ended_quietly_by_ctrl_c(lab: Lab) -> None:
    host = lab.host("a")
    with host.popen(*INTERRUPTIBLE_DEMO, stderr=subprocess.STDOUT, env=environment()) as process:
        assert process.stdout is not None
        started = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait() == 130
    assert "nothing leaves this machine" in started[0]
    assert rest == ""


def test_demo_is_ended_quietly_by_a_reader_that_has_gone(lab: Lab) -> None:
    result = lab.host("a").run("sh", "-c", f"{shlex.join(DEMO)} | true", env=environment())
    assert (result.stdout, result.stderr) == ("", "")


@needs_program("nft")
def test_demo_fails_and_says_so_if_a_firewall_drops_what_arrives(lab: Lab) -> None:
    host = lab.host("a")
    drop_udp(host, "input")
    result = host.run(*DEMO, check=False, env=environment())
    assert (result.returncode, result.stderr) == (1, "")
    assert "0 of 24 datagrams arrived; missing: 12 of sender 1 and 12 of sender 2." in result.stdout
    assert "A firewall may be dropping" in result.stdout
    assert not ROW.search(result.stdout)


@needs_program("nft")
def test_demo_fails_and_says_why_if_a_sender_is_refused(lab: Lab) -> None:
    host = lab.host("a")
    drop_udp(host, "output")
    result = host.run(*DEMO, check=False, env=environment())
    assert (result.returncode, result.stderr) == (1, "")
    assert "0 of 24 datagrams arrived" in result.stdout
    assert "Sender 1: " in result.stdout
    assert "(EPERM)" in result.stdout
    # They were never sent, so nothing is said about their being lost on the way.
    assert "They were sent" not in result.stdout


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("link set lo down", "the loopback interface lo is down"),
        ("address delete 127.0.0.1/8 dev lo", "no UDP port on 127.0.0.1 is to be had"),
    ],
)
def test_demo_explains_an_unusable_loopback_interface(
    lab: Lab, command: str, sentence: str
) -> None:
    host = lab.host("a")
    host.run("ip", *command.split())
    result = host.run(*DEMO, check=False, env=environment())
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"trio-mcast demo: {sentence}")
    assert result.stderr.count("\n") == 1


# --- What the verdict is made from -----------------------------------------------------------


def test_demo_tells_doubles_misplaced_ones_and_strangers_apart(lab: Lab) -> None:
    arrivals: list[Arrival] = []

    def disturb(arrival: Arrival) -> None:
        """At the first one, send a stranger, a copy, and one of sender 2 to the wrong group."""
        arrivals.append(arrival)
        if len(arrivals) > 1:
            return
        other = next(item for item in setup.planned.values() if item.sender == 2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            loopback = socket.inet_aton("127.0.0.1")
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, loopback)
            for data in (b"a stranger", arrival.planned.data, other.data):
                sock.sendto(data, (GROUPS[0], setup.port))

    with lab.host("a").inside():
        setup = prepare_demo()
        result = trio.run(run_demo, setup, disturb)
    assert result.arrivals == tuple(arrivals)
    assert result.strangers == 1
    assert not result.missing
    assert [(item.sender, item.number) for item in result.doubled] == [(1, 1), (2, 1)]
    assert [item.planned.sender for item in result.misplaced] == [2]
    assert not result.complete
    assert describe_verdict(result) == (
        "24 of 24 datagrams arrived; more than once: 2; with the wrong group or interface: 1."
    )
    assert describe_causes(result) == [
        "That is a fault of trio_mcast: please report it, with this output."
    ]


LO = Interface("lo", 1, is_loopback=True)


def good_result(dropped_by_kernel: int | None = 0) -> DemoResult:
    setup = DemoSetup(LO, 5000, plan_datagrams("token"))
    source = Endpoint("127.0.0.1", 6000)
    arrivals = [
        Arrival(item, Datagram(item.data, source, item.group, LO), 0.0)
        for item in setup.planned.values()
    ]
    received = ReceiverStatistics(
        received=24,
        delivered=24,
        dropped_by_kernel=dropped_by_kernel,
        receive_buffer_asked=65536,
        receive_buffer_granted=65536,
    )
    sent = SenderStatistics(12, 0, None, 65536)
    return DemoResult(setup, tuple(arrivals), 0, {}, received, (sent, sent))


def test_verdict_on_a_good_run_has_no_fault() -> None:
    result = good_result()
    assert result.complete
    assert describe_verdict(result) == ALL_ARRIVED
    assert describe_causes(result) == []


@pytest.mark.parametrize(("dropped", "firewall"), [(None, True), (0, True), (1, True), (2, False)])
def test_verdict_blames_the_firewall_only_for_what_the_kernel_did_not_drop(
    dropped: int | None, firewall: bool
) -> None:
    good = good_result(dropped)
    result = attrs.evolve(good, arrivals=good.arrivals[2:])
    assert not result.complete
    assert describe_verdict(result) == "22 of 24 datagrams arrived; missing: 2 of sender 1."
    causes = " ".join(describe_causes(result))
    assert ("firewall" in causes) is firewall
    assert ("receive buffer was full" in causes) is bool(dropped)


def test_verdict_tells_what_the_receiver_dropped_itself() -> None:
    good = good_result()
    receiver = attrs.evolve(good.receiver, received=24, delivered=22, dropped_by_policy=2)
    result = attrs.evolve(good, arrivals=good.arrivals[2:], receiver=receiver)
    assert describe_causes(result) == ["The receiver dropped 2: too many were waiting to be taken."]


def test_verdict_gives_the_reason_of_a_refused_sender_and_no_other() -> None:
    good = good_result()
    refused = SocketSetupError(errno.ENETDOWN, "send failed", step="send")
    result = attrs.evolve(good, arrivals=good.arrivals[:12], refusals={2: refused})
    assert describe_verdict(result) == "12 of 24 datagrams arrived; missing: 12 of sender 2."
    assert describe_causes(result) == ["Sender 2: send failed."]


def test_two_demos_have_no_datagram_in_common() -> None:
    assert not set(plan_datagrams("one")) & set(plan_datagrams("other"))
    assert len(plan_datagrams("one")) == len(GROUPS) * DATAGRAMS_PER_SENDER


def test_demo_without_a_loopback_interface_lists_what_there_is() -> None:
    assert loopback_interface([Interface("eth0", 2), LO]) is LO
    with pytest.raises(InterfaceNotFoundError, match="no loopback interface; there are: eth0"):
        loopback_interface([Interface("eth0", 2)])
