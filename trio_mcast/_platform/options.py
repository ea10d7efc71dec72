"""The encoders: from a request and a platform to a socket option with the very bytes. Pure."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

import attrs

from .._values.addresses import Family, IPAddress, encode_sockaddr, family_of
from .model import Platform


@attrs.frozen
class SocketOption:
    """One socket option of a plan, with everything that ``setsockopt`` needs."""

    symbol: str
    """The option's C name, such as ``"MCAST_JOIN_GROUP"``."""
    level: int
    """The level's number on the plan's platform."""
    number: int
    """The option's number on the plan's platform."""
    value: int | bytes
    """An int, passed as a C int, or the bytes of a structure."""
    after_bind: bool
    """Whether the option is set after the bind instead of before."""
    purpose: str
    """The reason for the option, in one line for people."""
    fallback: SocketOption | None = None
    """The option to set instead where the system refuses this one; `None` if no other would do.
    """
    required: bool = True
    """Whether a refusal, with no fallback left, is an error. An option that is not required makes
    the socket faster, or ready for more; the socket works without it.
    """
    if_taken: bool = False
    """Whether to set the option only if the bind is refused because the port is in use. The bind is
    then tried once more.
    """


def option(
    platform: Platform,
    symbol: str,
    value: int | bytes,
    purpose: str,
    *,
    family: Family = "ipv4",
    after_bind: bool = False,
    fallback: SocketOption | None = None,
) -> SocketOption:
    """Return a socket option by symbol.

    Raises:
        ValueError: The platform does not have the option.
    """
    number = platform.constants.get(symbol)
    if number is None:
        raise ValueError(f"{platform.name} has no socket option {symbol}")
    level = platform.level(symbol, family)
    return SocketOption(symbol, level, number, value, after_bind, purpose, fallback)


def other_sharing(platform: Platform, symbol: str, value: int, purpose: str) -> SocketOption:
    """Share a port in a way that is tried only where the port is in use; 0 ends it after the bind.

    Made for each socket, so without a detour.
    """
    level, number = platform.constants["SOL_SOCKET"], platform.constants[symbol]
    return SocketOption(symbol, level, number, value, not value, purpose, None, False, True)


def later_sharing(platform: Platform, symbol: str, purpose: str) -> SocketOption:
    """Share a port from after the bind on, unless the bind has needed the option itself."""
    level, number = platform.constants["SOL_SOCKET"], platform.constants[symbol]
    return SocketOption(symbol, level, number, 1, True, purpose, None, False)


def group_req(platform: Platform, index: int, group: IPAddress) -> bytes:
    """Encode a ``struct group_req``: an interface's index and a group."""
    layout = platform.group_request
    head = struct.pack("=I", index).ljust(layout.group_offset, b"\0")
    return (head + encode_sockaddr(platform.sockaddr, group)).ljust(layout.group_req_size, b"\0")


def group_source_req(platform: Platform, index: int, group: IPAddress, source: IPAddress) -> bytes:
    """Encode a ``struct group_source_req``: an interface's index, a group and a source."""
    layout = platform.group_request
    raw = bytearray(layout.group_source_req_size)
    struct.pack_into("=I", raw, 0, index)
    _put_sockaddr(platform, raw, layout.group_offset, group)
    _put_sockaddr(platform, raw, layout.source_offset, source)
    return bytes(raw)


def _put_sockaddr(platform: Platform, raw: bytearray, offset: int, address: IPAddress) -> None:
    encoded = encode_sockaddr(platform.sockaddr, address)
    raw[offset : offset + len(encoded)] = encoded


def join_group(
    platform: Platform, index: int, group: IPAddress, address: IPAddress | None, text: str = ""
) -> SocketOption:
    """Join a group on an interface, from any source. Made for each socket, so without a detour.

    Args:
        platform: The platform of the option.
        index: The interface's index.
        group: The group.
        address: An address of the interface, for the older option that goes by address; `None` if
            the interface has none.
        text: The group as text, if that is known.
    """
    symbol, numbers = "MCAST_JOIN_GROUP", platform.constants
    older = _older_join(platform, index, group, address, text) if platform.join_fallback else None
    if older is not None and not platform.has_filters:
        return older
    level = numbers["IPPROTO_IP" if group.version == 4 else "IPPROTO_IPV6"]
    purpose = f"join {text or group} from any source"
    value, after_bind = group_req(platform, index, group), not platform.joins_before_bind
    return SocketOption(symbol, level, numbers[symbol], value, after_bind, purpose, older)


