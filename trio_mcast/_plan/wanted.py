"""`ReceiveRequest` and `SendRequest`: groups to receive or to send to, parsed once. Pure.

Decision: remember what was asked for, not what was done
========================================================

A receiver remembers a list. The opening and each call of ``join`` is a `ReceiveRequest`, from which
``leave`` takes something away; each blocked source, and each one let in again, is a rule (see
`blocked`). The memberships follow from the requests, the rules, and the interfaces there are, and
are worked out anew whenever one of these changes. It does not matter how the receiver came to be as
it is.

Whatever was left is remembered under each name by which it was asked for, and so are the interfaces
of a rule: an interface that is joined by its address and left stays left if it comes back under
another name. An address is the same however it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from .._values.addresses import FAMILY_LABEL, Family, Group, IPAddress, family_of
from .._values.errors import printable
from .._values.interface import Interface, InterfaceSelector, ParsedSelectors
from .selecting import family_of_selector, means, names_of, text_of
from .socket_spec import MembershipKey, MembershipPlan, key_of


@attrs.frozen
class ReceiveRequest:
    """Groups to receive on interfaces, as one call asks for them.

    Attributes:
        groups: The groups.
        ports: The ports; a membership has a socket for each.
        selectors: The interfaces; `None` for all that are fit, as they come and go.
        sources: The only sources to receive from; `None` for any.
        excluded_sources: The sources to leave out; `None` for none.
        accept_unicast: Whether the receiver takes unicast to the port as well.
        loopback: Whether the receiver takes datagrams sent from this machine.
        receive_ttl: Whether datagrams carry their ttl.
        receive_timestamp: Whether datagrams carry their arrival time.
        receive_traffic_class: Whether datagrams carry their traffic class.
        receive_buffer_size: The buffer to ask for, per socket, in bytes; `None` for the default.
        receive_units: Whether datagrams that were sent in one go may be read as one unit.
        number: The number that tells the request from others of the receiver; the opening's is 0.
        left: The memberships that were left since. Each is a group with the name of an interface,
            and again with each selector or zone of the request that means that interface.
        left_groups: The groups that were left on all interfaces since, as text.
    """

    groups: tuple[Group, ...]
    ports: tuple[int, ...]
    selectors: tuple[InterfaceSelector, ...] | None = None
    sources: tuple[IPAddress, ...] | None = attrs.field(default=None, kw_only=True)
    excluded_sources: tuple[IPAddress, ...] | None = attrs.field(default=None, kw_only=True)
    accept_unicast: bool = attrs.field(default=False, kw_only=True)
    loopback: bool = attrs.field(default=True, kw_only=True)
    receive_ttl: bool = attrs.field(default=False, kw_only=True)
    receive_timestamp: bool = attrs.field(default=False, kw_only=True)
    receive_traffic_class: bool = attrs.field(default=False, kw_only=True)
    receive_buffer_size: int | None = attrs.field(default=None, kw_only=True)
    receive_units: bool = attrs.field(default=True, kw_only=True)
    number: int = attrs.field(default=0, kw_only=True)
    left: frozenset[MembershipKey] = attrs.field(default=frozenset(), kw_only=True)
    left_groups: frozenset[str] = attrs.field(default=frozenset(), kw_only=True)
    # The groups that have a zone: mostly none of many.
    _zoned: tuple[Group, ...] = attrs.field(init=False, repr=False, eq=False)

    @_zoned.default
    def _find_zoned(self) -> tuple[Group, ...]:
        return tuple(group for group in self.groups if group.zone is not None)

    def sources_of(self, family: Family) -> list[IPAddress]:
        """Return the only sources of one family; an empty list for any."""
        return [source for source in self.sources or () if family_of(source) == family]

    def another(
        self,
        number: int,
        groups: tuple[Group, ...],
        selectors: tuple[InterfaceSelector, ...] | None,
        sources: tuple[IPAddress, ...] | None,
        excluded_sources: tuple[IPAddress, ...] | None,
    ) -> ReceiveRequest:
        """Return a request for other groups, with the same ports and options.

        Raises:
            ValueError: Groups and sources do not go together.
        """
        check_sources(groups, sources, excluded_sources)
        return attrs.evolve(
            self,
            groups=groups,
            selectors=selectors,
            sources=sources,
            excluded_sources=excluded_sources,
            number=number,
            left=frozenset(),
            left_groups=frozenset(),
        )

    @property
    def accepts_unicast(self) -> bool:
        """Whether the request includes unicast, which only the opening can ask for."""
        return self.accept_unicast and self.number == 0

    @property
    def is_over(self) -> bool:
        """Whether everything that was asked for was left, so that no membership can come of it."""
        return not self.accepts_unicast and all(map(self._is_over_for, self.groups))

    def _is_over_for(self, group: Group) -> bool:
        text = group.text
        if text in self.left_groups:
            return True
        if group.zone is not None:
            return (text, group.zone) in self.left
        names = [
            text_of(selector)
            for selector in self.selectors or ()
            if family_of_selector(selector) in (None, group.family)
        ]
        # Where there is none, a name looks like an address of the other family.
        return bool(names) and all((text, name) in self.left for name in names)

    def is_unnamed(self, plan: MembershipPlan) -> bool:
        """Tell whether the user left the interface of a membership open, in selectors and zones."""
        return self.selectors is None and not any(
            group.zone is not None and group.text == plan.group for group in self.groups
        )

    def has_left(self, plan: MembershipPlan) -> bool:
        """Tell whether a membership that comes of the request was left since."""
        if not (self.left or self.left_groups):
            return False  # Mostly nothing was.
        if plan.group in self.left_groups or key_of(plan) in self.left:
            return True
        if plan.group is None or not any(group == plan.group for group, _ in self.left):
            return False
        if not any((plan.group, name) in self.left for name in names_of(plan.interface)):
            return False
        # The interface was renamed since, or a selector means it that meant another interface: an
        # address that has moved here, say. If the request asks for the group on this interface in
        # yet another way that was not left, the membership stays.
        names = [*self._zones(plan), *self._selectors_of(plan.interface)]
        return bool(names) and all((plan.group, name) in self.left for name in names)

    def groups_left_over(self) -> tuple[Group, ...]:
        """Return the groups of which something was not left since."""
        return tuple(group for group in self.groups if not self._is_over_for(group))

    def groups_everywhere(self) -> frozenset[str]:
        """Return the groups that are wanted on each interface that is fit, as text."""
        if self.selectors is not None:
            return frozenset()
        wanted = frozenset(group.text for group in self.groups if group.zone is None)
        return wanted - self.left_groups

    def leaving(self, plans: Iterable[MembershipPlan]) -> ReceiveRequest:
        """Return the request after memberships were left.

        Args:
            plans: The plans of these memberships. Those of groups that are not in the request
                change nothing.
        """
        left, groups = set(self.left), self._texts()
        selectors: dict[str, list[str]] = {}  # By interface, as many groups are on one.
        for plan in plans:
            if plan.group not in groups:
                continue
            interface = plan.interface.name
            if interface not in selectors:
                selectors[interface] = self._selectors_of(plan.interface)
            names = (interface, *self._zones(plan), *selectors[interface])
            left.update((plan.group, name) for name in names)
        return attrs.evolve(self, left=frozenset(left))

    def leaving_groups(self, groups: frozenset[str]) -> ReceiveRequest:
        """Return the request after groups were left on all interfaces."""
        left = frozenset(key for key in self.left if key[0] not in groups)
        groups &= self._texts()
        return attrs.evolve(self, left=left, left_groups=self.left_groups | groups)

    def _zones(self, plan: MembershipPlan) -> list[str]:
        """Return the zones of a membership's group that mean its interface."""
        zones = (group.zone for group in self._zoned if group.text == plan.group)
        names = (plan.interface.name, str(plan.interface.index or ""))
        return [zone for zone in zones if zone is not None and zone in names]

    def _selectors_of(self, interface: Interface) -> list[str]:
        """Return the selectors that mean an interface, as text."""
        return [
            text_of(selector) for selector in self.selectors or () if means(selector, interface)
        ]

    def _texts(self) -> frozenset[str]:
        return frozenset(group.text for group in self.groups)


