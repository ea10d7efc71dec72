"""`Cases`: one case after the other, there and back, and what came of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_interface
from typing import Any, Final

import trio

from ..._values.addresses import Endpoint
from ..._values.interface import Interface
from .answers import counters_in, whole
from .asking import Asking, UnansweredError
from .broadcast import broadcast_address, can_broadcast
from .control_socket import LOCAL_GROUPS, UNICAST_TTL
from .ears import Ears
from .marks import read_mark, rises_since
from .measured import Direction, PeerLink, ProbeCase, Purpose
from .plan import Target
from .sessions import SendUnicast
from .shots import Sent, Shot, fire
from .tally import MOST_CASES, Tally

# The time that the last probes of a case may take, besides a round trip.
ON_THE_WAY: Final = 0.05
# How often it is asked at most whether a late machine has sent all: for two seconds or so.
_LOOKS: Final = 40
# A request at least so often keeps the session, which ends after a minute without.
_KEEP_SECONDS: Final = 15


class Cases:
    """The cases of one run.

    Args:
        run: The number of the run.
        to: The other machine's address and control port.
        port: The port of the groups.
        interfaces: This machine's interfaces, by name.
        asking: Asks the other machine.
        ears: What comes to this machine.
        send_unicast: Sends by the control socket.
        on_step: Called with what is being done, for people.

    Attributes:
        done: The cases that were sent.
        skipped: The cases that were not, with the reason.
        left_back: The probes that the other machine may still send.
        links: The other machine's interfaces.
    """

    def __init__(
        self,
        run: int,
        to: Endpoint,
        port: int,
        interfaces: Mapping[str, Interface],
        *,
        asking: Asking,
        ears: Ears,
        send_unicast: SendUnicast,
        on_step: Callable[[str], None],
    ) -> None:
        self.done: list[ProbeCase] = []
        self.skipped: list[str] = []
        self.left_back = 0
        self.links: tuple[PeerLink, ...] = ()
        self._run = run
        self._to = to
        self._version = ip_address(to.host.partition("%")[0]).version
        self._port = port
        self._interfaces = interfaces
        self._asking = asking
        self._ears = ears
        self._send_unicast = send_unicast
        self._on_step = on_step
        self._number = 0

    # There -------------------------------------------------------------------------------------

    async def there(
        self, target: Target, count: int, pause: float, purpose: Purpose = "case"
    ) -> ProbeCase | None:
        """Send the probes of a case to the other machine, and ask what came."""
        destination, why_not = self._destination(target)
        if why_not:
            self.skip("there", target, why_not)
            return None
        self._on_step(f"to {self._to.host}: {target}")
        interface = self._interfaces.get(target.interface)
        port = self._port if target.to == "group" else self._to.port
        near = self._to.host if target.to == "broadcast" else destination
        shot = Shot(
            self._next_case(), target.to, near, port, interface, target.ttl, target.size,
            count, pause,
        )  # fmt: skip
        sent = Sent()
        await self._asking.ask("mark")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep, nursery.cancel_scope)
            await fire(shot, self._run, self._send_unicast, sent)
            nursery.cancel_scope.cancel()
        await self._wait_for_last()
        rises = counters_in(await self._asking.ask("mark"))
        tally = Tally.from_fields((await self._asking.ask("result", case=shot.case)).fields)
        return self._keep_case("there", target, destination, purpose, sent, tally, rises)

    def _destination(self, target: Target) -> tuple[str, str]:
        """Return where the probes of a case go, and why they cannot; one of the two is empty."""
        if target.to == "group":
            return target.group, ""
        if target.to == "local":
            return LOCAL_GROUPS[target.version], ""
        if target.to == "broadcast":
            address = broadcast_address(self._interfaces[target.interface], self._to.host)
            if address is None:
                return "", "the interface has no broadcast address"
            if not can_broadcast():
                return "", "the machine is not asked for broadcast"
            return str(address.network.broadcast_address), ""
        if self._version == target.version:
            return self._to.host, ""
        for link in self.links:
            for text in link.addresses:
                address_there = ip_interface(text).ip
                if address_there.version == target.version and not address_there.is_loopback:
                    return str(address_there), ""
        return "", f"no IPv{target.version} address of the other machine is known"

    async def _keep(self, scope: trio.CancelScope) -> None:
        """Keep the session during a long sending."""
        while True:
            await trio.sleep(_KEEP_SECONDS)
            try:
                await self._asking.ask("result", case=0)
            except UnansweredError:
                return  # The request after the sending tells so too.

    async def back(
        self, target: Target, count: int, pause: float, purpose: Purpose = "case"
    ) -> ProbeCase | None:
        """Have the other machine send the probes of a case, and count what comes."""
        if target.to == "unicast" and self._version != target.version:
            self.skip("back", target, f"it answers only the address that asked, IPv{self._version}")
            return None
        if target.to == "broadcast" and not can_broadcast():
            self.skip("back", target, "the machine is not asked for broadcast")
            return None
        self._on_step(f"from {self._to.host}: {target}")
        case, mark = self._next_case(), read_mark()
        try:
            await self._asking.ask(
                "send", case=case, version=target.version, to=target.to, group=target.group,
                port=self._port, interface=target.interface, ttl=target.ttl, size=target.size,
                count=count, pause=round(pause * 1_000),
            )  # fmt: skip
        except UnansweredError as error:
            self.skip("back", target, str(error))
            return None
        self.left_back -= count
        await self._sleep_and_keep(count * pause)
        fields = await self._wait_until_sent(case, count)
        await self._wait_for_last()
        rises, _ = rises_since(mark)
        sent = Sent(
            min(whole(fields.get("sent")), count),
            name=str(fields.get("name", ""))[:20],
            text=str(fields.get("text", ""))[:200],
            seconds=count * pause,
        )
        destination = target.group or LOCAL_GROUPS.get(target.version, "")
        if target.to not in ("group", "local"):
            destination = target.to
        tally = self._ears.tallies.of_case(case)
        return self._keep_case("back", target, destination, purpose, sent, tally, rises)

    async def _wait_until_sent(self, case: int, count: int) -> Mapping[str, Any]:
        """Return what the other machine has sent of a case, all of it if it is but late.

        A busy machine takes longer than the pauses; until then it would send no other case.
        """
        for _ in range(_LOOKS):
            fields = (await self._asking.ask("result", case=case)).fields
            if whole(fields.get("sent")) >= count or fields.get("name"):
                break
            await trio.sleep(ON_THE_WAY)
        return fields

    async def _sleep_and_keep(self, seconds: float) -> None:
        end = trio.current_time() + seconds
        while (left := end - trio.current_time()) > _KEEP_SECONDS:
            await trio.sleep(min(left, _KEEP_SECONDS))
            await self._asking.ask("result", case=0)
        await trio.sleep(max(0, left))

    # Values ------------------------------------------------------------------------------------

    def _next_case(self) -> int:
        self._number = (self._number + 1) % MOST_CASES
        return self._number

    async def _wait_for_last(self) -> None:
        await trio.sleep(ON_THE_WAY + (self._asking.last_round_trip or 0))

    def skip(self, direction: Direction, target: Target, why: str) -> None:
        """Note that a case was left out, and why."""
        where = "from the other machine" if direction == "back" else "to the other machine"
        self.skipped.append(f"{where}, {target}: {why}")

    def _keep_case(
        self,
        direction: Direction,
        target: Target,
        destination: str,
        purpose: Purpose,
        sent: Sent,
        tally: Tally,
        rises: Mapping[str, int] | None,
    ) -> ProbeCase:
        case = ProbeCase(
            direction,
            target.version,
            target.to,
            destination,
            target.interface,
            UNICAST_TTL if target.to == "unicast" else target.ttl,
            target.size,
            purpose,
            round(sent.seconds, 3),
            sent.count,
            sent.text,
            sent.name,
            tally.got,
            tally.duplicates,
            tally.last if tally.last >= 0 else None,
            dict(tally.by_interface),
            tally.ttls,
            tally.sources,
            rises,
        )
        self.done.append(case)
        return case
