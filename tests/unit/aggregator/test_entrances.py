"""What the cluster's API tells of ways in, of probes and of monitors: for each workload, in whatever order it comes."""

from itertools import permutations
from typing import Any

import pytest
from plumbline.v1 import topology_pb2 as pb

from aggregator.resolve.entrances.doors import Doors, doors_of
from aggregator.resolve.entrances.entrances import Entrances
from aggregator.resolve.entrances.waysin import read_gateway, read_ingress, read_route
from aggregator.resolve.objects import Pod, Slice, read_machine, read_pod, read_slice
from aggregator.topology.background import Surroundings
from tests.unit.aggregator.agents import address
from tests.unit.aggregator.objects import Raw, meta, port, raw_pod, service

WEB = "shop/deployment/web"


def of_pod(uid: str) -> str:
    """Of pods that are called "uid-web-1"."""
    words = uid.split("-")
    return f"shop/deployment/{words[1]}" if len(words) > 1 else ""


def pod(name: str, *containers: Raw, notes: dict[str, str] | None = None, **spec: Any) -> Pod:
    raw = raw_pod(name, annotations=notes or {})
    raw["spec"] |= {"containers": list(containers), **spec}
    return read_pod(raw)


def behind(of: str, *pods: str) -> Slice:
    raw = {
        **meta(f"{of}-abc", f"slice-{of}", labels={"kubernetes.io/service-name": of}),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.244.1.5"], "targetRef": {"kind": "Pod", "uid": one}} for one in pods],
    }
    return read_slice(raw)


def ways(told: Surroundings | None, node: str = WEB) -> list[tuple[str, str, int, list[str], bool]]:
    assert told is not None
    return [
        (
            pb.OpeningKind.Name(one.kind).removeprefix("OPENING_KIND_"),
            one.name,
            one.port,
            list(one.hosts),
            one.encrypted,
        )
        for one in told.exposures[node].openings
    ]


BALANCED = service(
    "web", "10.96.0.7", port(80, 8080, nodePort=30080), type="LoadBalancer", externalIPs=["198.51.100.9"]
)._replace(balanced=("lb.example",))
INGRESS = read_ingress(
    {
        **meta("front"),
        "spec": {
            "tls": [{"hosts": ["shop.example"]}],
            "rules": [
                {"host": one, "http": {"paths": [{"path": "/", "backend": {"service": {"name": "web"}}}]}}
                for one in ("shop.example", "plain.example")
            ],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}},
    }
)
GATEWAY = read_gateway(
    {
        **meta("gate", namespace="edge"),
        "spec": {"listeners": [
            {"name": "plain", "port": 80, "protocol": "HTTP"},
            {"name": "tls", "port": 443, "protocol": "HTTPS", "hostname": "*.shop.example"},
        ]},
        "status": {"addresses": [{"type": "IPAddress", "value": "198.51.100.8"}]},
    }
)  # fmt: skip
ROUTE = read_route(
    {
        **meta("web"),
        "spec": {
            "parentRefs": [{"name": "gate", "namespace": "edge"}],
            "rules": [{"backendRefs": [{"name": "web", "port": 80}]}],
        },
    }
)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_ways_in_lead_to_the_workload_in_whatever_order_they_come(order: tuple[int, ...]) -> None:
    entrances = Entrances(of_pod)
    steps = (
        lambda: entrances.pods([pod("web-1")], ()),
        lambda: entrances.services([BALANCED], ()),
        lambda: entrances.services([behind("web", "uid-web-1")], ()),
        lambda: entrances.ways([INGRESS, GATEWAY, ROUTE], ()),
    )
    told = None
    for at in order:
        steps[at]()
        told = entrances.take_news() or told
    assert ways(told) == [
        ("LOAD_BALANCER", "web.shop", 80, ["lb.example"], False),
        ("NODE_PORT", "web.shop", 30080, [], False),
        ("EXTERNAL_IP", "web.shop", 80, ["198.51.100.9"], False),
        ("INGRESS", "front.shop", 80, ["plain.example"], False),
        ("INGRESS", "front.shop", 443, ["shop.example"], True),
        ("GATEWAY", "web.shop", 80, ["198.51.100.8"], False),
        ("GATEWAY", "web.shop", 443, ["*.shop.example"], True),
    ]
    assert entrances.take_news() is None
    entrances.ways((), [INGRESS.uid, ROUTE.uid])
    entrances.services((), [BALANCED.uid])
    assert ways(entrances.take_news()) == []


def test_what_is_behind_a_service_is_what_stands_there_now() -> None:
    entrances = Entrances(of_pod)
    entrances.pods([pod("web-1"), pod("api-1")], ())
    entrances.services([BALANCED, behind("web", "uid-web-1")], ())
    told = entrances.take_news()
    assert (len(ways(told)), ways(told, "shop/deployment/api")) == (3, [])
    entrances.services([behind("web", "uid-api-1")], ())
    told = entrances.take_news()
    assert (ways(told), len(ways(told, "shop/deployment/api"))) == ([], 3)
    entrances.pods((), ["uid-api-1"])
    told = entrances.take_news()
    assert told is not None
    assert set(told.exposures) == {WEB}


