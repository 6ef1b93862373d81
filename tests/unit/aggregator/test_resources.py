"""What containers and units used becomes a part of their node, whatever the order in which it comes and ages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.estate import Estate
from aggregator.records import SECOND_NS, Refused
from aggregator.resolve.workloads import PodName
from aggregator.settings import Settings
from aggregator.topology.usage import ROW, SUMS, Usage, merged
from tests.unit.aggregator.agents import Agent, World, ns
from tests.unit.aggregator.restarts import Folder

POD = "00000000-0000-0000-0000-0000000000a1"
WEB = "shop/deployment/web"
MB = 1 << 20
CPU_ONLY = 1 << flow.RESOURCE_KIND_CPU
OOM_ONLY = 1 << flow.RESOURCE_KIND_OOM


@pytest.fixture
def alpha() -> Agent:
    return World().agent("alpha", "10.0.0.1")


def talk(agent: Agent, endpoint: int) -> None:
    agent.calls(endpoint, "192.0.2.7", 80, 1, bytes_sent=100, bytes_received=3000)


def resources(world: World, node: str = "alpha/web", now: float = 2.0) -> pb.Resources:
    return world.nodes(now)[node].resources


def known(message: Any) -> dict[str, Any]:
    return {field.name: value for field, value in message.ListFields()}


def test_a_unit_s_own(alpha: Agent) -> None:
    web = alpha.unit("web")
    talk(alpha, web)
    alpha.uses(web, cpu_ns=5 * 10**8, cpu_periods=20, cpu_throttled_periods=5, cpu_throttled_ns=3 * 10**8,
               memory_bytes=60 * MB, memory_most_bytes=80 * MB, memory_limit_bytes=100 * MB, cpu_limit_millicores=500,
               oom_kills=2)  # fmt: skip
    alpha.tells(0, 2)
    assert known(resources(alpha.world)) == {
        "seconds": 2.0, "cpu_cores": 0.25, "cpu_throttled_share": 0.25, "cpu_throttled_seconds": 0.3,
        "cpu_limit_cores": 0.5, "memory_bytes": 60 * MB, "memory_limit_bytes": 100 * MB, "memory_peak_share": 0.8,
        "oom_kills": 2, "network_sent_bytes": 100, "network_received_bytes": 3000,
    }  # fmt: skip


def test_what_nobody_could_read_is_not_zero(alpha: Agent) -> None:
    web, shop = alpha.unit("web"), alpha.unit("shop")
    talk(alpha, web)
    talk(alpha, shop)
    alpha.uses(web, known=CPU_ONLY, cpu_ns=10**9)
    alpha.tells(0, 2)
    found = known(resources(alpha.world))
    assert found == {"seconds": 2.0, "cpu_cores": 0.5, "network_sent_bytes": 100, "network_received_bytes": 3000}
    assert not alpha.world.nodes()["alpha/shop"].HasField("resources")


def test_what_was_used_adds_up_and_what_is_there_is_of_the_last_look(alpha: Agent) -> None:
    for second in range(0, 10, 2):
        web = alpha.unit("web")
        talk(alpha, web)
        alpha.uses(web, cpu_ns=10**9, memory_bytes=(10 - second) * MB, memory_limit_bytes=20 * MB)
        alpha.tells(second, second + 2)
    found = resources(alpha.world, now=10)
    assert (found.seconds, found.cpu_cores, found.memory_bytes, found.memory_peak_share) == (10, 0.5, 2 * MB, 0.5)


def test_a_container_that_is_gone_has_used_and_has_nothing(alpha: Agent) -> None:
    world = alpha.world
    for second, container in ((0, "c1"), (2, "c2")):
        pod = alpha.pod(POD, "10.244.1.5", container=container)
        talk(alpha, pod)
        alpha.uses(pod, cpu_ns=10**9, memory_bytes=30 * MB, memory_limit_bytes=64 * MB)
        alpha.tells(second, second + 2)
    found = resources(world, f"alpha/pod-{POD}", now=4)
    assert (found.cpu_cores, found.memory_bytes, found.memory_limit_bytes) == (0.5, 30 * MB, 64 * MB)


def test_an_oom_kill_of_one_that_is_gone_makes_it_not_there(alpha: Agent) -> None:
    pod = alpha.pod(POD, "10.244.1.5")
    talk(alpha, pod)
    alpha.uses(pod, memory_bytes=30 * MB, memory_limit_bytes=64 * MB)
    alpha.tells(0, 2)
    alpha.uses(pod, known=OOM_ONLY, oom_kills=1)
    alpha.tells(2, 4)
    found = resources(alpha.world, f"alpha/pod-{POD}", now=4)
    assert (found.oom_kills, found.HasField("memory_bytes"), found.HasField("memory_limit_bytes")) == (1, False, False)


def test_one_without_a_limit_makes_the_sum_no_limit(alpha: Agent) -> None:
    for container, limit in (("c1", 64 * MB), ("c2", 0)):
        pod = alpha.pod(POD, "10.244.1.5", container=container)
        talk(alpha, pod)
        alpha.uses(pod, memory_bytes=30 * MB, memory_limit_bytes=limit, cpu_limit_millicores=500)
    alpha.tells(0, 2)
    found = resources(alpha.world, f"alpha/pod-{POD}")
    assert (found.memory_bytes, found.HasField("memory_limit_bytes"), found.cpu_limit_cores) == (60 * MB, False, 1.0)
    assert found.memory_peak_share == 30 / 64


def test_pods_on_two_hosts_are_one_workload_also_when_their_name_comes_late() -> None:
    world = World()
    uids = (POD, POD.replace("a1", "a2"))
    for host, uid in zip(("alpha", "beta"), uids, strict=True):
        agent = world.agent(host, "10.0.0.1")
        agent.uses(agent.pod(uid, "10.244.1.5"), cpu_ns=10**9, memory_bytes=MB, memory_limit_bytes=2 * MB)
        agent.tells(0, 2)
    assert not world.nodes()
    world.estate.pods.learn([PodName(uid, "shop", "deployment", "web", "web-1", "5d8f", "n1") for uid in uids])
    (node,) = world.nodes().values()
    assert (node.id, node.kind, node.host_count) == (WEB, pb.NODE_KIND_WORKLOAD, 2)
    assert (node.resources.cpu_cores, node.resources.memory_bytes, node.resources.memory_limit_bytes) == (
        1.0,
        2 * MB,
        4 * MB,
    )
    assert (node.first_seen.ToNanoseconds(), node.last_seen.ToNanoseconds()) == (ns(0), ns(2))


def test_a_unit_that_only_runs_is_no_node(alpha: Agent) -> None:
    alpha.uses(alpha.unit("cron"), cpu_ns=1)
    alpha.tells(0, 2)
    assert not alpha.world.nodes()


def test_numbers_alone_do_not_change_a_node(alpha: Agent) -> None:
    from aggregator.topology.changes import changes_between
    from aggregator.topology.snapshot import Graph

    graphs = []
    for second in (0, 2):
        web = alpha.unit("web")
        if not second:
            talk(alpha, web)
        alpha.uses(web, cpu_ns=(second + 1) * 10**8)
        alpha.tells(second, second + 2)
        graphs.append(Graph.of(alpha.world.topology(second + 2)))
    kinds = [change.kind for change in changes_between(*graphs) if change.HasField("node")]
    assert kinds == [pb.CHANGE_KIND_UPDATED]


@pytest.mark.parametrize("name", ["cpu_ns", "memory_bytes", "oom_kills", "cpu_limit_millicores"])
def test_more_than_can_be_is_refused(alpha: Agent, name: str) -> None:
    web = alpha.unit("web")
    alpha.uses(web, **{name: 2**63})
    with pytest.raises(Refused):
        alpha.tells(0, 2)


def test_rows_of_nobody_are_dropped_and_counted(alpha: Agent) -> None:
    alpha.uses(99, cpu_ns=1)
    alpha.tells(0, 2)
    assert alpha.world.estate.dropped()["undefined_endpoint"] == 1


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with folder.start() as started:
        for second in range(0, 20, 2):
            alpha = folder.alpha
            alpha.uses(alpha.unit("web"), cpu_ns=10**9, memory_bytes=MB, memory_limit_bytes=2 * MB)
            folder.traffic(started, second)
            if second == 10:
                started.store.age()
                started.save()
        before = started.topology()
    with folder.start() as started:
        after = started.topology()
    assert {node.id: node.resources for node in after.nodes} == {node.id: node.resources for node in before.nodes}
    assert next(node for node in after.nodes if node.id == "alpha/web").resources.memory_limit_bytes == 2 * MB


rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 300), st.integers(0, 10**12), st.integers(0, 10**12)), max_size=30
)


def add(usage: Usage, row: tuple[int, int, int, int]) -> None:
    endpoint, second, used, most = row
    values = {"endpoint": endpoint, "known": 2, "from_ns": ns(second), "to_ns": ns(second + 2), "cpu_ns": used,
              "memory_most_bytes": most}  # fmt: skip
    names = {*(ROW.names or ()), "memory_bytes", "memory_limit_bytes", "cpu_limit_millicores"}
    usage.add(0, {name: np.array([values.get(name, 0)], np.int64) for name in names})


@given(rows, st.lists(st.integers(0, 400), max_size=8))
def test_age_changes_no_sum(given_rows: list[tuple[int, int, int, int]], looks: list[int]) -> None:
    usage = Usage(3900 * SECOND_NS)
    for row in given_rows:
        add(usage, row)
    for second in sorted(looks):
        usage.age(ns(second))
    found = merged(usage.since(ns(-1)).parts)
    for endpoint in {row[0] for row in given_rows}:
        own = [row for row in given_rows if row[0] == endpoint]
        (at,) = np.flatnonzero(found["endpoint"] == endpoint).tolist()
        assert found["cpu_ns"][at] == sum(row[2] for row in own)
        assert found["memory_most_bytes"][at] == max(row[3] for row in own)
        assert found["from_ns"][at] == ns(min(row[1] for row in own))
        assert found["to_ns"][at] == ns(max(row[1] for row in own) + 2)


@pytest.mark.parametrize(("before", "now", "kept"), [(400, 4000, 1), (4000, 400, 0)])
def test_how_long_it_is_kept_is_what_this_start_was_told(before: float, now: float, kept: int) -> None:
    world = World(retention_seconds=before)
    alpha = world.agent("alpha", "10.0.0.1")
    alpha.uses(alpha.unit("web"), cpu_ns=1)
    alpha.tells(0, 2)
    estate = Estate.restore(Settings(retention_seconds=now), world.estate.checkpoint().content())
    estate.age(ns(1500))
    assert estate.held()["usage_rows"] == kept


def test_what_is_old_takes_less_room_and_then_none() -> None:
    usage = Usage(3900 * SECOND_NS)
    for second in range(0, 7200, 2):
        add(usage, (0, second, 1, 1))
        if second % 5 == 0:
            usage.age(ns(second))
    assert len(usage) < 45
    assert int(merged(usage.since(ns(7200 - 300)).parts)["cpu_ns"].sum()) == pytest.approx(150, abs=31)
    assert int(merged(usage.since(ns(7200 - 3600)).parts)["cpu_ns"].sum()) == pytest.approx(1800, abs=151)


def test_beyond_the_bound_the_oldest_leaves_and_is_counted() -> None:
    usage = Usage(3900 * SECOND_NS, most_rows=20)
    for second in range(0, 1000, 2):
        add(usage, (second % 10, second, 1, 1))
        usage.age(ns(second))
    assert len(usage) <= 20
    assert usage.dropped > 0


def test_a_liar_s_sums_stand_still() -> None:
    usage = Usage(3900 * SECOND_NS)
    for second in range(64):
        add(usage, (0, second, 2**59, 1))
    usage.age(ns(64))
    found = merged(usage.since(ns(-1)).parts)
    assert all(int(found[name][0]) >= 0 for name in SUMS)
