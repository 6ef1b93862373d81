"""Who called whom in a real cluster, however it was called: each request once, at the right two workloads.

All of it happens at once, in one namespace for each mode of kube-proxy; what the graph says is held against what load
generators and servers counted themselves.
"""

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.kubernetes.cluster import APPS, NAMESPACE, Cluster, await_true
from tests.kubernetes.lab import network
from tests.kubernetes.lab.lab import Lab
from tests.kubernetes.town import PORT, Json, Town

HOST_PORTS = {"nftables": 18080, "iptables": 18081}
# It asks a little more often than it is to get: a busy machine answers late.
RATE, ASKED_RATE = 1000, 1300
_TRACED_AS = "resource.opentelemetry.io/service.namespace"
ROLLING_SECONDS = 24
_SOME = 50
_HTTP_PROBE = {"httpGet": {"path": "/ready", "port": PORT}, "periodSeconds": 1}
_OUTSIDE_PORT = 8088
# Requests from outside: by a port that lets servers see who comes, and by one that does not.
_CAME_SEEN, _CAME_BY_HOST = 22, 33
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "fleets.acme.test"},
    "spec": {
        "group": "acme.test",
        "scope": "Namespaced",
        "names": {"plural": "fleets", "singular": "fleet", "kind": "Fleet"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


@pytest.fixture(scope="module")
def installed(installed: Cluster) -> Iterator[Cluster]:
    yield installed
    installed.kubectl("delete", "customresourcedefinition", "fleets.acme.test", "--ignore-not-found")


class Play:
    """Everything that happens, and what the graph says of it then."""

    def __init__(self, town: Town, host_port: int) -> None:
        self.town = town
        self.host_port = host_port
        self.name = town.name
        self.near, self.far = town.cluster.nodes
        self._did: dict[str, list[Json]] = {}
        self._graph: Any = None
        self.handed_on = ""

    # --- what happens ---

    def set_up(self) -> None:
        """Servers."""
        town = self.town
        orders = town.workload("Deployment", "orders", town.server(), replicas=2)
        # What traces are told of its namespace is no namespace of this cluster.
        orders["spec"]["template"]["metadata"]["annotations"] = {_TRACED_AS: "elsewhere"}
        town.add(
            orders,
            town.service("orders"),
            town.service("orders-all", clusterIP="None", to={"app": "orders"}),
            town.service("orders-port", type="NodePort", to={"app": "orders"}),
            town.external_name("alias", f"orders.{self.name}.svc.cluster.local", place=f"{self.name}-other"),
            *(
                town.workload("Deployment", one, town.server(), replicas=count, labels={"tier": "shop"})
                for one, count in (("stable", 3), ("canary", 1))
            ),
            *(town.service(one, to={"tier": "shop"}) for one in ("shop", "shop-old")),
            town.workload("StatefulSet", "db", town.server(), replicas=2),
            town.service("db", clusterIP="None"),
            town.workload("Deployment", "gate", town.server(port=self.host_port), hostNetwork=True, nodeName=self.far),
            town.service("gate", ports=[{"name": "http", "port": 80, "targetPort": self.host_port}]),
            town.workload("Deployment", "rolled", self._rolled(), replicas=2),
            town.workload("Deployment", "idle", town.server(readinessProbe=_HTTP_PROBE)),
            town.workload("Deployment", "door", town.server(), nodeName=self.far),
            town.service("door", type="LoadBalancer", externalTrafficPolicy="Local"),
            town.external_name("pay", network.OUTSIDE_NAME),
            town.workload("Deployment", "choir", town.server(), self._sings(), replicas=2),
            town.service("choir"),
            town.service("rolled"),
            CRD,
        )
        town.apply()
        town.await_ready(
            *(f"deployment/{one}" for one in ("orders", "stable", "canary", "gate", "rolled", "idle", "door"))
        )
        town.await_ready("statefulset/db")

    def _sings(self) -> Json:
        """It asks its own Service, and so itself now and then."""
        job = {"address": f"choir.{self.name}", "port": 80, "requests": 60, "requests_per_connection": 1, "begin": 5}
        return self.town.load(job)

    def _rolled(self) -> Json:
        """It goes on for as long as the last node's rules still lead to it."""
        return self.town.server(lifecycle={"preStop": {"exec": {"command": ["sleep", "3"]}}})

    def play(self) -> None:
        """Clients."""
        town = self.town
        orders, shop, gate = (town.cluster_ip(one) for one in ("orders", "shop", "gate"))
        pods = [one["status"]["podIP"] for one in town.pods("orders")]
        once: Json = {"port": 80, "requests_per_connection": 1}
        steady = {"address": town.cluster_ip("rolled"), "port": 80, "connections": 8, "requests_per_connection": 25}
        town.add(
            town.pod("front", town.load(*self._ways(orders, pods[0]), name="front"), nodeName=self.near),
            town.pod("direct", town.load({**once, "address": pods[1], "port": PORT, "requests": 50})),
            town.workload(
                "Deployment",
                "buyer",
                town.load(
                    {**once, "address": shop, "requests": 300},
                    {**once, "address": town.cluster_ip("shop-old"), "requests": 200},
                ),
            ),
            town.pod(
                "reader",
                town.load(
                    *(
                        {"address": f"{name}.{self.name}", "port": PORT, "requests": count, "connections": 2}
                        for name, count in (("db", 30), ("db-0.db", 40), ("db-1.db", 60))
                    )
                ),
            ),
            *(self._scout(name, count, orders, gate, pods[0]) for name, count in (("scout", 40), ("spy", 70))),
            town.pod("guest", town.load({**once, "address": gate, "requests": 25})),
            self._nightly(orders),
            self._duo(orders),
            town.pod(
                "driver",
                town.load({**steady, "requests": 10**6, "rate": ASKED_RATE, "seconds": ROLLING_SECONDS}),
            ),
            {"apiVersion": "acme.test/v1", "kind": "Fleet", "metadata": town.meta("game")},
            town.pod("monitor", town.load(*(self._reads(*one) for one in ((pods[0], PORT), self._agent())))),
            *(
                town.pod("twin", town.load({**once, "address": orders, "requests": count}), place=place)
                for place, count in ((self.name, 12), (f"{self.name}-other", 34))
            ),
        )
        town.apply()
        town.add(self._owned_by_fleet(orders))
        town.apply()
        town.kubectl("create", "job", "nightly-1", "--from=cronjob/nightly")
        await_true("the driver runs", lambda: town.pods("driver")[0]["status"]["phase"] == "Running")
        time.sleep(3)
        town.kubectl("rollout", "restart", "deployment/rolled")
        town.await_ready("deployment/rolled")
        if town.cluster.lab is not None:
            self._reuse(town.cluster.lab, orders, gate)
            self._meet_outside(town.cluster.lab)

    @staticmethod
    def _reads(address: str, port: int) -> Json:
        once = {"requests": 6, "requests_per_connection": 1}
        return {**once, "address": address, "port": port, "paths": [["GET", "/metrics"]]}

    def _agent(self) -> tuple[str, int]:
        """Where one tells its own figures."""
        pods = self.town.cluster.get("pods", "--namespace", NAMESPACE, "--selector=app.kubernetes.io/component=agent")
        pod = pods["items"][0]
        (port,) = (one["containerPort"] for one in pod["spec"]["containers"][0]["ports"] if one["name"] == "metrics")
        return pod["status"]["podIP"], port

    def _meet_outside(self, lab: Lab) -> None:
        """Somebody outside is called by another name, and comes by a port that lets servers see who comes."""
        town, job = self.town, {"port": _OUTSIDE_PORT, "requests": 18, "requests_per_connection": 1}
        with outside_server(lab):
            town.add(town.pod("payer", town.load({**job, "address": f"pay.{self.name}"})))
            town.apply()
            self.did("payer")
        for name, count in (("door", _CAME_SEEN), ("orders-port", _CAME_BY_HOST)):
            self._come(lab, name, count)

    def _come(self, lab: Lab, name: str, count: int) -> None:
        """From outside, by a node's port."""
        port = self.town.get("service", name)["spec"]["ports"][0]["nodePort"]
        address = self._address_of_node(self.far)
        outside_load(lab, {"address": address, "port": port, "requests": count, "from": network.OUTSIDE})

    def _reuse(self, lab: Lab, orders: str, gate: str) -> None:
        """A caller is killed in the middle of what it does, and another pod has its address at once, which answers."""
        town = self.town
        endless = {"address": orders, "port": 80, "requests": 10**6, "rate": 100, "connections": 4}
        town.add(town.pod("baz", town.load(endless), nodeName=self.near))
        town.apply()
        self.handed_on = town.address("baz")
        await_true("baz calls", lambda: town.served("orders").get(self.handed_on, 0) > _SOME)
        town.kubectl("delete", "pod", "baz", "--grace-period=0", "--force")
        lab.give_next(self.near, self.handed_on)
        load = town.load({"address": gate, "port": 80, "requests": 30})
        town.add(town.pod("foo", town.server(), load, nodeName=self.near))
        town.apply()
        assert town.address("foo") == self.handed_on
        job = {"address": self.handed_on, "port": PORT, "requests": 40, "requests_per_connection": 1, "begin": 1}
        town.add(town.pod("late", town.load(job), nodeName=self.far))
        town.apply()

    def _ways(self, orders: str, pod: str) -> list[Json]:
        once = {"requests_per_connection": 1}
        port = self.town.get("service", "orders-port")["spec"]["ports"][0]["nodePort"]
        return [
            {**once, "address": orders, "port": 80, "requests": 100},
            {**once, "address": pod, "port": PORT, "requests": 50},
            {**once, "address": f"orders-all.{self.name}", "port": PORT, "requests": 30},
            {**once, "address": self._address_of_node(self.far), "port": port, "requests": 20},
            {**once, "address": f"alias.{self.name}-other", "port": 80, "requests": 10},
        ]

    def _address_of_node(self, name: str) -> str:
        addresses = self.town.cluster.get("node", name)["status"]["addresses"]
        found: str = next(one["address"] for one in addresses if one["type"] == "InternalIP")
        return found

    def _scout(self, name: str, count: int, orders: str, gate: str, pod: str) -> Json:
        """Of the host's network, beside another one on the same node."""
        once = {"requests_per_connection": 1, "requests": count}
        load = self.town.load(
            {**once, "address": gate, "port": 80},
            {**once, "address": orders, "port": 80},
            {**once, "address": pod, "port": PORT},
        )
        return self.town.pod(name, load, hostNetwork=True, dnsPolicy="Default", nodeName=self.near)

    def _nightly(self, orders: str) -> Json:
        load = self.town.load({"address": orders, "port": 80, "requests": 200}, ends=True)
        template = {
            "spec": {"template": {"metadata": {"labels": {"app": "nightly"}}, "spec": self.town.pod_spec(load)}}
        }
        spec = {"schedule": "0 0 1 1 *", "jobTemplate": template}
        return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": self.town.meta("nightly"), "spec": spec}

    def _duo(self, orders: str) -> Json:
        """One container calls the other one by loopback, and others for it."""
        once = {"requests_per_connection": 1}
        load = self.town.load(
            {**once, "address": "127.0.0.1", "port": PORT, "requests": 15, "begin": 2},
            {**once, "address": orders, "port": 80, "requests": 35},
        )
        return self.town.workload("Deployment", "duo", self.town.server(), load)

    def _owned_by_fleet(self, orders: str) -> Json:
        uid = self.town.get("fleet", "game")["metadata"]["uid"]
        pod = self.town.pod("ship", self.town.load({"address": orders, "port": 80, "requests": 120}))
        owner = {"apiVersion": "acme.test/v1", "kind": "Fleet", "name": "game", "uid": uid, "controller": True}
        pod["metadata"]["ownerReferences"] = [owner]
        return pod

    # --- what came of it ---

    def did(self, name: str) -> list[Json]:
        if name not in self._did:
            self._did[name] = self.town.did(name)
        return self._did[name]

    def requests(self, name: str) -> int:
        return sum(row["requests"] for row in self.did(name))

    def graph(self) -> Any:
        """When it has all that was done."""
        if self._graph is None:
            (twin,) = self.town.did("twin", f"{self.name}-other")
            total = sum(map(self.requests, self.loads())) + twin["requests"]
            if self.handed_on:
                total += self.town.served("orders")[self.handed_on] + _CAME_SEEN + _CAME_BY_HOST
            graphs: list[Any] = []

            def complete() -> bool:
                graphs[:] = [self.town.cluster.plumb("graph", "--background")]
                return bool(sum(one["requests"] for one in self.own(graphs[0])) >= total)

            try:
                await_true(f"{total} requests", complete, 30)
            except Exception as late:
                self._graph = graphs[0]  # what each test asks is told by itself
                found = {(one["source"], one["target"]): one["requests"] for one in self.own(graphs[0])}
                did = {one: [(row["address"], row["requests"]) for row in self.did(one)] for one in self.loads()}
                raise AssertionError(f"{found}\n{did}") from late
            self._graph = graphs[0]
        return self._graph

    def loads(self) -> list[str]:
        """By their labels; of both namespaces."""
        pods = self.town.get("pods")["items"]
        return sorted({one["metadata"]["labels"]["app"] for one in pods if _is_load(one)} - {"baz"})

    def own(self, graph: Any) -> list[Any]:
        """Of this town's, HTTP, and no probes: of how many there were nobody keeps count."""
        return [
            one
            for one in graph["edges"]
            if one["protocol"] == "http"
            and one["class"] != "probe"
            and any(end.startswith(f"{self.name}/") for end in (one["source"], one["target"]))
        ]

    def edge(self, source: str, target: str) -> Any:
        """The one between two of this town's nodes."""
        ends = f"{self.name}/{source}", f"{self.name}/{target}"
        found = [one for one in self.own(self.graph()) if (one["source"], one["target"]) == ends]
        assert len(found) == 1, [(one["source"], one["target"], one["requests"]) for one in self.own(self.graph())]
        return found[0]

    def owner(self, one: Json, kind: str) -> str:
        """The node of who keeps this revision."""
        (owner,) = one["metadata"]["ownerReferences"]
        return f"{self.name}/{kind}/{owner['name']}"

    def by_revision(self, source: str, target: str, end: str = "target") -> dict[str, tuple[int, int]]:
        """Requests and errors; they must be all of the edge's."""
        edge = self.edge(source, target)
        rows = [one for one in edge["revisions"] if one["end"] == end]
        for number in ("requests", "errors", "connections"):
            assert sum(one[number] for one in rows) == edge[number]
        return {one["revision"]: (one["requests"], one["errors"]) for one in rows}

    def asked_by_revision(self, load: str, *names: str) -> dict[str, tuple[int, int]]:
        """The same by the load's own count: each answer says by which pod it is. "" for what was asked of a pod that
        never answered on that connection."""
        marks: dict[str, str] = {}
        for one in self.town.get("replicasets")["items"]:
            labels = one["metadata"]["labels"]
            if labels["app"] in names:
                marks[one["metadata"]["name"]] = labels["pod-template-hash"]
        found: dict[str, tuple[int, int]] = {}
        for row in self.did(load):
            for pod, counted in row["servers"].items():
                mark = marks.get(pod.rpartition("-")[0]) if pod else ""
                if mark is not None:
                    before = found.get(mark, (0, 0))
                    found[mark] = (before[0] + counted["requests"], before[1] + counted["errors"])
        return found

    def via(self, source: str, target: str) -> dict[str, tuple[int, bool]]:
        return {one["name"]: (one["connections"], one["shared"]) for one in self.edge(source, target)["via"]}


@pytest.fixture(scope="module", params=["nftables", "iptables"])
def play(installed: Cluster, request: pytest.FixtureRequest) -> Iterator[Play]:
    if installed.lab is not None:
        installed.lab.use_proxy(request.param)
    elif request.param != "nftables":
        pytest.skip("a given cluster has a kube-proxy of its own")
    # That of a run before goes slowly.
    name = f"town-{request.param}-{secrets.token_hex(2)}"
    with Town(installed, name, [f"{name}-other"]) as town:
        one = Play(town, HOST_PORTS[request.param])
        one.set_up()
        one.play()
        yield one


def test_one_edge_whatever_the_way_and_the_ways_on_it(play: Play) -> None:
    """C09."""
    edge = play.edge("pod/front", "deployment/orders")
    assert edge["requests"] == play.requests("front") == 210
    assert play.via("pod/front", "deployment/orders") == {
        f"orders.{play.name}": (110, False),
        f"alias.{play.name}-other": (110, True),
        # Who was told the name, and calls the address, is taken to have called by the name.
        f"orders-all.{play.name}": (80, False),
        f"orders-port.{play.name}": (20, False),
    }
    assert play.edge("pod/direct", "deployment/orders")["requests"] == 50
    assert play.via("pod/direct", "deployment/orders") == {}


def test_a_canary_behind_one_service_has_what_it_answered(play: Play) -> None:
    buyer = play.town.address("buyer")
    total = 0
    for name in ("stable", "canary"):
        edge = play.edge("deployment/buyer", f"deployment/{name}")
        assert edge["requests"] == play.town.served(name)[buyer] > 0
        total += edge["requests"]
        assert play.via("deployment/buyer", f"deployment/{name}") == {
            f"shop.{play.name}": (300, True),
            f"shop-old.{play.name}": (200, True),
        }
    assert total == play.requests("buyer") == 500


def test_a_canary_behind_one_service_has_what_it_answered_by_its_revision(play: Play) -> None:
    buyer = play.town.address("buyer")
    for name in ("stable", "canary"):
        found = play.by_revision("deployment/buyer", f"deployment/{name}")
        assert found == play.asked_by_revision("buyer", name)
        assert [requests for requests, _ in found.values()] == [play.town.served(name)[buyer]]
        (asked,) = play.by_revision("deployment/buyer", f"deployment/{name}", "source")
        assert asked == play.town.pods("buyer")[0]["metadata"]["labels"]["pod-template-hash"]


def test_a_headless_stateful_set_is_called_by_its_service(play: Play) -> None:
    edge = play.edge("pod/reader", "statefulset/db")
    assert edge["requests"] == play.requests("reader") == 130
    assert play.via("pod/reader", "statefulset/db") == {f"db.{play.name}": (edge["connections"], False)}


@pytest.mark.parametrize(("name", "count"), [("scout", 40), ("spy", 70)])
def test_pods_of_the_host_s_network_are_told_apart(play: Play, name: str, count: int) -> None:
    assert play.edge(f"pod/{name}", "deployment/gate")["requests"] == count
    assert play.edge(f"pod/{name}", "deployment/orders")["requests"] == 2 * count
    assert play.via(f"pod/{name}", "deployment/orders") == {f"orders.{play.name}": (count, False)}
    assert play.via(f"pod/{name}", "deployment/gate") == {f"gate.{play.name}": (count, False)}


def test_a_server_of_the_host_s_network_is_no_node_of_the_machine(play: Play) -> None:
    edge = play.edge("pod/guest", "deployment/gate")
    assert (edge["requests"], edge["port"]) == (25, play.host_port)


def test_a_job_that_lives_for_a_second_is_its_cron_job(play: Play) -> None:
    assert play.edge("cronjob/nightly", "deployment/orders")["requests"] == play.requests("nightly") == 200


def test_a_pod_of_a_custom_controller_is_that_one_s(play: Play) -> None:
    assert play.edge("fleet/game", "deployment/orders")["requests"] == play.requests("ship") == 120


def test_a_sidecar_is_part_of_its_pod(play: Play) -> None:
    assert play.edge("deployment/duo", "deployment/orders")["requests"] == 35
    assert play.edge("deployment/duo", "deployment/duo")["requests"] == 15


def test_a_rollout_under_load_loses_nothing(play: Play) -> None:
    (did,) = play.did("driver")
    edge = play.edge("pod/driver", "deployment/rolled")
    assert edge["requests"] == did["requests"] > RATE * ROLLING_SECONDS // 2
    assert sum(edge["unanswered"].values()) == sum(did["unanswered"].values())
    statuses = {kind: count for kind, count in edge["statuses"].items() if count}
    assert statuses == by_class(did["statuses"])


def test_each_revision_of_a_rollout_under_load_has_what_it_answered(play: Play) -> None:
    (did,) = play.did("driver")
    own, found = play.asked_by_revision("driver", "rolled"), play.by_revision("pod/driver", "deployment/rolled")
    print(f"\n{play.name}: by revision, of the driver {own}, of the graph {found}, unanswered {did['unanswered']}")
    nameless, _ = own.pop("", (0, 0))
    assert len(own) == len(found) == 2
    assert sum(requests for requests, _ in own.values()) + nameless == did["requests"]
    for name, (requests, errors) in own.items():
        # Which pod a connection led to on which nobody answered, the driver cannot say.
        assert requests <= found[name][0] <= requests + nameless
        assert found[name][1] == errors


def test_a_pod_that_has_the_address_of_one_that_was_killed_has_nothing_of_it(play: Play) -> None:
    if not play.handed_on:
        pytest.skip("which address is next is known of our own cluster alone")
    assert play.edge("pod/baz", "deployment/orders")["requests"] == play.town.served("orders")[play.handed_on]
    assert play.edge("pod/foo", "deployment/gate")["requests"] == play.requests("foo") == 30
    assert play.edge("pod/late", "pod/foo")["requests"] == play.requests("late") == 40
    ends = {(one["source"], one["target"]) for one in play.graph()["edges"]}
    foo, baz = f"{play.name}/pod/foo", f"{play.name}/pod/baz"
    assert {target for source, target in ends if source == foo} == {f"{play.name}/deployment/gate"}
    assert {target for source, target in ends if source == baz} == {f"{play.name}/deployment/orders"}
    assert {source for source, target in ends if target == baz} <= {f"{play.near}/kubelet"}


def test_two_of_one_name_are_told_apart_by_their_namespaces(play: Play) -> None:
    """C06."""
    orders = f"{play.name}/deployment/orders"
    twins = {one["source"]: one["requests"] for one in play.graph()["edges"] if one["source"].endswith("/pod/twin")}
    assert {source: count for source, count in twins.items() if source.startswith(play.name)} == {
        f"{play.name}/pod/twin": 12,
        f"{play.name}-other/pod/twin": 34,
    }, orders


@pytest.mark.parametrize("form", ["table", "dot", "mermaid"])
def test_two_of_one_name_are_two_in_every_form(play: Play, form: str) -> None:
    """C06."""
    assert play.graph()
    lines = play.town.cluster.plumb_text("graph", "--output", form).splitlines()
    for place, count in ((play.name, 12), (f"{play.name}-other", 34)):
        twin = f"{place}/pod/twin"
        if form != "table":
            # A diagram's lines name nodes by numbers of their own, and each node once.
            (drawn,) = (line for line in lines if f'"{twin}"' in line)
            twin = re.split(r"[ \[]", drawn.strip())[0]
        rows = [line for line in lines if line.split()[0:1] == [twin] and re.search(rf"\b{count}\b", line)]
        assert len(rows) == 1, lines


@pytest.mark.parametrize("name", ["idle", "orders", "gate"])
def test_who_is_probed_is_called_by_its_kubelet_and_no_use_is_made_of_it(play: Play, name: str) -> None:
    """C10."""
    target = f"{play.name}/deployment/{name}"
    probes = [one for one in play.graph()["edges"] if one["target"] == target and one["class"] == "probe"]
    hosts = {one["spec"]["nodeName"] for one in play.town.pods(name)}
    assert {one["source"] for one in probes} == {f"{host}/kubelet" for host in hosts}
    if name == "idle":
        assert {one["protocol"] for one in probes} == {"http"}
        seen = play.town.cluster.plumb("graph")
        assert target in {one["id"] for one in seen["nodes"]}
        assert [one for one in seen["edges"] if target in (one["source"], one["target"])] == []


def test_a_monitor_reads_figures(play: Play) -> None:
    """C10."""
    monitor = f"{play.name}/pod/monitor"
    found = {
        one["target"]: (one["class"], one["requests"]) for one in play.graph()["edges"] if one["source"] == monitor
    }
    assert found == {
        f"{play.name}/deployment/orders": ("scrape", 6),
        f"{NAMESPACE}/daemonset/plumbline-agent": ("self", 6),
    }


@pytest.mark.parametrize("name", ["idle", "orders"])
def test_nobody_depends_by_looking_after(play: Play, name: str) -> None:
    """C10."""
    assert play.graph()
    affected = {one["id"] for one in play.town.cluster.plumb("impact", f"{play.name}/deployment/{name}")["affected"]}
    assert not affected & {f"{play.name}/pod/monitor", f"{play.near}/kubelet", f"{play.far}/kubelet"}
    assert (f"{play.name}/pod/front" in affected) == (name == "orders")


def test_an_external_name_is_who_is_outside(play: Play) -> None:
    if not play.handed_on:
        pytest.skip("nobody outside is known of a given cluster")
    (edge,) = (
        one for one in play.graph()["edges"] if one["source"] == f"{play.name}/pod/payer" and one["protocol"] != "dns"
    )
    assert (edge["target"], edge["requests"]) == (network.OUTSIDE_NAME, 18)
    assert edge["via"] == [{"name": f"pay.{play.name}", "connections": 18, "shared": False}]
    nodes = {one["id"]: one["kind"] for one in play.graph()["nodes"]}
    assert nodes[network.OUTSIDE_NAME] == "third_party"


def test_what_is_open_to_the_outside_and_who_came_in(play: Play) -> None:
    nodes = {one["id"]: one for one in play.graph()["nodes"]}

    def openings(name: str) -> set[tuple[str, str, int]]:
        exposure = nodes[f"{play.name}/deployment/{name}"]["exposure"]
        return {(one["kind"], one["name"], one["port"]) for one in exposure["openings"]}

    def port(name: str) -> int:
        return int(play.town.get("service", name)["spec"]["ports"][0]["nodePort"])

    assert openings("orders") == {("node_port", f"orders-port.{play.name}", port("orders-port"))}
    assert openings("door") == {
        ("load_balancer", f"door.{play.name}", 80),
        ("node_port", f"door.{play.name}", port("door")),
    }
    assert openings("gate") == {("host_network", "", 0)}
    assert openings("idle") == set()
    if play.handed_on:
        (reached,) = nodes[f"{play.name}/deployment/door"]["reached"]
        assert (reached["port"], reached["protocol"], reached["encrypted"]) == (PORT, "http", False)
        assert reached["first_seen"] <= reached["last_seen"]
        assert nodes[f"{play.name}/deployment/orders"]["reached"] == []
        shown = play.town.cluster.plumb("show", f"{play.name}/deployment/door")
        assert shown["reached"] == [reached]


def test_who_comes_by_a_node_s_port_is_that_node_s_and_no_kubelet_s(play: Play) -> None:
    if not play.handed_on:
        pytest.skip("nobody outside is known of a given cluster")
    orders = f"{play.name}/deployment/orders"
    came = {one["source"]: one["requests"] for one in play.graph()["edges"] if one["target"] == orders}
    assert {source: count for source, count in came.items() if source in (play.near, play.far)} == {
        play.far: _CAME_BY_HOST
    }


def test_a_workload_that_asks_its_own_service_has_one_edge(play: Play) -> None:
    assert play.edge("deployment/choir", "deployment/choir")["requests"] == play.requests("choir") == 120


def test_every_request_has_two_ends_that_are_known(play: Play) -> None:
    """Nothing beside what was asked above: no address, no Service, no pod by its number."""
    nodes = {one["id"]: one["kind"] for one in play.graph()["nodes"]}
    of_ours = [one for one in play.own(play.graph()) if one["requests"]]
    outside = (network.OUTSIDE_NAME, "(outside)", play.far)
    asked = [one for one in of_ours if one["source"] not in outside and one["target"] not in outside]
    assert [one["id"] for one in asked if {nodes[one["source"]], nodes[one["target"]]} != {"workload"}] == []


def test_every_request_is_of_a_revision_that_was_there_at_each_end_that_has_any(play: Play) -> None:
    known: dict[str, set[str]] = {}
    for one in play.town.get("replicasets")["items"]:
        known.setdefault(play.owner(one, "deployment"), set()).add(one["metadata"]["labels"]["pod-template-hash"])
    for one in play.town.get("controllerrevisions")["items"]:
        known.setdefault(play.owner(one, "statefulset"), set()).add(one["metadata"]["name"])
    for edge in play.own(play.graph()):
        for end in ("source", "target"):
            if not edge[end].startswith(f"{play.name}/"):
                continue
            rows = {one["revision"]: one["requests"] for one in edge["revisions"] if one["end"] == end}
            assert rows.keys() <= known.get(edge[end], set()), (edge["id"], end, rows)
            assert sum(rows.values()) == (edge["requests"] if edge[end] in known else 0), (edge["id"], end, rows)


@contextmanager
def outside_server(lab: Lab) -> Iterator[None]:
    script = [sys.executable, str(APPS / "server.py"), "--listen", f"{network.OUTSIDE}:{_OUTSIDE_PORT}"]
    command = lab.within(*script, "--counts", str(lab.directory / "outside-counts"))
    with subprocess.Popen(command) as server:
        try:
            yield
        finally:
            server.terminate()


def outside_load(lab: Lab, job: Json) -> None:
    plan, out = lab.directory / "outside-plan", lab.directory / "outside-out"
    whole = {"host": "door.example", "kind": "requests", "paths": [["GET", "/items/1"]], **job}
    plan.write_text(json.dumps({"jobs": [whole]}))
    subprocess.run(lab.within(sys.executable, str(APPS / "load.py"), str(plan), str(out)), check=True, timeout=60)


def _is_load(pod: Json) -> bool:
    return any("load.py" in one["command"][-1] for one in pod["spec"]["containers"])


def by_class(statuses: dict[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for code, count in statuses.items():
        found[f"{code[0]}xx"] = found.get(f"{code[0]}xx", 0) + count
    return found
