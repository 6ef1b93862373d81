"""One container that storms takes nothing from others: each has shares of its own, and what is beyond keeps its sum."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from plumbline.v1 import flow_pb2
from plumbline.v1.addresses import MANY

from agent.kernel.shares import COMMON, SHARE_OF_FLOWS, SHARE_OF_ROWS
from agent.records import Limits
from tests.kernel.wire import Counted, Wire, own_cgroup

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
STORM = Path(__file__).with_name("storm.py")
VICTIMS, EACH, KINDS = 5, 200, 20
LIMITS = Limits()
PORTS = {"paths": 8080, "hosts": 8081, "names": 53, "peers": 9000}


@dataclass
class Place:
    wire: Wire
    cgroups: dict[str, Path]

    def storm(self, *calls: tuple[str, str, int, int]) -> Counted:
        """Calls are (who, what, how many, how many distinct)."""
        jobs = [
            {"cgroup": str(self.cgroups[who]), "what": what, "count": count, "distinct": distinct, "port": PORTS[what],
             "first": 110_000 * list(self.cgroups).index(who)}
            for who, what, count, distinct in calls
        ]  # fmt: skip
        outside = f'echo $$ > {self.wire.cgroup.parent}/cgroup.procs && exec "$@"'
        command = ["sh", "-c", outside, "sh", "unshare", "--net", sys.executable, str(STORM)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as storm:
            assert storm.stdin is not None
            storm.stdin.write(json.dumps(jobs))
            storm.stdin.close()
            while storm.poll() is None:
                self.wire.hear(0.1)
        assert storm.returncode == 0
        return self.wire.counted()

    def id_of(self, who: str) -> int:
        return self.cgroups[who].stat().st_ino

    def shares(self, who: str) -> dict[int, int]:
        """Without those of an interval."""
        rows = zip(*self.wire.kernel._maps["shares"].read_all(), strict=True)
        taken = {tuple(key.tolist()): int(row) for key, row in rows}
        mine = self.id_of(who)
        return {kind: row for (cgroup_id, kind), row in taken.items() if cgroup_id == mine and kind != SHARE_OF_ROWS}

    def who(self, cgroup_id: int) -> str:
        return next(name for name, path in self.cgroups.items() if path.stat().st_ino == cgroup_id)


@pytest.fixture
def place() -> Iterator[Place]:
    names = ["stormer", *(f"victim{number}" for number in range(VICTIMS))]
    with own_cgroup() as cgroup:
        cgroups = {name: cgroup / name for name in names}
        for one in cgroups.values():
            one.mkdir()
        wire = Wire(cgroup)
        try:
            yield Place(wire, cgroups)
        finally:
            wire.kernel.close()
            for one in cgroups.values():
                one.rmdir()


def requests_by_name(place: Place, seen: Counted, column: str) -> dict[str, Counter[str]]:
    """By who asked: requests by route, host or DNS name."""
    found: dict[str, Counter[str]] = {name: Counter() for name in place.cgroups}
    for row in seen.request_rows:
        if row["protocol"] != flow_pb2.PROTOCOL_TCP:
            found[place.who(place.wire.flow(row["flow"]).cgroup_id)][place.wire.name(row[column])] += row["count"]
    return found


@pytest.mark.parametrize(("what", "column"), [("paths", "name"), ("hosts", "host"), ("names", "name")])
@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.long)])
@pytest.mark.timeout(400)
def test_names_of_others_stay_when_one_storms(place: Place, what: str, column: str, count: int) -> None:
    victims = [name for name in place.cgroups if name != "stormer"]
    seen = place.storm(("stormer", what, count, count), *((one, what, EACH, KINDS) for one in victims))
    found = requests_by_name(place, seen, column)
    for victim in victims:
        assert len(found[victim]) == KINDS and set(found[victim].values()) == {EACH // KINDS}, found[victim]
    assert sum(found["stormer"].values()) == count
    assert len(found["stormer"]) == LIMITS.names_each_endpoint + 1
    assert found["stormer"]["(other)"] == count - LIMITS.names_each_endpoint
    assert seen.dropped == {"names_beyond_budget": count - LIMITS.names_each_endpoint}
    assert seen.lost == {}


@pytest.mark.parametrize(
    ("share", "count"), [(2_000, 5_000), pytest.param(LIMITS.flows_each_endpoint, 200_000, marks=pytest.mark.long)]
)
@pytest.mark.timeout(400)
def test_peers_of_others_stay_when_one_connects_to_everybody(place: Place, share: int, count: int) -> None:
    """Beyond its share of flows the stormer's connections are one flow of its own that keeps their sum."""
    place.wire.kernel.limit(Limits(flows_each_endpoint=share))
    victims = [name for name in place.cgroups if name != "stormer"]
    seen = place.storm(("stormer", "peers", count, count), *((one, "peers", EACH, KINDS) for one in victims))
    peers: dict[str, dict[bytes, dict[str, int]]] = {name: {} for name in place.cgroups}
    for flow in seen.flows:
        peers[place.who(flow.cgroup_id)][flow.peer_address] = seen.rows[flow.id]
    for victim in victims:
        assert len(peers[victim]) == KINDS and MANY not in peers[victim]
        assert {row["connections"] for row in peers[victim].values()} == {EACH // KINDS}
    assert len(peers["stormer"]) == share + 1
    assert peers["stormer"][MANY]["connections"] == peers["stormer"][MANY]["closed"] == count - share
    for name in ("connections", "bytes_sent", "bytes_received"):
        assert sum(row[name] for row in peers["stormer"].values()) == count
    assert (seen.lost, seen.dropped.pop("flows_as_other")) == ({}, count - share)
    # Its turns are rows too: all of this is one interval here.
    assert set(seen.dropped) <= {"rows_as_other"}


@pytest.mark.timeout(300)
def test_rows_of_others_stay_when_one_fills_its_share(place: Place) -> None:
    share = 400
    place.wire.kernel.limit(Limits(rows_each_endpoint=share))
    victims = [name for name in place.cgroups if name != "stormer"]
    seen = place.storm(("stormer", "paths", 5_000, 500), *((one, "paths", EACH, 10) for one in victims))
    found = requests_by_name(place, seen, "name")
    for victim in victims:
        assert len(found[victim]) == 10 and set(found[victim].values()) == {EACH // 10}
    assert sum(found["stormer"].values()) == 5_000
    assert found["stormer"]["(other)"] > 0
    assert set(seen.dropped) == {"rows_as_other"} and seen.lost == {}
    # The next interval is a new one.
    again = place.storm(("stormer", "paths", 20, 10))
    assert again.dropped == {} and "(other)" not in requests_by_name(place, again, "name")["stormer"]


def test_what_was_forgotten_gives_its_share_back(place: Place) -> None:
    kernel = place.wire.kernel
    kernel.limit(Limits(names_each_endpoint=10, flows_each_endpoint=10))
    full = place.storm(("stormer", "paths", 20, 20), ("victim0", "peers", 20, 20))
    assert full.dropped == {"names_beyond_budget": 10, "flows_as_other": 10}
    keys, states = kernel._maps["names"].read_all()
    routes = keys[states["kind"] == flow_pb2.NAME_KIND_ROUTE].tolist()
    kernel.forget_names(routes[:7])
    kernel.forget_flows([flow.id for flow in full.flows if flow.cgroup_id == place.id_of("victim0")][:5])
    kernel.correct_shares()
    assert place.shares("stormer") == {flow_pb2.NAME_KIND_ROUTE: 3, flow_pb2.NAME_KIND_HOST: 1, SHARE_OF_FLOWS: 1}
    # Six of eleven flows are left; one of them may be (other).
    assert place.shares("victim0") == {SHARE_OF_FLOWS: 6}
    later = place.storm(("stormer", "paths", 20, 20), ("victim0", "peers", 20, 20))
    assert later.dropped["names_beyond_budget"] == 10
    assert place.shares("stormer")[flow_pb2.NAME_KIND_ROUTE] == 10
    kernel.forget_names(keys.tolist() + kernel._maps["names"].read_all()[0].tolist())
    kernel.forget_flows(kernel._maps["flows"].read_all()[0].tolist())
    kernel.drain(2)
    kernel.drain(3)
    kernel.correct_shares()
    assert {cgroup_id for cgroup_id, _ in kernel._maps["shares"].read_all()[0].tolist()} == {COMMON}


def test_names_and_fine_latency_are_shed_and_come_back(place: Place) -> None:
    """Also those that a connection knows already: who sheds looks nothing up."""
    calls = (("stormer", "paths", 80, 8), ("victim0", "peers", 20, 5))
    place.storm(*calls)
    place.wire.kernel.limit(Limits(without_names=True, without_fine_latency=True))
    shed = place.storm(*calls)
    assert requests_by_name(place, shed, "name")["stormer"] == {"(other)": 80}
    assert all(row["latency_bucket"] % 8 == 0 for row in shed.request_rows)
    # A route and a host for each request; the turns of other protocols.
    assert shed.dropped == {"names_shed": 160, "turns_shed": 20}
    assert sum(shed.turns.values()) == 0 and shed.totals["client"]["connections"] == 21
    place.wire.kernel.limit(Limits())
    back = place.storm(*calls)
    assert len(requests_by_name(place, back, "name")["stormer"]) == 8 and back.turns["client"] == 20
    assert (back.lost, back.dropped) == ({}, {})
