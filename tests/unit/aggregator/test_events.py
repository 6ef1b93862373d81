"""What happened to workloads is kept through restarts, within its bounds, and told to who watches at once."""

import asyncio
import time
from pathlib import Path

import pytest
from plumbline.v1 import topology_pb2 as pb

from aggregator.aside import Aside
from aggregator.live import Live
from aggregator.records import SECOND_NS
from aggregator.settings import Settings
from aggregator.store import Store
from aggregator.topology import events as room
from aggregator.topology.changes import changes_between
from aggregator.topology.events import Events, events_of
from aggregator.topology.filters import changes_as_filtered, filtered
from aggregator.topology.snapshot import Beside, Graph
from tests.unit.aggregator.agents import ns
from tests.unit.aggregator.restarts import Damages, Folder


def event(number: int, node: str = "shop/deployment/web", second: float = 1.0) -> pb.Event:
    found = pb.Event(id=f"e{number}", kind=pb.EVENT_KIND_ROLLOUT, node=node, state=pb.ROLLOUT_STATE_BEGUN)
    found.time.FromNanoseconds(ns(second))
    return found


def graph(*events: pb.Event) -> Graph:
    return Graph.of(
        pb.Topology(events=events, workloads=[pb.Workload(id="shop/deployment/web"), pb.Workload(id="x/y/z")])
    )


@pytest.mark.parametrize("is_saved", [False, True])
def test_they_outlive_a_restart_and_are_told_once(tmp_path: Path, is_saved: bool) -> None:
    folder = Folder(tmp_path)
    with folder.start() as first:
        first.store.learn_events([event(1), event(2)])
        position = first.store.position
        assert list(first.store.learn_events([event(2)])) == ["e1", "e2"]
        assert first.store.position == position
        if is_saved:
            first.save()
    with folder.start() as again:
        assert (again.restored.refused, again.damages.faults) == (0, [])
        assert again.store.learn_events([]) == {"e1": event(1), "e2": event(2)}
        again.store.estate.events.forget(ns(5.0))
        assert (len(again.store.estate.events), again.store.estate.dropped()["events_full"]) == (0, 0)


def test_a_workload_that_storms_takes_no_room_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_EACH_WORKLOAD", 3)
    monkeypatch.setattr(room, "MOST_EVENTS", 5)
    events = Events()
    events.add([event(0, "shop/deployment/quiet")])
    events.add(event(one) for one in range(1, 10))
    assert (list(events.as_of_now()), events.dropped) == (["e0", "e7", "e8", "e9"], 6)
    events.add(event(one, f"shop/deployment/{one}") for one in range(20, 22))
    assert (list(events.as_of_now()), len(events), events.dropped) == (["e7", "e8", "e9", "e20", "e21"], 5, 7)


def of_third_party(number: int, state: "pb.ThirdPartyState", node: str = "api.pay.example") -> pb.Event:
    found = pb.Event(id=f"t{number}", kind=pb.EVENT_KIND_THIRD_PARTY, node=node)
    found.third_party.state = state
    found.third_party.affected.append("shop/deployment/web")
    found.time.FromNanoseconds(ns(number))
    return found


def test_what_still_is_so_is_not_forgotten() -> None:
    failing, slow, back = pb.THIRD_PARTY_STATE_FAILING, pb.THIRD_PARTY_STATE_SLOW, pb.THIRD_PARTY_STATE_BACK
    events = Events()
    events.add([event(9), of_third_party(1, failing), of_third_party(2, slow), of_third_party(3, failing, "x.example")])
    events.add([of_third_party(4, back, "x.example")])
    events.forget(ns(100))
    assert (list(events.as_of_now()), events.dropped) == (["t2"], 0)
    events.add([of_third_party(5, back)])
    events.forget(ns(100))
    assert len(events) == 0


