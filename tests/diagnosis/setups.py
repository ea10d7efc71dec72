"""Faults, and networks without one, made of real kernels, with what the doctor should say.

Each set-up is a function that makes it in a lab, and tells the host to look at, the question, the
senders, and the codes that are to be found, as root and without privilege. Unless it says
otherwise, host ``b`` (10.0.0.2) sends, and host ``a`` (10.0.0.1) is the one that is looked at.
"""

from __future__ import annotations

import math
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import attrs
import pytest

from tests.lab import Host, Lab, Switch

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

GROUP: str = "239.1.2.3"
GROUP6: str = "ff15::1:2:3"
PORT: int = 5000
SWAPPED = 34_835  # 5000 with its bytes in the other order
LISTEN_SECONDS = 2.0
_PAUSE_SECONDS = 0.02


@attrs.frozen
class Sending:
    """One sender: who sends, where to, and how."""

    host: Host
    group: str = GROUP
    port: int = PORT
    interface: str = "eth0"
    source: str | None = None
    ttl: int = 1
    size: int = 100
    pause: float = _PAUSE_SECONDS
    is_spoilt: bool = False
    has_loop: bool = True
    # The seconds after another host has joined something, and that host.
    ends_after: float | None = None
    watched: Host | None = None


@attrs.define
class Case:
    """A set-up that was made."""

    lab: Lab
    a: Host
    b: Host
    lan: Switch
    stack: ExitStack
    question: dict[str, Any] = attrs.Factory(lambda: {"groups": GROUP, "port": PORT})
    sendings: list[Sending] = attrs.Factory(list)


@attrs.frozen
class Setup:
    """A set-up, and the codes of the errors and warnings that are to be found in it."""

    name: str
    how: str
    make: Callable[[Case], None]
    root: frozenset[str]
    user: frozenset[str]


SETUPS: dict[str, Setup] = {}


def setup(
    how: str, root: str = "", user: str | None = None
) -> Callable[[Callable[[Case], None]], None]:
    """Register a set-up and how it is made. Without codes, it is a network without a fault."""

    def register(make: Callable[[Case], None]) -> None:
        name = make.__name__
        codes = frozenset(root.split())
        found_by_user = codes if user is None else frozenset(user.split())
        SETUPS[name] = Setup(name, how, make, codes, found_by_user)

    return register


@contextmanager
def made(one: Setup) -> Iterator[Case]:
    """Make a set-up, and send in it, for the length of the block."""
    with Lab() as lab, ExitStack() as stack:
        lan = lab.switch("lan")
        a, b = lab.host("a"), lab.host("b")
        for number, host in enumerate((a, b), start=1):
            host.plug("eth0", lan, f"10.0.0.{number}/24", f"fd00:1::{number}/64")
        case = Case(lab, a, b, lan, stack)
        case.question["listen_seconds"] = LISTEN_SECONDS
        one.make(case)
        ended = threading.Event()
        threads = [
            threading.Thread(target=_send, args=(_open(sending), sending, ended))
            for sending in case.sendings
        ]
        for thread in threads:
            thread.start()
        try:
            yield case
        finally:
            ended.set()
            for thread in threads:
                thread.join()


def _open(sending: Sending) -> socket.socket:
    is_ipv6 = ":" in sending.group
    index = sending.host.index(sending.interface)
    kind, protocol = (
        (socket.SOCK_RAW, socket.IPPROTO_UDP) if sending.is_spoilt else (socket.SOCK_DGRAM, 0)
    )
    with sending.host.inside():
        sock = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, kind, protocol)
    if is_ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, sending.ttl)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, int(sending.has_loop))
    else:
        request = struct.pack("4s4si", bytes(4), bytes(4), index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, sending.ttl)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, int(sending.has_loop))
    if sending.source is not None:
        sock.bind((sending.source, 0))
    return sock


def _send(sock: socket.socket, sending: Sending, ended: threading.Event) -> None:
    number, begun = 0, math.inf
    with sock:
        while not ended.wait(sending.pause):
            if sending.watched is not None and begun == math.inf:
                # 239.1.2.3, as a machine with the low byte first writes it.
                is_joined = "030201EF" in sending.watched.read("/proc/net/igmp")
                begun = time.monotonic() if is_joined else begun
            if sending.ends_after is not None and time.monotonic() - begun > sending.ends_after:
                return
            number += 1
            data = b"%08d" % number + bytes(sending.size)
            if sending.is_spoilt:  # With a header of its own: ports, length, a wrong checksum.
                data = struct.pack("!4H", 9, sending.port, len(data) + 8, 0xBAD) + data
            try:
                sock.sendto(data, (sending.group, sending.port))
            except OSError:
                continue  # Refused, as is wanted in some set-ups.


