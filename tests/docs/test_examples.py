"""The programs of the documentation run, and do what its pages say."""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import trio

from tests.lab import Host, Lab
from tests.lab.fixtures import TwoHosts, TwoLans
from tests.lab.machine import on
from tests.support.examples import (
    DOCS,
    EXAMPLES,
    PATIENCE_SECONDS,
    ROOT,
    example,
    next_line,
    rest_of_output,
    subscribed,
    unsubscribed,
)
from tests.support.forged_frames import forged, forger
from trio_mcast import Endpoint, open_mcast_receiver, open_mcast_sender

pytestmark = pytest.mark.once

GROUP, PORT = "239.1.2.3", 12345


async def send(host: Host, group: str, *payloads: bytes, source_address: str | None = None) -> None:
    with on(host):
        opening = open_mcast_sender(group, PORT, interfaces="eth0", source_address=source_address)
        async with opening as sender:
            await sender.send_batch(payloads)


async def test_receiver_prints_what_sender_sends(two_hosts: TwoHosts) -> None:
    with two_hosts.b.popen(*example("receiver.py")) as receiver:
        await subscribed(two_hosts.lan, GROUP)
        with two_hosts.a.popen(*example("sender.py")):
            line = await next_line(receiver)
    assert re.fullmatch(r"239\.1\.2\.3 eth0 10\.0\.1\.1:\d+ b'hello \d+'", line)


async def test_receiver_and_sender_meet_on_one_machine_over_loopback(lab: Lab) -> None:
    host = lab.host("alone")
    with (
        host.popen(*example("receiver.py", "lo")) as receiver,
        host.popen(*example("sender.py", "lo")),
    ):
        line = await next_line(receiver)
    assert re.fullmatch(r"239\.1\.2\.3 lo 127\.0\.0\.1:\d+ b'hello \d+'", line)


@pytest.mark.parametrize("arguments", [(), ("eth0",), ("lo",)])
def test_both_receives_what_it_sends(two_hosts: TwoHosts, arguments: tuple[str, ...]) -> None:
    result = two_hosts.a.run(*example("both.py", *arguments))
    assert result.stdout.splitlines() == [
        "received number 0",
        "received number 1",
        "received number 2",
        "left the group",
    ]


async def test_timeout_ends_when_nothing_comes(two_hosts: TwoHosts) -> None:
    result = two_hosts.b.run(*example("timeout.py", "0.1"))
    assert result.stdout == "nothing came in 0.1 seconds\n"


async def test_timeout_prints_what_comes_in_time(two_hosts: TwoHosts) -> None:
    with two_hosts.b.popen(*example("timeout.py", "60")) as receiver:
        await subscribed(two_hosts.lan, GROUP)
        await send(two_hosts.a, GROUP, b"in time")
        assert await rest_of_output(receiver) == ["received b'in time'"]


async def test_several_groups_come_with_ttl_and_time(two_hosts: TwoHosts) -> None:
    groups = ["239.1.2.3", "239.1.2.4", "ff15::1:2:3"]
    with two_hosts.b.popen(*example("several_groups.py")) as receiver:
        for group in groups:
            assert await next_line(receiver) == f"{group} on eth0 joined"
        await subscribed(two_hosts.lan, *groups)
        for group in groups:
            await send(two_hosts.a, group, b"hello")
            line = await next_line(receiver)
            assert re.fullmatch(rf"\d\d:\d\d:\d\d\.\d{{6}} {group} ttl=1 b'hello'", line)


async def test_ports_are_told_apart(two_hosts: TwoHosts) -> None:
    with two_hosts.b.popen(*example("ports.py")) as receiver, on(two_hosts.a):
        await subscribed(two_hosts.lan, GROUP)
        async with open_mcast_sender(GROUP, 5004, interfaces="eth0") as sender:
            await sender.send(b"sound")
            assert await next_line(receiver) == "media: 5 bytes from 10.0.1.1"
            await sender.send(b"so many were lost", to=(GROUP, 5005))
            assert await next_line(receiver) == "report: 17 bytes from 10.0.1.1"


