"""The shipped chart, installed by helm on real nodes: ready, exact, upgraded without a gap, gone without a trace."""

import json
import re
import time
from typing import Any

import pytest

from tests.kubernetes import firstedge, pods, traces
from tests.kubernetes.cluster import NAMESPACE, Cluster, Failed, await_true

AGENT = "plumbline-agent"
# As the chart has them, and the kernel numbers them.
CAPABILITIES = {"DAC_READ_SEARCH": 2, "NET_ADMIN": 12, "SYS_PTRACE": 19, "PERFMON": 38, "BPF": 39}


@pytest.fixture(scope="module")
def times(cluster: Cluster) -> firstedge.Times:
    """Of the installation."""
    cluster.make_namespace()
    try:
        with firstedge.traffic(cluster) as town:
            found = firstedge.measured(town, cluster.install)
    except Exception as failed:
        raise AssertionError(cluster.diagnosis()) from failed
    print(f"\nchart: {found}", flush=True)
    return found


@pytest.fixture(scope="module")
def installed(cluster: Cluster, times: firstedge.Times) -> Cluster:
    pods.prepare(cluster)
    return cluster


def test_it_is_ready_and_shows_its_first_edge_soon(times: firstedge.Times) -> None:
    assert times.ready < 120
    assert times.named < 150


def test_every_node_has_an_agent_and_all_report(installed: Cluster) -> None:
    daemons = installed.get("daemonset", AGENT, "--namespace", NAMESPACE)["status"]
    assert daemons["numberReady"] == len(installed.nodes)

    def reporting() -> bool:
        hosts = installed.plumb("graph")["hosts"]
        return {one["name"] for one in hosts if not one["stale"]} == set(installed.nodes)

    await_true("every node's agent reports", reporting)


def test_an_agent_has_what_the_chart_gives_and_no_more(installed: Cluster) -> None:
    status = on_agent(installed, installed.nodes[0], "cat", "/proc/self/status")
    effective = int(re.search(r"CapEff:\s*(\w+)", status)[1], 16)  # type: ignore[index]
    bounding = int(re.search(r"CapBnd:\s*(\w+)", status)[1], 16)  # type: ignore[index]
    assert effective == bounding == sum(1 << number for number in CAPABILITIES.values())
    # A filter, and no way to more.
    assert re.search(r"Seccomp:\s*2\b", status)
    assert re.search(r"NoNewPrivs:\s*1\b", status)
    mounts = on_agent(installed, installed.nodes[0], "cat", "/proc/self/mounts")
    root = next(line for line in mounts.splitlines() if line.split()[1] == "/")
    assert "ro" in root.split()[3].split(",")
    assert not re.search("serviceaccount", mounts)


def test_every_request_is_counted_between_the_two_pods(installed: Cluster) -> None:
    server = pods.start_server(installed, installed.nodes[1])
    job = {"address": server.address, "port": 8080, "connections": 4, "requests": 5000}
    load = pods.start_load(installed, installed.nodes[0], "load", job)
    did = pods.counts(installed, load)
    assert did["requests"] == 5000
    edge = pods.settled_edge(installed, load, server, did["requests"])
    assert edge["statuses"] == by_class(did["statuses"])
    assert (edge["connections"], edge["errors"]) == (did["connections"], did["statuses"]["503"])
    assert edge["seen_from"] == "both"
    assert (edge["protocol"], edge["port"]) == ("http", 8080)


def test_every_request_through_the_service_is_counted_at_who_answered(installed: Cluster) -> None:
    server = pods.find(installed, "cart")
    job = {"address": pods.address_of_service(installed), "port": 80, "connections": 4, "requests": 5000}
    load = pods.start_load(installed, installed.nodes[0], "by-service", {**job, "requests_per_connection": 50})
    did = pods.counts(installed, load)
    edge = pods.settled_edge(installed, load, server, did["requests"])
    assert edge["statuses"] == by_class(did["statuses"])
    assert (edge["connections"], edge["errors"]) == (did["connections"], did["statuses"]["503"])


def test_an_upgrade_of_agents_under_load_misses_nothing(installed: Cluster) -> None:
    server = pods.find(installed, "cart")
    job = {"address": pods.address_of_service(installed), "port": 80, "connections": 4, "requests": 100_000}
    job |= {"rate": 100, "seconds": 60}
    load = pods.start_load(installed, installed.nodes[0], "steady", job)
    before = {one["metadata"]["uid"] for one in agents(installed)}
    began = time.monotonic()
    installed.install("--set", "agent.podAnnotations.turn=second")
    took = time.monotonic() - began
    assert not before & {one["metadata"]["uid"] for one in agents(installed)}
    did = pods.counts(installed, load)
    edge = pods.settled_edge(installed, load, server, did["requests"])
    assert edge["statuses"] == by_class(did["statuses"])
    assert [one["blind"] for one in installed.plumb("graph")["hosts"]] == [[]] * len(installed.nodes)
    print(f"\nchart: agents upgraded in {took:.0f} s; of {did['requests']} requests 0 were not seen", flush=True)


def test_what_was_declared_and_who_may_be_called_come_from_config_maps(installed: Cluster) -> None:
    component = {"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": {"name": "nowhere"}}
    component["spec"] = {"type": "service", "lifecycle": "production", "owner": "team-a"}
    rows = {"partner.example": ["Partner", "orders"]}
    for name, file, content in (("declared", "catalog-info.yaml", component), ("whose", "vendors.yaml", rows)):
        meta = {"name": name, "namespace": NAMESPACE}
        one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {file: json.dumps(content)}}
        installed.kubectl("apply", "-f-", text=json.dumps(one))
    installed.install(
        *("--set", "agent.podAnnotations.turn=second", "--set", "aggregator.catalog.configMap=declared"),
        *("--set", "aggregator.vendors.configMap=whose", "--set", "aggregator.vendors.allowed={Partner}"),
    )

    def is_missed() -> bool:
        try:
            answer = installed.plumb("drift")
        except Failed:
            return False  # its status says that nobody was watched yet
        return "component:default/nowhere" in [one["subject"] for one in (*answer["findings"], *answer["withheld"])]

    await_true("a component that nobody runs is missed", is_missed)


def test_an_uninstall_leaves_nothing(installed: Cluster) -> None:
    assert traces.attached(installed) or not installed.lab
    began = time.monotonic()
    installed.helm("uninstall", "plumbline", "--wait")
    traces.await_nothing(installed)
    print(f"\nchart: uninstalled, and nothing left, after {time.monotonic() - began:.0f} s", flush=True)


def agents(cluster: Cluster) -> list[Any]:
    selector = "--selector=app.kubernetes.io/component=agent"
    found: list[Any] = cluster.get("pods", "--namespace", NAMESPACE, selector)["items"]
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def on_agent(cluster: Cluster, node: str, *command: str) -> str:
    name = next(one["metadata"]["name"] for one in agents(cluster) if one["spec"]["nodeName"] == node)
    return cluster.kubectl("exec", "--namespace", NAMESPACE, name, "--", *command)


def by_class(statuses: dict[str, int]) -> dict[str, int]:
    """As an edge has them."""
    found = dict.fromkeys(("2xx", "3xx", "4xx", "5xx", "other"), 0)
    for code, count in statuses.items():
        found[f"{code[0]}xx"] += count
    return found
