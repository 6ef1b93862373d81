"""A resource is kept as the server has it, through the real client, from a server that answers as tests make it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from aggregator import reflector
from aggregator.reflector import Reflector, State
from aggregator.resolve import kubernetes
from aggregator.resolve.kubernetes import Kubernetes, NoCluster
from aggregator.resolve.objects import Pod, Slice, read_pod
from aggregator.resolve.resources import RESOURCES, Object, Resource
from tests.unit.aggregator.objects import Raw, raw_pod

PODS = next(one for one in RESOURCES if one.name == "pods")
JOBS = next(one for one in RESOURCES if one.name == "jobs.batch")
ROUTES = next(one for one in RESOURCES if one.name == "httproutes.gateway.networking.k8s.io")
EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}


def listed(*names: str, version: str = "10", more: str = "") -> Raw:
    return {"metadata": {"resourceVersion": version, "continue": more}, "items": [raw_pod(name) for name in names]}


def event(kind: str, name: str, version: str) -> Raw:
    pod = raw_pod(name)
    pod["metadata"]["resourceVersion"] = version
    return {"type": kind, "object": pod}


class Server:
    """Lists and watches are answered in turn; the last answer stays. A watch's answer is lines, then it hangs, unless
    its last one is None."""

    def __init__(self) -> None:
        self.lists: list[Any] = []
        self.watches: list[list[Any]] = [[]]
        self.asked: list[dict[str, str]] = []
        self.accepts: list[str] = []
        self.ended = asyncio.Event()
        self.retry_after = "0"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        self.accepts.append(request.headers["Accept"])
        if "watch" in request.query:
            return await self._watch(request, self.watches.pop(0) if len(self.watches) > 1 else self.watches[0])
        one = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(one, int):
            headers = {"Retry-After": self.retry_after}
            return web.json_response({"kind": "Status", "message": "not now"}, status=one, headers=headers)
        return web.Response(text=one if isinstance(one, str) else json.dumps(one), content_type="application/json")

    async def _watch(self, request: web.Request, lines: list[Any]) -> web.StreamResponse:
        if lines and isinstance(lines[0], int):
            return web.Response(status=lines[0])
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            if line is None:
                return response
            await response.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        await self.ended.wait()
        return response

    @property
    def versions(self) -> list[str]:
        """That watches began from."""
        return [query["resourceVersion"] for query in self.asked if "watch" in query]


class Kept:
    """A reflector that runs, and what it said."""

    def __init__(self, resource: Resource, api: Kubernetes) -> None:
        self.came: list[str] = []
        self.gone: list[str] = []
        self.states: list[tuple[bool, bool]] = []
        self.reflector = Reflector(resource, api, self._heard, self._changed)

    def _heard(self, resource: Resource, came: Sequence[Object], gone: Collection[str]) -> None:
        self.came += [one.name for one in came if not isinstance(one, Slice)]
        self.gone += gone

    def _changed(self, resource: Resource, state: State) -> None:
        self.states.append((state.stale_since_ns is not None, state.refused))

    @property
    def state(self) -> State:
        return self.reflector.state

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():
                await asyncio.sleep(0.01)


@pytest.fixture
def server() -> Server:
    return Server()


@asynccontextmanager
async def keeping(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, resource: Resource = PODS
) -> AsyncIterator[Kept]:
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    config = folder / "kubeconfig"
    config.write_text(
        json.dumps(
            {
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(config))
    api = await Kubernetes.connect("plumbline/test")
    kept = Kept(resource, api)
    task = asyncio.create_task(kept.reflector.run())
    try:
        yield kept
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await api.close()
        server.ended.set()
        await runner.cleanup()


@pytest.fixture
def run(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def do(test: Callable[[Kept], Any], resource: Resource = PODS) -> None:
        async def whole() -> None:
            async with keeping(server, tmp_path, monkeypatch, resource) as kept:
                await test(kept)

        asyncio.run(whole())

    return do


def test_pages_are_one_list_and_the_watch_goes_on_from_it(server: Server, run: Callable[..., None]) -> None:
    server.lists = [listed("a", more="next"), listed("b", version="11")]
    server.watches = [[event("ADDED", "c", "12"), event("DELETED", "a", "13")]]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: bool(kept.gone))
        assert kept.came == ["a", "b", "c", "a"]
        assert kept.gone == ["uid-a"]
        assert set(kept.reflector.known) == {"uid-b", "uid-c"}
        assert server.versions == ["10"]
        assert server.asked[1]["continue"] == "next"
        assert server.asked[2]["allowWatchBookmarks"] == "true"
        assert (kept.state.stale_since_ns, kept.state.lists, kept.state.watches) == (None, 1, 1)

    run(test)


def test_only_metadata_is_asked_for_where_that_is_enough(server: Server, run: Callable[..., None]) -> None:
    server.lists = [listed()]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: kept.state.stale_since_ns is None and kept.state.watches == 1)
        await kept.until(lambda: len(server.accepts) == 2)
        assert "as=PartialObjectMetadataList;" in server.accepts[0]
        assert "as=PartialObjectMetadata;" in server.accepts[1]

    run(test, JOBS)


def test_an_empty_list_of_metadata_has_no_items(server: Server, run: Callable[..., None]) -> None:
    """As the API server gives it."""
    server.lists = [{"metadata": {"resourceVersion": "1"}, "items": None}]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: kept.state.listed)
        assert kept.state.failures == 0

    run(test, JOBS)


def test_a_watch_that_ends_goes_on_from_the_last_bookmark(server: Server, run: Callable[..., None]) -> None:
    server.lists = [listed("a")]
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "99"}}}
    server.watches = [[bookmark, None], []]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: len(server.versions) == 2)
        assert server.versions == ["10", "99"]
        assert kept.state.lists == 1

    run(test)


def test_what_expired_is_listed_again_and_compared(server: Server, run: Callable[..., None]) -> None:
    """Nothing that came or went in between is missed, and what is the same is said once."""
    server.lists = [listed("a", "b"), listed("b", "c", version="50")]
    server.watches = [[EXPIRED], []]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: "c" in kept.came)
        assert kept.came == ["a", "b", "c"]
        assert kept.gone == ["uid-a"]
        await kept.until(lambda: len(server.versions) == 2)
        assert server.versions == ["10", "50"]
        assert kept.states == []

    run(test)


def test_a_list_that_expires_between_two_pages_begins_anew(server: Server, run: Callable[..., None]) -> None:
    server.lists = [listed("a", more="next"), 410, listed("a", "b", version="20")]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: bool(server.versions))
        assert kept.came == ["a", "b"]
        assert server.versions == ["20"]

    run(test)


@pytest.mark.parametrize("bad", [500, 503, 429, "<html>", '{"items": 3}', '["no object"]', '{"items": [], "metad'])
def test_a_server_that_is_not_well_is_asked_again_and_what_is_stale_says_since_when(
    server: Server, run: Callable[..., None], bad: int | str
) -> None:
    server.lists = [bad, bad, listed("a")]

    async def test(kept: Kept) -> None:
        began_ns = kept.state.stale_since_ns
        await kept.until(lambda: kept.state.failures == 1)
        assert kept.states == [(True, False)]
        assert kept.state.stale_since_ns == began_ns
        await kept.until(lambda: kept.came == ["a"])
        assert kept.states == [(True, False), (False, False)]
        assert kept.state.failures == 2

    run(test)


def test_what_is_known_stays_while_the_server_is_gone(server: Server, run: Callable[..., None]) -> None:
    server.lists = [listed("a"), listed("a")]
    server.watches = [[None], [500], [500], []]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: kept.state.failures >= 2)
        assert set(kept.reflector.known) == {"uid-a"}
        assert kept.gone == []
        await kept.until(lambda: kept.states[-1:] == [(False, False)])
        assert kept.state.lists == 1

    run(test)


def test_a_right_that_is_missing_is_said_and_asked_for_seldom(server: Server, run: Callable[..., None]) -> None:
    server.lists = [403]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: kept.state.refused)
        assert kept.states == [(True, True)]
        assert "403: not now" in kept.state.reason
        await asyncio.sleep(1)
        assert kept.state.lists == 1

    run(test)


@pytest.mark.parametrize("retry_after", ["0", "3"])
def test_where_the_server_answers_others_nobody_waits_longer_than_it_asked_for(
    server: Server, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch, retry_after: str
) -> None:
    monkeypatch.setattr(reflector, "_FIRST_PAUSE_SECONDS", 30.0)
    monkeypatch.setattr(reflector, "_LEAST_HURRIED_SECONDS", 0.0)
    server.lists, server.retry_after = [429, listed("a")], retry_after

    async def test(kept: Kept) -> None:
        await kept.until(lambda: kept.state.failures == 1)
        began = time.monotonic()
        await asyncio.sleep(0.1)
        kept.reflector.hurry()
        await kept.until(lambda: kept.came == ["a"])
        assert time.monotonic() - began >= float(retry_after)

    run(test)


def test_an_open_watch_that_says_nothing_for_long_is_given_up(
    server: Server, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that lives sends a bookmark now and then."""
    monkeypatch.setattr(kubernetes, "_SILENT_SECONDS", 0.5)
    server.lists = [listed("a")]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: kept.state.listed)
        good_ns = time.time_ns()
        await kept.until(lambda: kept.states[:1] == [(True, False)])
        assert kept.state.stale_since_ns is not None
        assert kept.state.stale_since_ns < good_ns + 200_000_000
        await kept.until(lambda: kept.states[-1] == (False, False))
        assert kept.state.lists == 1

    run(test)


