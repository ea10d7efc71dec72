"""Receive with multicast_expert 1.6. Usage: python expert_receiver.py"""

import socket

import multicast_expert

with multicast_expert.McastRxSocket(
    socket.AF_INET, mcast_ips=["239.1.2.3"], port=12345, timeout=10
) as rx_socket:
    packet = rx_socket.recvfrom()
    if packet is not None:
        data, source = packet
        print(f"{source[0]}:{source[1]}", data)