def plain_socket(case: Case, host: Host, address: str, port: int, **options: bool) -> socket.socket:
    """Open a socket that is bound as another program's."""
    with host.inside():
        sock = case.stack.enter_context(
            socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        )
    if options.get("reuse"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    return sock


def join(case: Case, host: Host, group: str, interface: str = "eth0", port: int = PORT) -> None:
    """Join as another program."""
    sock = plain_socket(case, host, group, port, reuse=True)
    request = struct.pack("4s4si", socket.inet_aton(group), bytes(4), host.index(interface))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)


def ask(case: Case, **question: Any) -> None:
    """Ask something else."""
    case.question.update(question)


def send(case: Case, host: Host | None = None, **how: Any) -> None:
    """Have a host send."""
    case.sendings.append(Sending(host or case.b, **how))


def sysctl(host: Host, **values: int) -> None:
    """Set settings of IPv4 (``all__rp_filter``) on a host."""
    host.namespace.set_parameters(
        {f"ipv4/conf/{name.replace('__', '/')}": str(value) for name, value in values.items()}
    )


def second_lan(case: Case, *hosts: Host) -> None:
    """Give hosts an interface eth1 on another network."""
    lan = case.lab.switch("lan2")
    for host in hosts:
        number = 1 if host is case.a else 2
        host.plug("eth1", lan, f"10.0.9.{number}/24", f"fd00:9::{number}/64")


def nft(host: Host | Switch, rules: str) -> None:
    """Load rules."""
    host.run("nft", "-f", "-", input=rules.replace("} }", "}\n}\n"))


# Interfaces and openings -------------------------------------------------------------------------


@setup("ip link set eth0 down", "interface-down")
def interface_down(case: Case) -> None:
    case.a.down("eth0")
    ask(case, interfaces="eth0")
    send(case)


@setup("the port at the other end is down", "no-carrier")
def no_carrier(case: Case) -> None:
    case.lan.run("ip", "link", "set", "port1", "down")
    send(case)


@setup("ip link set eth0 multicast off", "no-multicast-flag")
def no_multicast_flag(case: Case) -> None:
    case.a.run("ip", "link", "set", "eth0", "multicast", "off")
    ask(case, interfaces="eth0")
    send(case)


@setup("an interface is named that is not there", "no-such-interface")
def no_such_interface(case: Case) -> None:
    ask(case, interfaces="eth7")


@setup("another program is bound to 0.0.0.0 without SO_REUSEADDR", "port-held")
def port_held(case: Case) -> None:
    plain_socket(case, case.a, "0.0.0.0", PORT)
    send(case)


@setup("another program is bound to [::] without SO_REUSEADDR", "port-held")
def port_held_by_dual_stack(case: Case) -> None:
    plain_socket(case, case.a, "::", PORT)
    send(case)


# Filters on the host -----------------------------------------------------------------------------


def send_from_elsewhere(case: Case) -> None:
    """Send from an address of another network."""
    case.b.address("eth0", add=["10.77.0.2/24"])
    send(case, source="10.77.0.2")


@setup("all.rp_filter 1, and a source without a route", "reverse-path-filter")
def rp_filter_strict(case: Case) -> None:
    sysctl(case.a, all__rp_filter=1)
    send_from_elsewhere(case)


@setup("eth0.rp_filter 2, and no route at all to the source", "reverse-path-filter")
def rp_filter_loose_without_route(case: Case) -> None:
    sysctl(case.a, eth0__rp_filter=2)
    send_from_elsewhere(case)


@setup("all.rp_filter 1, and the default route on eth1", "reverse-path-filter")
def rp_filter_with_default_route_elsewhere(case: Case) -> None:
    second_lan(case, case.a)
    case.a.run("ip", "route", "add", "default", "via", "10.0.9.254", "dev", "eth1")
    sysctl(case.a, all__rp_filter=1)
    send_from_elsewhere(case)


