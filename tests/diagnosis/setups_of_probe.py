"""Set-ups in which host ``a`` probes the way to host ``b`` and back: the doctor with a peer.

The responder runs on host ``b`` without privilege. Host ``b`` sends as well, so that the listening
before the probe is over soon.
"""

from __future__ import annotations

import sys

import pytest

from tests.lab import Host

if sys.platform != "linux":
    pytest.skip("the lab is for Linux only", allow_module_level=True)

from .setups import GROUP, GROUP6, PORT, Case, ask, nft, plain_socket, send, setup, sysctl

PEER, PEER6 = "10.0.0.2", "fd00:1::2"
AS_USER = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def respond(case: Case, host: Host | None = None) -> None:
    """Run the responder for the length of the case."""
    arguments = (*AS_USER, sys.executable, "-m", "trio_mcast", "respond")
    responder = case.stack.enter_context((host or case.b).popen(*arguments))
    assert responder.stdout is not None
    assert responder.stdout.readline().startswith("control port 27430")


def probe(case: Case, *, group: str = GROUP, peer: str = PEER, seconds: float = 1) -> None:
    """Have host a probe the way to host b."""
    respond(case)
    ask(case, groups=group, peer=peer, listen_seconds=seconds)
    send(case, group=group)


# Without a fault ---------------------------------------------------------------------------------


@setup("healthy probe")
def healthy_probe(case: Case) -> None:
    probe(case)


@setup("healthy probe ipv6")
def healthy_probe_ipv6(case: Case) -> None:
    probe(case, group=GROUP6, peer=PEER6)


@setup("healthy probe of both")
def healthy_probe_of_both(case: Case) -> None:
    probe(case)
    ask(case, groups=[GROUP, GROUP6])
    send(case, group=GROUP6)


@setup("healthy probe from two interfaces")
def healthy_probe_from_two_interfaces(case: Case) -> None:
    lan = case.lab.switch("lan2")
    case.a.plug("eth1", lan, "10.0.9.1/24")
    case.b.plug("eth1", case.lab.switch("lan3"), "10.0.8.2/24")
    probe(case)


# Unicast and the network -------------------------------------------------------------------------


@setup("isolated ports of a bridge", "no-unicast@peer")
def isolated_ports(case: Case) -> None:
    for port in ("port1", "port2"):
        case.lan.run("bridge", "link", "set", "dev", port, "isolated", "on")
    probe(case)


@setup("nothing answers", "no-unicast@peer")
def nothing_answers(case: Case) -> None:
    ask(case, peer=PEER, listen_seconds=1)
    send(case)


def _routed(case: Case, group: str) -> None:
    lan, far, router = case.lab.switch("near"), case.lab.switch("far"), case.lab.router("router")
    c, d = case.lab.host("c"), case.lab.host("d")
    for number, (host, network) in enumerate(((c, lan), (d, far)), start=1):
        host.plug("eth0", network, f"10.0.{number}.1/24", f"fd00:{number}0::1/64")
        router.plug(f"eth{number}", network, f"10.0.{number}.254/24", f"fd00:{number}0::254/64")
        host.run("ip", "route", "add", "default", "via", f"10.0.{number}.254")
        host.run("ip", "-6", "route", "add", "default", "via", f"fd00:{number}0::254")
    if group:
        router.forward(group, inbound="eth1", outbound="eth2")
        router.forward(group, inbound="eth2", outbound="eth1")
    router.start()
    case.stack.callback(router.stop)
    case.a, case.b = c, d


@setup("a router between, which forwards the group", "ttl-too-small ttl-too-small@peer")
def behind_router(case: Case) -> None:
    _routed(case, GROUP)
    probe(case, peer="10.0.2.1")
    case.sendings.clear()
    send(case, case.b, ttl=8)


@setup("the same, with IPv6", "ttl-too-small ttl-too-small@peer")
def behind_router_ipv6(case: Case) -> None:
    _routed(case, GROUP6)
    probe(case, group=GROUP6, peer="fd00:20::1")
    case.sendings.clear()
    send(case, case.b, group=GROUP6, ttl=8)


@setup(
    "a router between, which forwards no group",
    "no-broadcast-domain no-broadcast-domain@peer",
)
def behind_router_without_multicast(case: Case) -> None:
    _routed(case, "239.9.9.9")
    probe(case, peer="10.0.2.1")


@setup("the switch drops later fragments", "fragments-lost fragments-lost@peer")
def probe_loses_fragments(case: Case) -> None:
    nft(
        case.lan,
        "table bridge f { chain frames { type filter hook forward priority 0; "
        "ip frag-off & 0x1fff != 0 drop; } }",
    )
    probe(case)


