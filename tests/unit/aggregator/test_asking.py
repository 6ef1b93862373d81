"""By which names clients ask: Services without an address of their own are known by what DNS told their clients.

`via` is exact for a client and a Service, and for a client and a workload; where one connection may have been made by
several names, each of them says so.
"""

import pytest
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import SECOND_NS
from aggregator.resolve.asking import ServiceName, outside_name, service_named
from aggregator.resolve.objects import Service, Slice
from aggregator.resolve.podnames import PodName
from aggregator.resolve.services import Services
from tests.unit.aggregator.agents import World, ns
from tests.unit.aggregator.objects import endpoints, port, service

WEB, DB1, DB2, VIP, FAR = "10.244.1.5", "10.244.1.6", "10.244.2.6", "10.96.0.7", "203.0.113.9"
EDGE = ("shop/deployment/web", "shop/statefulset/db")
HEADLESS = service("db", "None", port(5432, 5432))
READ = service("db-read", "None", port(5432, 5432))
BEHIND = endpoints("db", 5432, [DB1, DB2])
BEHIND_READ = endpoints("db-read", 5432, [DB1, DB2])
PAY = service("pay", "", type="ExternalName", externalName="api.pay.example")
NAME, NAME_OF_READ = "db.shop.svc.cluster.local", "db-read.shop.svc.cluster.local"


def part(uid: str, kind: str, workload: str) -> PodName:
    return PodName(uid, "shop", kind, workload, f"{workload}-{uid}", "", "n1")


class Town:
    """web on alpha calls db, of which one pod is on alpha, one on beta."""

    def __init__(self) -> None:
        self.world = World()
        self.alpha, self.beta = self.world.agent("alpha", "10.0.0.1"), self.world.agent("beta", "10.0.0.2")
        self.web = self.alpha.pod("w", WEB)
        self.db1, self.db2 = self.alpha.pod("d1", DB1), self.beta.pod("d2", DB2)
        self.learn_pods()

    def learn_pods(self) -> None:
        names = [part("w", "deployment", "web"), *(part(one, "statefulset", "db") for one in ("d1", "d2"))]
        self.world.estate.pods.learn(names)

    def learn(self, *objects: Service | Slice, second: float = 0) -> None:
        self.world.estate.services.learn(objects, (), ns(second))

    def exchange(self, first: int, second: int) -> None:
        """By the pods' own addresses, with so many connections."""
        self.alpha.calls(self.web, DB1, 5432, first, local=WEB, connections=first)
        self.alpha.calls(self.web, DB2, 5432, second, local=WEB, connections=second)
        self.alpha.serves(self.db1, WEB, 5432, first, local=DB1, connections=first)
        self.beta.serves(self.db2, WEB, 5432, second, local=DB2, connections=second)

    def told(self, name: str, *addresses: str, at: float = 0) -> None:
        self.alpha.told(self.web, name, *addresses, at=at)

    def tell(self, begin: float = 0) -> None:
        for agent in (self.alpha, self.beta):
            agent.tells(begin, begin + 1)

    def via(self, pair: tuple[str, str] = EDGE, now: float = 2) -> dict[str, tuple[int, bool]]:
        return {one.name: (one.connections, one.shared) for one in self.world.edges(now)[pair].via}


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.mark.parametrize("late", ["nothing", "service", "slices", "dns", "pods"])
def test_a_headless_service_is_the_way_of_who_was_told_its_name(late: str) -> None:
    town = Town()
    if late == "pods":
        town.world.estate.pods.learn([part("d1", "statefulset", "first"), part("d2", "statefulset", "second")])
    town.learn(*(() if late == "service" else (HEADLESS,)), *(() if late == "slices" else (BEHIND,)))
    if late != "dns":
        town.told(NAME, DB1, DB2)
    town.exchange(3, 4)
    town.tell()
    if late != "nothing":
        town.world.topology()
        town.learn_pods()
        town.learn(HEADLESS, BEHIND)
        if late == "dns":
            town.told(NAME, DB1, DB2, at=1)
            town.tell(begin=1)
    assert town.world.requests() == {EDGE: 7}
    assert town.via() == {"db.shop": (7, False)}


def test_the_name_of_one_pod_is_its_service_s(town: Town) -> None:
    town.learn(HEADLESS, BEHIND)
    town.told(f"db-1.{NAME}", DB2)
    town.exchange(3, 4)
    town.tell()
    assert town.via() == {"db.shop": (4, False)}