@pytest.mark.parametrize(
    ("name", "group", "listed"),
    [
        ("chosen_sources.py", "232.1.2.3", "10.0.1.1"),
        ("excluded_sources.py", GROUP, "10.0.1.77"),
    ],
)
async def test_sources_are_chosen(two_hosts: TwoHosts, name: str, group: str, listed: str) -> None:
    two_hosts.a.address("eth0", add=["10.0.1.77/24"])
    with two_hosts.b.popen(*example(name, listed)) as receiver:
        await subscribed(two_hosts.lan, group)
        await send(two_hosts.a, group, b"unwanted", source_address="10.0.1.77")
        await send(two_hosts.a, group, b"wanted", source_address="10.0.1.1")
        assert await next_line(receiver) == "from 10.0.1.1 b'wanted'"


async def test_receive_fast_counts(two_hosts: TwoHosts) -> None:
    with two_hosts.b.popen(*example("receive_fast.py", "1")) as receiver:
        await subscribed(two_hosts.lan, GROUP)
        await send(two_hosts.a, GROUP, *[b"12345678"] * 100)
        received, dropped, *limit = await rest_of_output(receiver)
    assert received == "received 100 datagrams, 800 bytes"
    assert dropped == "dropped by the kernel: 0"
    assert all(line.startswith("the receive buffer is limited to") for line in limit)


async def test_losses_are_told_to_the_datagram(two_hosts: TwoHosts) -> None:
    groups = ["239.1.2.3", "239.1.2.4"]
    with two_hosts.b.popen(*example("losses.py", "2")) as receiver:
        await subscribed(two_hosts.lan, *groups)
        for group in groups:
            await send(two_hosts.b, group, b"own")
            await send(two_hosts.a, group, *[b"hello"] * 100)
        told = await rest_of_output(receiver)
    sums: dict[str, int] = {}
    for line in told:
        if not line.startswith(" "):
            place, _, line = line.partition(":")
        if "rejected" in line:
            assert line == f"  rejected, own: {2 if place == 'in all' else 1}"
        else:
            sums[place] = sums.get(place, 0) + sum(map(int, re.findall(r"\d+", line)))
    assert sums == {"in all": 200, "239.1.2.3 on eth0": 100, "239.1.2.4 on eth0": 100}
    assert any(line.startswith("  dropped, as max_buffered waited: ") for line in told)


async def test_send_on_each_sends_on_both_interfaces(two_lans: TwoLans) -> None:
    with on(two_lans.b):
        async with open_mcast_receiver(GROUP, PORT, interfaces=["eth0", "eth1"]) as receiver:
            for lan in (two_lans.lan1, two_lans.lan2):
                await subscribed(lan, GROUP)
            with two_lans.a.popen(*example("send_on_each.py", "eth0", "eth1")) as sender:
                with trio.fail_after(PATIENCE_SECONDS):
                    datagrams = [await receiver.receive() for _ in range(6)]
                assert await rest_of_output(sender) == []
    heard = sorted((datagram.interface.name, datagram.data) for datagram in datagrams)
    assert heard == [
        (name, b"number %d" % number) for name in ("eth0", "eth1") for number in range(3)
    ]


async def test_send_options_reach_the_groups(two_hosts: TwoHosts) -> None:
    groups = ["239.1.2.3", "239.1.2.4"]
    with on(two_hosts.b):
        async with open_mcast_receiver(groups, PORT, receive_ttl=True) as receiver:
            await subscribed(two_hosts.lan, *groups)
            with two_hosts.a.popen(*example("send_options.py", "eth0")) as sender:
                assert await rest_of_output(sender) == ["sending from 10.0.1.1:12346", "sent 7"]
            with trio.fail_after(PATIENCE_SECONDS):
                datagrams = [await receiver.receive() for _ in range(6)]
    assert {(item.source, item.ttl) for item in datagrams} == {(Endpoint("10.0.1.1", 12346), 8)}
    by_group = {group: [item.data for item in datagrams if item.group == group] for group in groups}
    assert by_group == {
        "239.1.2.3": [b"to both groups", b"one", b"two", b"three"],
        "239.1.2.4": [b"to both groups", b"to one group"],
    }


async def test_responder_answers_the_asker_alone(two_hosts: TwoHosts) -> None:
    index = two_hosts.a.index("eth0")
    with two_hosts.a.inside():
        asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with asker, two_hosts.b.popen(*example("responder.py", "eth0")):
        await subscribed(two_hosts.lan, GROUP)
        asker.settimeout(PATIENCE_SECONDS)
        interface = struct.pack("=4s4si", bytes(4), bytes(4), index)  # struct ip_mreqn
        asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        asker.sendto(b"who is there?", (GROUP, PORT))
        answer, (host, _) = await trio.to_thread.run_sync(asker.recvfrom, 100)
    assert (answer, host) == (b"I am", "10.0.1.2")


