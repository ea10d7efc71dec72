"""Random programs on a `World`: what they do, made from a seed, and what each of them got."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from ipaddress import ip_address, ip_network
from typing import Any

import attrs
import trio

from trio_mcast import (
    Datagram,
    Endpoint,
    McastReceiver,
    McastSender,
    SocketSpec,
    open_mcast_receiver,
    open_mcast_sender,
)
from trio_mcast._host.protocols import Host, McastSocket
from trio_mcast._plan.socket_spec import bind_address, bind_wildcard
from trio_mcast._platform import options as layout
from trio_mcast._values.addresses import Family, family_of

from .worlds import HOSTS, LANS, World, address_of, error_number, link_local_of

# One for each way in which Linux treats groups, and some more so that they get in each other's way.
GROUPS: Mapping[Family, tuple[str, ...]] = {
    "ipv4": ("239.1.2.3", "239.1.2.4", "232.1.1.1", "224.0.0.77"),
    "ipv6": ("ff02::1234", "ff05::1234", "ff05::1235", "ff0e::1234"),
}
PORTS = (5000, 5000, 5000, 5001)
# Around the steps of what Linux charges for a datagram, and of the fragments at each mtu.
SIZES = (0, 1, 184, 197, 548, 632, 645, 1_232, 1_252, 1_352, 1_372, 1_452, 1_472)
LARGE = (1_656, 1_684, 1_865, 1_902, 2_080, 2_125, 2_888, 2_952, 3_000, 9_000, 20_000, 60_000)
# Besides those that each interface has: of the same network, of a narrower and of another one, of
# other scopes, and of the other LAN's network. "{}" stands for the number of the LAN, or of the
# other one, and of the host.
MORE_ADDRESSES: Mapping[Family, tuple[str, ...]] = {
    "ipv4": (
        "10.0.{lan}.7{host}/24",
        "10.0.{lan}.9{host}/24",
        "10.0.{lan}.13{host}/25",
        "192.168.{lan}.{host}/24",
        "169.254.{lan}.{host}/16",
        "203.0.113.{lan}{host}/32",
        "10.0.{other}.22{host}/24",
    ),
    "ipv6": (
        "fd00:{lan}::7{host}/64",
        "fd00:{lan}:1::{host}/64",
        "2001:db8:{lan}::{host}/64",
        "2001:db8:{lan}::9{host}/128",
        "fe80::7{lan}:{host}/64",
        "fd00:{other}::22{host}/64",
    ),
}
SCOPES = ("global", "global", "global", "link", "host")
INTERFACES = tuple(f"eth{lan - 1}" for lan in LANS)


@attrs.frozen
class Step:
    """What one program does: what, on which object, and with which arguments."""

    what: str
    name: str
    arguments: Mapping[str, Any] = attrs.field(factory=dict)

    def __str__(self) -> str:
        told = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
        return f"{self.what} {self.name}({told})"


@attrs.frozen
class Outcome:
    """What became of a scenario.

    Attributes:
        steps: Each step, and how it ended.
        got: For each receiver and plain socket, by group, interface and source: payload and ttl.
        counts: For each receiver and sender, what it counted.
    """

    steps: list[str]
    got: dict[str, dict[tuple[str | None, str, str], list[tuple[bytes, int | None]]]]
    counts: dict[str, str]


# --- Making one ---------------------------------------------------------------------------------


class _Writer:
    """Writes the scenario of a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.steps: list[Step] = []
        self.receivers: list[tuple[str, tuple[str, ...]]] = []
        self.plain: list[str] = []
        self.senders: list[str] = []
        # Few hosts and families at a time, so that there is something to get in the way.
        choices: list[tuple[Family, ...]] = [("ipv4",), ("ipv6",), ("ipv4", "ipv6")]
        every = self.random.choice(choices)
        self.groups = tuple(group for family in every for group in GROUPS[family])
        self.families = every
        # Small buffers, which somebody has to empty before each step.
        self.is_tight = self.chance(0.3)
        self.more_addresses: list[tuple[str, str, str]] = []

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def some(self, items: tuple[str, ...], most: int = 3) -> tuple[str, ...]:
        return tuple(self.random.sample(items, self.random.randint(1, min(most, len(items)))))

    def write(self) -> tuple[Step, ...]:
        if self.chance(0.7):
            self.prepare()
        for _ in range(self.random.randint(1, 4)):
            self.receiver()
        for _ in range(self.random.randint(0, 3)):
            self.plain_socket()
        for _ in range(self.random.randint(1, 3)):
            self.sender()
        for _ in range(self.random.randint(5, 25)):
            choice = self.random.random()
            if choice < 0.55:
                self.send()
            elif choice < 0.7:
                self.burst()
            elif choice < 0.9:
                self.change()
            elif choice < 0.95:
                self.random.choice([self.receiver, self.plain_socket])()
            else:
                self.close()
        return tuple(self.steps)

    def prepare(self) -> None:
        """Other addresses, mtus and settings of the hosts."""
        for _ in range(self.random.choice([0, 1, 2, 3, 5])):
            family, host = self.random.choice(self.families), self.random.choice(HOSTS)
            lan = self.random.choice(LANS)
            number, other = HOSTS.index(host) + 1, LANS[LANS.index(lan) - 1]
            shape = self.random.choice(MORE_ADDRESSES[family])
            address = shape.format(lan=lan, other=other, host=number)
            interface = f"eth{lan - 1}"
            if (host, interface, address) in self.more_addresses:
                continue
            scope = None
            if family == "ipv4":  # Those of one network have one scope.
                alike = address.startswith(f"10.0.{lan}.") and address.endswith("/24")
                scope = "global" if alike else self.random.choice(SCOPES)
            deprecated = family == "ipv6" and self.chance(0.3)
            self.more_addresses.append((host, interface, address))
            arguments: dict[str, Any] = {
                "interface": interface,
                "address": address,
                "scope": scope,
                "deprecated": deprecated,
            }
            self.steps.append(Step("add_address", host, arguments))
        for host in HOSTS:
            for interface in INTERFACES:
                if self.chance(0.15):
                    mtu = self.random.choice([1_400, 1_280, 1_000, 576])
                    self.steps.append(Step("set_mtu", host, {"interface": interface, "mtu": mtu}))
            if self.chance(0.2):
                value = self.random.choice([1, 2])
                self.steps.append(Step("set_rp_filter", host, {"value": value}))

    def address(self, family: Family, host: str, lan: int) -> str:
        """One of a host's addresses, without zone."""
        bare = [
            address.partition("/")[0]
            for owner, interface, address in self.more_addresses
            if (owner, interface) == (host, f"eth{lan - 1}")
        ]
        same = [address for address in bare if family_of(ip_address(address)) == family]
        return self.random.choice([address_of(family, host, lan), *same])

    def sources(self, families: tuple[Family, ...]) -> tuple[str, ...]:
        """At least one source of each family, now and then more than Linux takes."""
        found = []
        for family in families:
            real = [address_of(family, host, lan) for host in HOSTS for lan in LANS]
            if family == "ipv6":
                real += [link_local_of(host, lan) for host in HOSTS for lan in LANS]
            bare = {address.partition("/")[0] for _, _, address in self.more_addresses}
            real += [each for each in sorted(bare) if family_of(ip_address(each)) == family]
            found += self.random.sample(real, self.random.randint(1, 4))
            if self.chance(0.15):
                network = ip_network("10.7.0.0/24" if family == "ipv4" else "fd07::/120")
                found += [str(network[number]) for number in range(1, 80)]
        self.random.shuffle(found)
        return tuple(found)

    def filter_for(self, groups: tuple[str, ...]) -> dict[str, Any]:
        choice = self.random.random()
        if choice < 0.55:
            return {}
        families = tuple(dict.fromkeys(family_of(ip_address(group)) for group in groups))
        name = "sources" if choice < 0.8 else "excluded_sources"
        return {name: self.sources(families)}

    def interfaces(self) -> dict[str, Any]:
        return {"interfaces": self.some(INTERFACES)} if self.chance(0.7) else {}

    def receiver(self) -> None:
        name, groups = f"receiver{len(self.receivers)}", self.some(self.groups)
        arguments: dict[str, Any] = {
            "host": self.random.choice(HOSTS[:2]),
            "groups": groups,
            "port": self.random.choice(PORTS),
            **self.interfaces(),
            **self.filter_for(groups),
            "accept_unicast": self.chance(0.4),
            "loopback": self.chance(0.7),
            "receive_ttl": self.chance(0.5),
            "receive_traffic_class": self.chance(0.3),
            "max_buffered": self.random.choice([1024, 1023]),  # As units, or one by one.
        }
        if self.is_tight and self.chance(0.5):
            arguments["receive_buffer_size"] = self.random.choice([1, 3_000, 10_000, 30_000])
        self.receivers.append((name, groups))
        self.steps.append(Step("open_receiver", name, arguments))

    def plain_socket(self) -> None:
        name, family = f"plain{len(self.plain)}", self.random.choice(self.families)
        groups = [group for group in self.groups if family_of(ip_address(group)) == family]
        host = self.random.choice(HOSTS[:2])
        bound = [None, None, self.random.choice(groups), address_of(family, host)]
        joins = []
        for group in self.some(tuple(groups), 2):
            for interface in self.some(INTERFACES):
                chosen = self.filter_for((group,))
                joins.append((group, interface, {k: v[:4] for k, v in chosen.items()}))
        arguments = {
            "host": host,
            "family": family,
            "bound": self.random.choice(bound),
            "port": self.random.choice(PORTS),
            "interface": self.random.choice(INTERFACES),
            "bound_to_interface": self.chance(0.2),
            "only_joined": self.chance(0.5),
            "only_ipv6": self.chance(0.5),
            "joins": tuple(joins) if self.chance(0.8) else (),
            "buffer": self.random.choice([0, 0, 1, 2_500, 10_000, 50_000]) if self.is_tight else 0,
        }
        self.plain.append(name)
        self.steps.append(Step("open_plain", name, arguments))

    def sender(self) -> None:
        name, host = f"sender{len(self.senders)}", self.random.choice(HOSTS)
        groups, interfaces = self.some(self.groups, 2), self.some(INTERFACES)
        arguments: dict[str, Any] = {
            "host": host,
            "groups": groups,
            "port": self.random.choice(PORTS),
            "interfaces": interfaces,
            "ttl": self.random.choice([1, 1, 1, 2, 64, 255]),
            "loopback": self.chance(0.7),
        }
        families = {family_of(ip_address(group)) for group in groups}
        if len(interfaces) == len(families) == 1 and self.chance(0.3):
            lan = INTERFACES.index(interfaces[0]) + 1
            arguments["source_address"] = self.address(families.pop(), host, lan)
        if self.chance(0.1):
            arguments["send_buffer_size"] = self.random.choice([1, 10_000])
        self.senders.append(name)
        self.steps.append(Step("open_sender", name, arguments))

    def size(self) -> int:
        """A size beside one of the steps."""
        return max(self.random.choice([*SIZES, *LARGE]) + self.random.choice([-1, 0, 1]), 0)

    def send(self) -> None:
        number = len(self.steps)
        batch = self.random.choice([1, 1, 1, 2, 5])
        # Those of one size go as a unit, which is charged otherwise: not where buffers are small.
        longer = int(self.is_tight)
        data = tuple(b"%d.%d" % (number, n) + b"." * (n * longer) for n in range(batch))
        arguments: dict[str, Any] = {"data": data}
        if self.chance(0.2):
            arguments["data"] = (bytes(self.size()),)
        choice = self.random.random()
        if choice < 0.45:
            arguments["to"] = (self.random.choice(self.groups), self.random.choice(PORTS))
        elif choice < 0.7:
            arguments["to"] = (self.peer(), self.random.choice(PORTS))
        self.steps.append(Step("send", self.random.choice(self.senders), arguments))

    def peer(self) -> str:
        """The address of a host, or one that none has."""
        family, host = self.random.choice(self.families), self.random.choice(HOSTS)
        lan = self.random.choice(LANS)
        if self.chance(0.1):
            nobody: dict[Family, tuple[str, ...]] = {
                "ipv4": ("10.0.1.250", "10.0.2.255", "192.0.2.1", "127.0.0.1", "0.0.0.0"),
                "ipv6": ("fd00:1::250", "2001:db8:99::1", "::1", "::", "fe80::99%eth0"),
            }
            return self.random.choice(nobody[family])
        if family == "ipv6" and self.chance(0.3):
            return f"{link_local_of(host, lan)}%{self.random.choice(INTERFACES)}"
        address = self.address(family, host, lan)
        if ip_address(address).is_link_local and family == "ipv6":
            return f"{address}%eth{lan - 1}"
        return address

    def burst(self) -> None:
        """Datagrams of one size in a row, which may be more than a buffer takes."""
        family, lan = self.random.choice(self.families), self.random.choice(LANS)
        to_group = self.chance(0.7)
        groups = [group for group in self.groups if family_of(ip_address(group)) == family]
        host = self.random.choice(HOSTS)
        peer = self.address(family, self.random.choice(HOSTS), lan)
        if family == "ipv6" and ip_address(peer).is_link_local:
            peer = address_of(family, "b", lan)
        arguments = {
            "family": family,
            "interface": f"eth{lan - 1}",
            "to": self.random.choice(groups) if to_group else peer,
            "port": self.random.choice(PORTS),
            "size": self.size(),
            "count": self.random.choice([3, 12, 60]) if self.is_tight else 3,
        }
        self.steps.append(Step("burst", host, arguments))

    def change(self) -> None:
        name, groups = self.random.choice(self.receivers)
        what = self.random.choice(["join", "leave", "block_source", "unblock_source"])
        arguments: dict[str, Any] = {}
        if what in ("join", "leave"):
            chosen = self.some(self.groups if what == "join" else (*groups, *self.groups), 2)
            arguments["groups"] = chosen
            if what == "join":
                arguments |= self.filter_for(chosen)
        else:
            arguments["source"] = self.random.choice(self.sources(self.families))
            if self.chance(0.3):
                arguments["groups"] = self.some(groups)
        self.steps.append(Step(what, name, arguments | self.interfaces()))
        if what == "leave" and self.chance(0.5):
            again = {"groups": arguments["groups"], **self.filter_for(arguments["groups"])}
            self.steps.append(Step("join", name, again | self.interfaces()))

    def close(self) -> None:
        name = self.random.choice([*(name for name, _ in self.receivers), *self.plain])
        self.steps.append(Step("close", name))


