"""More faults and networks without one, as in `setups`: senders, limits, IPv6, two at once."""

from __future__ import annotations

import socket
import struct
import sys
import threading

import pytest

from tests.lab import Host

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

from .setups import (
    GROUP,
    GROUP6,
    PORT,
    Case,
    ask,
    join,
    nft,
    plain_socket,
    querier,
    second_lan,
    send,
    send_from_elsewhere,
    setup,
    sysctl,
)

INPUT = "table inet f {{ chain in {{ type filter hook input priority 0; {} }} }}"
OUTPUT = "table inet f {{ chain out {{ type filter hook {} priority 0; {} }} }}"
# As a host has it that lets in the answers to what it asked.
STATEFUL = (
    "policy drop; ct state established,related accept; iif lo accept; ip protocol igmp accept; "
    "meta l4proto ipv6-icmp accept;"
)


def answer(case: Case, host: Host, group: str = GROUP) -> None:
    """Have a program on a host answer each datagram to a group by unicast."""
    sock = plain_socket(case, host, "::" if ":" in group else "0.0.0.0", PORT, reuse=True)
    index = host.index("eth0")
    if ":" in group:
        request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("I", index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    else:
        request = struct.pack("4s4si", socket.inet_aton(group), bytes(4), index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    sock.settimeout(0.05)
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            try:
                data, source = sock.recvfrom(2_000)
                sock.sendto(data, source)
            except OSError:
                continue

    thread = threading.Thread(target=run)
    thread.start()
    case.stack.callback(thread.join)
    case.stack.callback(ended.set)


def ask_sender(case: Case, group: str = GROUP) -> None:
    """Ask as a sender that sends."""
    ask(case, groups=group, interfaces="eth0", role="sender", send=8, listen_seconds=1.0)


# Senders -----------------------------------------------------------------------------------------


@setup("nft: output, ip daddr GROUP drop", "send-blocked")
def send_blocked_output(case: Case) -> None:
    nft(case.a, OUTPUT.format("output", f"ip daddr {GROUP} counter drop;"))
    ask_sender(case)


@setup("nft: output, udp reject", "send-blocked")
def send_blocked_by_reject(case: Case) -> None:
    nft(case.a, OUTPUT.format("output", f"udp dport {PORT} reject;"))
    ask_sender(case)


@setup("nft: postrouting, ip6 daddr GROUP drop", "send-blocked")
def send_blocked_postrouting_ipv6(case: Case) -> None:
    nft(case.a, OUTPUT.format("postrouting", f"ip6 daddr {GROUP6} drop;"))
    ask_sender(case, GROUP6)


@setup("nft: netdev egress, udp drop", "send-blocked", user="")
def send_blocked_egress(case: Case) -> None:
    nft(
        case.a,
        "table netdev f { chain out { type filter hook egress device eth0 priority 0; "
        f"udp dport {PORT} counter drop; }} }}",
    )
    ask_sender(case)


@setup("nft: input lets in answers to what was asked, and no others", "replies-blocked", user="")
def replies_blocked(case: Case) -> None:
    nft(case.a, INPUT.format(STATEFUL))
    answer(case, case.b)
    ask_sender(case)


@setup("the same, with IPv6", "replies-blocked", user="")
def replies_blocked_ipv6(case: Case) -> None:
    nft(case.a, INPUT.format(STATEFUL))
    answer(case, case.b, GROUP6)
    ask_sender(case, GROUP6)


@setup("a program on the same machine sends with IP_MULTICAST_LOOP 0", "sender-loopback-off", "")
def sender_loopback_off(case: Case) -> None:
    send(case, case.a, has_loop=False)


@setup("the same, with IPv6", "sender-loopback-off", "")
def sender_loopback_off_ipv6(case: Case) -> None:
    ask(case, groups=GROUP6)
    send(case, case.a, group=GROUP6, has_loop=False)


def macvlan(case: Case) -> None:
    """Give the host an interface that stands on eth0."""
    case.a.run("ip", "link", "add", "mv0", "link", "eth0", "type", "macvlan", "mode", "bridge")
    case.a.run("ip", "address", "add", "10.0.0.21/24", "dev", "mv0")
    case.a.run("ip", "link", "set", "mv0", "up")


@setup("a macvlan on eth0 asked for, sent on eth0 by the same machine", "macvlan-parent")
def macvlan_child(case: Case) -> None:
    macvlan(case)
    ask(case, interfaces="mv0")
    send(case, case.a)


@setup("eth0 asked for, sent on a macvlan on it by the same machine", "macvlan-parent")
def macvlan_parent(case: Case) -> None:
    macvlan(case)
    ask(case, interfaces="eth0")
    send(case, case.a, interface="mv0", source="10.0.0.21")


@setup("healthy: sent, and let out")
def healthy_send(case: Case) -> None:
    nft(case.a, OUTPUT.format("output", "ip daddr 239.9.9.9 drop;"))
    ask_sender(case)


@setup("healthy: sent, and answered")
def healthy_replies(case: Case) -> None:
    nft(case.a, INPUT.format(STATEFUL + f" udp sport {PORT} accept;"))
    answer(case, case.b)
    ask_sender(case)


@setup("healthy: sent, and answered, with IPv6")
def healthy_replies_ipv6(case: Case) -> None:
    answer(case, case.b, GROUP6)
    ask_sender(case, GROUP6)


@setup("healthy: on a macvlan, from the network")
def healthy_macvlan(case: Case) -> None:
    macvlan(case)
    ask(case, interfaces="mv0")
    send(case)


@setup("healthy: a sender on two interfaces with a route")
def healthy_sender_with_route(case: Case) -> None:
    second_lan(case, case.a)
    case.a.run("ip", "route", "add", "239.0.0.0/8", "dev", "eth1")
    ask(case, role="sender", send=5, listen_seconds=0.5)


# Limits and openings -----------------------------------------------------------------------------


@setup("igmp_max_memberships 0", "source-or-membership-limit")
def membership_limit(case: Case) -> None:
    case.a.namespace.set_parameters({"ipv4/igmp_max_memberships": "0"})
    send(case)


@setup("eth0.disable_ipv6 1", "cannot-join")
def ipv6_switched_off(case: Case) -> None:
    case.a.namespace.set_parameters({"ipv6/conf/eth0/disable_ipv6": "1"})
    ask(case, groups=GROUP6, interfaces="eth0")


@setup("an IPv6 group, and another program is bound to [::]", "port-held")
def port_held_ipv6(case: Case) -> None:
    plain_socket(case, case.a, "::", PORT)
    ask(case, groups=GROUP6)
    send(case, group=GROUP6)


@setup("a group names an interface that is not there", "no-such-interface")
def no_such_zone(case: Case) -> None:
    ask(case, groups=f"{GROUP}%eth7")
    send(case)


@setup("another program reads nothing, and its buffer is full", "other-program-drops")
def other_program_drops(case: Case) -> None:
    sock = plain_socket(case, case.a, GROUP, PORT, reuse=True)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_304)
    request = struct.pack("4s4si", socket.inet_aton(GROUP), bytes(4), case.a.index("eth0"))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    send(case)


@setup("the sender stops", "stopped-arriving")
def stopped(case: Case) -> None:
    ask(case, listen_seconds=6.0)
    send(case, pause=0.25, ends_after=2.5, watched=case.a)


@setup("more datagrams than the reader can take", "receive-buffer-overflow")
def buffer_overflow(case: Case) -> None:
    ask(case, listen_seconds=1.0)
    for _ in range(6):
        send(case, pause=0.0, size=1_400)


@setup("nft: a map, at the hook input, mangle", "firewall")
def firewall_map(case: Case) -> None:
    nft(
        case.a,
        "table ip f { chain in { type filter hook input priority -150; "
        f"ip daddr vmap {{ {GROUP} : drop }}; }} }}",
    )
    send(case)


@setup("nft: raw, before connections are tracked", "firewall")
def firewall_raw(case: Case) -> None:
    nft(
        case.a,
        "table inet f { chain pre { type filter hook prerouting priority -300; "
        f"meta l4proto udp ip daddr {GROUP} notrack drop; }} }}",
    )
    send(case)


@setup("nothing but an address of IPv6, and a group of IPv4 from elsewhere", "firewall")
def firewall_without_address(case: Case) -> None:
    case.a.address("eth0", remove=["10.0.0.1/24"])
    nft(case.a, INPUT.format(f"ip daddr {GROUP} drop;"))
    send(case)


# IPv6 --------------------------------------------------------------------------------------------


@setup("IPv6: sent to another port", "other-port")
def other_port_ipv6(case: Case) -> None:
    ask(case, groups=GROUP6)
    send(case, group=GROUP6, port=17_000)


@setup("IPv6: eth1 asked for, comes on eth0", "other-interface")
def other_interface_ipv6(case: Case) -> None:
    second_lan(case, case.a)
    ask(case, groups=GROUP6, interfaces="eth1")
    send(case, group=GROUP6)


@setup("IPv6: eth0 and eth1 on one switch", "duplicates-on-two-interfaces")
def duplicates_ipv6(case: Case) -> None:
    case.a.plug("eth1", case.lan, "fd00:1::11/64")
    ask(case, groups=GROUP6)
    send(case, group=GROUP6)


@setup("IPv6: the switch drops later fragments", "fragments-lost")
def fragments_lost_ipv6(case: Case) -> None:
    nft(
        case.lan,
        "table bridge f { chain frames { type filter hook forward priority 0; "
        "ether type ip6 frag frag-off != 0 drop; } }",
    )
    ask(case, groups=GROUP6)
    send(case, group=GROUP6, size=4_000)


@setup("nft: ip6 input, policy drop, but for ICMPv6", "firewall")
def firewall_policy_ipv6(case: Case) -> None:
    nft(case.a, INPUT.format("policy drop; meta l4proto ipv6-icmp accept;"))
    ask(case, groups=GROUP6)
    send(case, group=GROUP6)


# Two at once, and one of several -----------------------------------------------------------------


@setup("rp_filter 1 drops the source, and nft the group", "reverse-path-filter")
def rp_filter_before_firewall(case: Case) -> None:
    sysctl(case.a, all__rp_filter=1)
    nft(case.a, INPUT.format(f"ip daddr {GROUP} drop;"))
    send_from_elsewhere(case)


@setup("nft drops one of two groups", "firewall")
def firewall_for_one_of_two_groups(case: Case) -> None:
    nft(case.a, INPUT.format(f"ip daddr {GROUP} counter drop;"))
    ask(case, groups=[GROUP, "239.1.2.4"])
    send(case)
    send(case, group="239.1.2.4")


@setup("one of two groups is sent to another port", "other-port")
def other_port_of_one_group(case: Case) -> None:
    ask(case, groups=[GROUP, GROUP6])
    send(case)
    send(case, group=GROUP6, port=PORT + 1)


@setup("nft drops the group, a source asked for", "firewall")
def firewall_and_other_source(case: Case) -> None:
    nft(case.a, INPUT.format(f"ip daddr {GROUP} counter drop;"))
    ask(case, sources=["10.0.0.2"])
    send(case)


# The machine itself ------------------------------------------------------------------------------


def ask_machine(case: Case) -> None:
    """Ask about the machine itself."""
    ask(case, groups=[], port=None, listen_seconds=0.5)


@setup("the machine: 224.0.0.0/4 via a gateway", "multicast-route-via-gateway")
def machine_with_gateway(case: Case) -> None:
    case.a.run("ip", "route", "add", "224.0.0.0/4", "via", "10.0.0.2")
    ask_machine(case)


@setup("the machine: nothing but loopback", "no-such-interface")
def machine_without_interface(case: Case) -> None:
    case.a = case.lab.host("only-lo")
    ask_machine(case)


@setup("the machine: nft drops IGMP, a querier asks", "queries-unanswered", user="")
def machine_that_answers_no_query(case: Case) -> None:
    nft(case.a, INPUT.format("ip protocol igmp drop;"))
    join(case, case.a, GROUP)
    querier(case)
    ask(case, groups=[], port=None, listen_seconds=5.0)


@setup("healthy: the machine, with programs that have joined")
def healthy_machine(case: Case) -> None:
    join(case, case.a, GROUP)
    case.a.run("ip", "link", "add", "docker0", "type", "bridge")
    ask_machine(case)
    send(case)


# Without a fault ---------------------------------------------------------------------------------


def behind_router(case: Case, ttl: int) -> None:
    """Have a host behind a router ask, and send with a ttl."""
    far = case.lab.switch("far")
    router, host = case.lab.router("router"), case.lab.host("c")
    router.plug("eth0", case.lan, "10.0.0.254/24")
    router.plug("eth1", far, "10.0.7.254/24")
    host.plug("eth0", far, "10.0.7.1/24")
    host.run("ip", "route", "add", "default", "via", "10.0.7.254")
    sysctl(host, all__rp_filter=1)
    case.stack.callback(router.stop)
    router.forward(GROUP, inbound="eth0", outbound="eth1")
    router.start()
    case.a = host
    ask(case, routed=True)
    send(case, ttl=ttl)


@setup("healthy: behind a router, rp_filter 1")
def healthy_routed(case: Case) -> None:
    behind_router(case, ttl=3)


@setup("silent: a ttl of 1, and a router between")
def silent_behind_router(case: Case) -> None:
    behind_router(case, ttl=1)


@setup("healthy: in a container behind the host's bridge")
def healthy_container(case: Case) -> None:
    container = case.lab.host("container")
    bridge = case.lab.switch("bridge")
    container.plug("eth0", bridge, "172.17.0.2/16")
    case.b.plug("eth1", bridge, "172.17.0.3/16")
    case.a = container
    send(case, interface="eth1")


@setup("healthy: IPv6 source")
def healthy_source_ipv6(case: Case) -> None:
    ask(case, groups=GROUP6, sources=["fd00:1::2"])
    send(case, group=GROUP6, source="fd00:1::2")


@setup("healthy: 232.1.2.3 with its source")
def healthy_ssm(case: Case) -> None:
    ask(case, groups="232.1.2.3", sources=["10.0.0.2"])
    send(case, group="232.1.2.3")


@setup("healthy: three groups")
def healthy_three_groups(case: Case) -> None:
    groups = [GROUP, "239.8.8.8", GROUP6]
    ask(case, groups=groups)
    for group in groups:
        send(case, group=group)


@setup("healthy: 4,000 bytes, IPv6")
def healthy_fragments_ipv6(case: Case) -> None:
    ask(case, groups=GROUP6)
    send(case, group=GROUP6, size=4_000)


@setup("healthy: ff02:: on one of two interfaces")
def healthy_link_scope(case: Case) -> None:
    second_lan(case, case.a)
    ask(case, groups="ff02::1:2%eth0")
    send(case, group="ff02::1:2")


@setup("healthy: 224.0.0.x")
def healthy_local_group(case: Case) -> None:
    ask(case, groups="224.0.0.199")
    send(case, group="224.0.0.199")


@setup("healthy: force_igmp_version 2, no sources asked for")
def healthy_old_igmp(case: Case) -> None:
    sysctl(case.a, all__force_igmp_version=2)
    send(case)


@setup("healthy: a firewall that knows states and lets the group in")
def healthy_stateful_firewall(case: Case) -> None:
    nft(case.a, INPUT.format(f"{STATEFUL} ip daddr {GROUP} udp dport {PORT} counter accept;"))
    join(case, case.a, "239.9.9.9")
    send(case)
    send(case, group="239.9.9.9")
    send(case, group="10.0.0.1", port=6_000)


@setup("healthy: a firewall that rejects broadcasts and another group of IPv6")
def healthy_firewall_ipv6(case: Case) -> None:
    nft(case.a, INPUT.format("ip6 daddr ff15::9 drop; udp dport 6000 reject;"))
    ask(case, groups=GROUP6)
    send(case, group=GROUP6)
    send(case, group="ff15::9")


@setup("healthy: the same data on two networks from two senders")
def healthy_two_networks(case: Case) -> None:
    second_lan(case, case.a, case.b)
    send(case)
    send(case, interface="eth1", source="10.0.9.2")


@setup("healthy: loose filter, and a default route")
def healthy_loose_filter(case: Case) -> None:
    case.a.run("ip", "route", "add", "default", "via", "10.0.0.254")
    sysctl(case.a, all__rp_filter=2)
    send_from_elsewhere(case)


@setup("healthy: other programs on the port, one with unicast")
def healthy_shared_port(case: Case) -> None:
    plain_socket(case, case.a, "10.0.0.1", PORT, reuse=True)
    plain_socket(case, case.a, "0.0.0.0", PORT + 1, reuse=True)
    send(case)


@setup("healthy: four senders, each at its own pace")
def healthy_several_senders(case: Case) -> None:
    for number in range(4):
        send(case, pause=0.3 + number / 10)


@setup("healthy: a switch that snoops, with a querier, for a while")
def healthy_snooping(case: Case) -> None:
    ask(case, listen_seconds=4.0)
    send(case, pause=0.5)


@setup("healthy: a macvlan and a bridge beside")
def healthy_virtual_beside(case: Case) -> None:
    macvlan(case)
    case.a.run("ip", "link", "add", "br9", "type", "bridge")
    case.a.run("ip", "link", "set", "br9", "up")
    ask(case, interfaces="eth0")
    send(case)


@setup("healthy: the port of a bridge, by the bridge")
def healthy_bridge(case: Case) -> None:
    case.a.plug("eth1", case.lan)
    case.a.run("ip", "link", "add", "br9", "type", "bridge")
    case.a.run("ip", "link", "set", "eth1", "master", "br9")
    case.a.run("ip", "address", "add", "10.0.0.31/24", "dev", "br9")
    case.a.run("ip", "link", "set", "br9", "up")
    ask(case, interfaces="br9")
    send(case)


@setup("silent: broadcasts, and a program of this machine sends to another group")
def silent_with_broadcasts(case: Case) -> None:
    send(case, case.a, group="239.5.5.5")
    send(case, group="224.0.0.1", port=9_000)


@setup("silent: a program of this machine has IP_MULTICAST_LOOP 0, and sends to another group")
def silent_with_other_loop(case: Case) -> None:
    send(case, case.a, group="239.5.5.5", has_loop=False)


@setup("silent: nft drops another group that is joined, and much else comes")
def silent_behind_firewall(case: Case) -> None:
    nft(case.a, INPUT.format("ip daddr 239.9.9.9 counter drop;"))
    join(case, case.a, "239.9.9.9")
    send(case, group="239.9.9.9")
    send(case, group="10.0.0.1", port=6_000)


@setup("silent: the switch drops the group")
def silent_dropped_in_switch(case: Case) -> None:
    nft(
        case.lan,
        "table bridge f { chain frames { type filter hook forward priority 0; "
        f"ip daddr {GROUP} drop; }} }}",
    )
    send(case)
    send(case, group="239.5.5.5")
