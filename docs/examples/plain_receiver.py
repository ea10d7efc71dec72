"""Receive with plain sockets. Usage: python plain_receiver.py ADDRESS"""

import socket
import sys

if len(sys.argv) != 2:
    sys.exit(__doc__)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", 12345))
    membership = socket.inet_aton("239.1.2.3") + socket.inet_aton(sys.argv[1])
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    sock.settimeout(10)
    data, (host, port) = sock.recvfrom(65_535)
    print(f"{host}:{port}", data)
