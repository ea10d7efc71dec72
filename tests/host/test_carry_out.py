"""The error of a step of a plan names the option that was refused last."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from tests.support.interfaces import ETH0
from trio_mcast import McastReceiverSpec
from trio_mcast._host.carry_out import Step, carry_out
from trio_mcast._platform.linux import LINUX

pytestmark = pytest.mark.once


class RefusingSocket:
    """A socket that refuses some options, each with its error."""

    def __init__(self, refused: dict[str, int]) -> None:
        self._refused = {
            (
                LINUX.level(symbol, "ipv6" if "V6" in symbol else "ipv4"),
                LINUX.constants[symbol],
            ): code
            for symbol, code in refused.items()
        }

    def setsockopt(self, level: int, number: int, value: Any) -> None:
        code = self._refused.get((level, number))
        if code is not None:
            raise OSError(code, os.strerror(code))

    def bind(self, address: Any) -> None:
        pass

    def connect(self, address: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("group", "refused", "text"),
    [
        (
            "ff15::1",
            {"SO_BINDTODEVICE": errno.EPERM, "IPV6_RECVPKTINFO": errno.ENOPROTOOPT},
            r"IPV6_RECVPKTINFO \(tell the interface.*ENOPROTOOPT",
        ),
        (
            "239.1.2.3",
            {"IP_MULTICAST_ALL": errno.ENOPROTOOPT, "IP_PKTINFO": errno.EINVAL},
            r"IP_PKTINFO \(.*EINVAL",
        ),
        (
            "239.1.2.3",
            {"MCAST_JOIN_GROUP": errno.ENOBUFS},
            r"MCAST_JOIN_GROUP \(.*ENOBUFS.*igmp_max_memberships",
        ),
        (
            "239.1.2.3",
            {"SO_TIMESTAMPNS": errno.EINVAL, "SO_TIMESTAMP": errno.ENOPROTOOPT},
            r"SO_TIMESTAMP \(.*ENOPROTOOPT",
        ),
    ],
)
def test_error_names_the_option_that_was_refused_last(
    group: str, refused: dict[str, int], text: str
) -> None:
    spec = McastReceiverSpec(group, 5000, interfaces="eth0", receive_timestamp=True)
    (socket_spec,) = spec.plan([ETH0], "linux")
    step = Step.first(socket_spec, LINUX)
    with pytest.raises(OSError) as caught:  # noqa: PT011 (which one, is told below)
        carry_out(RefusingSocket(refused), socket_spec, step)
    told = step.explain(caught.value, socket_spec, "linux")
    assert caught.value.errno == told.errno
    with pytest.raises(OSError, match=text):
        raise told
