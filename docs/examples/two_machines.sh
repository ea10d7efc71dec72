# Two machines and a cable. As root, or: unshare --map-root-user --net --mount
set -eu
mount -t tmpfs none /run
for name in a b; do
    ip netns add $name
    ip -n $name link set lo up
done
ip link add eth0 netns a type veth peer name eth0 netns b
ip -n a address add 10.0.1.1/24 dev eth0
ip -n b address add 10.0.1.2/24 dev eth0
ip -n a link set eth0 up
ip -n b link set eth0 up
ip netns exec b python receiver.py eth0 &
ip netns exec a python sender.py eth0 || true  # Until Ctrl-C.
kill $!
