"""The errors of what could not be sent, for people."""

from __future__ import annotations

import errno
from typing import Final

from .._plan.socket_spec import BindAddress
from .._platform.advice import explain_refusal
from .._platform.model import PlatformName
from .._values.addresses import Endpoint, parse_address
from .._values.errors import SocketSetupError
from .stand_ins import Refusing
from .targets import Target

_FULL_ADVICE: Final = (
    "the interface takes datagrams more slowly than they come, and the send buffer is full: send "
    "more slowly, or ask for more with send_buffer_size"
)


def explain_send(
    error: OSError, target: Target, sent: int, wanted: int, platform: PlatformName
) -> SocketSetupError:
    """Return the error for people of what the system has refused to send.

    Args:
        error: The error of the system.
        target: Where the datagrams were to go.
        sent: How many of them had been sent.
        wanted: How many were to be sent.
        platform: The platform, for the advice.
    """
    outlet, address, _ = target
    endpoint = Endpoint(str(address[0]), address[1])
    advice = outlet.advice if isinstance(outlet, Refusing) else None
    if error.errno == errno.EAGAIN:
        advice = _FULL_ADVICE
    failure = explain_refusal(
        error,
        step="send",
        detail=f"to {endpoint}",
        group=group_of(address),
        interface=outlet.socket_spec.interface.name or None,  # There may be none yet.
        platform=platform,
        advice=advice,
    )
    if wanted == 1:
        return failure
    return SocketSetupError(
        failure.errno,
        f"{failure}; {sent} of {wanted} datagrams had been sent",
        step=failure.step,
        group=failure.group,
        interface=failure.interface,
    )


def group_of(address: BindAddress) -> str | None:
    """Return the group of an address to send to; `None` if the address is one peer's."""
    host = str(address[0])
    return host if parse_address(host, "address").is_multicast else None
