"""How much of an edge each revision asked and answered: all of it, whoever saw it. What nobody can tell is a row."""

from collections.abc import Sequence

import pytest
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.resolve.objects import Service, Slice
from aggregator.resolve.podnames import PodName
from aggregator.topology.byrevision import MOST_REVISIONS
from tests.unit.aggregator.agents import World, ns
from tests.unit.aggregator.objects import endpoints, port, service

WEB1, WEB2, API1, API2, VIP = "10.244.1.5", "10.244.1.6", "10.244.2.5", "10.244.2.6", "10.96.0.7"
HOST1, HOST2 = "10.0.0.1", "10.0.0.2"
WEB, API = "shop/deployment/web", "shop/deployment/api"
EDGE = (WEB, API)
SERVICE = service("api", VIP, port(80, 8080))
BEHIND = endpoints("api", 8080, [API1, API2])
# Requests, errors, connections.
Numbers = tuple[int, int, int]


def part(uid: str, workload: str, revision: str) -> PodName:
    return PodName(uid, "shop", "deployment", workload, f"{workload}-{uid}", revision, "n1")


class Town:
    """web on alpha calls api on beta; each has two pods, of two revisions."""

    def __init__(self, *others: PodName) -> None:
        self.world = World()
        self.alpha, self.beta = self.world.agent("alpha", HOST1), self.world.agent("beta", HOST2)
        known = {
            one.uid: one
            for one in (
                part("w1", "web", "v1"),
                part("w2", "web", "v2"),
                part("a1", "api", "old"),
                part("a2", "api", "new"),
                *others,
            )
        }
        self.world.estate.pods.learn(known.values())
        self.web1, self.web2 = self.alpha.pod("w1", WEB1), self.alpha.pod("w2", WEB2)
        self.api1, self.api2 = self.beta.pod("a1", API1), self.beta.pod("a2", API2)
        for api, own in ((self.api1, API1), (self.api2, API2)):
            self.beta.listens(api, own, 8080)

    def learn(self, *objects: Service | Slice) -> None:
        self.world.estate.services.learn(objects, (), ns(0))

    def call(self, count: int, peer: str = API1, number: int = 8080, by: int = 1, **more: int) -> None:
        web, own = (self.web1, WEB1) if by == 1 else (self.web2, WEB2)
        self.alpha.calls(web, peer, number, count, local=own, **more)

    def serve(self, count: int, by: int = 1, caller: str = WEB1, **more: int) -> None:
        api, own = (self.api1, API1) if by == 1 else (self.api2, API2)
        self.beta.serves(api, caller, 8080, count, local=own, **more)

    def tell(self, begin: float = 0, end: float | None = None) -> None:
        for agent in (self.alpha, self.beta):
            agent.tells(begin, begin + 1 if end is None else end)

    def of(self, end: pb.EdgeEnd, now: float = 2, pair: tuple[str, str] = EDGE) -> dict[str, Numbers]:
        """The revisions of one end; they must be the whole edge, where there are any."""
        edge = self.world.edges(now)[pair]
        rows = [one for one in edge.revisions if one.end == end]
        found = {one.revision: (one.requests, one.errors, one.connections) for one in rows}
        assert len(found) == len(rows)
        whole = (edge.requests, edge.errors, edge.connections)
        assert not rows or tuple(map(sum, zip(*found.values(), strict=True))) == whole
        return found

    def answered(self, now: float = 2, pair: tuple[str, str] = EDGE) -> dict[str, int]:
        return {name: numbers[0] for name, numbers in self.of(pb.EDGE_END_TARGET, now, pair).items()}

    def asked(self, now: float = 2, pair: tuple[str, str] = EDGE) -> dict[str, int]:
        return {name: numbers[0] for name, numbers in self.of(pb.EDGE_END_SOURCE, now, pair).items()}


@pytest.fixture
def town() -> Town:
    return Town()


