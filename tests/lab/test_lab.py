"""The lab's hosts, and programs on them, are what the tests built on it take them for."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import Lab, LabError, Subscription
from tests.lab._polling import wait_until
from tests.lab.fixtures import TwoHosts, TwoLans, require_lab
from tests.lab.sockets import (
    SIOCGIFINDEX,
    Sockets,
)
from tests.support.needs import needs_program

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

pytestmark = pytest.mark.once


# --- Hosts -----------------------------------------------------------------------------------


@needs_program("ping")
@pytest.mark.parametrize("address", ["10.0.1.2", "fd00:1::2"])
def test_hosts_reach_each_other_at_once(two_hosts: TwoHosts, address: str) -> None:
    two_hosts.a.run("ping", "-c1", "-W2", address)


@needs_program("ping")
def test_hosts_reach_each_other_by_link_local_address(two_hosts: TwoHosts) -> None:
    address = two_hosts.b.link_local("eth0")
    two_hosts.a.run("ping", "-c1", "-W2", f"{address}%eth0")


@needs_program("ping")
def test_hosts_on_two_lans_reach_each_other_on_both(two_lans: TwoLans) -> None:
    for address in ("10.0.1.2", "10.0.2.2", "fd00:1::2", "fd00:2::2"):
        two_lans.a.run("ping", "-c1", "-W2", address)


@needs_program("ping")
def test_host_without_interface_has_loopback(lab: Lab) -> None:
    lab.host("a").run("ping", "-c1", "-W2", "127.0.0.1")


def test_interface_without_any_address_can_join(lab: Lab, sockets: Sockets) -> None:
    lan = lab.switch("lan")
    a = lab.host("a")
    a.plug("eth0", lan, link_local=False)
    assert "inet" not in a.run("ip", "address", "show", "dev", "eth0").stdout
    sockets.receiver(a, "239.1.2.3")
    expected = (Subscription("239.1.2.3", "a", "eth0", "exclude", frozenset()),)
    lan.wait_for(lambda _: lan.subscriptions("239.1.2.3") == expected)


@pytest.mark.parametrize("mtu", [576, 9000])
def test_interface_has_the_mtu_asked_for(lab: Lab, mtu: int) -> None:
    a = lab.host("a")
    a.plug("eth0", lab.switch("lan"), "10.0.1.1/24", mtu=mtu)
    assert f"mtu {mtu}" in a.run("ip", "link", "show", "dev", "eth0").stdout


@needs_program("ping")
def test_unplugged_interface_is_gone_and_can_be_plugged_again(two_hosts: TwoHosts) -> None:
    a = two_hosts.a
    index = a.index("eth0")
    a.unplug("eth0")
    with pytest.raises(OSError, match="no interface"):
        a.index("eth0")
    a.plug("eth0", two_hosts.lan, "10.0.1.1/24", "fd00:1::1/64")
    assert a.index("eth0") != index
    a.run("ping", "-c1", "-W2", "10.0.1.2")
    a.run("ping", "-c1", "-W2", "fd00:1::2")


@needs_program("ping")
def test_interface_that_was_down_comes_back_as_it_was(two_hosts: TwoHosts) -> None:
    a = two_hosts.a
    before = a.run("ip", "-brief", "address", "show", "dev", "eth0").stdout.split()
    a.down("eth0")
    assert "DOWN" in a.run("ip", "-brief", "link", "show", "dev", "eth0").stdout
    a.up("eth0")
    after = a.run("ip", "-brief", "address", "show", "dev", "eth0").stdout.split()
    assert sorted(after) == sorted(before)
    a.run("ping", "-c1", "-W2", "10.0.1.2")
    a.run("ping", "-c1", "-W2", "fd00:1::2")


@needs_program("ping")
def test_address_is_added_and_removed(two_hosts: TwoHosts) -> None:
    a, b = two_hosts.a, two_hosts.b
    b.address("eth0", add=["10.0.1.22/24", "fd00:1::22/64"], remove=["10.0.1.2/24", "fd00:1::2/64"])
    a.run("ping", "-c1", "-W2", "10.0.1.22")
    a.run("ping", "-c1", "-W2", "fd00:1::22")
    shown = b.run("ip", "address", "show", "dev", "eth0").stdout
    assert "10.0.1.2/24" not in shown
    assert "fd00:1::2/64" not in shown


def test_interface_name_is_used_once_per_host(two_hosts: TwoHosts) -> None:
    with pytest.raises(LabError, match="has an interface eth0 already"):
        two_hosts.a.plug("eth0", two_hosts.lan)


def test_node_name_is_used_once_per_lab(lab: Lab) -> None:
    lab.host("a")
    with pytest.raises(LabError, match="'a'"):
        lab.switch("a")


def test_read_shows_the_hosts_own_proc_net(two_hosts: TwoHosts, sockets: Sockets) -> None:
    sockets.receiver(two_hosts.a, "239.1.2.3")
    assert "030201EF" in two_hosts.a.read("/proc/net/igmp")
    assert "030201EF" not in two_hosts.b.read("/proc/net/igmp")


# --- Namespaces and programs -----------------------------------------------------------------


def current_namespace() -> int:
    """Return what identifies the calling thread's network namespace."""
    return os.stat("/proc/thread-self/ns/net").st_ino


