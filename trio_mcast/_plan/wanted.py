"""What is asked for, parsed once: to receive from groups, or to send to them. Pure.

A `ReceiveRequest` is what the opening of a receiver asked for, or one call of ``join``. The
memberships follow from the requests, the rules about sources, and the interfaces there are, and are
worked out anew whenever one of them changes: no history has to be remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from .._values.addresses import FAMILY_LABEL, Family, Group, IPAddress, family_of
from .._values.errors import printable
from .._values.interface import Interface, InterfaceSelector
from .selecting import family_of_selector, means, names_of, text_of
from .socket_spec import MembershipKey, MembershipPlan, key_of


@attrs.frozen
class ReceiveRequest:
    """Groups to receive on interfaces, as one call asked for it.

    Attributes:
        groups: The groups.
        port: The port.
        selectors: The interfaces; `None` for all that are fit, as they come and go.
        sources: The only sources to receive from; `None` for any.
        excluded_sources: The sources to leave out; `None` for none.
        accept_unicast: Whether the receiver takes unicast to the port as well.
        loopback: Whether the receiver takes datagrams sent from this machine.
        receive_ttl: Whether datagrams carry their ttl.
        receive_timestamp: Whether datagrams carry their arrival time.
        receive_buffer_size: The buffer to ask for, per socket, in bytes; `None` for the default.
        receive_units: Whether datagrams that were sent in one go may be read as one unit.
        number: The number that tells the request from others of the receiver; the opening's is 0.
        left: The memberships that were left since: each under the name of its interface, and under
            whatever in ``selectors`` means that.
        left_groups: The groups that were left everywhere since, as text.
    """

    groups: tuple[Group, ...]
    port: int
    selectors: tuple[InterfaceSelector, ...] | None = None
    sources: tuple[IPAddress, ...] | None = attrs.field(default=None, kw_only=True)
    excluded_sources: tuple[IPAddress, ...] | None = attrs.field(default=None, kw_only=True)
    accept_unicast: bool = attrs.field(default=False, kw_only=True)
    loopback: bool = attrs.field(default=True, kw_only=True)
    receive_ttl: bool = attrs.field(default=False, kw_only=True)
    receive_timestamp: bool = attrs.field(default=False, kw_only=True)
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
        """Return a request for other groups, with the same port and options.

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
        """Whether unicast is a part of it: it belongs to the opening, and stays until closing."""
        return self.accept_unicast and self.number == 0

    @property
    def is_over(self) -> bool:
        """Whether nothing can come of it any more."""
        return not self.accepts_unicast and all(map(self._is_over_for, self.groups))

    def _is_over_for(self, group: Group) -> bool:
        text = str(group.address)
        if text in self.left_groups:
            return True
        if group.zone is not None:
            return (text, group.zone) in self.left
        return self.selectors is not None and all(
            (text, text_of(item)) in self.left
            for item in self.selectors
            if family_of_selector(item) in (None, group.family)
        )

    def is_unnamed(self, plan: MembershipPlan) -> bool:
        """Whether nobody named the interface of a membership that came of it."""
        return self.selectors is None and not any(
            item.zone is not None and str(item.address) == plan.group for item in self.groups
        )

    def has_left(self, plan: MembershipPlan) -> bool:
        """Whether a membership is one of those that were left."""
        if plan.group in self.left_groups or key_of(plan) in self.left:
            return True
        if not self.left or plan.group is None:
            return False
        if not any((plan.group, name) in self.left for name in names_of(plan.interface)):
            return False
        # It has another name now. An address that has moved to where the group is wanted under a
        # name that was not left takes nothing away there.
        meant = [*self._zones(plan), *self._selectors_of(plan.interface)]
        return bool(meant) and all((plan.group, name) in self.left for name in meant)

    def leaving(self, plans: Iterable[MembershipPlan]) -> ReceiveRequest:
        """The rest of it, when some memberships were left."""
        left, own = set(self.left), self._texts()
        meant: dict[str, list[str]] = {}
        for plan in plans:
            if plan.group not in own:
                continue
            name = plan.interface.name
            if name not in meant:
                meant[name] = self._selectors_of(plan.interface)
            left.update((plan.group, each) for each in (name, *self._zones(plan), *meant[name]))
        return attrs.evolve(self, left=frozenset(left))

    def leaving_groups(self, groups: frozenset[str]) -> ReceiveRequest:
        """The rest of it, when groups were left wherever they are."""
        left = frozenset(key for key in self.left if key[0] not in groups)
        groups &= self._texts()
        return attrs.evolve(self, left=left, left_groups=self.left_groups | groups)

    def _zones(self, plan: MembershipPlan) -> list[str]:
        """The zones that mean the interface of one of its memberships."""
        there = (item.zone for item in self._zoned if str(item.address) == plan.group)
        names = (plan.interface.name, str(plan.interface.index or ""))
        return [zone for zone in there if zone is not None and zone in names]

    def _selectors_of(self, interface: Interface) -> list[str]:
        """The selectors that mean an interface, as text."""
        return [text_of(item) for item in self.selectors or () if means(item, interface)]

    def _texts(self) -> frozenset[str]:
        return frozenset(str(item.address) for item in self.groups)


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
    _check_families(groups, sources, "sources")
    _check_families(groups, excluded_sources, "excluded_sources")


def _check_families(
    groups: Iterable[Group], sources: Sequence[IPAddress] | None, what: str
) -> None:
    if sources is None:
        return
    group_families = {group.family: group for group in groups}
    for source in sources:
        if family_of(source) not in group_families:
            label = FAMILY_LABEL[family_of(source)]
            raise ValueError(f"{what}: {source} is {label}, but no group is {label}")
    if what == "sources":
        for family, group in group_families.items():
            if not any(family_of(source) == family for source in sources):
                shown = printable(str(group))
                raise ValueError(
                    f"sources has no {FAMILY_LABEL[family]} address, so group {shown} could "
                    "receive nothing: add one, or receive that group separately"
                )


@attrs.frozen
class SendRequest:
    """Groups to send to on interfaces, and how.

    Attributes:
        groups: The groups.
        port: The port that groups are sent to unless told otherwise.
        selectors: The interfaces; `None` leaves the choice to the system's routes.
        ttl: The ttl of datagrams to groups.
        loopback: Whether datagrams are delivered on this machine too.
        traffic_class: The type of service or traffic class; `None` for the system's.
        source_address: The address that datagrams come from; `None` for the interface's first.
        source_port: The port that datagrams come from; 0 lets the system choose.
        send_buffer_size: The buffer to ask for, per socket, in bytes; `None` for the system's.
        receive_replies: Whether the sockets are read for unicast to their own ports.
    """

    groups: tuple[Group, ...]
    port: int
    selectors: tuple[InterfaceSelector, ...] | None = None
    ttl: int = attrs.field(default=1, kw_only=True)
    loopback: bool = attrs.field(default=True, kw_only=True)
    traffic_class: int | None = attrs.field(default=None, kw_only=True)
    source_address: IPAddress | None = attrs.field(default=None, kw_only=True)
    source_port: int = attrs.field(default=0, kw_only=True)
    send_buffer_size: int | None = attrs.field(default=None, kw_only=True)
    receive_replies: bool = attrs.field(default=False, kw_only=True)


def check_source_address(groups: Iterable[Group], source: IPAddress | None) -> None:
    """Raise `ValueError` for a source address that no group could be sent from."""
    if source is not None and not any(family_of(source) == group.family for group in groups):
        label = FAMILY_LABEL[family_of(source)]
        raise ValueError(
            f"source_address {source} is {label}, but no group is {label}: give an address of the "
            "groups' family"
        )