@setup("all.rp_filter 1, and one of two sources without a route", "reverse-path-filter")
def rp_filter_for_one_of_two_sources(case: Case) -> None:
    sysctl(case.a, all__rp_filter=1)
    send_from_elsewhere(case)
    send(case)


@setup("nft: input, ip daddr GROUP counter drop", "firewall")
def firewall_input(case: Case) -> None:
    nft(
        case.a,
        "table inet f { chain in { type filter hook input priority 0; "
        f"ip daddr {GROUP} counter drop; }} }}",
    )
    send(case)


@setup("nft: input, policy drop", "firewall")
def firewall_policy(case: Case) -> None:
    nft(
        case.a,
        "table inet f { chain in { type filter hook input priority 0; policy drop; "
        "ip protocol igmp accept; meta l4proto ipv6-icmp accept; } }",
    )
    send(case)


@setup("nft: prerouting, udp dport PORT drop", "firewall")
def firewall_prerouting(case: Case) -> None:
    nft(
        case.a,
        "table ip f { chain pre { type filter hook prerouting priority -300; "
        f"udp dport {PORT} counter drop; }} }}",
    )
    send(case)


@setup("nft: ip6 input, udp dport PORT drop", "firewall")
def firewall_ipv6(case: Case) -> None:
    nft(
        case.a,
        "table ip6 f { chain in { type filter hook input priority 0; "
        f"udp dport {PORT} counter drop; }} }}",
    )
    ask(case, groups=GROUP6)
    send(case, group=GROUP6)


@setup("nft: input, one of two sources dropped", "firewall")
def firewall_for_one_of_two_sources(case: Case) -> None:
    case.b.address("eth0", add=["10.0.0.3/24"])
    nft(
        case.a,
        "table inet f { chain in { type filter hook input priority 0; "
        "ip saddr 10.0.0.3 counter drop; } }",
    )
    send(case)
    send(case, source="10.0.0.3")


@setup("nft: input, every second datagram dropped", "firewall")
def firewall_for_every_second(case: Case) -> None:
    nft(
        case.a,
        "table inet f { chain in { type filter hook input priority 0; "
        f"udp dport {PORT} numgen inc mod 2 0 counter drop; }} }}",
    )
    send(case)


@setup(
    "eth0 and eth1 on one switch, sent from eth1",
    "source-is-own-address sent-on-another-interface",
    user="sent-on-another-interface",
)
def source_is_own_address(case: Case) -> None:
    case.a.plug("eth1", case.lan, "10.0.0.11/24")
    ask(case, interfaces="eth0")
    send(case, case.a, interface="eth1", source="10.0.0.11")


@setup("4,000 bytes, and the switch drops later fragments", "fragments-lost")
def fragments_lost(case: Case) -> None:
    nft(
        case.lan,
        "table bridge f { chain frames { type filter hook forward priority 0; "
        "ip frag-off & 0x1fff != 0 drop; } }",
    )
    send(case, size=4_000)


# Elsewhere ---------------------------------------------------------------------------------------


@setup("source 10.0.0.77 asked for, 10.0.0.2 sends", "other-source")
def other_source(case: Case) -> None:
    ask(case, sources=["10.0.0.77"])
    send(case)


@setup("source fd00:1::77 asked for, another one sends", "other-source")
def other_source_ipv6(case: Case) -> None:
    ask(case, groups=GROUP6, sources=["fd00:1::77"])
    send(case, group=GROUP6)


@setup("sent to the next port", "other-port")
def other_port_next(case: Case) -> None:
    send(case, port=PORT + 1)


@setup("sent to a port that nobody has", "other-port")
def other_port_unknown(case: Case) -> None:
    send(case, port=17_000)


@setup("sent to another program's port", "other-port")
def other_port_of_a_program(case: Case) -> None:
    plain_socket(case, case.a, "0.0.0.0", 17_000, reuse=True)
    send(case, port=17_000)


@setup("sent to port 34835, which is 5000 with its bytes swapped", "port-byte-order")
def port_byte_order(case: Case) -> None:
    send(case, port=SWAPPED)


@setup("eth1 asked for, comes on eth0", "other-interface")
def other_interface(case: Case) -> None:
    second_lan(case, case.a)
    ask(case, interfaces="eth1")
    send(case)