def test_inside_restores_the_namespace(two_hosts: TwoHosts) -> None:
    outside = current_namespace()
    with two_hosts.a.inside():
        inside_a = current_namespace()
        with two_hosts.b.inside():
            assert current_namespace() not in (outside, inside_a)
        assert current_namespace() == inside_a
    assert current_namespace() == outside


def test_inside_restores_the_namespace_after_an_exception(two_hosts: TwoHosts) -> None:
    outside = current_namespace()
    with pytest.raises(ZeroDivisionError), two_hosts.a.inside():
        raise ZeroDivisionError
    assert current_namespace() == outside


def test_run_shows_why_a_program_failed(lab: Lab) -> None:
    a = lab.host("a")
    with pytest.raises(LabError, match='Device "eth7" does not exist'):
        a.run("ip", "link", "show", "dev", "eth7")
    assert a.run("false", check=False).returncode == 1


def test_popen_runs_in_the_host_and_is_terminated(lab: Lab) -> None:
    a = lab.host("a")
    with a.popen("sh", "-c", "readlink /proc/self/ns/net; exec sleep 1000") as process:
        assert process.stdout is not None
        with a.inside():
            assert process.stdout.readline() == f"net:[{current_namespace()}]\n"
        assert process.poll() is None
    assert process.returncode == -signal.SIGTERM


def test_popen_terminates_children_too(lab: Lab) -> None:
    with lab.host("a").popen("sh", "-c", "sleep 1000 & echo $!; wait") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
    wait_until(lambda: is_running(child), lambda running: not running, "the child to end")


def test_popen_says_that_there_is_no_such_program(lab: Lab) -> None:
    with (
        pytest.raises(FileNotFoundError, match="no-such-program"),
        lab.host("a").popen("no-such-program"),
    ):
        pass


def is_running(pid: int) -> bool:
    """Say whether a process is there, and not merely waited for by its parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_closed_lab_leaves_nothing_over(sockets: Sockets) -> None:
    # The first lab of a process may open files that stay open, such as those of imported modules.
    Lab().close()
    files = os.listdir("/proc/self/fd")
    with Lab() as lab:
        lan1, lan2 = lab.switch("lan1"), lab.switch("lan2")
        router = lab.router("router")
        router.plug("eth1", lan1, "10.0.1.254/24")
        router.plug("eth2", lan2, "10.0.2.254/24")
        router.forward("239.1.2.3", inbound="eth1", outbound="eth2")
        router.start()
        # Not left, so that it is the lab's close which ends the program.
        process = lan1.popen("sleep", "1000").__enter__()
    assert process.returncode == -signal.SIGTERM
    assert os.listdir("/proc/self/fd") == files
    lab.close()


def test_closed_lab_gives_its_namespaces_back_to_the_kernel(sockets: Sockets) -> None:
    require_lab()
    with Lab() as lab:
        a = lab.host("a")
        a.plug("eth0", lab.switch("lan"))
        # It keeps a's namespace alive, so that one can see the other end of a's cable go.
        witness = sockets.plain(a, "239.1.2.3")

    def look() -> int:
        try:
            fcntl.ioctl(witness, SIOCGIFINDEX, struct.pack("16s16x", b"eth0"))
        except OSError as error:
            return error.errno or 0
        return 0

    wait_until(look, lambda error: error == errno.ENODEV, "the switch's namespace to be removed")


def test_killed_process_leaves_nothing_over() -> None:
    require_lab()
    program = """if True:
        import signal
        from tests.lab import Lab
        with Lab() as lab:
            a = lab.host("a")
            a.plug("eth0", lab.switch("lan"))
            with a.popen("sleep", "1000") as process:
                print(process.pid, flush=True)
                signal.pause()
    """
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        sleeper = int(process.stdout.readline())
        assert is_running(sleeper)
        process.kill()
    wait_until(lambda: is_running(sleeper), lambda running: not running, "the program to be killed")


# --- Where there can be no lab ---------------------------------------------------------------


def test_missing_program_skips_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    require_lab()
    monkeypatch.delenv("TRIO_MCAST_REQUIRE_LAB", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program"):
        require_lab("no-such-program")


def test_missing_program_fails_the_test_if_a_lab_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_lab()
    monkeypatch.setenv("TRIO_MCAST_REQUIRE_LAB", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        require_lab("no-such-program")
