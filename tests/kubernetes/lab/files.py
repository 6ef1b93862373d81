"""What the lab's programs are told: flags and configuration files. Starts nothing."""

import json
from pathlib import Path

import yaml

from tests.kubernetes.lab import network
from tests.kubernetes.lab.images import PAUSE
from tests.kubernetes.lab.keys import Keys

_ETCD = "http://127.0.0.1:2379"


def etcd(data: Path) -> list[str]:
    peers = "http://127.0.0.1:2380"
    urls = [f"--listen-client-urls={_ETCD}", f"--advertise-client-urls={_ETCD}", f"--listen-peer-urls={peers}"]
    return [f"--data-dir={data}", "--unsafe-no-fsync", "--log-level=warn", *urls]


def api_server(keys: Keys) -> list[str]:
    names = [f"DNS:kubernetes{rest}" for rest in ("", ".default", ".default.svc", ".default.svc.cluster.local")]
    keys.issue("api", "/CN=kube-apiserver", *names, f"IP:{network.CONTROL}", f"IP:{network.FIRST_SERVICE}")
    return [
        f"--etcd-servers={_ETCD}",
        f"--advertise-address={network.CONTROL}",
        f"--client-ca-file={keys.certificate('ca')}",
        f"--tls-cert-file={keys.certificate('api')}",
        f"--tls-private-key-file={keys.key('api')}",
        # A node's name is in no DNS.
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={keys.certificate('ca')}",
        f"--kubelet-client-certificate={keys.certificate('admin')}",
        f"--kubelet-client-key={keys.key('admin')}",
        f"--service-account-key-file={keys.key('accounts')}",
        f"--service-account-signing-key-file={keys.key('accounts')}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-cluster-ip-range={network.SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
    ]


def controllers(keys: Keys) -> dict[str, list[str]]:
    """Flags by program."""
    manager = keys.kubeconfig("manager", "/CN=system:kube-controller-manager")
    scheduler = keys.kubeconfig("scheduler", "/CN=system:kube-scheduler")
    return {
        "kube-controller-manager": [
            *_as(manager),
            f"--service-account-private-key-file={keys.key('accounts')}",
            f"--root-ca-file={keys.certificate('ca')}",
            "--use-service-account-credentials=true",
        ],
        "kube-scheduler": _as(scheduler),
    }


def write_node(directory: Path, number: int, keys: Keys) -> dict[str, str]:
    """The files that node.sh reads, and its environment."""
    directory.mkdir()
    name, address = f"n{number}", network.node_address(number)
    config = keys.kubeconfig(name, f"/O=system:nodes/CN=system:node:{name}", f"DNS:{name}", f"IP:{address}")
    proxy = keys.kubeconfig(f"proxy-{name}", "/CN=system:kube-proxy")
    for file, source in (("kubelet.conf", config), ("proxy.conf", proxy)):
        (directory / file).symlink_to(source)
    (directory / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(name, keys)))
    (directory / "network.conflist").write_text(json.dumps(_pod_network(number)))
    (directory / "containerd.toml").write_text(_CONTAINERD.format(pause=PAUSE))
    return {"NODE_ADDRESS": address}


def _as(config: str) -> list[str]:
    own = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return [*(f"--{one}={config}" for one in own), "--leader-elect=false"]


def _kubelet(name: str, keys: Keys) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": keys.certificate("ca")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": keys.certificate(name),
        "tlsPrivateKeyFile": keys.key(name),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [network.DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        # The disk is the machine's: what others have on it must not evict our pods.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
    }


def _pod_network(number: int) -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": network.pod_range(number)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "lab", "plugins": [bridge, ports]}


# A score below the machine's own cannot be set where root has no CAP_SYS_RESOURCE.
_CONTAINERD = """\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""