async def test_unicast_is_answered_as_the_group_is(two_hosts: TwoHosts) -> None:
    with two_hosts.b.popen(*example("unicast.py", "eth0")) as responder:
        await subscribed(two_hosts.lan, GROUP)
        with on(two_hosts.a):
            async with open_mcast_sender(
                GROUP, PORT, interfaces="eth0", receive_replies=True
            ) as asker:
                answering = Endpoint("10.0.1.2", PORT)
                for to, how in ((GROUP, "asked all"), (answering, "asked me")):
                    with trio.fail_after(PATIENCE_SECONDS):
                        await asker.send(b"who is there?", to=to)
                        reply = await asker.replies.receive()
                    assert (reply.data, reply.source) == (b"I am", answering)
                    assert await next_line(responder) == f"{asker.local_endpoints[0]} {how}"


# What the programs say of a source that cannot be answered.
FORGED = [
    (("10.0.1.1", 0), "port 0"),
    (("192.0.2.77", 4000), "no route"),
    (("10.0.1.255", 4000), "broadcast"),
    (("0.1.2.3", 4000), "no host has that address"),
]


@pytest.mark.parametrize("name", ["responder.py", "unicast.py"])
async def test_who_answers_goes_on_after_what_cannot_be_answered(
    two_hosts: TwoHosts, name: str
) -> None:
    question = b"who is there?"
    with (
        forger(two_hosts.a) as raw,
        two_hosts.b.popen(*example(name, "eth0")) as responder,
        on(two_hosts.a),
    ):
        await subscribed(two_hosts.lan, GROUP)
        for source, said in FORGED:
            raw.send(forged(*source, GROUP, PORT, question))
            if name == "unicast.py":
                assert await next_line(responder) == f"{Endpoint(*source)} asked all"
            line = await next_line(responder)
            assert line.startswith(f"no answer: send to {Endpoint(*source)} failed on")
            assert said in line
        opening = open_mcast_sender(GROUP, PORT, interfaces="eth0", receive_replies=True)
        async with opening as asker:
            with trio.fail_after(PATIENCE_SECONDS):
                await asker.send(question)
                assert (await asker.replies.receive()).data == b"I am"


async def test_ssdp_search_lists_who_answers(two_hosts: TwoHosts) -> None:
    group, port = "239.255.255.250", 1900
    answer = b"HTTP/1.1 200 OK\r\nST: lab:light\r\nlocation: http://10.0.1.2/\r\n\r\n"
    with on(two_hosts.b):
        async with (
            open_mcast_receiver(group, port, interfaces="eth0") as receiver,
            open_mcast_sender(group, port, interfaces="eth0", source_port=port) as responder,
        ):
            await subscribed(two_hosts.lan, group)
            with two_hosts.a.popen(*example("ssdp_search.py", "60", "eth0")) as search:
                with trio.fail_after(PATIENCE_SECONDS):
                    question = await receiver.receive()
                assert question.data.startswith(b"M-SEARCH * HTTP/1.1\r\n")
                assert question.data.endswith(b"\r\nST: ssdp:all\r\n\r\n")
                await responder.send(answer, to=question.source)
                assert await next_line(search) == "10.0.1.2:1900 lab:light http://10.0.1.2/"


def test_ssdp_search_ends_when_nobody_answers(two_hosts: TwoHosts) -> None:
    assert two_hosts.a.run(*example("ssdp_search.py", "0.1")).stdout == ""


def test_show_interfaces_tells_which_are_used(two_hosts: TwoHosts) -> None:
    shown = two_hosts.a.run(*example("show_interfaces.py")).stdout
    assert re.search(r"^  \d+ eth0 10\.0\.1\.1/24 .*fd00:1::1/64", shown, re.MULTILINE)
    assert "A receiver joins on: eth0\n" in shown
    assert "A sender to 239.1.2.3 sends on: (no route)\n" in shown


