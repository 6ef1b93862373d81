"""A node that got a name is told as renamed; who only came or went is not."""

import asyncio
from itertools import product
from pathlib import Path

import pytest
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.flow_pb2 import ReportRequest

from aggregator.live import Live
from aggregator.resolve.workloads import PodName
from aggregator.settings import Settings
from aggregator.store import Store
from aggregator.topology.changes import changes_between
from aggregator.topology.filters import changes_as_filtered, filtered
from aggregator.topology.snapshot import Beside, Graph
from tests.unit.aggregator.agents import World, ns
from tests.unit.aggregator.restarts import Damages
from tests.unit.outputs.topologies import Reader, same

UID = "00000000-0000-0000-0000-0000000000a1"
POD, WEB, DB, ADDRESS, NAME = f"alpha/pod-{UID}", "shop/deployment/web", "shop/deployment/db", "192.0.2.7", "api.test"
KINDS = {POD: pb.NODE_KIND_POD, ADDRESS: pb.NODE_KIND_EXTERNAL, NAME: pb.NODE_KIND_THIRD_PARTY}
NAMED = {PodName(UID, "shop", "deployment", "web", "web-1", "", "n1").uid: WEB}


def graph(*edges: tuple[str, str, int], alone: str = "", names: dict[str, str] | None = None, at: int = 1) -> Graph:
    """Edges with their ports; all were first seen at that second."""
    found = pb.Topology()
    for name in sorted({end for edge in edges for end in edge[:2]} | ({alone} if alone else set())):
        found.nodes.add(id=name, kind=KINDS.get(name, pb.NODE_KIND_WORKLOAD), namespace=name.partition("/")[0])
    for source, target, port in edges:
        edge = found.edges.add(id=f"{source}>{target}:{port}", source=source, target=target, port=port)
        edge.first_seen.FromSeconds(at)
        setattr(edge, "class", pb.EDGE_CLASS_TRAFFIC)
    return Graph.of(found).with_beside(Beside(named=names or {}))


def renamed(old: Graph, new: Graph) -> list[tuple[str, str]]:
    """After it was seen that who applies the changes holds the new graph."""
    reader = Reader()
    reader.nodes, reader.edges = dict(old.nodes), dict(old.edges)
    reader.take([pb.WatchTopologyResponse(delta=pb.Delta(changes=changes_between(old, new)))])
    assert same(reader.topology, new.message)
    words = [change for change in changes_between(old, new) if change.kind == pb.CHANGE_KIND_APPEARED]
    assert not {change.node.id for change in words} & {after for _, after in reader.renames}
    return reader.renames


@pytest.mark.parametrize("is_there", [False, True])
def test_a_pod_of_which_the_api_says_what_it_is(is_there: bool) -> None:
    """Also where others of the workload are there already, or it has no edge at all."""
    others = [(WEB, DB, 1)] if is_there else []
    old = graph((POD, DB, 5432), *others)
    assert renamed(old, graph((WEB, DB, 5432), *others, names=NAMED)) == [(POD, WEB)]
    assert renamed(graph(alone=POD), graph(alone=WEB, names=NAMED)) == [(POD, WEB)]


def test_an_address_that_a_request_s_host_or_dns_names() -> None:
    assert renamed(graph((WEB, ADDRESS, 80)), graph((WEB, NAME, 80))) == [(ADDRESS, NAME)]


@pytest.mark.parametrize(
    "new",
    [
        graph((WEB, NAME, 80), at=2),  # it began when the other had ended
        graph((WEB, NAME, 81)),
        graph((DB, NAME, 80)),
        graph((WEB, NAME, 80), (WEB, "other.test", 80)),  # which of them it was nobody can tell
        graph((WEB, "192.0.2.8", 80)),
        graph((WEB, DB, 1)),
    ],
)
def test_what_only_went_while_another_came_is_not_renamed(new: Graph) -> None:
    KINDS["192.0.2.8"] = pb.NODE_KIND_EXTERNAL
    old = graph((WEB, ADDRESS, 80))
    for one in (old, new):
        for node in one.nodes.values():
            node.kind = KINDS.get(node.id, node.kind)
    assert renamed(old, new) == []


def test_a_workload_that_is_gone_is_gone() -> None:
    assert renamed(graph((WEB, DB, 1)), graph((WEB, "shop/deployment/new", 1))) == []


def test_another_name_of_the_same_node() -> None:
    old, new = graph(alone=WEB), graph(alone=WEB)
    new.nodes[WEB].name = "web"
    (change,) = changes_between(old, new)
    assert (change.kind, change.previous_id, change.node.name) == (pb.CHANGE_KIND_RENAMED, WEB, "web")


def test_who_resumes_with_a_filter_loses_the_old_one_and_has_the_new_one() -> None:
    pairs = (graph((POD, DB, 1)), graph((WEB, DB, 1), names=NAMED)), (graph(alone=POD), graph(alone=WEB, names=NAMED))
    for (old, new), namespace in product(pairs, ("shop", "nowhere")):
        whole, expected = changes_between(old, new), set(new.nodes) if namespace == "shop" else set()
        seen = filtered(new, pb.Filter(namespace=namespace))
        reader = Reader()
        reader.nodes, reader.edges = dict(old.nodes), dict(old.edges)
        for change in changes_as_filtered(whole, new, seen):
            assert change.kind != pb.CHANGE_KIND_RENAMED
            reader.take([pb.WatchTopologyResponse(delta=pb.Delta(changes=[change]))])
        assert reader.nodes.keys() == expected


def test_in_a_live_graph_a_pod_and_an_address_get_their_names(tmp_path: Path) -> None:
    """The address by a DNS answer that is told later."""

    async def whole() -> None:
        live = Live(Settings(data=tmp_path), Store(Settings(data=tmp_path), Damages(), lambda: ns(3)))
        await live.open()
        tasks = [asyncio.create_task(live.run()), asyncio.create_task(live.run_news())]
        agent = World().agent("alpha", "10.0.0.1")

        async def until(*nodes: str) -> None:
            async with asyncio.timeout(10):
                while live.usual.newest.graph.nodes.keys() != set(nodes):
                    await asyncio.sleep(0.01)

        async def tell(begin: float) -> None:
            hello = agent.hello(begin + 1)
            if not agent.greeted:
                await live.hello(hello, ReportRequest(hello=hello).SerializeToString())
                agent.greeted = True
            batch = agent.batch(begin, begin + 1)
            await live.batch(hello, batch, ReportRequest(batch=batch).SerializeToString())

        pod = agent.pod(UID, "10.244.1.5")
        agent.calls(pod, ADDRESS, 443, local="10.244.1.5", bytes_sent=5)
        await tell(0)
        await until(POD, ADDRESS)
        await live.learn_pods([PodName(UID, "shop", "deployment", "web", "web-1", "", "n1")], [], [])
        await until(WEB, ADDRESS)
        agent.told(pod, NAME, ADDRESS, at=1.0)
        await tell(1)
        await until(WEB, NAME)
        changes = live.usual.since(live.epoch, 1) or ()
        renamed = [(one.previous_id, one.node.id) for one in changes if one.kind == pb.CHANGE_KIND_RENAMED]
        assert renamed == [(POD, WEB), (ADDRESS, NAME)]
        gone = [one for one in changes if one.kind == pb.CHANGE_KIND_VANISHED and one.HasField("node")]
        assert gone == []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await live.close()

    asyncio.run(whole())