def test_half_a_line_and_half_an_object_lose_nothing_else(server: Server, run: Callable[..., None]) -> None:
    server.lists = [{**listed("a"), "items": [raw_pod("a"), {}, None, {"metadata": {"name": "no uid"}}]}]
    nothing = {"type": "MODIFIED", "object": None}
    server.watches = [
        [nothing, event("ADDED", "b", "11"), b'{"type": "ADDED", "obj', None],
        [event("ADDED", "c", "12")],
    ]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: "c" in kept.came)
        assert kept.came == ["a", "b", "c"]
        assert server.versions == ["10", "11"]
        assert kept.state.malformed == 4
        assert kept.state.lists == 1

    run(test)


def test_an_object_that_its_reader_cannot_read_hides_no_other(server: Server, run: Callable[..., None]) -> None:
    def read(raw: Raw, kind: str) -> Pod:
        found = read_pod(raw, kind)
        assert found.name != "bad"
        return found

    server.lists = [listed("a", "bad", "b")]
    server.watches = [[event("ADDED", "bad", "11"), event("ADDED", "c", "12")]]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: "c" in kept.came)
        assert kept.came == ["a", "b", "c"]
        assert (kept.state.malformed, kept.state.failures) == (2, 0)

    run(test, replace(PODS, read=read))


