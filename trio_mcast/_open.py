"""`open_mcast_receiver`, `open_mcast_sender`, `open_mcast_channel`: signatures, documentation."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager

from ._channel.channel import McastChannel
from ._receive.receiver import McastReceiver
from ._receive.store import Overflow
from ._send.sender import McastSender
from ._send.transmitter import SenderOverflow
from ._specs.channel import McastChannelSpec
from ._specs.receiver import McastReceiverSpec
from ._specs.sender import McastSenderSpec
from ._values.addresses import AddressLike
from ._values.interface import InterfaceSelectors


def open_mcast_receiver(
    groups: AddressLike | Iterable[AddressLike],
    port: int | Iterable[int],
    *,
    interfaces: InterfaceSelectors | None = None,
    sources: AddressLike | Iterable[AddressLike] | None = None,
    excluded_sources: AddressLike | Iterable[AddressLike] | None = None,
    accept_unicast: bool = False,
    loopback: bool = True,
    follow_interfaces: bool = True,
    allow_missing: bool = False,
    receive_ttl: bool = False,
    receive_timestamp: bool = False,
    receive_traffic_class: bool = False,
    max_buffered: int = 1024,
    overflow: Overflow = "wait",
    receive_buffer_size: int | None = None,
) -> AbstractAsyncContextManager[McastReceiver]:
    """Join groups and receive their datagrams for the length of an ``async with`` block.

    ``async with open_mcast_receiver(...) as receiver``: when the block has been entered, every join
    is done, and what is sent from then on is received. This host's kernel then announces the groups
    to the network (an IGMP report for IPv4, MLD for IPv6; IGMPv3 and MLDv2 with the sources), which
    takes a switch or a router some milliseconds more to act on. Leaving the block leaves the
    groups. A task for each interface runs inside the block until the body has ended, also while
    the body is being cancelled. The body's exceptions leave the block as they are. If a task fails
    as well, both errors leave the block in an exception group.

    The block has tasks in it. So it has to end in the task that has entered it, and after all
    blocks that were entered inside it. To open now and close at any time, such as in a class with a
    ``close()``, use `McastReceiverSpec.serve`. An `~contextlib.AsyncExitStack` does not help: where
    two of them hold a receiver each, and are closed in the order of their opening, the program ends
    in `trio.TrioInternalError`.

    Args:
        groups: One group or an iterable of groups, as `str`, `~ipaddress.IPv4Address` or
            `~ipaddress.IPv6Address`; both families may be mixed. A group may carry a zone
            (``"ff02::1%eth0"``, ``"239.1.2.3%eth0"``: the name or index of an interface), which
            narrows it to that interface. Duplicates collapse. Empty: join later or, with
            ``accept_unicast``, receive unicast alone.
        port: The UDP port, 1 to 65535, or an iterable of ports, as for RTP and RTCP. Each is shared
            with programs that share it too. A group has a socket for each port, and is joined when
            all of these sockets have joined it. ``destination`` of a `Datagram` has the port.
        interfaces: Where to join: an interface's name (or description), index, address or
            `Interface`, or an iterable of these. An address stands for its interface, and for the
            groups of its family. Default, and `ALL_INTERFACES`: every interface that is up, capable
            of multicast, not loopback, and not a port of a bridge, bond or team.
        sources: Receive from these addresses only (source-specific multicast, an INCLUDE filter of
            RFC 3376 and RFC 3810). Any number: sources beyond the kernel's limit for one socket are
            spread over more sockets. Each family of the groups needs a source of that family.
        excluded_sources: Receive from all addresses but these (an EXCLUDE filter). Any number:
            datagrams of sources beyond the kernel's limit are rejected after reading. On macOS and
            FreeBSD those of all excluded sources are. Not together with ``sources``.
        accept_unicast: Whether to receive unicast to the port as well, as mDNS and SSDP need it: to
            any address of the interfaces, in the families of their groups; without any group, in
            both. The ``group`` of such a datagram is `None`. ``sources``, ``excluded_sources`` and
            ``loopback`` apply to unicast too. Where several programs have the port, the system
            gives each unicast datagram to one program only, and to this one before any that is not
            bound to the address.
        loopback: Whether to receive datagrams sent from this machine as well. When off, they are
            recognised by their source address, except on the loopback interface, which always
            delivers.
        follow_interfaces: Whether to keep the memberships up as interfaces come and go. An
            interface that appears is joined, if ``interfaces`` means it. One that vanishes is
            waited for if it was named, and forgotten if not. One that is made again is joined
            again. A join that was refused is tried again, first after 0.1 seconds and then after
            twice as long each time, up to 30 seconds. `McastReceiver.memberships` has the state of
            each; each change is logged once, on the logger ``trio_mcast``. A task of its own does
            all this. When off, memberships stay as they were opened, and one whose interface
            vanishes is lost.
        allow_missing: Whether to wait for interfaces that do not exist yet, instead of raising
            `InterfaceNotFoundError`. Needs ``follow_interfaces``.
        receive_ttl: Whether each datagram is to carry its ttl.
        receive_timestamp: Whether each datagram is to carry its arrival time, from the kernel.
            Linux begins to take the time some milliseconds after the first program of the machine
            asks for it; a datagram that arrives before has the time at which it was read.
        receive_traffic_class: Whether each datagram is to carry its IPv4 type of service or IPv6
            traffic class: the DSCP and ECN bits.
        max_buffered: How many datagrams may wait in the process, at least 1.
        overflow: What happens when ``max_buffered`` datagrams wait. ``"wait"``, the default:
            reading stops until half of them have been taken; the kernel's buffers fill, and the
            kernel drops and counts the datagrams that do not fit any more. ``"drop_oldest"``:
            reading goes on, and the datagrams that have waited longest are dropped.
            ``"drop_newest"``: reading goes on, and new datagrams are dropped. ``"latest"``, for
            programs that want the values of now: a newer datagram always takes the place in the
            queue of one from the same source, to the same group and port, on the same interface.
            Unicast is never replaced. When ``max_buffered`` datagrams wait all the same, those that
            have waited longest are dropped. With ``"wait"`` and a ``max_buffered`` from 1,024 up,
            datagrams that were sent in one go are taken as one unit, which is fast but can exceed
            the bound by the rest of a unit. With a lower ``max_buffered``, datagrams are taken one
            by one, and the bound is exact. Without ``"wait"`` the bound is always exact.
        receive_buffer_size: The receive buffer to ask for, per socket, in bytes; what was granted
            is in `McastReceiver.statistics`. On Linux, a program with CAP_NET_ADMIN is granted this
            size also above the system's limit (``net.core.rmem_max``). Default: 1 MiB, within that
            limit.

    Returns:
        An asynchronous context manager that gives a `McastReceiver`.

    Raises:
        TypeError: An argument is of the wrong type. Raised at the call, before anything is opened.
        ValueError: An argument is out of range or not a group, or arguments contradict each other.
            Raised at the call where it can be known there, else on entering.
        InterfaceNotFoundError: On entering: an interface that was named does not exist, or none was
            named and none is fit.
        AmbiguousInterfaceError: On entering: an address was named that two interfaces have.
        SocketSetupError: On entering: the system refused a step. With several interfaces, or the
            default, one that refuses a join does not stop the others: its membership shows as
            ``"failed"`` in `McastReceiver.memberships` and is logged once. Only if every membership
            fails, this is raised, with all the causes. With one interface that was named, the first
            refusal is raised. There is one exception: if the interface has no IPv6 (switched off,
            or an mtu of less than 1,280), its IPv4 groups are joined, and its IPv6 groups are
            ``"failed"``. Running out of file descriptors or memory is always an error.

    Cancellation:
        Entering and leaving are checkpoints. If entering is cancelled, nothing stays open.

    Platforms:
        Linux; Windows, run under Wine only; macOS and FreeBSD, where it was never run.
    """
    return McastReceiverSpec(
        groups,
        port,
        interfaces=interfaces,
        sources=sources,
        excluded_sources=excluded_sources,
        accept_unicast=accept_unicast,
        loopback=loopback,
        follow_interfaces=follow_interfaces,
        allow_missing=allow_missing,
        receive_ttl=receive_ttl,
        receive_timestamp=receive_timestamp,
        receive_traffic_class=receive_traffic_class,
        max_buffered=max_buffered,
        overflow=overflow,
        receive_buffer_size=receive_buffer_size,
    )._open("open_mcast_receiver(...) as receiver")


def open_mcast_sender(
    groups: AddressLike | Iterable[AddressLike],
    port: int,
    *,
    interfaces: InterfaceSelectors | None = None,
    allow_missing: bool = False,
    ttl: int = 1,
    unicast_ttl: int | None = None,
    loopback: bool = True,
    traffic_class: int | None = None,
    source_address: AddressLike | None = None,
    source_port: int = 0,
    receive_replies: bool = False,
    receive_ttl: bool = False,
    receive_timestamp: bool = False,
    receive_traffic_class: bool = False,
    overflow: SenderOverflow = "wait",
    send_buffer_size: int | None = None,
) -> AbstractAsyncContextManager[McastSender]:
    """Send datagrams to groups for the length of an ``async with`` block.

    Sending needs no membership: opening a sender announces nothing to the network. The body's
    exceptions leave the block as they are. If a task of the sender fails as well, both errors leave
    the block in an exception group. To open now and close at any time, use `McastSenderSpec.serve`:
    see `open_mcast_receiver`.

    A sender follows the network as it changes, with a task that runs inside the block and ends with
    it. The sender knows an interface by its name, even if ``interfaces`` has its index. While the
    interface is not there, or has no address of the group's family, sending on it fails and is
    counted. When the interface is back, datagrams go out there again, even if it was made anew or
    has another address. The interface need not have an address at opening. If nothing can be sent
    yet because the system is still checking a new IPv6 address, opening waits for up to 3 seconds.
    An interface that is named by a global address is always the one that has the address. Without
    ``interfaces``, the sender goes where the system routes the group; if there is no route any
    more, the sender stays where it is. With several interfaces, a datagram to one peer leaves where
    the system routes it. With a ``source_port`` of 0, a new socket has the port of the one before,
    if that is still free. Where the system does not tell of changes, the sender stays as it was
    opened.

    Args:
        groups: One group or an iterable of groups, at least one, as for `open_mcast_receiver`.
        port: The UDP port to send to, 1 to 65535.
        interfaces: Where to send: as for `open_mcast_receiver`; with an address, the datagrams also
            come from that address. `ALL_INTERFACES`: each datagram on every interface that a
            receiver would join by default, as they come and go; with ``source_address``, on those
            that have it. Default: the interface to which the system routes the group, or, without a
            route, the only candidate if there is exactly one. A candidate is an interface that a
            receiver would join by default. Where a route or rule of the system refuses the group
            (``prohibit``, ``unreachable``, ``blackhole``), sending there is refused too; with
            ``interfaces`` no route is asked.
        allow_missing: Whether to wait for what is missing instead of raising an error: an interface
            that was named, its address, or, where none was named, a route or a candidate. What is
            sent until then counts as failed. Default: no, as a missing interface is mostly
            misspelt.
        ttl: How far datagrams to groups go, 0 to 255. 0 stays on this machine, 1 (the default) in
            the local network, 2 passes one router, and so on. For IPv6, the hop limit. On Linux, 0
            is for the loopback interface alone. On other interfaces it is a `ValueError`: datagrams
            would leave the machine all the same where no program on it has joined the group.
        unicast_ttl: The ttl of datagrams to one address, such as answers, 1 to 255. ``ttl`` does
            not count for these. mDNS wants 255 (RFC 6762). Default: the system's, mostly 64.
        loopback: Whether datagrams are delivered on this machine too. The loopback interface always
            delivers.
        traffic_class: The IPv4 type of service or IPv6 traffic class, 0 to 255: six bits of DSCP,
            then two of ECN. Windows may leave it out. Default: the system's.
        source_address: The address that datagrams come from, one of the interface's own. Default:
            the one that a plain socket would take. Without ``interfaces`` that is the address that
            the system's route names, if it names one; else it is the interface's first address
            whose scope fits the group's.
        source_port: The port that datagrams come from; 0, the default, lets the system choose one.
            Any other port is shared with programs that share it too.
        receive_replies: Whether to receive unicast to this sender's own port, such as the answers
            to a search, from `McastSender.replies`. A task for each interface then runs inside the
            block and ends with it. Up to 1,024 replies wait in the process; when so many wait,
            reading stops until half of them have been taken. The kernel is asked for a receive
            buffer of 1 MiB per socket. With a ``source_port`` that other programs share, the system
            gives each reply to one of them only.
        receive_ttl: Whether each reply is to carry its ttl. Like the next two, it needs
            ``receive_replies``.
        receive_timestamp: Whether each reply is to carry its arrival time, from the kernel.
        receive_traffic_class: Whether each reply is to carry its traffic class.
        overflow: What happens to a datagram for which an interface's send buffer has no room.
            ``"wait"``, the default: the call waits, and ends when every interface has the datagram,
            so that the slowest interface sets the pace. ``"drop"``: it is not sent on that
            interface, and counted as failed there, with EAGAIN; the interface is passed over until
            the system says that it is writable, which is logged once at the beginning and once at
            the end. The call does not wait, and does not raise for that.
        send_buffer_size: The send buffer to ask for, per socket, in bytes. Default: the system's.

    Returns:
        An asynchronous context manager that gives a `McastSender`.

    Raises:
        TypeError: An argument is of the wrong type. Raised at the call, before anything is opened.
        ValueError: An argument is out of range or not a group, or arguments contradict each other.
            Raised at the call where it can be known there, else on entering.
        InterfaceNotFoundError: On entering, without ``allow_missing``: an interface that was named
            does not exist, or none was named and none is fit.
        AmbiguousInterfaceError: On entering, without ``allow_missing``: no interface was named,
            there is no route, and there is more than one candidate; or an address was named that
            two interfaces have.
        SocketSetupError: On entering: the system refused a step, such as binding to a source port
            that another program does not share; or, without ``allow_missing``, the system's routes
            refuse a group for which no interface is named (``step`` is then ``"route"``): change
            the route, or name the interface. Nothing stays open.

    Cancellation:
        Entering and leaving are checkpoints. If entering is cancelled, nothing stays open.

    Platforms:
        Linux; Windows, run under Wine only; macOS and FreeBSD, where it was never run.
    """
    return McastSenderSpec(
        groups,
        port,
        interfaces=interfaces,
        allow_missing=allow_missing,
        ttl=ttl,
        unicast_ttl=unicast_ttl,
        loopback=loopback,
        traffic_class=traffic_class,
        source_address=source_address,
        source_port=source_port,
        receive_replies=receive_replies,
        receive_ttl=receive_ttl,
        receive_timestamp=receive_timestamp,
        receive_traffic_class=receive_traffic_class,
        overflow=overflow,
        send_buffer_size=send_buffer_size,
    )._open("open_mcast_sender(...) as sender")


def open_mcast_channel(
    groups: AddressLike | Iterable[AddressLike],
    port: int | Iterable[int],
    *,
    interfaces: InterfaceSelectors | None = None,
    sources: AddressLike | Iterable[AddressLike] | None = None,
    excluded_sources: AddressLike | Iterable[AddressLike] | None = None,
    accept_unicast: bool = False,
    loopback: bool = True,
    follow_interfaces: bool = True,
    allow_missing: bool = False,
    receive_ttl: bool = False,
    receive_timestamp: bool = False,
    receive_traffic_class: bool = False,
    max_buffered: int = 1024,
    overflow: Overflow = "wait",
    receive_buffer_size: int | None = None,
    ttl: int = 1,
    unicast_ttl: int | None = None,
    traffic_class: int | None = None,
    source_address: AddressLike | None = None,
    send_buffer_size: int | None = None,
) -> AbstractAsyncContextManager[McastChannel]:
    """Receive from groups on a port, and send from that port, within an ``async with`` block.

    For protocols whose parties all have one port: mDNS, SSDP, RIP, PTP, CoAP, DDS discovery. A
    channel is a receiver and a sender in one, on each of its interfaces, and follows them all.

    A channel never delivers what it has sent itself, whatever ``loopback`` is. The channel knows
    its own datagrams by endpoint and payload. So it hears other programs of this machine, even one
    with the same address and port. What it leaves out counts as rejected, as ``"own"``.

    Without ``accept_unicast``, no unicast to the port is taken from other programs on Linux. On
    macOS, FreeBSD and Windows that cannot be promised: the sockets that datagrams are sent from are
    bound to the port, and a system may give one of them what was meant for another program.

    To open now and close at any time, use `McastChannelSpec.serve`: see `open_mcast_receiver`.

    Args:
        groups: One group or an iterable of groups, at least one, as for `open_mcast_receiver`. The
            channel sends in the families of these groups. A group of the other family that
            `McastReceiver.join` adds is heard, and cannot be answered.
        port: The UDP port, or an iterable of ports to receive on, as for `open_mcast_receiver`. The
            channel sends from the first and to the first. What goes to a group at another of these
            ports leaves from that port.
        interfaces: Where to receive and to send, as for `open_mcast_receiver`. Default:
            `ALL_INTERFACES`, for both.
        sources: As for `open_mcast_receiver`.
        excluded_sources: As for `open_mcast_receiver`.
        accept_unicast: As for `open_mcast_receiver`: whether to receive unicast to the port too.
        loopback: Whether to hear other programs of this machine, and to be heard by them.
        follow_interfaces: As for `open_mcast_receiver`; when off, sending stays as it was opened,
            too.
        allow_missing: As for `open_mcast_receiver` and `open_mcast_sender`.
        receive_ttl: As for `open_mcast_receiver`.
        receive_timestamp: As for `open_mcast_receiver`.
        receive_traffic_class: As for `open_mcast_receiver`.
        max_buffered: As for `open_mcast_receiver`.
        overflow: As for `open_mcast_receiver`. Sending waits while a send buffer is full.
        receive_buffer_size: As for `open_mcast_receiver`.
        ttl: How far datagrams to groups go, as for `open_mcast_sender`.
        unicast_ttl: The ttl of datagrams to one address, such as answers.
        traffic_class: As for `open_mcast_sender`.
        source_address: As for `open_mcast_sender`. With `ALL_INTERFACES`, the channel sends on the
            interfaces that have it.
        send_buffer_size: As for `open_mcast_sender`.

    Returns:
        An asynchronous context manager that gives a `McastChannel`.

    Raises:
        TypeError: As for `open_mcast_receiver` and `open_mcast_sender`; likewise the other errors.

    Cancellation:
        Entering and leaving are checkpoints. If entering is cancelled, nothing stays open.

    Platforms:
        Linux; Windows, run under Wine only; macOS and FreeBSD, where it was never run.
    """
    return McastChannelSpec(
        groups,
        port,
        interfaces=interfaces,
        sources=sources,
        excluded_sources=excluded_sources,
        accept_unicast=accept_unicast,
        loopback=loopback,
        follow_interfaces=follow_interfaces,
        allow_missing=allow_missing,
        receive_ttl=receive_ttl,
        receive_timestamp=receive_timestamp,
        receive_traffic_class=receive_traffic_class,
        max_buffered=max_buffered,
        overflow=overflow,
        receive_buffer_size=receive_buffer_size,
        ttl=ttl,
        unicast_ttl=unicast_ttl,
        traffic_class=traffic_class,
        source_address=source_address,
        send_buffer_size=send_buffer_size,
    )._open("open_mcast_channel(...) as channel")