def check_sources(
    groups: Sequence[Group],
    sources: Sequence[IPAddress] | None,
    excluded_sources: Sequence[IPAddress] | None,
) -> None:
    """Raise `ValueError` where groups and sources do not go together.

    Each source needs a group of its family; with ``sources``, each group needs a source as well.
    """
    if sources is not None and excluded_sources is not None:
        raise ValueError(
            "sources and excluded_sources contradict each other: give those to receive from, "
            "or those to leave out, not both"
        )
    if sources is not None:
        _check_families(groups, sources, "sources")
    if excluded_sources is not None:
        _check_families(groups, excluded_sources, "excluded_sources")


def _check_families(groups: Iterable[Group], sources: Sequence[IPAddress], parameter: str) -> None:
    group_families = {group.family: group for group in groups}
    for source in sources:
        if family_of(source) not in group_families:
            label = FAMILY_LABEL[family_of(source)]
            raise ValueError(f"{parameter}: {source} is {label}, but no group is {label}")
    if parameter == "sources":
        for family, group in group_families.items():
            if not any(family_of(source) == family for source in sources):
                shown = printable(str(group))
                raise ValueError(
                    f"sources has no {FAMILY_LABEL[family]} address, so group {shown} could "
                    "receive nothing: add one, or receive that group separately"
                )