def scenario(seed: int) -> tuple[Step, ...]:
    """The scenario of a seed."""
    return _Writer(seed).write()


# --- Running one --------------------------------------------------------------------------------


def _open_plain(
    machine: Host,
    *,
    family: Family,
    bound: str | None,
    port: int,
    interface: str,
    bound_to_interface: bool,
    only_joined: bool,
    only_ipv6: bool,
    joins: tuple[tuple[str, str, Mapping[str, tuple[str, ...]]], ...],
    buffer: int,
) -> McastSocket:
    """Another program's socket, made as others make them, with the options that there are."""
    platform = machine.platform
    indexes = {item.name: item for item in machine.list_interfaces()}
    here = indexes[interface]
    options = [layout.option(platform, "SO_REUSEADDR", 1, "share the port", family=family)]
    if family == "ipv6":
        options.append(
            layout.option(platform, "IPV6_V6ONLY", int(only_ipv6), "or IPv4 too", family=family)
        )
    if bound_to_interface:
        name = interface.encode() + b"\0"
        options.append(layout.option(platform, "SO_BINDTODEVICE", name, "here", family=family))
    if buffer:
        options.append(layout.option(platform, "SO_RCVBUF", buffer, "small", family=family))
    if only_joined:
        symbol = "IP_MULTICAST_ALL" if family == "ipv4" else "IPV6_MULTICAST_ALL"
        options.append(layout.exact_groups(platform, symbol))
    for group, where, chosen in joins:
        index, address = indexes[where].index, ip_address(group)
        for source in chosen.get("sources", ()):
            options.append(layout.join_source(platform, index, address, ip_address(source), None))
        if "sources" not in chosen:
            options.append(layout.join_group(platform, index, address, None))
        for source in chosen.get("excluded_sources", ()):
            options.append(layout.block_source(platform, index, address, ip_address(source), None))
    where_bound = bind_wildcard(family, port)
    if bound is not None:
        where_bound = bind_address(ip_address(bound), port, here.index)
    socket_spec = SocketSpec(family, here, None, (), where_bound, tuple(options))
    return machine.open_socket(socket_spec)