def test_which_revision_answered_behind_a_service_is_the_servers_word(town: Town) -> None:
    town.learn(SERVICE, BEHIND)
    town.call(70, VIP, 80, connections=7)
    town.call(30, VIP, 80, by=2, connections=3)
    town.serve(60, 1, WEB1, connections=6)
    town.serve(10, 2, WEB1, connections=1, code=503)
    town.serve(25, 2, WEB2, connections=2)
    town.serve(5, 1, WEB2, connections=1)
    town.tell()
    for second in (2, 20, 90, 250):
        town.world.estate.age(ns(second))
        assert town.of(pb.EDGE_END_TARGET, second) == {"old": (65, 0, 7), "new": (35, 10, 3)}
        assert town.of(pb.EDGE_END_SOURCE, second) == {"v1": (70, 10, 7), "v2": (30, 0, 3)}


def test_a_canary_of_its_own_workload_has_its_own_edge() -> None:
    town = Town(part("a2", "canary", "new"))
    town.learn(SERVICE, BEHIND)
    town.call(10, VIP, 80)
    town.serve(9)
    town.serve(1, 2)
    town.tell()
    assert town.answered() == {"old": 9}
    assert town.answered(pair=(WEB, "shop/deployment/canary")) == {"new": 1}
    assert town.asked() == {"v1": 9}


def test_a_rollout_goes_from_one_revision_to_the_other_and_what_went_stays_counted(town: Town) -> None:
    town.learn(SERVICE, BEHIND)
    for second, by in enumerate((1, 1, 2, 2, 2)):
        town.call(10, VIP, 80)
        town.serve(10, by)
        town.tell(second)
        if second == 1:
            town.world.estate.pods.end(["a1"], ns(2))
            town.learn(endpoints("api", 8080, [API2]))
    for second in (6, 20, 90, 250):
        town.world.estate.age(ns(second))
        assert town.answered(second) == {"old": 20, "new": 30}


@pytest.mark.parametrize("after", [False, True], ids=["at once", "when names come late"])
def test_a_pod_without_a_revision_is_of_none(after: bool) -> None:
    bare = part("a2", "api", "")
    town = Town(bare)
    if after:
        town = Town(part("a2", "api", ""), part("a1", "first", "x"))
    town.call(5)
    town.call(3, API2)
    town.serve(5)
    town.serve(3, 2)
    town.tell()
    if after:
        town.world.requests()
        town.world.estate.pods.learn([part("a1", "api", "old")])
    assert town.answered() == {"old": 5, "": 3}


def test_where_no_pod_has_any_there_are_none() -> None:
    town = Town(*(part(uid, name, "") for uid, name in (("w1", "web"), ("w2", "web"), ("a1", "api"), ("a2", "api"))))
    town.call(5)
    town.serve(5)
    town.tell()
    assert list(town.world.edges()[EDGE].revisions) == []


def test_what_is_outside_has_none(town: Town) -> None:
    town.call(5, "93.184.216.34", 443)
    town.tell()
    assert town.asked(pair=(WEB, "93.184.216.34")) == {"v1": 5}
    assert town.answered(pair=(WEB, "93.184.216.34")) == {}


# --- one side alone ---


def test_where_the_client_alone_was_seen_the_address_tells_who_answered(town: Town) -> None:
    town.tell()  # who is there; beta's agent is away from now on
    town.call(5, API1, connections=2)
    town.call(3, API2, code=500)
    town.alpha.tells(10, 11)
    for second in (12, 30, 100):
        edge = town.world.edges(second)[EDGE]
        assert (edge.requests, edge.seen_from) == (8, pb.SEEN_FROM_CLIENT)
        assert town.of(pb.EDGE_END_TARGET, second) == {"old": (5, 0, 2), "new": (3, 3, 1)}
        assert town.asked(second) == {"v1": 8}
        town.world.estate.age(ns(second))


@pytest.mark.parametrize("second_revision", ["new", "old"])
def test_where_the_client_alone_was_seen_a_service_tells_only_what_all_behind_it_are(second_revision: str) -> None:
    town = Town(part("a2", "api", second_revision))
    town.learn(SERVICE, BEHIND)
    town.tell()
    town.call(8, VIP, 80)
    town.alpha.tells(10, 11)
    assert town.answered(12) == ({"": 8} if second_revision == "new" else {"old": 8})


def test_of_one_behind_a_service_of_whom_no_agent_told_nothing_is_known() -> None:
    town = Town(part("a2", "api", "old"))
    town.learn(SERVICE, endpoints("api", 8080, [API1, API2, "10.244.7.7"]))
    town.tell()
    town.call(8, VIP, 80)
    town.alpha.tells(10, 11)
    assert town.answered(12) == {"": 8}