@setup("a program on the same machine sends on eth1, eth0 asked for", "sent-on-another-interface")
def sent_on_another_interface(case: Case) -> None:
    second_lan(case, case.a)
    ask(case, interfaces="eth0")
    send(case, case.a, interface="eth1")


@setup("eth0 and eth1 on one switch", "duplicates-on-two-interfaces")
def duplicates(case: Case) -> None:
    case.a.plug("eth1", case.lan, "10.0.0.11/24")
    send(case)


# The network -------------------------------------------------------------------------------------


def _forgetful_lan(case: Case, group: str) -> None:
    lan = case.lab.switch("forgetful", querier=False)
    c, d = case.lab.host("c"), case.lab.host("d")
    for number, host in enumerate((c, d), start=1):
        host.plug("eth0", lan, f"10.0.5.{number}/24", f"fd00:5::{number}/64")
    case.a, case.b = c, d
    ask(case, groups=group, listen_seconds=7.0)
    send(case, group=group, pause=0.2)


@setup("a switch that snoops, without a querier", "membership-aged-out")
def aged_out(case: Case) -> None:
    _forgetful_lan(case, GROUP)


@setup("the same, with IPv6", "membership-aged-out")
def aged_out_ipv6(case: Case) -> None:
    _forgetful_lan(case, GROUP6)


@setup("force_igmp_version 2, and a source asked for", "igmp-version-too-low")
def igmp_version(case: Case) -> None:
    sysctl(case.a, eth0__force_igmp_version=2)
    ask(case, sources=["10.0.0.2"])
    send(case)


@setup("force_mld_version 1, and a source asked for", "mld-version-too-low")
def mld_version(case: Case) -> None:
    case.a.namespace.set_parameters({"ipv6/conf/eth0/force_mld_version": "1"})
    ask(case, groups=GROUP6, sources=["fd00:1::2"])
    send(case, group=GROUP6, source="fd00:1::2")


@setup("232.1.2.3 without sources", "ssm-without-source")
def ssm_without_source(case: Case) -> None:
    ask(case, groups="232.1.2.3")
    send(case, group="232.1.2.3")


@setup("224.0.0.99, and a router between", "scope-does-not-cross-routers")
def scope(case: Case) -> None:
    ask(case, groups="224.0.0.99", routed=True)


# Senders -----------------------------------------------------------------------------------------


@setup("two interfaces, no route, none named", "no-route-for-group")
def no_route(case: Case) -> None:
    second_lan(case, case.a)
    ask(case, role="sender", listen_seconds=0.2)


@setup("ip route add 224.0.0.0/4 via 10.0.0.2", "multicast-route-via-gateway")
def via_gateway(case: Case) -> None:
    case.a.run("ip", "route", "add", "224.0.0.0/4", "via", "10.0.0.2")
    ask(case, role="sender", listen_seconds=0.2)


@setup("224.0.0.0/4 dev docker0", "virtual-interface-by-default")
def virtual_by_default(case: Case) -> None:
    case.a.run("ip", "link", "add", "docker0", "type", "bridge")
    case.a.run("ip", "address", "add", "172.17.0.1/16", "dev", "docker0")
    case.a.run("ip", "link", "set", "docker0", "up")
    case.a.run("ip", "route", "add", "224.0.0.0/4", "dev", "docker0")
    ask(case, role="sender", listen_seconds=0.2)


@setup("a program sends with ttl 1, and a router stands between", "ttl-too-small", user="")
def ttl_too_small(case: Case) -> None:
    ask(case, role="sender", routed=True, listen_seconds=0.5)
    send(case, case.a)


@setup("only lo, without a route", "no-ipv6-multicast-route-on-lo")
def no_route_on_lo(case: Case) -> None:
    case.a = case.lab.host("only-lo")
    ask(case, groups=GROUP6, interfaces="lo")
    send(case, case.a, group=GROUP6, interface="lo")


@setup("ff00::/8 dev lo, not of the type local", "ipv6-lo-route-of-wrong-type")
def wrong_route_on_lo(case: Case) -> None:
    case.a = case.lab.host("only-lo")
    case.a.run("ip", "-6", "route", "add", "ff00::/8", "dev", "lo", "table", "local")
    ask(case, groups=GROUP6, interfaces="lo")
    send(case, case.a, group=GROUP6, interface="lo")


# Without a fault ---------------------------------------------------------------------------------


@setup("healthy")
def healthy(case: Case) -> None:
    send(case)