def test_a_pod_that_gets_its_name_later_is_counted_when_it_has_it() -> None:
    names = {"uid-x": ""}
    entrances = Entrances(lambda uid: names[uid])
    entrances.pods([pod("x", {"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}]})], ())
    entrances.services([BALANCED, behind("web", "uid-x")], ())
    told = entrances.take_news()
    assert told is None or not told.exposures
    names["uid-x"] = WEB
    entrances.renamed(["uid-x"])
    assert [kind for kind, *_ in ways(entrances.take_news())] == [
        "LOAD_BALANCER", "NODE_PORT", "EXTERNAL_IP", "HOST_PORT",
    ]  # fmt: skip
    names["uid-x"] = "shop/rollout/web"
    entrances.renamed(["uid-x", "uid-of-a-stranger"])
    told = entrances.take_news()
    assert told is not None
    assert set(told.exposures) == {"shop/rollout/web"}


def test_pods_on_their_machine_s_network_or_ports() -> None:
    entrances = Entrances(of_pod)
    listening = {"name": "c", "ports": [{"containerPort": 9100, "hostPort": 9100}]}
    pods = [pod("web-1", listening), pod("web-2", listening), pod("api-1", hostNetwork=True)]
    entrances.pods([*pods, pod("net-1", listening, hostNetwork=True)], ())
    told = entrances.take_news()
    assert ways(told) == [("HOST_PORT", "", 9100, [], False)]
    assert ways(told, "shop/deployment/api") == [("HOST_NETWORK", "", 0, [], False)]
    assert ways(told, "shop/deployment/net") == [("HOST_NETWORK", "", 9100, [], False)]
    entrances.pods((), ["uid-web-1"])
    assert entrances.take_news() is None
    entrances.pods((), ["uid-web-2"])
    told = entrances.take_news()
    assert told is not None
    assert WEB not in told.exposures


def test_probes_monitors_and_kubelets() -> None:
    entrances = Entrances(of_pod)
    app = {
        "name": "app",
        "ports": [{"name": "health", "containerPort": 8081}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "health"}},
        "livenessProbe": {"tcpSocket": {"port": 8080}},
        "startupProbe": {"exec": {"command": ["true"]}},
    }
    side = {
        "name": "side",
        "livenessProbe": {"grpc": {"port": 9000}},
        "lifecycle": {"preStop": {"httpGet": {"port": "7"}}},
    }
    notes = {"prometheus.io/scrape": "true", "prometheus.io/path": "/stats"}
    entrances.pods([pod("web-1", app, side, notes=notes)], ())
    machine = {
        **meta("n1"),
        "status": {
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "n1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    }
    entrances.machines([read_machine(machine)], ())
    told = entrances.take_news()
    assert told is not None
    assert told.asked == {(WEB, port) for port in (8081, 8080, 9000, 7)}
    assert told.metrics == {WEB: {"/stats"}}
    assert told.keepers == {(address("10.0.0.1"), 10250)}


def test_plumbline_s_own_pods_have_its_mark() -> None:
    raw = raw_pod("web-1", labels={"app.kubernetes.io/part-of": "plumbline"})
    entrances = Entrances(of_pod)
    entrances.pods([read_pod(raw), pod("api-1")], ())
    told = entrances.take_news()
    assert told is not None
    assert told.our_own == {WEB}


@pytest.mark.parametrize(
    "broken", [None, [], "x", {"containers": [3, {"ports": "x", "livenessProbe": {"httpGet": 1}}]}]
)
def test_what_makes_no_sense_is_nothing(broken: Any) -> None:
    spec = broken if isinstance(broken, dict) else {"containers": broken}
    assert doors_of({"annotations": broken}, spec) == Doors()
    raw = {"metadata": {"uid": "u"}, "spec": broken, "status": broken}
    assert read_ingress(raw).led == read_route(raw).led == read_gateway(raw).listeners == ()


@pytest.mark.parametrize("number", ["", "x", "123456", None, 1.5, True])
def test_a_port_that_is_none(number: Any) -> None:
    assert doors_of({}, {"containers": [{"livenessProbe": {"tcpSocket": {"port": number}}}]}).asked == frozenset()


def test_a_service_that_nothing_leads_to_costs_nothing() -> None:
    """Pods behind it come and go all day."""
    entrances = Entrances(of_pod)
    entrances.pods([pod("web-1")], ())
    entrances.services([service("web", "10.96.0.7", port(80, 8080)), behind("web", "uid-web-1")], ())
    entrances.take_news()
    entrances.services([behind("web", "uid-web-1", "uid-web-2")], ())
    entrances.pods([pod("web-2")], ())
    assert entrances.take_news() is None