def test_who_is_affected_is_told_of_a_third_party() -> None:
    told = of_third_party(1, pb.THIRD_PARTY_STATE_FAILING)
    whole = graph(event(1), told)
    for wanted in (pb.Filter(namespace="shop"), pb.Filter(node="shop/deployment/web")):
        assert list(filtered(whole, wanted).beside.events) == ["e1", "t1"]
    assert list(filtered(whole, pb.Filter(node="api.pay.example")).beside.events) == ["t1"]
    assert list(filtered(whole, pb.Filter(namespace="till")).beside.events) == []


def test_warnings_make_room_for_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_EACH_WORKLOAD", 2)
    events = Events()
    for number in range(3):
        one = event(number)
        one.kind = pb.EVENT_KIND_WARNING if number == 1 else pb.EVENT_KIND_ROLLOUT
        events.add([one])
    assert list(events.as_of_now()) == ["e0", "e2"]


def test_what_is_no_record_of_events_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\w"):
        events_of(b"\xff\xff\xff")


def test_that_one_came_is_a_change_and_that_one_grew_old_is_none() -> None:
    (change,) = changes_between(graph(event(1)), graph(event(1), event(2)))
    assert (change.kind, change.happened.id) == (pb.CHANGE_KIND_HAPPENED, "e2")
    assert changes_between(graph(event(1)), graph()) == []


def test_a_reader_of_a_namespace_is_told_of_its_own() -> None:
    whole = graph(event(1), event(2, "till/deployment/web"))
    seen = filtered(whole, pb.Filter(namespace="shop"))
    assert (list(seen.beside.events), list(seen.beside.workloads)) == (["e1"], ["shop/deployment/web"])
    changes = changes_between(graph(), whole)
    assert [change.happened.id for change in changes_as_filtered(changes, whole, seen)] == ["e1"]
    of_node = filtered(whole, pb.Filter(node="till/deployment/web"))
    assert (list(of_node.beside.events), list(of_node.beside.workloads)) == (["e2"], [])


def test_who_watches_is_told_at_once_and_a_graph_has_those_of_its_window(tmp_path: Path) -> None:
    async def whole() -> None:
        settings = Settings(data=tmp_path)
        live = Live(settings, Store(settings, Damages()))
        await live.open()
        live.aside.workloads = lambda: {"shop/deployment/web": pb.Workload(id="shop/deployment/web")}
        told: list[int] = []
        live.usual.listeners.add(lambda: told.append(live.usual.newest.version))
        old, new = event(1), event(2)
        new.time.GetCurrentTime()
        # Nobody makes snapshots here.
        await live.learn_events([old, new])
        assert told == [2]
        (change,) = live.usual.since(live.epoch, 1) or ()
        assert change.happened == new
        message = (await live.graph()).message
        assert ([one.id for one in message.events], [one.id for one in message.workloads]) == (
            ["e2"],
            ["shop/deployment/web"],
        )
        await live.close()

    asyncio.run(whole())


def test_an_event_is_in_each_window_until_it_is_older() -> None:
    aside, young, old = Aside(), event(1), event(2)
    young.time.FromNanoseconds(time.time_ns() - SECOND_NS // 10)
    old.time.FromNanoseconds(time.time_ns() - 5 * SECOND_NS)
    aside.happened({"e1": young, "e2": old})
    hour = aside.of(3600 * SECOND_NS).events
    assert (list(hour), list(aside.of(SECOND_NS // 2).events)) == (["e1", "e2"], ["e1"])
    assert aside.of(3600 * SECOND_NS).events is hour
    time.sleep(0.45)
    assert list(aside.of(SECOND_NS // 2).events) == []
    aside.happened({"e1": young})
    assert list(aside.of(3600 * SECOND_NS).events) == ["e1"]


def test_a_part_beside_the_graph_comes_along_with_hosts() -> None:
    found = graph(event(1)).with_hosts({"alpha": pb.Host(name="alpha")})
    assert list(found.beside.events) == ["e1"] and found.with_beside(Beside()).message.events == []
