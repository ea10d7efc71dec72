"""Show the interfaces of this machine, and which of them would be used."""

from trio_mcast import (
    InterfaceNotFoundError,
    default_interface,
    find_interfaces,
    list_interfaces,
)

print("All interfaces:")
for interface in list_interfaces():
    addresses = (*interface.ipv4_addresses, *interface.ipv6_addresses)
    print(f"  {interface.index} {interface}", *addresses)

try:
    receiving = [str(interface) for interface in find_interfaces(None)]
except InterfaceNotFoundError:
    receiving = []
print("A receiver joins on:", " ".join(receiving) or "none")
sending = default_interface("239.1.2.3") or "(no route)"
print("A sender to 239.1.2.3 sends on:", sending)