def test_where_the_server_alone_was_seen_the_address_tells_who_asked(town: Town) -> None:
    town.tell()
    town.serve(5, 1, WEB1)
    town.serve(3, 2, WEB2)
    town.beta.tells(10, 11)
    assert town.world.edges(12)[EDGE].seen_from == pb.SEEN_FROM_SERVER
    assert town.asked(12) == {"v1": 5, "v2": 3}
    assert town.answered(12) == {"old": 5, "new": 3}


def test_whose_address_nobody_knows_has_no_revision_but_who_answered_has(town: Town) -> None:
    town.serve(5, 1, "10.244.9.9")
    town.tell()
    pair = ("10.244.9.9", API)
    assert town.answered(pair=pair) == {"old": 5}
    assert town.asked(pair=pair) == {}


def test_what_a_server_missed_is_of_none_and_the_rest_is_its_word(town: Town) -> None:
    """Its agent began late: the client's numbers count, and they name the Service alone."""
    town.learn(SERVICE, BEHIND)
    town.call(100, VIP, 80)
    town.alpha.tells(0, 10)
    town.serve(30)
    town.serve(20, 2)
    town.beta.tells(8, 10)
    edge = town.world.edges(11)[EDGE]
    assert (edge.requests, edge.client_side.requests, edge.server_side.requests) == (100, 100, 50)
    assert town.answered(11) == {"old": 30, "new": 20, "": 50}
    assert town.asked(11) == {"v1": 100}


# --- addresses ---


@pytest.mark.parametrize("direct", [False, True], ids=["by a Service", "by address"])
def test_an_address_that_another_pod_of_the_workload_has_now(direct: bool) -> None:
    """The new revision's pod has the address of the old one's, and each asked for itself."""
    town = Town()
    if not direct:
        town.world.estate.pods.learn([part("a2", "api", "old")])
        town.learn(SERVICE, BEHIND)
    peer, number = (API1, 8080) if direct else (VIP, 80)
    town.call(30, peer, number)
    town.serve(30)
    town.tell(0)
    later = town.alpha.pod("w3", WEB1, 5)
    town.world.estate.pods.learn([part("w3", "web", "v3")])
    town.alpha.calls(later, peer, number, 12, local=WEB1)
    town.serve(12)
    town.tell(8)
    for second in (10, 30, 90, 250):
        town.world.estate.age(ns(second))
        assert town.asked(second) == {"v1": 30, "v3": 12}
        assert town.answered(second) == {"old": 42}


def test_a_server_s_address_that_another_pod_of_the_workload_has_now(town: Town) -> None:
    town.call(30)
    town.serve(30)
    town.tell(0)
    later = town.beta.pod("a3", API1, 5)
    town.beta.listens(later, API1, 8080, 5)
    town.world.estate.pods.learn([part("a3", "api", "newer")])
    town.call(12)
    town.beta.serves(later, WEB1, 8080, 12, local=API1)
    town.tell(8)
    for second in (10, 30, 90, 250):
        town.world.estate.age(ns(second))
        assert town.answered(second) == {"old": 30, "newer": 12}
        assert town.asked(second) == {"v1": 42}


def test_which_of_two_pods_had_an_address_is_of_none_where_only_the_other_end_was_seen(town: Town) -> None:
    town.tell(0)
    town.beta.listens(town.beta.pod("a3", API1, 5), API1, 8080, 5)
    town.world.estate.pods.learn([part("a3", "api", "newer")])
    town.tell(5, 80)
    town.call(12)
    town.alpha.tells(100, 101)
    assert town.answered(102) == {"": 12}


def test_two_in_one_pod_have_its_revision(town: Town) -> None:
    sidecar = town.alpha.pod("w1", WEB1, container="proxy")
    town.call(5)
    town.alpha.calls(sidecar, API1, 8080, 4, local=WEB1)
    town.serve(9)
    town.tell()
    assert town.asked() == {"v1": 9}


def test_those_of_a_host_s_network_are_told_apart_by_their_own_rows() -> None:
    """One address for both: their server cannot tell who asked."""
    town = Town()
    for pod, count in ((town.web1, 5), (town.web2, 7)):
        town.alpha.calls(pod, API1, 8080, count, local=HOST1)
    town.serve(12, 1, HOST1, connections=2)
    town.tell()
    assert town.asked() == {"v1": 5, "v2": 7}
    assert town.answered() == {"old": 12}


