"""The cache of decoded source addresses."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from operator import is_
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

# How many decoded addresses an interface remembers. Sources can be forged, so there is a bound; at
# the bound the cache is emptied. The number is arbitrary: more than a network of hosts has.
CACHED_ENDPOINTS: Final = 4_096


class EndpointCache(dict["bytes | tuple[object, ...]", "Endpoint | Rejection"]):
    """A dictionary from an address that a read returns to the source's `Endpoint`.

    The value is a `Rejection` where a source's datagrams are not to be delivered. This is decided
    once per source, so rejecting costs nothing per datagram. A key is as the system gives it: the
    bytes of a ``sockaddr``, or the tuple that the socket module makes of the bytes.

    Attributes:
        may_reject: Whether any source is to be rejected.
    """

    def __init__(
        self,
        layout: SockaddrFormat,
        zone: tuple[str, int],
        excluded: frozenset[str],
        machine_addresses: frozenset[str],
        only: frozenset[str] = frozenset(),
    ) -> None:
        """Make an empty cache.

        Args:
            layout: The form in which the system writes socket addresses.
            zone: The interface's zone in addresses, and the interface's index.
            excluded: The sources to reject.
            machine_addresses: This machine's addresses, to reject as well. Link-local ones mean
                this machine on the interface's link only.
            only: The only sources not to reject; none for any.
        """
        super().__init__()
        self._layout = layout
        self._zone, self._index = zone
        self._excluded = excluded
        self._machine_addresses = machine_addresses
        self._only = only
        self.may_reject = bool(excluded or machine_addresses or only)

    def __missing__(self, address: bytes | tuple[object, ...]) -> Endpoint | Rejection:
        if len(self) >= CACHED_ENDPOINTS:
            self.clear()
        if isinstance(address, bytes):
            endpoint = decode_sockaddr(self._layout, address, self._zone_name)
        else:
            endpoint = self._from_tuple(address)
        bare, _, zone = endpoint.host.partition("%")
        verdict: Endpoint | Rejection = endpoint
        if bare in self._excluded:
            verdict = Rejection.EXCLUDED_SOURCE
        elif bare in self._machine_addresses and zone in ("", self._zone):
            verdict = Rejection.OWN
        elif self._only and bare not in self._only:
            verdict = Rejection.OTHER_SOURCE
        self[address] = verdict
        return verdict

    def _zone_name(self, index: int) -> str:
        # A link-local address is mostly heard on its own link only: the zone is the interface. But
        # Linux lets in what another link's neighbour sends to a wider address of this machine.
        return self._zone if index == self._index else str(index)

    def _from_tuple(self, address: tuple[object, ...]) -> Endpoint:
        host, port, *flow_and_scope = address
        scope_id = int(str(flow_and_scope[1])) if flow_and_scope else 0
        bare = without_zone(parse_address(str(host), "source"))
        return Endpoint(host_with_zone(bare, scope_id, self._zone_name), int(str(port)))


# One cache serves all sockets that decode and reject alike: those of one interface of one receiver,
# and of others like it. A cache lives as long as one of its sockets.
_shared: weakref.WeakValueDictionary[
    tuple[SockaddrFormat, tuple[str, int], frozenset[str], frozenset[str], frozenset[str]],
    EndpointCache,
] = weakref.WeakValueDictionary()


class _Last:
    """The cache that was asked for last, with what it was asked for: thousands may ask alike."""

    facts: tuple[object, ...] = ()
    cache: Callable[[], EndpointCache | None] = staticmethod(lambda: None)


def endpoint_cache(layout: SockaddrFormat, socket_spec: SocketSpec) -> EndpointCache:
    """Return the cache for a socket."""
    if socket_spec.accepts_unicast or socket_spec.checks_sources:
        return _find(layout, socket_spec)
    interface = socket_spec.interface
    facts = layout, interface, socket_spec.rejected_sources, socket_spec.own_addresses
    if all(map(is_, facts, _Last.facts)):
        last = _Last.cache()
        if last is not None:
            return last
    cache = _find(layout, socket_spec)
    _Last.facts, _Last.cache = facts, weakref.ref(cache)
    return cache


def _find(layout: SockaddrFormat, socket_spec: SocketSpec) -> EndpointCache:
    interface = socket_spec.interface
    zone = (zone_of(interface), interface.index)
    # For a group most systems let only the chosen sources through, for unicast they do not.
    checks = socket_spec.accepts_unicast or socket_spec.checks_sources
    only = frozenset(socket_spec.sources) if checks else frozenset[str]()
    key = (layout, zone, socket_spec.rejected_sources, socket_spec.own_addresses, only)
    cache = _shared.get(key)
    if cache is None:
        cache = _shared[key] = EndpointCache(*key)
    return cache
