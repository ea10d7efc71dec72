"""The functions and structures of Windows that Python does not have, through ctypes.

The structures are those of the Windows SDK's ``ws2def.h``, ``iptypes.h`` and ``netioapi.h``, up to
the last member that this library reads. The layouts can be looked at on any system, the functions
called on Windows only.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import c_char_p, c_int32, c_ubyte, c_uint16, c_uint32, c_uint64, c_void_p, c_wchar_p
from typing import Final

# mswsock.h, winsock2.h. SIO_UDP_CONNRESET and SIO_UDP_NETRESET can switch off that an ICMP message,
# which some earlier datagram caused, makes a later read fail.
SIO_GET_EXTENSION_FUNCTION_POINTER: Final = 0xC8000006
SIO_UDP_CONNRESET: Final = 0x9800000C
SIO_UDP_NETRESET: Final = 0x9800000F
WSAEWOULDBLOCK: Final = 10035
WSAENETRESET: Final = 10052
WSAECONNRESET: Final = 10054

# WSAID_WSARECVMSG of mswsock.h, {f689d7c8-6f1f-436b-8a53-e54fe351c322}, as a GUID is in memory.
WSARECVMSG_GUID: Final = bytes.fromhex("c8d789f6 1f6f 6b43 8a53e54fe351c322")

# iptypes.h, ipifcons.h, ifdef.h, winerror.h.
GAA_FLAG_SKIP_ANYCAST: Final = 0x2
GAA_FLAG_SKIP_MULTICAST: Final = 0x4
GAA_FLAG_SKIP_DNS_SERVER: Final = 0x8
IP_ADAPTER_NO_MULTICAST: Final = 0x10
IF_TYPE_SOFTWARE_LOOPBACK: Final = 24
IF_OPER_STATUS_UP: Final = 1
ERROR_BUFFER_OVERFLOW: Final = 111
ERROR_NO_DATA: Final = 232

# netioapi.h: MIB_NOTIFICATION_TYPE.
MIB_DELETE_INSTANCE: Final = 2

AF_UNSPEC: Final = 0


class WsaBuf(ctypes.Structure):
    """``WSABUF``: a buffer."""

    _fields_ = (("len", c_uint32), ("buf", c_void_p))


class WsaMsg(ctypes.Structure):
    """``WSAMSG``: the buffers that WSARecvMsg reads into."""

    _fields_ = (
        ("name", c_void_p),
        ("namelen", c_int32),
        ("lpBuffers", c_void_p),
        ("dwBufferCount", c_uint32),
        ("Control", WsaBuf),
        ("dwFlags", c_uint32),
    )


class SocketAddress(ctypes.Structure):
    """``SOCKET_ADDRESS``: the place and the length of a sockaddr."""

    _fields_ = (("lpSockaddr", c_void_p), ("iSockaddrLength", c_int32))


class UnicastAddress(ctypes.Structure):
    """``IP_ADAPTER_UNICAST_ADDRESS``: one address of an interface, in a linked list."""

    _fields_ = (
        ("Length", c_uint32),
        ("Flags", c_uint32),
        ("Next", c_void_p),
        ("Address", SocketAddress),
        ("PrefixOrigin", c_int32),
        ("SuffixOrigin", c_int32),
        ("DadState", c_int32),
        ("ValidLifetime", c_uint32),
        ("PreferredLifetime", c_uint32),
        ("LeaseLifetime", c_uint32),
        ("OnLinkPrefixLength", c_ubyte),
    )


class AdapterAddresses(ctypes.Structure):
    """``IP_ADAPTER_ADDRESSES``: one interface, in a linked list."""

    _fields_ = (
        ("Length", c_uint32),
        ("IfIndex", c_uint32),
        ("Next", c_void_p),
        ("AdapterName", c_char_p),
        ("FirstUnicastAddress", c_void_p),
        ("FirstAnycastAddress", c_void_p),
        ("FirstMulticastAddress", c_void_p),
        ("FirstDnsServerAddress", c_void_p),
        ("DnsSuffix", c_wchar_p),
        ("Description", c_wchar_p),
        ("FriendlyName", c_wchar_p),
        ("PhysicalAddress", c_ubyte * 8),
        ("PhysicalAddressLength", c_uint32),
        ("Flags", c_uint32),
        ("Mtu", c_uint32),
        ("IfType", c_uint32),
        ("OperStatus", c_int32),
        ("Ipv6IfIndex", c_uint32),
    )


class IpInterfaceRow(ctypes.Structure):
    """``MIB_IPINTERFACE_ROW``: an interface as one family sees it."""

    _fields_ = (("Family", c_uint16), ("InterfaceLuid", c_uint64), ("InterfaceIndex", c_uint32))


if sys.platform == "win32":
    _ws2_32 = ctypes.WinDLL("ws2_32", use_last_error=True)
    _iphlpapi = ctypes.WinDLL("iphlpapi")

    # INT WSARecvMsg(SOCKET, LPWSAMSG, LPDWORD read, LPWSAOVERLAPPED, completion routine)
    ReceiveMessage = ctypes.WINFUNCTYPE(
        ctypes.c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, use_last_error=True
    )
    _wsa_ioctl = _ws2_32.WSAIoctl
    _wsa_ioctl.argtypes = (
        *(c_void_p, c_uint32, c_void_p, c_uint32, c_void_p, c_uint32),
        *(c_void_p, c_void_p, c_void_p),
    )

    get_adapters_addresses = _iphlpapi.GetAdaptersAddresses
    get_adapters_addresses.argtypes = (c_uint32, c_uint32, c_void_p, c_void_p, c_void_p)
    get_adapters_addresses.restype = c_uint32
    get_best_interface = _iphlpapi.GetBestInterfaceEx
    get_best_interface.argtypes = (c_char_p, c_void_p)
    get_best_interface.restype = c_uint32

    # void callback(PVOID context, PMIB_..._ROW, MIB_NOTIFICATION_TYPE)
    ChangeCallback = ctypes.WINFUNCTYPE(None, c_void_p, c_void_p, ctypes.c_int)
    _change_arguments = (c_uint16, ChangeCallback, c_void_p, c_ubyte, c_void_p)
    notify_interface_change = _iphlpapi.NotifyIpInterfaceChange
    notify_interface_change.argtypes = _change_arguments
    notify_interface_change.restype = c_uint32
    notify_address_change = _iphlpapi.NotifyUnicastIpAddressChange
    notify_address_change.argtypes = _change_arguments
    notify_address_change.restype = c_uint32
    notify_route_change = _iphlpapi.NotifyRouteChange2
    notify_route_change.argtypes = _change_arguments
    notify_route_change.restype = c_uint32
    cancel_change_notification = _iphlpapi.CancelMibChangeNotify2
    cancel_change_notification.argtypes = (c_void_p,)
    cancel_change_notification.restype = c_uint32

    def control(number: int, code: int, value: bytes, answer_bytes: int = 0) -> bytes:
        """Call WSAIoctl, and return a socket's answer to a control code. OSError if refused."""
        answer = ctypes.create_string_buffer(max(1, answer_bytes))
        got = c_uint32()
        failed = _wsa_ioctl(
            number,
            code,
            value,
            len(value),
            answer,
            answer_bytes,
            ctypes.byref(got),
            None,
            None,
        )
        if failed:
            raise ctypes.WinError(ctypes.get_last_error())
        return answer.raw[: got.value]
