"""The lab's networks: the control plane has a bridge, each node a wire to it, and its pods a range of their own.

Nothing of it is in the machine's own network. From the control plane's namespace pods and Services answer too.
"""

import subprocess
from pathlib import Path

CONTROL = "10.200.0.1"
# Of the control plane's place too: somebody who is not of the cluster, and what DNS calls them.
OUTSIDE, OUTSIDE_NAME = "203.0.113.9", "api.pay.example"
OUTSIDE_TOO = "203.0.113.10"
SERVICES, FIRST_SERVICE, DNS = "10.96.0.0/16", "10.96.0.1", "10.96.0.10"
PODS = "10.244.0.0/16"
NAMESPACES = Path("/run/netns")


def node_address(number: int) -> str:
    return f"10.200.0.{10 + number}"


def pod_range(number: int) -> str:
    return f"10.244.{number}.0/24"


def within(namespace: str, *command: str) -> list[str]:
    return ["nsenter", f"--net={NAMESPACES / namespace}", *command]


def build(control: str, nodes: dict[int, str]) -> None:
    """Namespaces by number of the node. Raises CalledProcessError."""
    _ip(f"netns add {control}", *(f"netns add {one}" for one in nodes.values()))
    _ip(
        "link set lo up",
        "link add br0 type bridge",
        f"addr add {CONTROL}/24 dev br0",
        f"addr add {OUTSIDE}/32 dev br0",
        f"addr add {OUTSIDE_TOO}/32 dev br0",
        "link set br0 up",
        into=control,
    )
    for number, namespace in nodes.items():
        _ip(f"link add eth0 netns {namespace} type veth peer name n{number} netns {control}")
        _ip(
            f"link set n{number} master br0 up",
            # Its own end answers before the node's does: a route over it waits for the address there.
            f"route add {pod_range(number)} via {node_address(number)}",
            into=control,
        )
        others = [one for one in nodes if one != number]
        _ip(
            "link set lo up",
            f"addr add {node_address(number)}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {CONTROL}",
            *(f"route add {pod_range(one)} via {node_address(one)}" for one in others),
            into=namespace,
        )
    # Whoever looks from the control plane's place reaches Services by the first node's rules.
    _ip(f"route add {SERVICES} via {node_address(min(nodes))}", into=control)
    for namespace in (control, *nodes.values()):
        subprocess.run(within(namespace, "sysctl", "-qw", "net.ipv4.ip_forward=1"), check=True)


def _ip(*lines: str, into: str = "") -> None:
    command = ["ip", "-batch", "-"]
    text = "\n".join(lines) + "\n"
    subprocess.run(within(into, *command) if into else command, input=text, text=True, check=True, capture_output=True)
