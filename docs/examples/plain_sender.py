"""Send with plain sockets. Usage: python plain_sender.py ADDRESS"""

import socket
import sys

if len(sys.argv) != 2:
    sys.exit(__doc__)
interface = socket.inet_aton(sys.argv[1])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    sock.sendto(b"hello", ("239.1.2.3", 12345))
