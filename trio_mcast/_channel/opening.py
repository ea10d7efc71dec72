"""Opening a channel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial

import attrs

from .._host.current import current_host
from .._host.protocols import Host, McastSocket
from .._live import closing_each
from .._plan.wanted import ReceiveRequest, SendRequest
from .._receive.intake import Intake
from .._receive.memberships import Memberships
from .._receive.opening import opened
from .._receive.store import Overflow
from .._send.outlets import Outlets
from .._send.replies import Replies
from .._send.sender import McastSender
from .channel import McastChannel
from .echoes import Echoes, EchoingSocket
from .unicast import SharedReplies, request_for

_OWNER = "this channel"


@asynccontextmanager
async def open_channel(
    receiving: ReceiveRequest,
    sending: Sequence[SendRequest],
    *,
    follow_interfaces: bool,
    allow_missing: bool,
    max_buffered: int,
    overflow: Overflow,
) -> AsyncIterator[McastChannel]:
    """Open a channel for requests, one to send for each port, and run it for the block's length."""
    with ExitStack() as stack:
        making = _Making(current_host(), sending, follow_interfaces, stack)
        async with opened(
            receiving,
            follow_interfaces=follow_interfaces,
            allow_missing=allow_missing,
            max_buffered=max_buffered,
            overflow=overflow,
            make=making.make,
            sift=making.echoes.sift,
            owner=_OWNER,
        ) as channel:
            await channel._settle()
            yield channel


@attrs.frozen
class _Making:
    """The making of one channel.

    Attributes:
        host: The machine.
        sending: What is to be sent from each port.
        follows: Whether the interfaces are followed.
        stack: Closes the sockets to send from in the end.
        echoes: The copies that the channel expects.
    """

    host: Host
    sending: Sequence[SendRequest]
    follows: bool
    stack: ExitStack
    echoes: Echoes = attrs.field(factory=Echoes, init=False)

    async def make(
        self,
        request: ReceiveRequest,
        intake: Intake,
        memberships: Memberships,
        *,
        allow_missing: bool,
    ) -> McastChannel:
        """Make the channel, with sockets to send from."""
        senders: dict[int, McastSender] = {}
        shared: list[SharedReplies] = []

        def read(unreadable: Callable[[McastSocket], None]) -> Replies:
            shared.append(SharedReplies(intake, memberships, request, unreadable))
            return shared[-1]

        for wanted in self.sending:
            outlets = Outlets(
                self.host,
                request_for(wanted, request, self.host.platform),
                follows=self.follows,
                wrap=partial(EchoingSocket.around, echoes=self.echoes),
                read=read,
                owner=_OWNER,
            )
            self.stack.enter_context(closing_each(outlets))
            senders[wanted.source_port] = McastSender._create(
                outlets, send_buffer_asked=wanted.send_buffer_size, overflow="wait"
            )
            await outlets.open()
        return McastChannel._create(
            request,
            intake,
            memberships,
            allow_missing=allow_missing,
            senders=senders,
            echoes=self.echoes,
            shared=shared,
        )
