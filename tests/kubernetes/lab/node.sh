#!/bin/bash
# What a node runs, in a mount, network, host name and cgroup namespace of its own: there the usual paths are its own, and
# the root of each cgroup hierarchy is the node's part of it.
# Usage: node.sh NAME DIRECTORY (containerd.toml, kubelet.yaml, kubelet.conf, proxy.conf, proxy-mode), with KUBERNETES.
set -euo pipefail
name=$1 directory=$2
shift 2
hostname "$name"
echo $$ > "$directory/shell"
mount --make-rshared /

hierarchies=$(awk '{ for (i = 7; i < NF; i++) if ($i == "-" && $(i+1) == "cgroup") { n = split($5, part, "/"); print part[n] } }' /proc/self/mountinfo)
mount -t tmpfs cgroups /sys/fs/cgroup
for hierarchy in $hierarchies; do
    mkdir "/sys/fs/cgroup/$hierarchy"
    options=$hierarchy
    [[ $hierarchy == systemd ]] && options=none,name=systemd
    mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$hierarchy"
done
mkdir /sys/fs/cgroup/unified
mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified

for place in /run/containerd /run/netns /run/plumbline; do
    mkdir -p "$place"
    mount -t tmpfs -o mode=755 own "$place"
done
for place in /var/lib/kubelet /var/lib/containerd /var/log/pods /var/lib/cni /etc/cni/net.d; do
    mkdir -p "$place" "$directory/own$place"
    mount --bind "$directory/own$place" "$place"
done
cp "$directory/network.conflist" /etc/cni/net.d/
mount --make-rshared /var/lib/kubelet

# As systemd would: so that what looks after the node is told from what runs on it.
unit() {
    local unit=$1 cgroup=/sys/fs/cgroup/unified/system.slice/$1.service
    shift
    mkdir -p "$cgroup"
    (echo $BASHPID > "$cgroup/cgroup.procs"; exec "$@") > "$directory/$unit.log" 2>&1 &
}
unit containerd containerd --config "$directory/containerd.toml"
for ((tries = 0; tries < 300; tries++)); do ctr version >/dev/null 2>&1 && break; sleep 0.1; done
for image in "$directory"/../images/*.tar; do ctr --namespace k8s.io images import "$image"; done
unit kubelet "$KUBERNETES" kubelet --config="$directory/kubelet.yaml" --kubeconfig="$directory/kubelet.conf" \
    --hostname-override="$name" --node-ip="$NODE_ADDRESS"
# Its mode is a word in a file, read when it starts: who ends it asks for another. What it would set of conntrack belongs
# to the whole machine.
unit kube-proxy bash -c 'while :; do "$KUBERNETES" kube-proxy --proxy-mode="$(<"$0")" "$@" || sleep 0.2; done' \
    "$directory/proxy-mode" --kubeconfig="$directory/proxy.conf" --hostname-override="$name" --cluster-cidr="$PODS" \
    --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0
echo up > "$directory/up"
wait
