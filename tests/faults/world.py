"""A program that uses everything, on a machine that refuses calls, and what it finds wrong."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
import sys
import traceback
from collections import Counter
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs
import trio

from tests.faults.library import Fault, Kernel
from trio_mcast import Datagram, McastError, McastReceiver, McastSender

assert sys.platform == "linux"

PORT: Final = 5_000
INTERFACES: Final = ("eth0", "eth1")
# A time by the clock that jumps, in which everything that has been sent comes.
_QUIET_SECONDS: Final = 0.05
_MUCH: Final = 40

# linux/sockios.h, linux/if.h
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_SIOCSIFADDR: Final = 0x8916
_SIOCSIFNETMASK: Final = 0x891C
_IFF_UP: Final = 0x1

# A group and the name of an interface.
Place = tuple[str, str]


@attrs.define
class World:
    """One run of the program: what is refused, what is sent, and what comes of it.

    Attributes:
        kernel: What refuses.
        phase: The phase in which calls are refused; "" for none.
        fault: What is refused then.
        counts: How often each call was made in each phase.
        errors: The errors that the program got, by phase.
        wrong: What must not be, in sentences.
        states: What the program could see of the fault: states, counts, its own errors.
    """

    kernel: Kernel
    phase: str = ""
    fault: Fault | None = None
    counts: dict[str, dict[str, int]] = attrs.Factory(dict)
    errors: list[tuple[str, BaseException]] = attrs.Factory(list)
    wrong: list[str] = attrs.Factory(list)
    states: set[str] = attrs.Factory(set)
    refusals: int = 0
    now: str = ""
    sent: Counter[Place] = attrs.Factory(Counter)
    spoken: Counter[Place] = attrs.Factory(Counter)
    newest: dict[Place, int] = attrs.Factory(dict)
    came: Counter[Place] = attrs.Factory(Counter)
    sockets: list[socket.socket] = attrs.Factory(list)
    listeners: dict[Place, socket.socket] = attrs.Factory(dict)
    speakers: dict[tuple[bool, str], socket.socket] = attrs.Factory(dict)

    # The phases and their errors ----------------------------------------------------------------

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Refuse what is to be refused in a ``with`` block, if this is the phase for that."""
        self.begin(phase)
        try:
            yield
        finally:
            self.end()

    def begin(self, phase: str) -> None:
        """Refuse what is to be refused from now on, if this is the phase for that."""
        self.now = phase
        self.kernel.choose(self.fault if phase == self.phase else None)
        self.kernel.refuse(True)

    def end(self) -> None:
        """End the phase, if one has begun."""
        if self.kernel.refuse(False):
            self.counts[self.now] = self.kernel.counts
            if self.now == self.phase:
                self.refusals = self.kernel.refusals

    async def attempt(self, call: Awaitable[Any]) -> bool:
        """Await a call of the library that may be refused; return whether it was not."""
        try:
            with trio.fail_after(120):
                await call
        except trio.TooSlowError:
            self.wrong.append(f"{self.now}: no end in sight")
        except Exception as error:
            self.note(error)
            return False
        return True

    def note(self, error: BaseException) -> None:
        """Put down an error, and find fault with one that is not documented."""
        self.errors.append((self.now, error))
        for single in leaves(error):
            if not self._is_documented(single):
                told = "".join(traceback.format_exception(None, single, single.__traceback__)[-3:])
                self.wrong.append(f"{self.now}: not documented: {single!r}\n{told}")

    def _is_documented(self, error: BaseException) -> bool:
        if isinstance(error, McastError):
            return True
        # What close(2) says comes as it is, when all is closed.
        fault = self.fault
        if fault is None or fault.call != "close":
            return False
        return isinstance(error, OSError) and error.errno == fault.errno

    # Plain sockets, which are never refused -----------------------------------------------------

    def open_plain_sockets(self, groups: Iterable[str]) -> None:
        for is_ipv6 in (False, True):
            for interface in INTERFACES:
                self.speakers[is_ipv6, interface] = self._plain_socket(is_ipv6, interface)
        for group in groups:
            for interface in INTERFACES:
                is_ipv6 = ":" in group
                sock = self._plain_socket(is_ipv6, interface)
                device = interface.encode()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
                sock.bind((group, PORT + 1))
                index = socket.if_nametoindex(interface)
                packed = socket.inet_pton(sock.family, group)
                if is_ipv6:
                    request = struct.pack("=16sI", packed, index)
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
                else:
                    request = struct.pack("=4s4xi", packed, index)
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
                self.listeners[group, interface] = sock

    def _plain_socket(self, is_ipv6: bool, interface: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        self.kernel.spare(sock.fileno())
        self.sockets.append(sock)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        index = socket.if_nametoindex(interface)
        if is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        else:
            request = struct.pack("=8xi", index)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        return sock

    def close_plain_sockets(self) -> None:
        for sock in self.sockets:
            self.kernel.spare(sock.fileno(), spare=False)
            sock.close()

    def change_interface(
        self, interface: str, *, up: bool | None = None, address: str = ""
    ) -> None:
        """Bring an interface up or down, or give it another address."""
        name = interface.encode()
        with (
            self.kernel.sparing_all(),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query,
        ):
            if up is not None:
                answer = fcntl.ioctl(query, _SIOCGIFFLAGS, struct.pack("=16s24x", name))
                (flags,) = struct.unpack_from("=16xh", answer)
                flags = flags | _IFF_UP if up else flags & ~_IFF_UP
                fcntl.ioctl(query, _SIOCSIFFLAGS, struct.pack("=16sh22x", name, flags))
            if address:
                packed = socket.inet_aton(address)
                for request, value in (
                    (_SIOCSIFADDR, packed),
                    (_SIOCSIFNETMASK, b"\xff\xff\xff\0"),
                ):
                    layout = struct.pack("=16sHH4s16x", name, socket.AF_INET, 0, value)
                    fcntl.ioctl(query, request, layout)

    # Receiving ------------------------------------------------------------------------------------

    def speak(self, receiver: McastReceiver, count: int = 1) -> None:
        """Send numbered datagrams to each group of the receiver on each interface.

        An interface that has just come up takes none for IPv6 for a while: it is passed over.
        """
        self.spoken = Counter()
        with self.kernel.sparing_all():
            joined = {
                (membership.group, membership.interface.name)
                for membership in receiver.memberships
                if membership.state == "joined" and membership.group is not None
            }
            for group, interface in sorted(joined):
                speaker = self.speakers[":" in group, interface]
                for _ in range(count):
                    number = self.sent[group, interface]
                    try:
                        speaker.sendto(b"%d" % number, (group, PORT))
                    except OSError:
                        break
                    self.spoken[group, interface] += 1
                    self.sent[group, interface] = number + 1

    async def listen(self, receiver: McastReceiver) -> None:
        """Take what comes until nothing does; each datagram has to be newer than those before."""
        while True:
            batch: list[Datagram] = []
            with trio.move_on_after(_QUIET_SECONDS):
                batch = await receiver.receive_batch()
            if not batch:
                return
            for datagram in batch:
                if not datagram.data.isdigit():
                    continue
                place = str(datagram.group), datagram.interface.name
                self.came[place] += 1
                number = int(datagram.data)
                if not self.newest.get(place, -1) < number < self.sent[place]:
                    self.wrong.append(f"{self.now}: {place} has got {number} twice or wrongly")
                self.newest[place] = number

    def check_received(self, receiver: McastReceiver) -> None:
        """Compare what was sent with what has come and what was counted."""
        statistics = receiver.statistics()
        counted: Counter[Place] = Counter()
        for counts in statistics.memberships:
            lost = counts.dropped_by_kernel or 0
            counted[str(counts.group), counts.interface.name] += counts.received + lost
            # Where a socket cannot be bound to its interface, it gets those of others as well.
            others = counts.rejected_by_reason["other_interface"]
            counted[str(counts.group), counts.interface.name] += counts.rejected - others
        if statistics.sockets_failed:
            self.states.add("socket failed, counted")
            return  # What a socket has that cannot be read is lost with it.
        for place, sent in self.sent.items():
            if counted[place] != sent:
                self.wrong.append(f"{place}: {sent} sent, {counted[place]} counted")
        if statistics.delivered + statistics.waiting != statistics.received:
            self.wrong.append(f"counts do not add up: {statistics!r}")

    def check_states(self, receiver: McastReceiver) -> None:
        """Note the states that are not as they should be."""
        for membership in receiver.memberships:
            if membership.state != "joined":
                self.states.add(membership.state)

    # Sending --------------------------------------------------------------------------------------

    async def send(self, sender: McastSender, call: Awaitable[None], count: int) -> None:
        """Await a call that sends ``count`` datagrams; each is sent and comes, or is counted."""
        before = sender.statistics()
        self.heard()
        if not await self.attempt(call):
            self.states.add("send refused")
        after = sender.statistics()
        sent, failed = after.sent - before.sent, after.failed - before.failed
        if sent + failed != count:
            self.wrong.append(f"{self.now}: {count} sent: {sent} counted, {failed} as failed")
        if failed:
            self.states.add("send counted as failed")
        came = self.heard()
        if came != sent:
            self.wrong.append(f"{self.now}: {sent} counted as sent, {came} came")

    def heard(self) -> int:
        """Return how many datagrams have come to other programs."""
        with self.kernel.sparing_all():
            count = 0
            for sock in self.listeners.values():
                while True:
                    try:
                        sock.recv(2_048)
                    except BlockingIOError:
                        break
                    count += 1
            return count


def leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions in a group, or the one that is none."""
    members = getattr(error, "exceptions", None)
    if members is None:
        return [error]
    return [leaf for member in members for leaf in leaves(member)]


def errors_of(world: World) -> list[str]:
    """Return the symbols of the errors that the program got."""
    return [
        errno.errorcode.get(getattr(leaf, "errno", 0) or 0, type(leaf).__name__)
        for _, error in world.errors
        for leaf in leaves(error)
    ]
