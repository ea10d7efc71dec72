"""The cache of decoded source addresses."""

from __future__ import annotations

import weakref
from typing import Final

from .._plan.socket_spec import SocketSpec
from .._values.addresses import (
    Endpoint,
    SockaddrFormat,
    decode_sockaddr,
    host_with_zone,
    parse_address,
    without_zone,
)
from .._values.interface import zone_of
from .protocols import Rejection

# How many decoded source addresses an interface remembers. Sources can be forged, so there is a
# bound; at the bound it starts afresh. The number is arbitrary: more than a network of hosts has.
CACHED_SOURCES: Final = 4_096


class SourceCache(dict["bytes | tuple[object, ...]", "Endpoint | Rejection"]):
    """From the address that a read returns to the source's `Endpoint`, or why it is rejected.

    The keys are what the system gives: the bytes of a ``sockaddr``, or the tuple that the socket
    module makes of them. Decided once per source, so rejecting sources costs nothing per datagram.
    """

    def __init__(
        self,
        layout: SockaddrFormat,
        zone: tuple[str, int],
        excluded: frozenset[str],
        own: frozenset[str],
        only: frozenset[str] = frozenset(),
    ) -> None:
        """Make an empty cache.

        Args:
            layout: How the system writes socket addresses.
            zone: What stands for the interface in an address, and its index.
            excluded: The sources to reject.
            own: This machine's addresses, to reject.
            only: The only sources not to reject; none for any.
        """
        super().__init__()
        self._layout = layout
        self._zone, self._index = zone
        self._excluded = excluded
        self._own = own
        self._only = only
        self.may_reject = bool(excluded or own or only)

    def __missing__(self, address: bytes | tuple[object, ...]) -> Endpoint | Rejection:
        if len(self) >= CACHED_SOURCES:
            self.clear()
        if isinstance(address, bytes):
            endpoint = decode_sockaddr(self._layout, address, self._zone_name)
        else:
            endpoint = self._from_tuple(address)
        bare = endpoint.host.partition("%")[0]
        source: Endpoint | Rejection = endpoint
        if bare in self._excluded:
            source = Rejection.EXCLUDED_SOURCE
        elif bare in self._own:
            source = Rejection.OWN
        elif self._only and bare not in self._only:
            source = Rejection.OTHER_SOURCE
        self[address] = source
        return source

    def _zone_name(self, index: int) -> str:
        # A link-local address is mostly heard on its own link only: the zone is the interface. But
        # Linux lets in what another link's neighbour sends to a wider address of this machine.
        return self._zone if index == self._index else str(index)

    def _from_tuple(self, address: tuple[object, ...]) -> Endpoint:
        host, port, *rest = address
        scope_id = int(str(rest[1])) if rest else 0
        bare = without_zone(parse_address(str(host), "source"))
        return Endpoint(host_with_zone(bare, scope_id, self._zone_name), int(str(port)))


# One cache serves all sockets that decode and reject alike: those of one interface of one receiver,
# and of others like it. It lives as long as one of them.
_shared: weakref.WeakValueDictionary[
    tuple[SockaddrFormat, tuple[str, int], frozenset[str], frozenset[str], frozenset[str]],
    SourceCache,
] = weakref.WeakValueDictionary()


def source_cache(layout: SockaddrFormat, spec: SocketSpec) -> SourceCache:
    """The cache for a socket."""
    zone = (zone_of(spec.interface), spec.interface.index)
    # For a group the system lets only the chosen sources through, for unicast it does not.
    only = frozenset(spec.sources) if spec.accepts_unicast else frozenset[str]()
    key = (layout, zone, spec.rejected_sources, spec.own_addresses, only)
    cache = _shared.get(key)
    if cache is None:
        cache = _shared[key] = SourceCache(*key)
    return cache
