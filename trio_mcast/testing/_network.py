"""`VirtualNetwork`: switches, hosts and routers that exist in this process only."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Literal

import trio
from trio.lowlevel import enable_ki_protection

from .._capture.reading import CapturedFrame
from .._host.current import host_variable
from .._live import call_each, check_trio, running
from .._platform.current import platform_named
from .._platform.model import PlatformName
from .._values.numbers import parse_seconds
from ._arguments import (
    FixedAttributes,
    check_flag,
    check_linux_options,
    check_name,
    check_platform,
    check_seed,
    parse_trace,
    show_names,
)
from ._core import Core
from ._event_list import Choice, Device, End, VirtualTrace
from ._expecting import expect
from ._host import VirtualHost
from ._no_host import NoHost
from ._replay import Replay, replay
from ._router import VirtualRouter
from ._snooping import USUAL_TIMES, SnoopingTimes
from ._surrogates import put_in, take_out
from ._switch import VirtualSwitch
from ._trace import EventKind, TraceEvent


class VirtualNetwork(FixedAttributes):
    """A network of virtual hosts, on which programs that use this library run unchanged.

    ``async with VirtualNetwork() as network:``: inside the block, make switches, hosts and routers,
    plug them together, and run programs in ``with host:`` blocks. A virtual network needs no real
    network, no privilege and no particular system. Time is Trio's, so with
    `trio.testing.MockClock` a test takes as long as the computing does. At the end of the block,
    everything that is still open on the hosts is closed: who waits for a datagram gets
    `trio.ClosedResourceError`. The body's exceptions leave the block unchanged.

    Inside the block, opening anything outside of every ``with host:`` is refused, so that no test
    reaches the real network by mistake.

    The same seed and the same programs give the same losses, delays and `trace`. Each path from one
    interface to another has random numbers of its own, so adding a host changes nothing for the
    other hosts. Frames that are due at the same time are delivered in a fixed order, and
    a receiver gets them in that order. Only what a program itself leaves open can differ, as Trio's
    order is random: two tasks of one host that act at the same instant, and hosts that answer each
    other in one instant through a switch whose delay is 0.

    Args:
        seed: The seed of all random numbers.
        trace: Which events `trace` keeps: `True` for all, `False` for none, or a number for the
            last so many. An event takes some 30 bytes besides its datagram.

    Raises:
        TypeError: The seed is not an int, or ``trace`` neither a bool nor an int.
        ValueError: ``trace`` is negative.
    """

    def __init__(self, *, seed: int = 0, trace: bool | int = True) -> None:
        check_seed(seed)
        self._seed = seed
        self._keep = parse_trace(trace)
        self._core: Core | None = None
        self._parts: dict[str, VirtualSwitch | VirtualHost | VirtualRouter] = {}
        self._block: AbstractAsyncContextManager[None] | None = None

    def __repr__(self) -> str:
        return f"<VirtualNetwork seed={self._seed} ({show_names(self._parts) or 'empty'})>"

    @enable_ki_protection  # As for `trio_mcast._live.Opening`.
    async def __aenter__(self) -> VirtualNetwork:
        if self._block is not None:
            raise RuntimeError("a virtual network is entered once: make another one")
        check_trio()
        self._core = Core(self._seed, self._keep)
        self._core.trace.names = self._parts.keys()
        self._block = self._run(self._core)
        await self._block.__aenter__()
        return self

    @enable_ki_protection
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._block is not None
        return await self._block.__aexit__(kind, error, traceback)

    @asynccontextmanager
    async def _run(self, core: Core) -> AsyncIterator[None]:
        before = host_variable.get()

        def end() -> None:
            core.is_open = False
            hosts = [part for part in self._parts.values() if isinstance(part, VirtualHost)]
            call_each(
                [
                    partial(host_variable.set, before),
                    take_out,
                    partial(trio.lowlevel.remove_instrument, core.tasks),
                    *(host.shut_down for host in hosts),
                    core.scheduler.end,
                ]
            )

        host_variable.set(NoHost(core))
        put_in()
        trio.lowlevel.add_instrument(core.tasks)
        async with running(core.scheduler.run, end, name="virtual network"):
            yield

    def _enter(self) -> Core:
        if self._core is None:
            raise RuntimeError("use a virtual network inside 'async with VirtualNetwork()' only")
        self._core.enter()
        return self._core

    def switch(
        self,
        name: str,
        *,
        loss: float = 0.0,
        delay: float = 0.0,
        jitter: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        reorder_delay: float = 0.01,
        snooping: bool = False,
        querier: bool = True,
        query_seconds: float = USUAL_TIMES.query,
        response_seconds: float = USUAL_TIMES.response,
        membership_seconds: float = USUAL_TIMES.membership,
        last_member_seconds: float = USUAL_TIMES.last_member,
    ) -> VirtualSwitch:
        """Make a switch.

        Args:
            name: The switch's name, which nothing else in the network has.
            loss: The probability with which a frame is lost on its way to a receiver, 0 to 1.
            delay: How long a frame is under way, in seconds. With 0, a datagram has arrived when
                the call that sends it returns.
            jitter: Up to so many seconds more, evenly distributed. Frames keep their order.
            duplicate: The probability with which a frame arrives twice.
            reorder: The probability with which a frame is held back, so that later frames overtake.
            reorder_delay: How long such a frame is held back, in seconds.
            snooping: Whether a group's datagrams go only to interfaces that have asked for them by
                reports, and not to all.
            querier: Whether a switch that snoops asks for reports. Without a querier (a router can
                be one, too) the switch forgets every report after ``membership_seconds``, as a real
                switch does.
            query_seconds: The time from one query to the next.
            response_seconds: The time in which each host answers a query, at a random moment.
            membership_seconds: How long a report counts.
            last_member_seconds: How long a group is forwarded to an interface that has left it: a
                real switch asks whether nobody else there wants it. 0 for a "fast leave".

        Returns:
            The switch.

        Raises:
            TypeError: The name, a flag or a number is of the wrong type.
            ValueError: The name is taken, or a number is out of range.
            RuntimeError: The network was not entered, or has ended.
        """
        core = self._enter()
        self._check_name(name)
        check_flag(snooping, "snooping")
        check_flag(querier, "querier")
        switch = VirtualSwitch(
            core,
            name,
            impairments={
                "loss": loss,
                "delay": delay,
                "jitter": jitter,
                "duplicate": duplicate,
                "reorder": reorder,
                "reorder_delay": reorder_delay,
            },
            snooping=snooping,
            querier=querier,
            times=SnoopingTimes.parse(
                query_seconds, response_seconds, membership_seconds, last_member_seconds
            ),
        )
        self._parts[name] = switch
        return switch

    def host(
        self,
        name: str,
        *,
        platform: PlatformName = "linux",
        rmem_max: int | None = None,
        rp_filter: Literal[0, 1, 2] = 0,
        notice_seconds: float = 0.0,
    ) -> VirtualHost:
        """Make a host, with a loopback interface.

        Args:
            name: The host's name, which nothing else in the network has.
            platform: ``"linux"``, ``"darwin"`` (macOS), ``"freebsd"`` or ``"windows"``: the system
                whose rules the host's sockets follow, whatever this process runs on.
            rmem_max: The largest receive buffer that a program can ask for, in bytes, like Linux's
                net.core.rmem_max. Default: the system's, 212,992 on Linux. Linux only.
            rp_filter: Like Linux's net.ipv4.conf.all.rp_filter: 1 drops what arrives on another
                interface than the one that leads to its source, and 2 what has a source to which
                nothing leads. Linux only.
            notice_seconds: How long it takes until programs notice that interfaces, addresses or
                routes have changed. Default: no time. On a real machine the library looks 0.02
                seconds after the system's first message, and at most ten times a second. What a
                program sends before that can fail with another error than later.

        Returns:
            The host.

        Raises:
            TypeError: The name is not a `str`, ``rmem_max`` not an int, or ``notice_seconds`` not a
                number.
            ValueError: The name is taken, there is no such platform, a number is out of range, or
                an option of Linux is given for another.
            RuntimeError: The network was not entered, or has ended.
        """
        core = self._enter()
        self._check_name(name)
        check_platform(platform)
        check_linux_options(platform, rmem_max, rp_filter)
        host = self._parts[name] = VirtualHost(
            core,
            name,
            platform_named(platform),
            rmem_max=rmem_max,
            rp_filter=rp_filter,
            notice_seconds=parse_seconds(notice_seconds, "notice_seconds"),
        )
        return host

    def router(
        self,
        name: str,
        *,
        forwards_joined: bool = True,
        querier: bool = True,
        query_seconds: float = USUAL_TIMES.query,
        response_seconds: float = USUAL_TIMES.response,
        membership_seconds: float = USUAL_TIMES.membership,
        last_member_seconds: float = USUAL_TIMES.last_member,
    ) -> VirtualRouter:
        """Make a router, without interfaces yet.

        Args:
            name: The router's name, which nothing else in the network has.
            forwards_joined: Whether the router forwards every group to where somebody has joined
                it. If not, it forwards only as `VirtualRouter.forward` says.
            querier: Whether the router asks for reports on all interfaces.
            query_seconds: The time from one query to the next.
            response_seconds: The time in which each host answers a query, at a random moment.
            membership_seconds: How long a report counts.
            last_member_seconds: How long a group is forwarded for a host that has left it.

        Returns:
            The router.

        Raises:
            TypeError: The name, a flag or a number is of the wrong type.
            ValueError: The name is taken, or a number is out of range.
            RuntimeError: The network was not entered, or has ended.
        """
        core = self._enter()
        self._check_name(name)
        check_flag(forwards_joined, "forwards_joined")
        check_flag(querier, "querier")
        router = VirtualRouter(
            core,
            name,
            forwards_joined=forwards_joined,
            querier=querier,
            times=SnoopingTimes.parse(
                query_seconds, response_seconds, membership_seconds, last_member_seconds
            ),
        )
        self._parts[name] = router
        return router

    async def replay(
        self,
        capture: str | os.PathLike[str] | Iterable[CapturedFrame],
        *,
        on: VirtualSwitch,
    ) -> Replay:
        """Play the UDP datagrams of a capture on a switch, each at its time after the first.

        The frames come from nowhere: the switch passes each datagram on as if its sender were
        plugged in, to the hosts that want the group, or that have the address. Losses and delays of
        the switch apply. With `trio.testing.MockClock` an hour takes no longer than the computing.

        Args:
            capture: The path of a file in the format pcapng (which needs the extra ``testing``) or
                pcap, as tcpdump and Wireshark write them; or an iterable of `CapturedFrame`, such
                as `read_capture` gives. Links may be Ethernet, also with VLAN tags, Linux cooked
                (``tcpdump -i any``), loopback, or raw IP.
            on: A switch of this network.

        Returns:
            The number of datagrams that were played, and of frames that were skipped by reason.

        Raises:
            OSError: The file cannot be read.
            TypeError: The capture is neither a path nor frames.
            ValueError: The file is no capture or is damaged, or the switch is of another network.
            ImportError: The file is pcapng, and python-pcapng is not installed.
            RuntimeError: The network was not entered, or has ended.

        Cancellation:
            A checkpoint. If the call is cancelled, the datagrams up to then have been played.
        """
        core = self._enter()
        if not isinstance(on, VirtualSwitch) or self._parts.get(on.name) is not on:
            raise ValueError(f"on must be a switch of this network, not {on!r}")
        return await replay(core, on, capture)

    async def expect(
        self,
        what: EventKind | None = None,
        *,
        at: Device | None = None,
        to: End | None = None,
        source: End | None = None,
        data: bytes | None = None,
        within: float = 10.0,
        since: float | None = None,
    ) -> TraceEvent:
        """Wait until something happens, and return the event.

        ``await network.expect("joined", at=b, to="239.1.2.3")`` waits until b has joined. Each
        argument that is not `None` narrows what counts. The wait ends when all has happened that
        happens at the time of the event, so it ends alike in every run.

        Args:
            what: The kind of event; see `TraceEvent`.
            at: The host, switch or router where it happens, or its name.
            to: Its group or address, or where a datagram goes: an address, or a pair of address and
                port.
            source: Where a datagram comes from, alike.
            data: The payload.
            within: How many seconds to wait at most; what happens in the last moment counts.
            since: Events that have happened since then count as well, in seconds since the network
                was entered: 0 for all that the trace has. Default: only what happens from now on.

        Raises:
            AssertionError: It does not happen in time. The message says what did.
            TypeError: A value is of the wrong type.
            ValueError: A text is no address, there is no such kind or nothing of such a name, or a
                time is out of range.
            RuntimeError: The network was not entered, or has ended.

        Cancellation:
            A checkpoint. Nothing is lost if the call is cancelled.
        """
        core = self._enter()
        choice = Choice.parse(what, core.trace.names, at=at, to=to, source=source, data=data)
        if since is not None:
            parse_seconds(since, "since")
        parse_seconds(within, "within", above=True)
        return await expect(core, choice, within, since)

    @property
    def trace(self) -> VirtualTrace:
        r"""All events so far, by time; causes come before effects.

        ``print(*network.trace, sep="\n")`` prints the trace, a line for each event.

        Raises:
            RuntimeError: The network was not entered.
        """
        if self._core is None:
            raise RuntimeError("use a virtual network inside 'async with VirtualNetwork()' only")
        return VirtualTrace(self._core.trace)

    def _check_name(self, name: str) -> None:
        check_name(name)
        if name in self._parts:
            raise ValueError(f"this network has something called {name!r} already")
