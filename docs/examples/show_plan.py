"""Show what a receiver would do on each platform. Opens no socket."""

from ipaddress import IPv4Interface

from trio_mcast import Interface, McastReceiverSpec

eth0 = Interface(
    name="eth0",
    index=2,
    ipv4_addresses=(IPv4Interface("10.0.0.1/24"),),
    link_address="02:00:00:00:00:01",
    mtu=1500,
)
spec = McastReceiverSpec(
    "232.1.2.3", 12345, interfaces="eth0", sources="10.0.0.7"
)

for platform in ("linux", "darwin", "freebsd", "windows"):
    print(platform)
    for socket in spec.plan([eth0], platform):
        for option in socket.options:
            if not option.after_bind:
                print(f"  set {option.symbol}: {option.purpose}")
        print(f"  bind to {socket.bind}")
        for option in socket.options:
            if option.after_bind:
                print(f"  set {option.symbol}: {option.purpose}")