def test_a_change_that_nobody_asks_about_is_not_told(server: Server, run: Callable[..., None]) -> None:
    server.lists = [listed("a")]
    server.watches = [[event("MODIFIED", "a", "11"), event("ADDED", "b", "12")]]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: "b" in kept.came)
        assert kept.came == ["a", "b"]

    run(test)


def test_no_cluster_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(NoCluster, match="KUBECONFIG is not set"):
        asyncio.run(Kubernetes.connect("test"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    with pytest.raises(NoCluster, match="nothing"):
        asyncio.run(Kubernetes.connect("test"))


def test_a_kind_that_a_cluster_need_not_have_is_known_to_be_absent(server: Server, run: Callable[..., None]) -> None:
    server.lists = [404]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: kept.state.listed)
        assert kept.state.absent
        assert (kept.state.stale_since_ns, kept.state.failures, kept.states) == (None, 0, [])

    run(test, ROUTES)


def test_a_kind_that_is_there_and_must_not_be_read_is_refused(server: Server, run: Callable[..., None]) -> None:
    server.lists = [{"resources": [{"name": "httproutes", "kind": "HTTPRoute", "verbs": ["list", "watch"]}]}, 403]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: kept.state.refused)
        assert not kept.state.absent

    run(test, ROUTES)


def test_a_kind_that_was_there_and_is_not_is_stale_first(
    server: Server, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aggregator.reflector._REFUSED_PAUSE_SECONDS", 0.05)
    route = {"metadata": {"name": "r", "namespace": "shop", "uid": "u", "resourceVersion": "1"}, "spec": {}}
    kinds = {"resources": [{"name": "httproutes", "kind": "HTTPRoute", "verbs": ["list", "watch"]}]}
    server.lists = [kinds, {"metadata": {"resourceVersion": "1"}, "items": [route]}, 404]
    server.watches = [[410], []]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: kept.state.absent)
        assert (kept.came, kept.gone) == (["r"], ["u"])
        assert kept.states == [(True, True), (False, False)]
        assert not kept.state.refused

    run(test, ROUTES)


@pytest.mark.parametrize("status", [403, 404])
def test_a_kind_that_every_cluster_has_is_refused(server: Server, run: Callable[..., None], status: int) -> None:
    server.lists = [status]

    async def test(kept: Kept) -> None:
        await kept.until(lambda: kept.state.refused)
        assert not kept.state.absent
        assert kept.state.stale_since_ns is not None

    run(test, PODS)