@pytest.mark.parametrize("is_late", [False, True])
def test_a_service_without_ports_leads_to_any_of_them(town: Town, is_late: bool) -> None:
    without = service("db", "None")
    town.learn(*(() if is_late else (without,)), endpoints("db", 0, [DB1, DB2])._replace(ports=()))
    town.told(NAME, DB1, DB2)
    town.exchange(3, 4)
    town.tell()
    if is_late:
        assert town.via() == {}
        town.learn(without)
    assert town.via() == {"db.shop": (7, False)}


def test_who_was_told_no_name_asked_by_none(town: Town) -> None:
    town.learn(HEADLESS, BEHIND)
    town.exchange(3, 4)
    town.tell()
    assert town.via() == {}


@pytest.mark.parametrize("name", ["db.shop.svc.cluster.local", "stranger.example", "ghost.shop.svc.cluster.local"])
def test_a_name_of_another_service_or_of_none_is_no_way(town: Town, name: str) -> None:
    town.learn(HEADLESS, endpoints("db", 5432, ["10.244.9.9"]))
    town.told(name, DB1, DB2)
    town.exchange(3, 4)
    town.tell()
    assert town.via() == {}


def test_of_two_names_for_one_address_each_says_that_it_may_be_the_other(town: Town) -> None:
    town.learn(HEADLESS, BEHIND, READ, BEHIND_READ)
    town.told(NAME, DB1, DB2)
    town.told(NAME_OF_READ, DB2)
    town.exchange(3, 4)
    town.tell()
    assert town.via() == {"db.shop": (7, True), "db-read.shop": (4, True)}


def test_an_address_that_goes_to_another_workload_takes_no_name_with_it(town: Town) -> None:
    town.learn(HEADLESS, BEHIND)
    town.told(NAME, DB1, DB2)
    town.exchange(3, 4)
    town.tell()
    town.beta.owns(town.db2, DB2, 0, until=2, network_namespace=1000 + sum(map(ord, "d2")))
    other = town.beta.pod("o", DB2, since=3)
    town.world.estate.pods.learn([part("o", "deployment", "other")])
    town.learn(endpoints("db", 5432, [DB1]), second=2)
    town.alpha.calls(town.web, DB2, 5432, 5, local=WEB, connections=5)
    town.beta.serves(other, WEB, 5432, 5, local=DB2, connections=5)
    town.tell(begin=12)
    assert town.world.requests(14) == {EDGE: 7, ("shop/deployment/web", "shop/deployment/other"): 5}
    assert town.via(now=14) == {"db.shop": (7, False)}
    assert town.via(("shop/deployment/web", "shop/deployment/other"), now=14) == {}


PAYS = ("shop/deployment/web", "api.pay.example")


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("host", ["", "pay.shop", "pay.shop.svc", "pay.shop.svc.cluster.local:443", "api.pay.example"])
def test_an_external_name_is_the_third_party_that_it_stands_for(town: Town, host: str, is_late: bool) -> None:
    if not is_late:
        town.learn(PAY)
    town.told("pay.shop.svc.cluster.local", FAR)
    more = {"host": town.alpha.name(host)} if host else {}
    town.alpha.calls(town.web, FAR, 443, 5, local=WEB, connections=5, **more)
    town.tell()
    if is_late:
        town.world.topology()
        town.learn(PAY)
    assert town.world.requests() == {PAYS: 5}
    assert town.via(PAYS) == {"pay.shop": (5, False)}
    node = town.world.nodes()["api.pay.example"]
    assert (node.kind, node.name_source) == (pb.NODE_KIND_THIRD_PARTY, "host" if host else "dns")


def test_a_client_that_knows_a_third_party_by_its_own_name_too_may_have_used_either(town: Town) -> None:
    town.learn(PAY)
    town.told("pay.shop.svc.cluster.local", FAR)
    town.told("api.pay.example", FAR, at=0.5)
    town.alpha.calls(town.web, FAR, 443, 5, local=WEB, connections=5)
    town.tell()
    assert town.via(PAYS) == {"pay.shop": (5, True)}
    assert not town.world.nodes()["api.pay.example"].ambiguous