async def test_watch_interfaces_tells_how_they_come_and_go(lab: Lab) -> None:
    host = lab.host("alone")
    with host.popen(*example("watch_interfaces.py")) as watching:
        assert await next_line(watching) == "there are lo"
        for command, line in [
            ("link add br0 type bridge", "added br0 down"),
            ("address add 10.9.9.9/24 dev br0", "changed br0 down 10.9.9.9/24"),
            ("link set br0 up", "changed br0 up 10.9.9.9/24"),
            ("link delete br0", "removed br0 up 10.9.9.9/24"),
        ]:
            host.run("ip", *command.split())
            assert await next_line(watching) == line


async def test_follow_receives_on_an_interface_that_comes_later(lab: Lab) -> None:
    lan = lab.switch("lan")
    late, there = lab.host("late"), lab.host("there")
    there.plug("eth0", lan, "10.0.1.2/24")
    with late.popen(*example("follow.py", "eth0")) as following:
        assert await next_line(following) == f"{GROUP} eth0 waiting"
        late.plug("eth0", lan, "10.0.1.1/24")
        assert await next_line(following) == f"group {GROUP} on interface eth0 is joined"
        await subscribed(lan, GROUP)
        await send(there, GROUP, b"good morning")
        assert await next_line(following) == "eth0 b'good morning'"
        late.unplug("eth0")
        assert await next_line(following) == f"group {GROUP} on interface eth0 is waiting"


async def test_send_early_sends_when_the_interface_has_come(lab: Lab) -> None:
    lan = lab.switch("lan")
    early, there = lab.host("early"), lab.host("there")
    there.plug("eth0", lan, "10.0.1.2/24")
    with on(there):
        async with open_mcast_receiver(GROUP, PORT, interfaces="eth0") as receiver:
            with early.popen(*example("send_early.py", "eth0")) as sending:
                line = await next_line(sending)
                assert line.startswith(f"send to {GROUP}:{PORT} failed on interface eth0: ")
                assert "no interface is called 'eth0'" in line
                early.plug("eth0", lan, "10.0.1.1/24")
                with trio.fail_after(PATIENCE_SECONDS):
                    assert (await receiver.receive()).source.host == "10.0.1.1"


async def test_programs_with_and_without_multicast_expert_do_the_same(two_hosts: TwoHosts) -> None:
    shown = []
    for receiver, sender in [
        ("expert_receiver.py", "expert_sender.py"),
        ("moved_receiver.py", "moved_sender.py"),
    ]:
        with two_hosts.b.popen(*example(receiver)) as receiving:
            await subscribed(two_hosts.lan, GROUP)
            two_hosts.a.run(*example(sender, "eth0"))
            (line,) = await rest_of_output(receiving)
        await unsubscribed(two_hosts.lan, GROUP)
        shown.append(re.sub(r":\d+ ", ":PORT ", line))
    assert shown == ["10.0.1.1:PORT b'hello'"] * 2


@pytest.mark.parametrize("receiver", ["plain_receiver.py", "from_plain_receiver.py"])
@pytest.mark.parametrize("sender", ["plain_sender.py", "from_plain_sender.py"])
async def test_programs_with_plain_sockets_and_without_do_the_same(
    two_hosts: TwoHosts, receiver: str, sender: str
) -> None:
    with two_hosts.b.popen(*example(receiver, "10.0.1.2")) as receiving:
        await subscribed(two_hosts.lan, GROUP)
        two_hosts.a.run(*example(sender, "10.0.1.1"))
        (line,) = await rest_of_output(receiving)
    assert re.fullmatch(r"10\.0\.1\.1:\d+ b'hello'", line)


def test_keep_open_hears_itself_and_ends(two_hosts: TwoHosts) -> None:
    shown = two_hosts.a.run(*example("keep_open.py", "eth0")).stdout
    assert shown.splitlines() == ["b'number 0'", "b'number 1'", "b'number 2'", "closed"]


async def test_follow_program_does_as_it_is_told(two_hosts: TwoHosts) -> None:
    more = "239.1.2.4"
    with two_hosts.b.popen(*example("follow_program.py", "eth0")) as following:
        await subscribed(two_hosts.lan, GROUP)
        for order, answer in [
            (f"join {more}", f"{GROUP}, {more}"),
            (f"join {more}", f"no: group {more} is joined on interface eth0 already: "),
            ("block 10.0.1.9", f"{GROUP}, {more}"),
        ]:
            await send(two_hosts.a, GROUP, order.encode())
            assert (await next_line(following)).startswith(answer)
        await subscribed(two_hosts.lan, more)
        await send(two_hosts.a, more, b"something")
        assert await next_line(following) == f"{more} b'something'"
        await send(two_hosts.a, GROUP, f"leave {more}".encode())
        assert await next_line(following) == GROUP


