"""What readers get on real ports: the graph, questions, exports, health, and a sentence where they get nothing."""

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from plumbline.v1 import insight_pb2, topology_pb2

from aggregator.catalog.model import Declarations
from aggregator.live import SECOND_NS, Live
from aggregator.settings import Settings
from aggregator.store import Store
from tests.unit.aggregator.restarts import Damages
from tests.unit.outputs.running import Running, Stream, agent, batch_now, run, running

Code = grpc.StatusCode


async def report(aggregator: Running, requests: int = 3) -> Stream:
    one, stream = agent(), Stream(aggregator.channel("agents"))
    await stream.greet(one.hello(0))
    await stream.bring(batch_now(one, requests))
    while not (await aggregator.topology.GetTopology(topology_pb2.GetTopologyRequest())).topology.edges:
        await asyncio.sleep(0.005)
    return stream


async def refusal(call: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert refused.value.details().endswith(".")
    return refused.value.code(), refused.value.details()


def test_health_and_reflection_on_both_ports(tmp_path: Path) -> None:
    services = {
        "agents": {"plumbline.v1.ReportService"},
        "grpc": {"plumbline.v1.TopologyService", "plumbline.v1.InsightService"},
    }

    async def test() -> None:
        async with running(tmp_path) as aggregator:
            for listener, own in services.items():
                channel = aggregator.channel(listener)
                check = health_pb2_grpc.HealthStub(channel).Check
                for service in ("", *own):
                    answer = await check(health_pb2.HealthCheckRequest(service=service))
                    assert answer.status == health_pb2.HealthCheckResponse.SERVING
                call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
                await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
                listed = {one.name for one in (await call.read()).list_services_response.service}
                assert own < listed
                call.cancel()

    run(test)


@pytest.mark.parametrize(
    ("window", "words"),
    [
        (Duration(), "above zero"),
        (Duration(seconds=-5), "above zero"),
        (Duration(seconds=4000), "--retention"),
        (Duration(seconds=315_576_000_000), "--retention"),
    ],
)
def test_a_window_that_cannot_be_is_refused_by_everything_that_takes_one(
    tmp_path: Path, window: Duration, words: str
) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            watch = aggregator.topology.WatchTopology(topology_pb2.WatchTopologyRequest(window=window))
            for call in (
                aggregator.topology.GetTopology(topology_pb2.GetTopologyRequest(window=window)),
                aggregator.insight.Ask(insight_pb2.AskRequest(question="drift", window=window)),
                anext(aiter(watch)),
            ):
                code, sentence = await refusal(call)
                assert code == Code.INVALID_ARGUMENT and words in sentence

    run(test)


def test_every_window_has_a_position_whatever_the_filter(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            await report(aggregator)
            wanted = topology_pb2.Filter(node="alpha/web")
            watch = aggregator.topology.WatchTopology(topology_pb2.WatchTopologyRequest(filter=wanted))
            first = await anext(aiter(watch))
            for window in (None, Duration(seconds=60), Duration(seconds=59, nanos=1)):
                request = topology_pb2.GetTopologyRequest(window=window, filter=wanted)
                part = (await aggregator.topology.GetTopology(request)).topology
                assert len(part.nodes) == 2 and part.position.epoch
                assert (part.position.epoch == first.position.epoch) == (window is None)
                seconds = part.window.to.ToNanoseconds() / 1e9 - getattr(part.window, "from").ToNanoseconds() / 1e9
                assert 0 <= seconds - (60 if window else 300) < 1  # what there was no time for lies before it
            watch.cancel()

    run(test)


def test_questions_that_nobody_can_answer(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            await report(aggregator)
            ask = aggregator.insight.Ask
            for question, subject, code in (
                ("nonsense", "", Code.INVALID_ARGUMENT),
                ("impact", "", Code.INVALID_ARGUMENT),
                ("impact", "nobody", Code.NOT_FOUND),
            ):
                found, sentence = await refusal(ask(insight_pb2.AskRequest(question=question, subject=subject)))
                assert found == code, sentence
            answer = await ask(insight_pb2.AskRequest(question="impact", subject="api.pay.test"))
            assert '"alpha/web"' in answer.answer_json

    run(test)


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x0a\xff"])
def test_bytes_that_are_no_request_are_refused_with_a_sentence(tmp_path: Path, raw: bytes) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            channel = aggregator.channel("grpc")
            code, sentence = await refusal(channel.unary_unary("/plumbline.v1.TopologyService/GetTopology")(raw))
            assert code == Code.INVALID_ARGUMENT and "GetTopologyRequest" in sentence

    run(test)


def test_an_export_is_refused_until_there_is_something_and_then_has_an_etag(tmp_path: Path) -> None:
    path = "/catalog/backstage.yaml"

    async def test() -> None:
        async with running(tmp_path) as aggregator:
            export = aggregator.insight.Export
            code, _ = await refusal(export(insight_pb2.ExportRequest(form="backstage")))
            assert code == Code.FAILED_PRECONDITION
            status, _, body = await aggregator.get(path)
            assert status == 503 and body.endswith(b".\n")
            code, sentence = await refusal(export(insight_pb2.ExportRequest(form="nonsense")))
            assert code == Code.INVALID_ARGUMENT and "backstage" in sentence
            await report(aggregator)
            await asyncio.sleep(1.1)
            status, headers, body = await aggregator.get(path)
            assert status == 200 and b"api.pay.test" in body
            assert headers["Content-Type"].startswith("application/yaml")
            exported = await export(insight_pb2.ExportRequest(form="backstage"))
            assert (exported.content, f'"{exported.etag}"') == (body, headers["ETag"])
            for known, expected in (
                (headers["ETag"], 304),
                ("W/" + headers["ETag"], 304),
                (f'"x", {headers["ETag"]}', 304),
                ("*", 304),
            ):
                status, answered, body = await aggregator.get(path, **{"If-None-Match": known})
                assert (status, answered["ETag"], bool(body)) == (expected, headers["ETag"], False)
            # What a life before this one served may have had more than was seen since: it stays, under its own tag.
            status, answered, body = await aggregator.get(path, **{"If-None-Match": '"earlier"'})
            assert (status, answered["ETag"], body) == (304, '"earlier"', b"")

    run(test)


def test_http_has_its_paths_and_no_others(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            paths = ("/metrics", "/livez", "/readyz", "/", "/nonsense", "/catalog/../metrics")
            assert [(await aggregator.get(path))[0] for path in paths] == [200, 200, 200, 404, 404, 200]
            reader, writer = await asyncio.open_connection("127.0.0.1", aggregator.port("http"))
            writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            assert b"400" in await reader.readline()
            writer.close()
            metrics = await aggregator.metrics()
            assert metrics['refused_total{reason="http_malformed"}'] == 1
            assert not aggregator.events("request_failed")

    run(test)


def test_a_watch_sees_what_comes_and_is_told_when_the_aggregator_stops(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            watch = aggregator.topology.WatchTopology(topology_pb2.WatchTopologyRequest())
            assert (await watch.read()).snapshot.complete
            await report(aggregator)
            appeared: set[str] = set()
            while "api.pay.test" not in appeared:
                appeared |= {change.node.id for change in (await watch.read()).delta.changes}
            assert (await aggregator.metrics())["watchers"] == 1
            aggregator.stop.set()
            code, _ = await refusal(_drained(watch))
            assert code == Code.UNAVAILABLE

    run(test)


async def _drained(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


def test_only_so_many_windows_are_watched_at_once_and_one_that_was_left_makes_room(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            watches = []
            for seconds in range(10, 17):
                request = topology_pb2.WatchTopologyRequest(window=Duration(seconds=seconds))
                watches.append(aggregator.topology.WatchTopology(request))
                await watches[-1].read()
            request = topology_pb2.WatchTopologyRequest(window=Duration(seconds=99))
            code, _ = await refusal(_drained(aggregator.topology.WatchTopology(request)))
            assert code == Code.RESOURCE_EXHAUSTED
            watches[0].cancel()
            await _until_watched_by(aggregator, 6)
            last = aggregator.topology.WatchTopology(request)
            assert (await last.read()).snapshot.complete
            for watch in (*watches, last):
                watch.cancel()

    run(test)


async def _until_watched_by(aggregator: Running, count: int) -> None:
    while (await aggregator.metrics())["watchers"] != count:
        await asyncio.sleep(0.01)


def test_a_window_that_was_watched_is_not_served_stale_afterwards(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            window = Duration(seconds=60)
            watch = aggregator.topology.WatchTopology(topology_pb2.WatchTopologyRequest(window=window))
            await watch.read()
            watch.cancel()
            await _until_watched_by(aggregator, 0)
            await report(aggregator)
            answer = await aggregator.topology.GetTopology(topology_pb2.GetTopologyRequest(window=window))
            assert len(answer.topology.edges) == 1

    run(test)


def test_a_quiet_graph_has_a_window_that_moves_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            ends = []
            for _ in range(2):
                answer = await aggregator.topology.GetTopology(topology_pb2.GetTopologyRequest())
                ends.append((answer.topology.position.version, answer.topology.window.to.ToNanoseconds()))
                await asyncio.sleep(1.2)
            assert ends[0][0] == ends[1][0]
            assert ends[1][1] - ends[0][1] > 0.9e9

    run(test)


def test_what_was_asked_of_older_graphs_is_let_go(tmp_path: Path) -> None:
    """A Case has a copy of a whole graph: who asks again and again, of ever newer ones, must not gather them."""

    async def test() -> None:
        settings, declared = Settings(data=tmp_path), Declarations()
        live = Live(settings, Store(settings, Damages()), lambda: declared)
        await live.open()
        making = asyncio.create_task(live.run())
        window_ns = int(settings.window_seconds * SECOND_NS)
        cases, topologies = [], set[int]()
        for asked in (0, window_ns, 0, window_ns):
            case = await live.case(asked)
            assert await live.case(asked) is case
            topologies.add(case.topology.window.to.ToNanoseconds())
            cases.append(weakref.ref(case))
            del case
            moved_on = live.snapshots + 1
            while live.snapshots < moved_on:
                await live.learn_pods((), (), ())
                await asyncio.sleep(0.05)
        making.cancel()
        await live.close()
        gc.collect()
        assert len(topologies) == 4
        assert [one() is not None for one in cases] == [False, False, False, True]

    run(test)