@pytest.mark.parametrize("others", [0, 6])
def test_who_came_by_a_host_met_one_revision_or_nobody_knows_which(others: int) -> None:
    """From the host's edge what pods of its own asked is taken."""
    town = Town()
    town.learn(service("api", VIP, port(80, 8080, nodePort=30080), type="NodePort"), BEHIND)
    town.serve(50, 1, HOST2, connections=50)
    town.serve(40, 2, HOST2, connections=40)
    town.call(others, HOST2, 30080, connections=others)
    town.tell()
    assert town.world.requests(60)["beta", API] == 90 - others
    assert town.answered(60, ("beta", API)) == ({"": 84} if others else {"old": 50, "new": 40})


# --- bounds, errors, what is no request ---


def test_beyond_the_bound_the_sum_is_kept() -> None:
    count = MOST_REVISIONS + 4
    pods = [part(f"p{number}", "api", f"r{number:02}") for number in range(count)]
    town = Town(*pods)
    for number in range(count):
        own = f"10.244.3.{number + 1}"
        api = town.beta.pod(f"p{number}", own)
        town.call(100 + number, own)
        town.beta.serves(api, WEB1, 8080, 100 + number, local=own, code=500 if number == 0 else 200)
    town.tell()
    found = town.of(pb.EDGE_END_TARGET)
    assert {name for name in found if name != "(other)"} == {f"r{number:02}" for number in range(4, count)}
    assert found["(other)"] == (100 + 101 + 102 + 103, 100, 4)


def test_the_most_used_first_and_what_is_of_none_last() -> None:
    town = Town(part("a3", "api", ""))
    bare = town.beta.pod("a3", "10.244.2.7")
    town.call(30, API1)
    town.call(40, API2)
    town.call(90, "10.244.2.7")
    town.serve(30)
    town.serve(40, 2)
    town.beta.serves(bare, WEB1, 8080, 90, local="10.244.2.7")
    town.tell()
    ends = [(one.end, one.revision) for one in town.world.edges()[EDGE].revisions]
    assert ends == [(pb.EDGE_END_SOURCE, "v1"), *((pb.EDGE_END_TARGET, name) for name in ("new", "old", ""))]


def _errors(codes: Sequence[int], **more: int) -> dict[str, Numbers]:
    town = Town()
    for by, code in enumerate(codes, 1):
        town.call(10, (API1, API2)[by - 1], code=code, **more)
        town.serve(10, by, code=code, **more)
    town.tell()
    return town.of(pb.EDGE_END_TARGET)


def test_errors_are_those_of_the_server() -> None:
    assert _errors((404, 503)) == {"old": (10, 0, 1), "new": (10, 10, 1)}


def test_what_nobody_answered_was_asked_all_the_same() -> None:
    unanswered = {"outcome": flow.OUTCOME_UNANSWERED_SERVER}
    assert _errors((0, 0), **unanswered) == {"old": (10, 0, 1), "new": (10, 0, 1)}


def test_questions_of_dns_that_nobody_answered_are_errors_by_the_client_s_word() -> None:
    asked = {"outcome": flow.OUTCOME_UNANSWERED_SERVER, "protocol": flow.PROTOCOL_DNS}
    assert _errors((0, 0), **asked) == {"old": (10, 10, 1), "new": (10, 10, 1)}
    town = Town()
    town.call(10, **asked)
    town.call(4, protocol=flow.PROTOCOL_DNS, code=0)
    town.serve(4, protocol=flow.PROTOCOL_DNS, code=0, connections=2)
    town.tell()
    assert town.of(pb.EDGE_END_TARGET) == {"old": (14, 10, 2)}


def test_connections_that_nobody_understands_have_their_revision(town: Town) -> None:
    town.call(0, connections=4)
    town.serve(0, connections=4)
    town.serve(0, 2, WEB2, connections=3)
    town.call(0, API2, by=2, connections=3)
    town.tell()
    assert town.of(pb.EDGE_END_TARGET) == {"old": (0, 0, 4), "new": (0, 0, 3)}
    assert town.of(pb.EDGE_END_SOURCE) == {"v1": (0, 0, 4), "v2": (0, 0, 3)}
