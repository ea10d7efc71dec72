"""Send with multicast_expert 1.6. Usage: python expert_sender.py INTERFACE"""

import socket
import sys

import multicast_expert

if len(sys.argv) != 2:
    sys.exit(__doc__)
with multicast_expert.McastTxSocket(
    socket.AF_INET, mcast_ips=["239.1.2.3"], iface=sys.argv[1]
) as tx_socket:
    tx_socket.sendto(b"hello", ("239.1.2.3", 12345))