def _older_join(
    platform: Platform, index: int, group: IPAddress, address: IPAddress | None, text: str
) -> SocketOption | None:
    symbol, numbers = "IP_ADD_MEMBERSHIP", platform.constants
    level = numbers["IPPROTO_IP"]
    if group.version == 6:
        symbol, level = "IPV6_JOIN_GROUP", numbers["IPPROTO_IPV6"]
        value = group.packed + struct.pack("=I", index)  # struct ipv6_mreq
    elif platform.takes_mreqn:
        value = struct.pack("=4s4xi", group.packed, index)  # struct ip_mreqn
    elif address is None:
        return None
    else:
        value = group.packed + address.packed  # struct ip_mreq: group, interface
    purpose = f"join {text or group} from any source, where MCAST_JOIN_GROUP is not to be had"
    after_bind = not platform.joins_before_bind
    return SocketOption(symbol, level, numbers[symbol], value, after_bind, purpose)


def join_source(
    platform: Platform, index: int, group: IPAddress, source: IPAddress, address: IPAddress | None
) -> SocketOption:
    """Join a group on an interface, from one source more."""
    return _source_option(
        platform,
        ("MCAST_JOIN_SOURCE_GROUP", "IP_ADD_SOURCE_MEMBERSHIP"),
        group_source_req(platform, index, group, source),
        (group, source, address),
        f"join {group} from {source} only",
    )


def block_source(
    platform: Platform, index: int, group: IPAddress, source: IPAddress, address: IPAddress | None
) -> SocketOption:
    """Leave one source out of a group that was joined from any source."""
    return _source_option(
        platform,
        ("MCAST_BLOCK_SOURCE", "IP_BLOCK_SOURCE"),
        group_source_req(platform, index, group, source),
        (group, source, address),
        f"leave {source} out of {group}",
    )


def unblock_source(platform: Platform, block: SocketOption) -> SocketOption:
    """Return the option that undoes a `block_source`: the same bytes under another number."""
    symbol = block.symbol.replace("BLOCK", "UNBLOCK")
    fallback = None if block.fallback is None else unblock_source(platform, block.fallback)
    return attrs.evolve(
        block,
        symbol=symbol,
        number=platform.constants[symbol],
        purpose=block.purpose.replace("leave", "let", 1).replace(" out of ", " in again to ", 1),
        fallback=fallback,
    )


def leave_group(platform: Platform, join: SocketOption) -> SocketOption:
    """Return the option that ends a membership, with all its sources (RFC 3678, section 4.1).

    Args:
        platform: The platform of the option.
        join: A `join_group` or `join_source` of the membership.
    """
    symbol, value, fallback = "MCAST_LEAVE_GROUP", join.value, None
    assert isinstance(value, bytes)
    if join.fallback is not None:
        fallback = leave_group(platform, join.fallback)
    if join.symbol == "IPV6_JOIN_GROUP":
        symbol = "IPV6_LEAVE_GROUP"
    elif join.symbol == "IP_ADD_MEMBERSHIP":
        symbol = "IP_DROP_MEMBERSHIP"
    elif join.symbol == "IP_ADD_SOURCE_MEMBERSHIP":
        # struct ip_mreq: the group and the interface, which a struct ip_mreq_source ends with.
        symbol, value = "IP_DROP_MEMBERSHIP", value[:4] + value[-4:]
    else:
        # A struct group_source_req begins as a struct group_req.
        value = value[: platform.group_request.group_req_size]
    number = platform.constants[symbol]
    return SocketOption(
        symbol, join.level, number, value, False, "leave the group", fallback, required=False
    )


def _source_option(
    platform: Platform,
    symbols: tuple[str, str],
    value: bytes,
    addresses: tuple[IPAddress, IPAddress, IPAddress | None],
    purpose: str,
) -> SocketOption:
    group, source, address = addresses
    symbol, older = symbols
    fallback = None
    by_address = platform.join_fallback and not platform.takes_mreqn
    if by_address and isinstance(group, IPv4Address) and address is not None:
        # struct ip_mreq_source orders its fields group, source, interface everywhere but on Linux,
        # where this is no fallback: it goes by address.
        mreq_source = group.packed + source.packed + address.packed
        note = f"{purpose}, where {symbol} is not to be had"
        fallback = option(platform, older, mreq_source, note, after_bind=True)
    return option(
        platform,
        symbol,
        value,
        purpose,
        family=family_of(group),
        after_bind=not platform.joins_before_bind,
        fallback=fallback,
    )