def test_an_external_name_that_stands_for_another_one_from_now_on(town: Town) -> None:
    town.learn(PAY)
    town.told("pay.shop.svc.cluster.local", FAR)
    town.alpha.calls(town.web, FAR, 443, 5, local=WEB, host=town.alpha.name("pay.shop.svc"))
    town.tell()
    assert town.world.requests() == {PAYS: 5}
    town.learn(service("pay", "", type="ExternalName", externalName="API.bank.example."))
    assert town.world.requests() == {("shop/deployment/web", "api.bank.example"): 5}


def test_an_external_name_for_a_service_of_ours_stands_beside_that_one(town: Town) -> None:
    api = service("api", VIP, port(80, 8080))
    alias = service("backend", "", type="ExternalName", externalName="api.shop.svc.cluster.local")
    town.learn(api, endpoints("api", 8080, [DB1, DB2]), alias)
    town.told("backend.shop.svc.cluster.local", VIP)
    town.alpha.calls(town.web, VIP, 80, 5, local=WEB, connections=5)
    town.alpha.serves(town.db1, WEB, 8080, 5, local=DB1, connections=5)
    town.tell()
    assert town.via() == {"api.shop": (5, False), "backend.shop": (5, True)}


def test_several_services_over_several_workloads_are_exact_for_each(town: Town) -> None:
    """Which connection to which Service met which workload nobody knows: each of them has its own sum."""
    town.world.estate.pods.learn([part("d2", "deployment", "canary")])
    canary = ("shop/deployment/web", "shop/deployment/canary")
    first, second = service("db", VIP, port(80, 8080)), service("db-read", "10.96.0.8", port(80, 8080))
    town.learn(first, endpoints("db", 8080, [DB1, DB2]), second, endpoints("db-read", 8080, [DB1, DB2]))
    town.alpha.calls(town.web, VIP, 80, 6, local=WEB, connections=6)
    town.alpha.calls(town.web, "10.96.0.8", 80, 4, local=WEB, connections=4)
    town.alpha.serves(town.db1, WEB, 8080, 7, local=DB1, connections=7)
    town.beta.serves(town.db2, WEB, 8080, 3, local=DB2, connections=3)
    town.tell()
    both = {"db.shop": (6, True), "db-read.shop": (4, True)}
    assert {pair: edge.connections for pair, edge in town.world.edges().items()} == {EDGE: 7, canary: 3}
    assert town.via() == town.via(canary) == both
    # And where edges are drawn one by one.
    town.alpha.calls(town.web, "10.244.9.1", 80, 1, local=WEB)
    town.tell(begin=2)
    other = town.alpha.pod("x", "10.244.1.9")
    town.alpha.calls(other, VIP, 80, 2, local="10.244.1.9", connections=2)
    town.alpha.calls(other, "10.96.0.8", 80, 2, local="10.244.1.9", connections=2)
    town.beta.serves(town.db2, "10.244.1.9", 8080, 4, local=DB2, connections=4)
    town.tell(begin=3)
    made = town.world.estate.news(300 * SECOND_NS, ns(5))
    assert made is not None
    drawn = next(one for one in made.graph.edges.values() if one.source == "alpha/pod-x")
    assert {one.name: (one.connections, one.shared) for one in drawn.via} == {
        "db.shop": (2, True),
        "db-read.shop": (2, True),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db.shop.svc.cluster.local", ServiceName("shop", "db")),
        ("db-0.db.shop.svc.cluster.local", ServiceName("shop", "db")),
        ("db.shop.svc", ServiceName("shop", "db")),
        ("svc.svc.svc.cluster.local", ServiceName("svc", "svc")),
        ("db.shop", None),
        ("api.pay.example", None),
        ("svc", None),
        ("shop.svc", None),
        ("", None),
        ("10-244-1-6.shop.pod.cluster.local", None),
    ],
)
def test_a_name_s_form_says_whether_it_is_a_service_s(text: str, expected: ServiceName | None) -> None:
    assert service_named(text) == expected


def test_names_that_stand_for_each_other_come_to_an_end() -> None:
    services = Services()
    one = service("one", "", type="ExternalName", externalName="two.shop.svc.cluster.local")
    two = service("two", "", type="ExternalName", externalName="one.shop.svc.cluster.local")
    services.learn([one, two], (), 0)
    assert outside_name(services, "one.shop.svc.cluster.local").endswith(".shop.svc.cluster.local")
    services.learn([service("two", "", type="ExternalName", externalName="far.example")], (), 1)
    assert outside_name(services, "one.shop.svc.cluster.local") == "far.example"
    assert outside_name(services, "") == ""