async def test_follow_program_goes_on_when_the_system_refuses(two_hosts: TwoHosts) -> None:
    limited = ("sh", "-c", 'ulimit -n 30; exec "$@"', "sh")
    with two_hosts.b.popen(*limited, *example("follow_program.py", "eth0")) as following:
        await subscribed(two_hosts.lan, GROUP)
        orders = [b"join 239.1.3.%d" % number for number in range(1, 31)]
        await send(two_hosts.a, GROUP, *orders, b"leave 239.1.3.1")
        answers = [await next_line(following) for _ in range(31)]
    assert re.search(r"^no: .*file descriptors", answers[-2])
    assert re.fullmatch(rf"{GROUP}, 239\.1\.3\.2, .*", answers[-1])


def test_show_plan_is_what_the_page_says() -> None:
    shown = subprocess.run(example("show_plan.py"), check=True, capture_output=True, text=True)
    page = (DOCS / "howto" / "plan.rst").read_text()
    assert textwrap.indent(shown.stdout, "    ") in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((GROUP, "12345", "eth0"), "joined on eth0"),
        (("10.0.1.1", "12345"), "that cannot be asked for: '10.0.1.1' is not a multicast group"),
        ((GROUP, "12345", "eth9"), "which interface? no interface is called 'eth9'"),
        ((GROUP, "12345"), "joined on eth0"),
    ],
)
def test_handle_errors_tells_them_apart(
    two_hosts: TwoHosts, arguments: tuple[str, ...], said: str
) -> None:
    shown = two_hosts.a.run(*example("handle_errors.py", *arguments)).stdout
    assert shown.startswith(said)


def test_handle_errors_tells_what_the_system_refused(two_hosts: TwoHosts) -> None:
    with two_hosts.a.inside():
        selfish = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with selfish:
        selfish.bind(("", PORT))
        shown = two_hosts.a.run(*example("handle_errors.py", GROUP, str(PORT), "eth0")).stdout
    assert shown.startswith("refused at bind (errno 98): ")
    assert "another program is bound to this port" in shown


def run_pytest(project: Path) -> str:
    """Run pytest in a project of its own, configured as the page says, and return its output."""
    page = (DOCS / "testing.rst").read_text()
    (configuration,) = re.findall(r"^\.\. code-block:: ini\n\n((?:    .*\n)+)", page, re.MULTILINE)
    (project / "pytest.ini").write_text(textwrap.dedent(configuration))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    ended = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    return ended.stdout


def test_tests_of_presence_pass_in_a_project_of_their_own(tmp_path: Path) -> None:
    for name in ("presence.py", "test_presence.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    assert "6 passed" in run_pytest(tmp_path)


async def test_presence_prints_who_is_there(two_hosts: TwoHosts) -> None:
    with (
        two_hosts.a.popen(*example("presence.py", "anna", "eth0")),
        two_hosts.b.popen(*example("presence.py", "bert", "eth0")) as bert,
    ):
        line = "there are"
        while line == "there are":
            line = await next_line(bert)
        assert line == "there are anna"
        # What is no text is no reason to end.
        await send(two_hosts.a, GROUP, b"\xff")
        while line == "there are anna":
            line = await next_line(bert)
    assert line == r"there are \xff anna"


def test_fixture_of_a_virtual_network_is_found(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((EXAMPLES / "virtual_network_fixture.py").read_text())
    test = "async def test_it(virtual_network):\n    assert virtual_network.trace == []\n"
    (tmp_path / "test_it.py").write_text(test)
    assert "1 passed" in run_pytest(tmp_path)


def test_fixture_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "pytest_trio.py").write_text("raise ModuleNotFoundError(name='pytest_trio')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = (sys.executable, "-c", "import trio_mcast.testing.fixtures")
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    said = "ImportError: the fixture needs pytest_trio, which is not installed: "
    assert ended.stderr.splitlines()[-1] == f'{said}pip install "trio-mcast[testing]"'


def test_virtual_trace_is_what_the_page_shows() -> None:
    command = example("virtual_trace.py")
    shown = subprocess.run(command, check=True, capture_output=True, text=True)
    page = (DOCS / "testing.rst").read_text()
    assert textwrap.indent(shown.stdout, "    ") in page