@setup("healthy ipv6")
def healthy_ipv6(case: Case) -> None:
    ask(case, groups=GROUP6)
    send(case, group=GROUP6)


@setup("healthy both")
def healthy_both(case: Case) -> None:
    ask(case, groups=[GROUP, GROUP6])
    send(case)
    send(case, group=GROUP6)


@setup("healthy two interfaces")
def healthy_two_interfaces(case: Case) -> None:
    second_lan(case, case.a)
    send(case)


@setup("healthy lo")
def healthy_lo(case: Case) -> None:
    ask(case, interfaces="lo")
    send(case, case.a, interface="lo")


@setup("healthy lo ipv6")
def healthy_lo_ipv6(case: Case) -> None:
    case.a.run("ip", "-6", "route", "add", "local", "ff00::/8", "dev", "lo")
    ask(case, groups=GROUP6, interfaces="lo")
    send(case, case.a, group=GROUP6, interface="lo")


@setup("healthy rp filter")
def healthy_rp_filter(case: Case) -> None:
    sysctl(case.a, all__rp_filter=1)
    send(case)


@setup("healthy rp filter drops another group")
def healthy_rp_filter_drops_another_group(case: Case) -> None:
    sysctl(case.a, all__rp_filter=1)
    join(case, case.a, "239.9.9.9")
    case.b.address("eth0", add=["10.77.0.2/24"])
    send(case)
    send(case, source="10.77.0.2", group="239.9.9.9")


@setup("healthy firewall that drops another group")
def healthy_firewall_that_drops_another_group(case: Case) -> None:
    join(case, case.a, "239.9.9.9")
    nft(
        case.a,
        "table inet f { chain in { type filter hook input priority 0; policy drop; "
        f"ip protocol igmp accept; meta l4proto ipv6-icmp accept; ip daddr {GROUP} accept; }} }}",
    )
    send(case)
    send(case, group="239.9.9.9")


@setup("healthy other traffic")
def healthy_other_traffic(case: Case) -> None:
    send(case)
    for number in range(5):
        send(case, group=f"239.5.5.{number}", port=5_100 + number)


@setup("healthy fragments")
def healthy_fragments(case: Case) -> None:
    send(case, size=4_000)


@setup("healthy source")
def healthy_source(case: Case) -> None:
    ask(case, sources=["10.0.0.2"])
    send(case)


@setup("healthy own sender")
def healthy_own_sender(case: Case) -> None:
    send(case, case.a)


@setup("healthy joined by another")
def healthy_joined_by_another(case: Case) -> None:
    join(case, case.a, GROUP)
    send(case)


@setup("healthy slow")
def healthy_slow(case: Case) -> None:
    send(case, pause=0.6)


@setup("healthy fast")
def healthy_fast(case: Case) -> None:
    send(case, pause=0.001)


@setup("healthy without ipv4 address")
def healthy_without_ipv4_address(case: Case) -> None:
    case.a.address("eth0", remove=["10.0.0.1/24"])
    send(case)


@setup("healthy docker beside")
def healthy_docker_beside(case: Case) -> None:
    case.a.run("ip", "link", "add", "docker0", "type", "bridge")
    case.a.run("ip", "link", "set", "docker0", "up")
    send(case)


@setup("healthy sender of one interface")
def healthy_sender_of_one_interface(case: Case) -> None:
    ask(case, role="sender", listen_seconds=0.2)
    send(case, case.a)


@setup("silent")
def silent(case: Case) -> None:
    pass


@setup("silent ipv6")
def silent_ipv6(case: Case) -> None:
    ask(case, groups=GROUP6)


@setup("silent with other groups")
def silent_with_other_groups(case: Case) -> None:
    for number in range(5):
        send(case, group=f"239.5.5.{number}", port=5_100 + number)
    join(case, case.a, "239.5.5.0", port=5_100)


@setup("silent with unicast")
def silent_with_unicast(case: Case) -> None:
    plain_socket(case, case.a, "10.0.0.1", 6_000)
    send(case, group="10.0.0.1", port=6_000)
    send(case, group="10.0.0.1", port=6_001)


@setup("silent behind rp filter")
def silent_behind_rp_filter(case: Case) -> None:
    sysctl(case.a, all__rp_filter=1)
    join(case, case.a, "239.9.9.9")
    case.b.address("eth0", add=["10.77.0.2/24"])
    send(case, source="10.77.0.2", group="239.9.9.9")


