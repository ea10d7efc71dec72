"""The lab's own tests: that its networks are what the tests built on it take them for."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab import Host, Lab, LabError, Subscription, Switch
from tests.lab._polling import wait_until
from tests.lab.fixtures import TwoHosts, TwoLans, require_lab
from tests.lab.sockets import (
    MCAST_BLOCK_SOURCE,
    MCAST_JOIN_GROUP,
    MCAST_JOIN_SOURCE_GROUP,
    PORT,
    SIOCGIFINDEX,
    Sockets,
    frames_before,
    is_ipv6,
    join,
)
from tests.support.needs import needs_program

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

pytestmark = pytest.mark.once

FAMILIES = pytest.mark.parametrize("group", ["239.1.2.3", "ff05::1:2:3"])


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    """Give something that opens sockets."""
    with ExitStack() as stack:
        yield Sockets(stack)


def three_hosts(lab: Lab, lan: Switch) -> tuple[Host, Host, Host]:
    """Make hosts a, b, c on a switch."""
    hosts = (lab.host("a"), lab.host("b"), lab.host("c"))
    for number, host in enumerate(hosts, start=1):
        host.plug("eth0", lan, f"10.0.1.{number}/24", f"fd00:1::{number}/64")
    return hosts


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
    require_lab("smcrouted")
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


# --- Switches --------------------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize(
    ("options", "seen"),
    [({}, 0), ({"flood": True}, 5), ({"snooping": False}, 5), ({"querier": False}, 0)],
    ids=["snooping", "flood", "no-snooping", "no-querier"],
)
def test_switch_sends_a_group_where_it_should(
    lab: Lab, sockets: Sockets, group: str, options: dict[str, bool], seen: int
) -> None:
    lan = lab.switch("lan", **options)
    a, b, c = three_hosts(lab, lan)
    receiver = sockets.receiver(b, group)
    if options.get("snooping", True):
        lan.wait_for(lambda _: lan.subscriptions(group) != ())
    sniffer = sockets.sniffer(c)
    sender = sockets.sender(a, group)
    for number in range(5):
        sender.sendto(b"datagram %d" % number, (group, PORT))
    # Every host is a member of this one, whatever the switch thinks.
    sender.sendto(b"marker", ("ff02::1" if is_ipv6(group) else "224.0.0.1", PORT))
    assert [receiver.recv(100) for _ in range(5)] == [b"datagram %d" % n for n in range(5)]
    assert sum(b"datagram" in frame for frame in frames_before(sniffer, b"marker")) == seen


@pytest.mark.parametrize("group", ["224.0.0.251", "ff02::fb"])
def test_switch_delivers_link_local_groups(
    two_hosts: TwoHosts, sockets: Sockets, group: str
) -> None:
    receiver = sockets.receiver(two_hosts.b, group) if not is_ipv6(group) else None
    if receiver is None:
        receiver = sockets.plain(two_hosts.b, group)
        index = two_hosts.b.index("eth0")
        receiver.bind((group, PORT, 0, index))
        join(receiver, MCAST_JOIN_GROUP, index, group)
        two_hosts.lan.wait_for(lambda _: two_hosts.lan.subscriptions(group) != ())
    sockets.sender(two_hosts.a, group).sendto(b"hello", (group, PORT))
    assert receiver.recv(100) == b"hello"


@FAMILIES
def test_switch_shows_joins_and_leaves(two_hosts: TwoHosts, sockets: Sockets, group: str) -> None:
    lan = two_hosts.lan
    receivers = [sockets.receiver(host, group) for host in (two_hosts.a, two_hosts.b)]
    expected = {Subscription(group, name, "eth0", "exclude", frozenset()) for name in ("a", "b")}
    lan.wait_for(lambda _: set(lan.subscriptions(group)) == expected)
    receivers[0].close()
    lan.wait_for(lambda seen: [s.host for s in seen if s.group == group] == ["b"])
    receivers[1].close()
    lan.wait_for(lambda _: lan.subscriptions(group) == ())


@FAMILIES
@pytest.mark.parametrize("mode", ["include", "exclude"])
def test_switch_shows_sources(two_hosts: TwoHosts, sockets: Sockets, group: str, mode: str) -> None:
    lan, b = two_hosts.lan, two_hosts.b
    sources = ["fd00:1::77", "fd00:1::78"] if is_ipv6(group) else ["10.0.1.77", "10.0.1.78"]
    sock = sockets.plain(b, group)
    option = MCAST_JOIN_SOURCE_GROUP
    if mode == "exclude":
        join(sock, MCAST_JOIN_GROUP, b.index("eth0"), group)
        option = MCAST_BLOCK_SOURCE
    for source in sources:
        join(sock, option, b.index("eth0"), group, source)
    lan.wait_for(
        lambda seen: (
            [(s.filter_mode, s.sources) for s in seen if s.group == group]
            == [(mode, frozenset(sources))]
        )
    )
    sock.close()
    lan.wait_for(lambda _: lan.subscriptions(group) == ())


def test_switch_without_querier_forgets_subscriptions(lab: Lab, sockets: Sockets) -> None:
    lan = lab.switch("lan", querier=False)
    a = lab.host("a")
    a.plug("eth0", lan)
    sockets.receiver(a, "239.1.2.3")
    lan.wait_for(lambda _: lan.subscriptions("239.1.2.3") != ())
    lan.wait_for(lambda _: lan.subscriptions("239.1.2.3") == (), timeout=10)


def test_wait_for_shows_what_it_saw_last(two_hosts: TwoHosts, sockets: Sockets) -> None:
    sockets.receiver(two_hosts.a, "239.1.2.3")
    two_hosts.lan.wait_for(lambda seen: any(s.group == "239.1.2.3" for s in seen))
    with pytest.raises(TimeoutError, match=r"<Switch 'lan'>.*239\.1\.2\.3"):
        two_hosts.lan.wait_for(lambda seen: False, timeout=0)


async def test_wait_for_async_returns_what_it_waited_for(
    two_hosts: TwoHosts, sockets: Sockets
) -> None:
    sockets.receiver(two_hosts.a, "239.1.2.3")
    seen = await two_hosts.lan.wait_for_async(
        lambda seen: any(s.group == "239.1.2.3" for s in seen)
    )
    assert Subscription("239.1.2.3", "a", "eth0", "exclude", frozenset()) in seen
    with pytest.raises(TimeoutError, match="subscriptions"):
        await two_hosts.lan.wait_for_async(lambda seen: False, timeout=0)


# --- Routers ---------------------------------------------------------------------------------


@needs_program("smcrouted")
@pytest.mark.parametrize("when", ["before start", "after start"])
@FAMILIES
def test_router_passes_on_what_has_ttl_left(
    lab: Lab, sockets: Sockets, group: str, when: str
) -> None:
    lan1, lan2 = lab.switch("lan1"), lab.switch("lan2")
    a, b, router = lab.host("a"), lab.host("b"), lab.router("router")
    a.plug("eth0", lan1, "10.0.1.1/24", "fd00:1::1/64")
    b.plug("eth0", lan2, "10.0.2.1/24", "fd00:2::1/64")
    router.plug("lan1", lan1, "10.0.1.254/24", "fd00:1::fe/64")
    router.plug("lan2", lan2, "10.0.2.254/24", "fd00:2::fe/64")
    if when == "after start":
        router.start()
    router.forward(group, inbound="lan1", outbound="lan2")
    if when == "before start":
        router.start()

    receiver = sockets.receiver(b, group)
    lan2.wait_for(lambda _: lan2.subscriptions(group) != ())
    # Without a route a host has no source address for a group of larger scope than link-local.
    a.run("ip", "-6", "route", "add", "default", "via", "fd00:1::fe")
    sockets.sender(a, group, ttl=1).sendto(b"ttl 1", (group, PORT))
    sockets.sender(a, group, ttl=2).sendto(b"ttl 2", (group, PORT))
    assert receiver.recv(100) == b"ttl 2"


@needs_program("ping")
def test_router_passes_on_unicast(lab: Lab) -> None:
    lan1, lan2 = lab.switch("lan1"), lab.switch("lan2")
    router = lab.router("router")
    for number, lan in enumerate((lan1, lan2), start=1):
        router.plug(f"lan{number}", lan, f"10.0.{number}.254/24", f"fd00:{number}::fe/64")
        host = lab.host(f"host{number}")
        host.plug("eth0", lan, f"10.0.{number}.1/24", f"fd00:{number}::1/64")
        host.run("ip", "route", "add", "default", "via", f"10.0.{number}.254")
        host.run("ip", "-6", "route", "add", "default", "via", f"fd00:{number}::fe")
    host.run("ping", "-c1", "-W2", "10.0.1.1")
    host.run("ping", "-c1", "-W2", "fd00:1::1")


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
