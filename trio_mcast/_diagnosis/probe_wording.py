"""The sentences of the codes that the two-ended probe finds. Pure.

The same code may be found at this machine or at the other one: ``{sender}`` and ``{receiver}`` say
which is which. See `wording`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .probe.measured import Failed
from .wording import Wording

# What follows where nothing was answered, by what failed, and what to do about it.
NOTHING_ANSWERED: Final[Mapping[Failed, tuple[str, str]]] = {
    "name": (
        "So nothing was sent to it.",
        "Name it by its address, or see why its name is not known here: getent ahosts NAME.",
    ),
    "send": (
        "So this machine cannot reach it, and this is no fault of multicast.",
        "ip route get ADDRESS shows the way there. A link-local address needs the interface as its "
        "zone: fe80::2%eth0.",
    ),
    "answer": (
        "So this is no fault of multicast, or the responder does not run.",
        "On the other machine: {respond}. Let its control port pass the firewalls: "
        "nft insert rule inet filter input udp dport {control_port} accept. "
        "See whether ping reaches it.",
    ),
    "refused": (
        "So nothing was probed.",
        "Wait until those end who probe it now, or start it anew: {respond}.",
    ),
}

PROBE_WORDINGS: Final[Mapping[str, Wording]] = {
    "no-unicast": Wording("The other machine, {asked}, {did} ({problem}). {so}", "{advice}"),
    "send-blocked": Wording(
        "The system of {sender} refuses to send to {group}: {error}. Its packet filter drops what "
        "goes out.",
        "On {sender}: nft list ruleset, and let the group pass at the hook output: "
        "nft insert rule TABLE CHAIN ip daddr {group} accept.",
    ),
    "port-held": Wording(
        "Another program on {receiver} has port {port} and does not share it: {error}.",
        "On {receiver}, ss -ulnp sport = :{port} shows which it is: stop it, or have it set "
        "SO_REUSEADDR before it binds.",
    ),
    "cannot-join": Wording(
        "The system of {receiver} has refused the membership of {group} on {receiving_interface}: "
        "{error}.",
        "See the reason that the system gives.",
    ),
    "reverse-path-filter": Wording(
        "The reverse path filter of {receiver} drops the datagrams of {group} that come from "
        "{from_interface}: {dropped} were dropped while {sent} were sent. It would send to their "
        "source through another interface, or has no route to it at all.",
        "On {receiver}: ip route add SOURCE/32 dev INTERFACE, or loosen the filter: sysctl "
        "net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.INTERFACE.rp_filter=2 (0 instead of 2 without "
        "a default route).",
    ),
    "firewall": Wording(
        "The datagrams of {group} from {from_interface} reach {receiver}, and its packet filter "
        "drops them at the hook {hook}: its system counts the {sent} that were sent as received, "
        "and not as delivered.",
        "On {receiver}: nft list ruleset, or iptables-save, shows the rules. Let the group in: "
        "nft insert rule TABLE CHAIN ip daddr {group} udp dport {port} accept; "
        "firewall-cmd --add-rich-rule='rule family=ipv4 destination address={group} "
        "port port={port} protocol=udp accept'; "
        "ufw allow in proto udp to {group} port {port}.",
    ),
    "filtered-by-snooping": Wording(
        "Of {group}, nothing comes from {from_interface} to {receiver}, while the group that every "
        "switch floods does. So a switch (or router) between them filters, and does not know that "
        "{receiver} has joined: it has not seen the reports, or no querier asks for them.",
        "Look at the querier and at the snooping of the switches (on a Linux bridge, ip link set "
        "BRIDGE type bridge mcast_querier 1), and whether something drops IGMP or MLD: "
        "nft list ruleset on {receiver}.",
    ),
    "multicast-blocked": Wording(
        "No group comes from {from_interface} to {receiver}, not even the one that every switch "
        "floods, while the rest of the traffic does. So something between them blocks multicast.",
        "Look at the ports of the switches and at the access points: on a Linux bridge, bridge "
        "link set dev PORT mcast_flood on; elsewhere storm control, or multicast filters of Wi-Fi.",
    ),
    "no-broadcast-domain": Wording(
        "Only unicast comes from {from_interface} to {receiver}, and neither broadcast nor any "
        "group: {why}.",
        "A router needs multicast routing (PIM, smcroute, igmpproxy) and a ttl above 1; isolation "
        "is switched off at the access point or switch. Clouds and most VPNs pass no multicast: "
        "use a tunnel or a relay by unicast.",
    ),
    "ttl-too-small": Wording(
        "Datagrams of {group} come from {from_interface} to {receiver} with a ttl of {ttl}, which "
        "is {on_arrival} on arrival, and not with a ttl of 1: routers are between. A ttl of 1 is "
        "what most senders use unless told otherwise.",
        "Send with a ttl of at least {least}.",
    ),
    "fragments-lost": Wording(
        "Small datagrams of {group} come from {from_interface} to {receiver}, and none of {size} "
        "bytes, which take more than one packet{also}. Of {fits} bytes they come.",
        "Send datagrams of at most the MTU less 28 bytes (IPv6: 48), or find the switch, router or "
        "filter that drops fragments.",
    ),
    "duplicates-on-two-interfaces": Wording(
        "Of {sent} datagrams of {group} from {from_interface}, {count} come to {receiver} twice, "
        "on {names}: these are in one network.",
        "Have {receiver} receive on one of the two.",
    ),
    "membership-aged-out": Wording(
        "Datagrams of {group} came from {sender} to {receiver} for {seconds} s, then none, and "
        "{again} after it had left and joined again. A switch has forgotten the membership: it "
        "snoops on IGMP or MLD, and no querier asks for reports, or the answers are lost.",
        "Enable a querier in one switch or router of the network; on a Linux bridge, "
        "ip link set BRIDGE type bridge mcast_querier 1, or mcast_snooping 0.",
    ),
}
