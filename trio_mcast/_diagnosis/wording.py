"""The sentences of each code: what is the case, and what to do about it. Pure.

The texts are templates: ``{interface}``, ``{group}``, ``{port}`` of the question, and the values
that the rule of the code gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Wording(NamedTuple):
    """The texts of one code.

    Attributes:
        what: What is the case.
        cure: What to do about it.
    """

    what: str
    cure: str


WORDINGS: Final[Mapping[str, Wording]] = {
    "no-such-interface": Wording(
        "This machine has no interface {interface}; it has: {names}.",
        "Name one of them, or plug it in; ip link shows all.",
    ),
    "interface-down": Wording(
        "Interface {interface} is switched off.", "ip link set {interface} up"
    ),
    "no-carrier": Wording(
        "Interface {interface} is switched on, but has no carrier: nothing is at its other end.",
        "Look at the cable, the port of the switch and the machine at the other end.",
    ),
    "no-multicast-flag": Wording(
        "Interface {interface} is not marked as capable of multicast. Linux sends and receives "
        "there all the same, but programs that choose interfaces by the mark leave it out.",
        "ip link set {interface} multicast on, or name the interface in each program.",
    ),
    "descriptor-limit": Wording(
        "No file descriptor was left for a socket for {group} on {interface}.",
        "Close what is not needed, or raise the limit: ulimit -n 65536.",
    ),
    "source-or-membership-limit": Wording(
        "The system has refused the membership of {group} on {interface} at {step}: {error}.",
        "Raise the limits: sysctl net.ipv4.igmp_max_msf=64 for sources, "
        "sysctl net.ipv4.igmp_max_memberships=256 for groups, sysctl net.ipv6.mld_max_msf=64 "
        "for sources of IPv6.",
    ),
    "port-held": Wording(
        "Another program has port {port} and does not share it: {holders}.",
        "Stop that program, or have it set SO_REUSEADDR before it binds; as root, "
        "ss -ulnp sport = :{port} shows which it is.",
    ),
    "cannot-join": Wording(
        "The system has refused the membership of {group} on {interface} at {step}: {error}.",
        "See the reason that the system gives.",
    ),
    "source-is-own-address": Wording(
        "{missing} datagrams of {group} came in on {interface} from {source}, an address of this "
        "machine, sent by another of its own interfaces. Linux drops those.",
        "sysctl net.ipv4.conf.{interface}.accept_local=1",
    ),
    "duplicate-address": Wording(
        "{missing} datagrams of {group} came in on {interface} from {source}, an address of this "
        "machine, but another machine sent them ({links}): two machines have the same address.",
        "Give one of the two another address.",
    ),
    "queries-dropped-by-reverse-path-filter": Wording(
        "The reverse path filter drops the queries of {querier} on {interface}: {count} came, and "
        "none was answered. So the network forgets this machine's memberships after some minutes.",
        "ip route add {querier}/32 dev {interface}, or loosen the filter: sysctl "
        "net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{interface}.rp_filter=2 (0 instead of 2 "
        "without a default route).",
    ),
    "queries-unanswered": Wording(
        "{count} queries of {querier} came on {interface}, and this machine answered none of "
        "them. So the network forgets its memberships after some minutes. Most often a firewall "
        "drops IGMP or MLD.",
        "nft insert rule {chain} ip protocol igmp accept; firewall-cmd --add-protocol=igmp; "
        "ufw allow in proto igmp to 224.0.0.0/4. For IPv6 let ICMPv6 in.",
    ),
    "fragments-merged": Wording(
        "The fragments of large datagrams of {group} come on {interface} and on {second}, which "
        "are in one network. The system puts them together once for both, and gives the result "
        "to {second} only.",
        "Receive on one interface only, in all programs, or send datagrams that fit into one "
        "packet: at most the MTU less {headers} bytes.",
    ),
    "other-group": Wording(
        "Datagrams come to port {port} on {interface}, but for {group} and not for {asked}: "
        "{count} were seen.",
        "Use the same group at both ends.",
    ),
    "ttl-too-small": Wording(
        "This machine sends to {group} on {interface} with a ttl of 1, so the first router ends "
        "the datagrams: {count} were seen.",
        "Send with a ttl larger than the number of routers: ttl=8.",
    ),
    "reverse-path-filter": Wording(
        "The reverse path filter ({mode}) of {interface} drops the datagrams of {group}: this "
        "machine would send to their source through another interface, or has no route to it at "
        "all. The larger of the settings for all interfaces and for this one counts.",
        "Add a route to the source, ip route add SOURCE/32 dev {interface}; or loosen the filter, "
        "sysctl net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{interface}.rp_filter=2 "
        "(0 instead of 2 if there is no route to the source at all, not even a default route).",
    ),
    "firewall": Wording(
        "Datagrams of {group} reach this machine and are dropped before any socket, by its packet "
        "filter ({hook}): {count} were missing.",
        "nft list ruleset, or iptables-save, shows the rules. Let the group in: "
        "nft insert rule {chain} {ip} daddr {group} udp dport {port} accept; "
        "firewall-cmd --add-rich-rule='rule family={family} destination address={group} "
        "port port={port} protocol=udp accept'; "
        "ufw allow in proto udp to {group} port {port}.",
    ),
    "bad-checksum": Wording(
        "{count} datagrams of {group} came with a wrong checksum and were dropped.",
        "On the sender, ethtool -K INTERFACE tx off; between virtual machines or containers the "
        "checksum was maybe never made.",
    ),
    "fragments-lost": Wording(
        "Fragments of large datagrams of {group} come, but never all of one: {count} fragments "
        "came and no datagram was made whole.",
        "Send datagrams that fit into one packet: at most the MTU less {headers} bytes. Else find "
        "the switch, router or filter that drops later fragments.",
    ),
    "receive-buffer-overflow": Wording(
        "{drops} datagrams of {group} on {interface} were lost, as the receive buffer of {buffer} "
        "bytes was full.",
        "Ask for a larger one with receive_buffer_size, and raise what the system grants: sysctl "
        "net.core.rmem_max=8388608 (now {most}).",
    ),
    "other-program-drops": Wording(
        "A socket of another program ({program}, bound to {address}, port {number}) lost {drops} "
        "datagrams, as its receive buffer was full.",
        "That program reads too slowly, or needs a larger receive buffer.",
    ),
    "other-source": Wording(
        "Datagrams of {group} come on {interface}, but from {sources}, and only {asked} is wanted.",
        "Name that source, or leave the sources out.",
    ),
    "port-byte-order": Wording(
        "Datagrams of {group} come on {interface}, but to port {seen}: that is {port} with its two "
        "bytes in the other order. They come from {sources}.",
        "In the sender, convert the port with htons().",
    ),
    "other-port": Wording(
        "Datagrams of {group} come to another port than {port}: {seen}; from: {sources}.",
        "Use the same port at both ends.",
    ),
    "other-interface": Wording(
        "Datagrams of {group} come on {interface}, from {sources}, and not on {asked}.",
        'Receive on {interface}: interfaces="{interface}".',
    ),
    "sent-on-another-interface": Wording(
        "A program on this machine sends to {group} on {interface}, and not on {asked}. Looped "
        "back datagrams come on the interface that they were sent on.",
        'Receive on {interface}, or have the sender send on another one: interfaces="...".',
    ),
    "duplicates-on-two-interfaces": Wording(
        "Both {interface} and {second} got the same datagrams of {group}, {count} of them: both "
        "are in one network.",
        "Receive on one of the two.",
    ),
    "membership-aged-out": Wording(
        "{count} datagrams of {group} came on {interface}, then none for {silence} s, and {again} "
        "at once after joining again. A switch has forgotten the membership: it snoops on IGMP or "
        "MLD, and no querier asks for reports, or the answers are lost.",
        "Enable a querier in one switch or router of the network; on a Linux bridge, "
        "ip link set BRIDGE type bridge mcast_querier 1, or mcast_snooping 0.",
    ),
    "stopped-arriving": Wording(
        "{count} datagrams of {group} came on {interface}, then none for {silence} s, nor after "
        "joining again.",
        "Look whether the sender still sends.",
    ),
    "igmp-version-too-low": Wording(
        "Sources are wanted, but {interface} speaks an IGMP that cannot name them: {because}. This "
        "machine filters all the same; routers cannot.",
        "Where this machine's own setting is the reason and no network needs it (some clouds speak "
        "IGMPv2 only): sysctl net.ipv4.conf.{interface}.force_igmp_version=0, and for all. Where a "
        "querier is: have it speak IGMPv3.",
    ),
    "mld-version-too-low": Wording(
        "Sources are wanted, but {interface} speaks an MLD that cannot name them: {because}. This "
        "machine filters all the same; routers cannot.",
        "Where this machine's own setting is the reason: sysctl "
        "net.ipv6.conf.{interface}.force_mld_version=0, and for all. Where a querier is: have it "
        "speak MLDv2.",
    ),
    "joined-before-no-new-report": Wording(
        "Another program had joined {group} on {interface} already (memberships: {users}). So "
        "joining again reported nothing to the network: if a switch has forgotten the membership, "
        "this listening could not show it.",
        "Stop the other program for a moment and run this again.",
    ),
    "ssm-without-source": Wording(
        "{group} is in {network}, whose groups are for receivers that name their sources "
        "(RFC 4607). In one network it works without; routers do not forward it.",
        "Name the sender: sources=... or --source.",
    ),
    "scope-does-not-cross-routers": Wording(
        "{group} stays in one network: no router forwards it.", "Use a group in {wide}."
    ),
    "shared-ethernet-address": Wording(
        "{group} and {other} have the same Ethernet address. The system tells them apart; network "
        "cards and many switches do not, and pass on both.",
        "If that is too much traffic, use groups that differ in their last 23 bits (IPv6: 32).",
    ),
    "aliases-link-local-block": Wording(
        "{group} has the Ethernet address of {other}. Switches send that everywhere.",
        "Use a group whose last 23 bits are not those of 224.0.0.x.",
    ),
    "send-blocked": Wording(
        "{refused} of {tried} datagrams to {group} on {interface} did not leave this machine: "
        "{how}.",
        "See the reason. EPERM is from the packet filter, and nothing seen leaving is most often, "
        "too: nft list ruleset, or iptables-save, shows the rules at the hooks output, postrouting "
        "and egress. Let the group out: "
        "nft insert rule {chain} {ip} daddr {group} udp dport {port} accept; "
        "ufw allow out proto udp to {group} port {port}.",
    ),
    "replies-blocked": Wording(
        "{seen} answers to what was sent to {group} on {interface} reached this machine, and none "
        "the sender: dropped by {hook}. A firewall that lets in the answers to what was asked does "
        "not know these, as the question went to a group and the answer comes from a machine.",
        "Let in what comes from the port: nft insert rule {chain} udp sport {port} accept; "
        "firewall-cmd --add-source-port={port}/udp; ufw allow in proto udp from any port {port}.",
    ),
    "sender-loopback-off": Wording(
        "A program on this machine that sends to {group} may have switched off the copy for this "
        "machine (IP_MULTICAST_LOOP): {what}, and none came back.",
        "Switch it on in the sender: IP_MULTICAST_LOOP or IPV6_MULTICAST_LOOP 1; loopback=True.",
    ),
    "macvlan-parent": Wording(
        "{child} is a {kind} on {parent}. The two exchange nothing with each other, only with the "
        "network. {case}",
        "Have both programs use {child}, or one more {kind} on {parent} in place of {parent}.",
    ),
    "no-route-for-group": Wording(
        "This machine has no route for {group}, no interface was named, and there are several: "
        "{names}.",
        "Name the interface to send on, or: ip route add {group}/32 dev {first}.",
    ),
    "virtual-interface-by-default": Wording(
        "{group} goes to {interface} unless an interface is named, and that is a virtual one "
        "({kind}).",
        "Name the interface to send on, such as {first}.",
    ),
    "multicast-route-via-gateway": Wording(
        "The route of {group} has a gateway, {gateway}: the frames go to the gateway's own "
        "hardware address, and nobody else gets them, also if the interface is named.",
        "Replace the route by one without a gateway: ip route replace {group}/32 dev {interface}.",
    ),
    "no-ipv6-multicast-route-on-lo": Wording(
        "{interface} has no route for {group}: nothing can be sent there.",
        "ip -6 route add local ff00::/8 dev {interface}",
    ),
    "ipv6-lo-route-of-wrong-type": Wording(
        "The route of {group} on {interface} is of the type {kind}: what is sent is taken, and "
        "nothing comes. Only a route of the type local does.",
        "ip -6 route add local ff00::/8 dev {interface}",
    ),
    "nothing-arrived": Wording(
        "Nothing of {group} came to port {port} on {interfaces} in {seconds} s, and this machine "
        "shows no reason.",
        "Look whether the sender sends, with what ttl, and on which interface: run the doctor "
        "there as well, as the sender (--sender). Between the two, a switch that snoops needs a "
        "querier, and a router has to forward multicast.",
    ),
}


def fill(template: str, values: Mapping[str, object]) -> str:
    """Return a template with its values."""
    return template.format_map(values)
