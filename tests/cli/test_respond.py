"""``trio-mcast respond``, as people run it: its lines, its errors, its end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

import pytest

from tests.lab.fixtures import TwoHosts

from .test_demo import COMMAND, environment, run_here

pytestmark = pytest.mark.once

RESPOND = (*COMMAND, "respond")


@pytest.mark.skipif(sys.platform != "linux", reason="the lab is for Linux only")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_responder_names_its_port_and_ends_with_a_summary(
    two_hosts: TwoHosts, number: signal.Signals
) -> None:
    arguments = ("239.1.2.3:5000", "[ff15::1%eth0]:5001", "--control-port", "27500")
    with two_hosts.a.popen(*RESPOND, *arguments, env=environment()) as responder:
        assert responder.stdout is not None
        assert responder.stdout.readline() == (
            "control port 27500; groups for ping: 239.1.2.3:5000, [ff15::1%eth0]:5001\n"
        )
        assert "239.1.2.3" in two_hosts.a.run("ip", "maddress").stdout
        responder.send_signal(number)
        assert responder.wait(timeout=10) == 0
        assert responder.stdout.read() == (
            "answered 0 requests and 0 pings; sent 0 probes; 0 left unanswered, as too many came "
            "at once; 0 refused\n"
        )
    assert "239.1.2.3" not in two_hosts.a.run("ip", "maddress").stdout


@pytest.mark.skipif(sys.platform != "linux", reason="the lab is for Linux only")
def test_port_that_another_program_has_is_told_in_a_sentence(two_hosts: TwoHosts) -> None:
    program = (
        "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        "s.bind(('0.0.0.0', 27430)); t = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); "
        "t.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1); t.bind(('::', 27430)); "
        "print('bound', flush=True); time.sleep(60)"
    )
    with two_hosts.a.popen(sys.executable, "-c", program) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "bound\n"
        result = two_hosts.a.run(*RESPOND, check=False, env=environment())
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("trio-mcast respond: ")
    assert result.stderr.count("\n") == 1
    assert "27430" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("239.1.2.3",), "no GROUP:PORT"),
        (("10.0.0.9@239.1.2.3:5000",), "leave it out"),
        (("--control-port", "0"), "control-port"),
    ],
)
def test_wrong_usage_ends_with_status_2(arguments: Sequence[str], message: str) -> None:
    result = run_here("respond", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