@setup("the peer has eth0 and eth1 on one switch", "duplicates-on-two-interfaces@peer")
def peer_has_two_interfaces(case: Case) -> None:
    case.b.plug("eth1", case.lan, "10.0.0.12/24")
    probe(case)


@setup("the switch drops the peer's reports", "filtered-by-snooping@peer")
def peer_reports_lost(case: Case) -> None:
    nft(
        case.lan,
        "table bridge f { chain frames { type filter hook prerouting priority -300; "
        'iifname "port2" ip protocol igmp drop; } }',
    )
    probe(case)


@setup(
    "ports that flood no multicast (mcast_flood off)", "multicast-blocked multicast-blocked@peer"
)
def ports_without_flood(case: Case) -> None:
    case.lan.run("ip", "link", "set", "br0", "type", "bridge", "mcast_snooping", "0")
    for port in ("port1", "port2"):
        case.lan.run("bridge", "link", "set", "dev", port, "mcast_flood", "off")
    probe(case)


@setup(
    "the switch passes unicast only, as isolation of Wi-Fi, clouds and VPNs do",
    "no-broadcast-domain no-broadcast-domain@peer",
)
def unicast_only(case: Case) -> None:
    nft(
        case.lan,
        "table bridge f { chain frames { type filter hook forward priority 0; "
        "ether type arp accept; ether daddr & 01:00:00:00:00:00 != 00:00:00:00:00:00 drop; } }",
    )
    probe(case)


@setup("one way only: the switch drops what the peer gets", "filtered-by-snooping@peer")
def one_way(case: Case) -> None:
    nft(
        case.lan,
        "table bridge f { chain frames { type filter hook forward priority 0; "
        f'oifname "port2" ip daddr {GROUP} drop; }} }}',
    )
    probe(case)


@setup(
    "a switch that snoops, without a querier, and a peer",
    "membership-aged-out@peer",
)
def probe_aged_out(case: Case) -> None:
    lan = case.lab.switch("forgetful", querier=False)
    case.a, case.b = case.lab.host("c"), case.lab.host("d")
    for number, host in enumerate((case.a, case.b), start=1):
        host.plug("eth0", lan, f"10.0.0.{number}/24", f"fd00:1::{number}/64")
    # All groups go to host a: only the membership of the peer can be forgotten.
    lan.run("bridge", "link", "set", "dev", "port1", "mcast_router", "2")
    probe(case, seconds=6)


# The machines ------------------------------------------------------------------------------------


@setup("the peer's rp_filter is 1, and it has no route to the source", "reverse-path-filter@peer")
def peer_rp_filter(case: Case) -> None:
    sysctl(case.b, all__rp_filter=1)
    # What goes to groups comes from the first address.
    case.a.address("eth0", remove=["10.0.0.1/24"], add=["10.77.0.1/24"])
    case.a.address("eth0", add=["10.0.0.1/24"])
    probe(case)


@setup("nft on the peer: input, ip daddr GROUP drop", "firewall@peer")
def peer_firewall(case: Case) -> None:
    nft(
        case.b,
        "table inet f { chain in { type filter hook input priority 0; "
        f"ip daddr {GROUP} drop; }} }}",
    )
    probe(case)


@setup("nft on the peer: prerouting, udp dport PORT drop", "firewall@peer")
def peer_firewall_prerouting(case: Case) -> None:
    nft(
        case.b,
        "table ip f { chain pre { type filter hook prerouting priority -300; "
        f"udp dport {PORT} drop; }} }}",
    )
    probe(case)


@setup("nft on the peer: ip6 input, udp dport PORT drop", "firewall@peer")
def peer_firewall_ipv6(case: Case) -> None:
    nft(
        case.b,
        "table ip6 f { chain in { type filter hook input priority 0; "
        f"udp dport {PORT} drop; }} }}",
    )
    probe(case, group=GROUP6, peer=PEER6)


@setup("another program on the peer has the port", "port-held@peer")
def peer_port_held(case: Case) -> None:
    plain_socket(case, case.b, "0.0.0.0", PORT)
    probe(case)


@setup("nft on this machine: output, ip daddr GROUP drop", "send-blocked")
def probe_send_blocked(case: Case) -> None:
    nft(
        case.a,
        "table ip f { chain out { type filter hook output priority 0; "
        f"ip daddr {GROUP} drop; }} }}",
    )
    probe(case)