def multicast_interface(
    platform: Platform, family: Family, index: int, address: IPAddress | None = None
) -> SocketOption:
    """Send multicast through one interface, whatever the routes say.

    Args:
        platform: The platform of the option.
        family: The socket's family.
        index: The interface's index.
        address: An address of the interface, for systems that may need the address instead.
    """
    purpose = "send multicast through this interface"
    if family == "ipv6":
        return option(platform, "IPV6_MULTICAST_IF", index, purpose)
    if platform.takes_mreqn:
        value = struct.pack("=4s4si", bytes(4), bytes(4), index)  # struct ip_mreqn
    else:
        value = struct.pack("!I", index)
    fallback = None
    if not platform.takes_mreqn and address is not None:
        # The older form of the option, which Windows tells from an index by its size: no address
        # that an interface can have is in 0.0.0.0/8.
        note = f"{purpose}, named by its address"
        fallback = option(platform, "IP_MULTICAST_IF", address.packed, note)
    return option(platform, "IP_MULTICAST_IF", value, purpose, fallback=fallback)


# By family, the options that both families have under different names.
_PER_FAMILY: dict[str, dict[Family, str]] = {
    "ttl": {"ipv4": "IP_MULTICAST_TTL", "ipv6": "IPV6_MULTICAST_HOPS"},
    "unicast_ttl": {"ipv4": "IP_TTL", "ipv6": "IPV6_UNICAST_HOPS"},
    "loopback": {"ipv4": "IP_MULTICAST_LOOP", "ipv6": "IPV6_MULTICAST_LOOP"},
    "traffic_class": {"ipv4": "IP_TOS", "ipv6": "IPV6_TCLASS"},
    "receive_traffic_class": {"ipv4": "IP_RECVTOS", "ipv6": "IPV6_RECVTCLASS"},
}


def family_option(
    platform: Platform, what: str, family: Family, value: int, purpose: str
) -> SocketOption:
    """Return an option by a key of `_PER_FAMILY`, such as ``"ttl"``, and by family."""
    return option(platform, _PER_FAMILY[what][family], value, purpose)


def receive_ttl(platform: Platform, family: Family) -> SocketOption:
    """Have the ttl of each datagram delivered with it."""
    symbol = "IP_RECVTTL"
    if family == "ipv6":
        # Windows has one name for the request and the data.
        has_request = "IPV6_RECVHOPLIMIT" in platform.constants
        symbol = "IPV6_RECVHOPLIMIT" if has_request else "IPV6_HOPLIMIT"
    return option(platform, symbol, 1, "deliver the ttl with each datagram")


def receive_timestamp(platform: Platform) -> SocketOption:
    """Have the kernel's arrival time of each datagram delivered with it.

    Raises:
        ValueError: The platform has no arrival times for UDP.
    """
    request: SocketOption | None = None
    for stamp in reversed(platform.timestamps):
        purpose = "deliver the arrival time with each datagram"
        request = option(platform, stamp.option, 1, purpose, fallback=request)
    if request is None:
        raise ValueError(f"receive_timestamp is not to be had on {platform.name}")
    return request


def exact_groups(platform: Platform, symbol: str) -> SocketOption:
    """Keep out groups that only other sockets on this machine have joined."""
    fallback = None
    if symbol == "IP_MULTICAST_ALL":
        purpose = "tell where each datagram arrived, to leave out those of other interfaces"
        fallback = option(platform, "IP_PKTINFO", 1, purpose)
    purpose = "only what this socket has joined itself"
    plain = option(platform, symbol, 0, purpose, fallback=fallback)
    # Linux has the option for IPv6 since 4.20. Before, a socket that has joined the group of its
    # bind, and is bound to one interface, gets the same without (inet6_mc_check in the kernel).
    return attrs.evolve(plain, required=symbol != "IPV6_MULTICAST_ALL")


def receive_units(platform: Platform) -> SocketOption | None:
    """Take datagrams that were sent in one go as one unit, where the platform can."""
    if "UDP_GRO" not in platform.constants:
        return None
    plain = option(platform, "UDP_GRO", 1, "read datagrams that came as one unit in one go")
    return attrs.evolve(plain, required=False)  # Linux 5.0 and later


def receive_buffer(platform: Platform, size: int) -> SocketOption:
    """Ask for a receive buffer of a size that somebody has chosen.

    On Linux a program with CAP_NET_ADMIN is given more than the limit of the system, but only if
    the program says so: 512 MiB instead of 4 (measured on 6.18).
    """
    plain = option(platform, "SO_RCVBUF", size, "room for bursts")
    if "SO_RCVBUFFORCE" not in platform.constants:
        return plain
    purpose = "room for bursts, also above the system's limit"
    return option(platform, "SO_RCVBUFFORCE", size, purpose, fallback=plain)