@setup("a datagram has a wrong checksum", "bad-checksum")
def bad_checksum(case: Case) -> None:
    send(case, is_spoilt=True)


@setup("another machine has the address, and sends", "duplicate-address", user="firewall")
def duplicate_address(case: Case) -> None:
    case.b.address("eth0", add=["10.0.0.1/24"])
    send(case, source="10.0.0.1")


@setup("nft: netdev ingress drop", "firewall", user="")
def firewall_ingress(case: Case) -> None:
    nft(
        case.a,
        "table netdev f { chain in { type filter hook ingress device eth0 priority 0; "
        f"udp dport {PORT} counter drop; }} }}",
    )
    send(case)


@setup("nft: a rule that checks the route back (fib)", "firewall")
def firewall_fib(case: Case) -> None:
    nft(
        case.a,
        "table ip f { chain pre { type filter hook prerouting priority -300; "
        "fib saddr . iif oif missing counter drop; } }",
    )
    send_from_elsewhere(case)


@setup("4,000 bytes, eth0 and eth1 on one switch, both joined", "fragments-merged")
def fragments_merged(case: Case) -> None:
    case.a.plug("eth1", case.lan, "10.0.0.11/24")
    send(case, size=4_000)


def querier(case: Case) -> None:
    """Have the switch ask from an address."""
    case.lan.run("ip", "address", "add", "10.9.9.9/24", "dev", "br0")
    case.lan.run("ip", "link", "set", "br0", "type", "bridge", "mcast_query_use_ifaddr", "1")
    ask(case, listen_seconds=5.0)
    send(case, pause=0.4)


@setup(
    "queries from an address without a route, rp_filter 1",
    "queries-dropped-by-reverse-path-filter",
    user="",
)
def queries_filtered(case: Case) -> None:
    sysctl(case.a, all__rp_filter=1)
    querier(case)


@setup("nft: ip protocol igmp drop", "queries-unanswered", user="")
def queries_unanswered(case: Case) -> None:
    nft(
        case.a,
        "table ip f { chain in { type filter hook input priority 0; ip protocol igmp drop; } }",
    )
    querier(case)


@setup("healthy: queries from an address, answered")
def healthy_queries(case: Case) -> None:
    querier(case)


@setup("healthy: a sender that sends in bursts")
def healthy_bursts(case: Case) -> None:
    ask(case, listen_seconds=4.0)
    send(case, pause=1.1)


@setup("healthy: 4,000 bytes, two interfaces on two networks")
def healthy_fragments_on_two_networks(case: Case) -> None:
    second_lan(case, case.a, case.b)
    send(case, size=4_000)
    send(case, interface="eth1", size=4_000)


@setup("healthy: a tunnel without a carrier beside, which has the default route")
def healthy_tunnel_beside(case: Case) -> None:
    case.a.run("ip", "tuntap", "add", "tun0", "mode", "tun")
    case.a.run("ip", "address", "add", "10.8.0.1/24", "dev", "tun0")
    case.a.run("ip", "link", "set", "tun0", "up")
    case.a.run("ip", "route", "add", "default", "dev", "tun0")
    sysctl(case.a, all__rp_filter=2)
    send(case)


@setup("silent: another program has joined the group")
def silent_joined_by_another(case: Case) -> None:
    join(case, case.a, "239.9.9.9")


@setup("silent: two interfaces")
def silent_two_interfaces(case: Case) -> None:
    second_lan(case, case.a, case.b)


@setup("silent: a download goes on and ends")
def silent_with_much_unicast(case: Case) -> None:
    plain_socket(case, case.a, "10.0.0.1", 6_000)
    send(case, group="10.0.0.1", port=6_000, pause=0.001)
    send(case, group="10.0.0.1", port=6_001, pause=0.01)


@setup("silent: a network that floods other groups")
def silent_flooded(case: Case) -> None:
    case.lan.run("ip", "link", "set", "br0", "type", "bridge", "mcast_snooping", "0")
    for number in range(5):
        send(case, group=f"239.5.5.{number}", port=5_100 + number, pause=0.01)
        send(case, group=f"ff15::5:{number}", port=5_100 + number, pause=0.01)
    ask(case, groups=[GROUP, GROUP6])