def _burst(
    machine: Host, *, family: Family, interface: str, to: str, port: int, size: int, count: int
) -> None:
    """Send from a socket that is bound to nothing, without a pause for whoever reads."""
    outgoing = {item.name: item for item in machine.list_interfaces()}[interface]
    options = [layout.multicast_interface(machine.platform, family, outgoing.index)]
    where = bind_wildcard(family, 0)
    sock = machine.open_socket(SocketSpec(family, outgoing, None, (), where, tuple(options)))
    try:
        for number in range(count):
            data = (b"%d" % number).ljust(size, b".")[:size]
            sock.send(data, bind_address(ip_address(to), port, outgoing.index))
    finally:
        sock.close()


class _Run:
    """One run of a scenario."""

    def __init__(self, world: World, stack: AsyncExitStack) -> None:
        self._world = world
        self._stack = stack
        self._receivers: dict[str, McastReceiver] = {}
        self._plain: dict[str, McastSocket] = {}
        self._senders: dict[str, McastSender] = {}
        self._closed: set[str] = set()
        self.outcome = Outcome([], {}, {})

    async def run(self, steps: tuple[Step, ...]) -> Outcome:
        # Whether a task has read a datagram by the time of the next is a matter of chance.
        is_tight = any(
            step.arguments.get("receive_buffer_size") or step.arguments.get("buffer")
            for step in steps
        )
        was_large = False
        for step in steps:
            data = step.arguments["data"][0] if step.what == "send" else bytes(2_000)
            is_large = is_tight or len(data) > 1_000
            if is_large or was_large:
                await self._collect()
            was_large = is_large
            try:
                await self._do(step)
            except (ValueError, OSError) as error:
                told = f"{type(error).__name__} {error_number(error)}".rstrip()
            except trio.ClosedResourceError:
                told = "closed"
            except Exception as error:  # On Python 3.10 there are two kinds of groups.
                inner = getattr(error, "exceptions", None)
                if inner is None:
                    raise
                told = f"all refused: {sorted(error_number(item) for item in inner)}"
            else:
                told = "done"
            self.outcome.steps.append(f"{step}: {told}")
        await self._collect()
        self._count()
        return self.outcome

    async def _do(self, step: Step) -> None:
        arguments = dict(step.arguments)
        if step.what.startswith("open_"):
            await self._open(step.what, step.name, arguments.pop("host"), arguments)
        elif step.what == "send":
            await self._send(step.name, **arguments)
        elif step.what == "close":
            self._close(step.name)
        elif step.what == "burst":
            _burst(self._world.machine(step.name), **arguments)
        elif step.what in ("add_address", "set_mtu", "set_rp_filter"):
            getattr(self._world, step.what)(step.name, **arguments)
        elif step.name in self._receivers:
            await getattr(self._receivers[step.name], step.what)(**arguments)

    async def _open(self, what: str, name: str, host: str, arguments: dict[str, Any]) -> None:
        if what == "open_plain":
            self._plain[name] = _open_plain(self._world.machine(host), **arguments)
            self._stack.callback(self._plain[name].close)
            return
        with self._world.on(host):
            if what == "open_sender":
                self._senders[name] = await self._stack.enter_async_context(
                    open_mcast_sender(**arguments)
                )
            else:
                self._receivers[name] = await self._stack.enter_async_context(
                    open_mcast_receiver(**arguments)
                )

    async def _send(
        self, name: str, data: tuple[bytes, ...], to: tuple[str, int] | None = None
    ) -> None:
        destination = None if to is None else Endpoint(*to)
        if name not in self._senders:
            return
        if len(data) == 1:
            await self._senders[name].send(data[0], to=destination)
        else:
            await self._senders[name].send_batch(data, to=destination)

    def _close(self, name: str) -> None:
        found = self._receivers.get(name) or self._plain.get(name)
        if found is not None:
            found.close()
            self._closed.add(name)

    async def _collect(self) -> None:
        """Take what has come so far."""
        await self._world.settle()
        for name, receiver in self._receivers.items():
            if name not in self._closed:
                try:
                    while True:
                        self._note(name, receiver.receive_nowait())
                except trio.WouldBlock:
                    pass
        for name, sock in self._plain.items():
            while name not in self._closed and (batch := sock.receive(1000)):
                for datagram in batch:
                    self._note(name, datagram)

    def _note(self, name: str, datagram: Datagram) -> None:
        key = (datagram.group, datagram.interface.name, datagram.source.host)
        got = self.outcome.got.setdefault(name, {}).setdefault(key, [])
        got.append((datagram.data, datagram.ttl))

    def _count(self) -> None:
        counts = self.outcome.counts
        for name, receiver in self._receivers.items():
            found = receiver.statistics()
            members = [
                (item.group, item.interface.name, item.state, item.sources, item.excluded_sources)
                for item in receiver.memberships
            ]
            counts[name] = (
                f"received {found.received}, waiting {found.waiting}, "
                f"rejected {sorted(found.rejected_by_reason.items())}, "
                f"dropped {found.dropped_by_policy} and {found.dropped_by_kernel}; {members}"
            )
        for name, sender in self._senders.items():
            told = sender.statistics()
            counts[name] = f"sent {told.sent}, failed {told.failed}"
        for name, sock in self._plain.items():
            if name not in self._closed:
                counts[name] = f"dropped {sock.dropped()}, from port {sock.local_endpoint}"


async def run(world: World, steps: tuple[Step, ...]) -> Outcome:
    """What happens when a world's programs do this."""
    try:
        async with AsyncExitStack() as stack:
            return await _Run(world, stack).run(steps)
    finally:
        world.restore()