@attrs.frozen
class SendRequest:
    """Groups to send to on interfaces, with the options of the sending.

    Attributes:
        groups: The groups.
        port: The port that groups are sent to unless told otherwise.
        selectors: The interfaces; `None` leaves the choice to the system's routes, and
            `ALL_INTERFACES` means all that are fit, as they come and go.
        allow_missing: Whether what is missing is waited for instead of raised: an interface, an
            address, a route.
        ttl: The ttl of datagrams to groups.
        unicast_ttl: The ttl of datagrams to one address; `None` for the system's.
        loopback: Whether datagrams are delivered on this machine too.
        traffic_class: The type of service or traffic class; `None` for the system's.
        source_address: The address that datagrams come from; `None` for the interface's first.
        source_port: The port that datagrams come from; 0 lets the system choose.
        send_buffer_size: The buffer to ask for, per socket, in bytes; `None` for the system's.
        receive_replies: Whether the sockets are read for replies: unicast to their own ports.
        receive_ttl: Whether replies carry their ttl.
        receive_timestamp: Whether replies carry their arrival time.
        receive_traffic_class: Whether replies carry their traffic class.
    """

    groups: tuple[Group, ...]
    port: int
    selectors: ParsedSelectors = None
    allow_missing: bool = attrs.field(default=False, kw_only=True)
    ttl: int = attrs.field(default=1, kw_only=True)
    unicast_ttl: int | None = attrs.field(default=None, kw_only=True)
    loopback: bool = attrs.field(default=True, kw_only=True)
    traffic_class: int | None = attrs.field(default=None, kw_only=True)
    source_address: IPAddress | None = attrs.field(default=None, kw_only=True)
    source_port: int = attrs.field(default=0, kw_only=True)
    send_buffer_size: int | None = attrs.field(default=None, kw_only=True)
    receive_replies: bool = attrs.field(default=False, kw_only=True)
    receive_ttl: bool = attrs.field(default=False, kw_only=True)
    receive_timestamp: bool = attrs.field(default=False, kw_only=True)
    receive_traffic_class: bool = attrs.field(default=False, kw_only=True)


def check_source_address(groups: Iterable[Group], source: IPAddress | None) -> None:
    """Raise `ValueError` for a source address that no group could be sent from."""
    if source is not None and not any(family_of(source) == group.family for group in groups):
        label = FAMILY_LABEL[family_of(source)]
        raise ValueError(
            f"source_address {source} is {label}, but no group is {label}: give an address of the "
            "groups' family"
        )
