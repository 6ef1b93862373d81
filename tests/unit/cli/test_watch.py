import json
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from plumbline.v1.jsonform import to_json
from plumbline.v1.topology_pb2 import (
    CHANGE_KIND_APPEARED,
    CHANGE_KIND_CHANGED,
    CHANGE_KIND_HAPPENED,
    CHANGE_KIND_HOST_STALE,
    CHANGE_KIND_RENAMED,
    CHANGE_KIND_UPDATED,
    CHANGE_KIND_VANISHED,
    EVENT_KIND_CHANGED_BY_HAND,
    EVENT_KIND_ROLLOUT,
    EVENT_KIND_SPEC_CHANGED,
    EVENT_KIND_THIRD_PARTY,
    EVENT_KIND_WARNING,
    NODE_KIND_PROCESS,
    ROLLOUT_STATE_BEGUN,
    ROLLOUT_STATE_STUCK,
    THIRD_PARTY_STATE_FAILING,
    THIRD_PARTY_STATE_NEW,
    THIRD_PARTY_STATE_SLOW,
    Bookmark,
    Change,
    Delta,
    Event,
    FieldChange,
    Host,
    Node,
    Position,
    Restart,
    SnapshotPart,
    ThirdPartyChange,
    Topology,
    WatchTopologyResponse,
)

from .conftest import TO, Served, eventually

Start = Callable[..., subprocess.Popen[str]]
TIME = f"{TO[:-1]}.000Z"
NEW = Node(id="alpha/new", name="new", kind=NODE_KIND_PROCESS, listens=[81])


def snapshot(topology: Topology, version: int, *, epoch: str = "e1", complete: bool = True) -> WatchTopologyResponse:
    part = SnapshotPart(part=topology, complete=complete)
    return WatchTopologyResponse(position=Position(epoch=epoch, version=version), snapshot=part)


def delta(version: int, *changes: Change) -> WatchTopologyResponse:
    event = WatchTopologyResponse(position=Position(epoch="e1", version=version), delta=Delta(changes=changes))
    event.delta.time.FromJsonString(TO)
    return event


def restart(reason: str) -> WatchTopologyResponse:
    return WatchTopologyResponse(position=Position(epoch="e2", version=1), restart=Restart(reason=reason))


def row(process: subprocess.Popen[str]) -> Any:
    assert process.stdout
    return json.loads(process.stdout.readline())


@pytest.fixture
def watch(served: Served, started: Start) -> subprocess.Popen[str]:
    """A watch that has its snapshot."""
    process = started("watch", "--aggregator", served.address, "-o", "json")
    served.events.put(snapshot(served.topology, 7))
    eventually(lambda: served.requests and served.events.empty())
    return process


def test_each_change_is_one_line_at_once(served: Served, watch: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    served.events.put(delta(8, Change(kind=CHANGE_KIND_APPEARED, node=NEW)))
    assert row(watch) == {"version": 8, "time": TIME, "event": "appeared", "node": to_json(NEW)}
    assert time.monotonic() - began < 1


def test_numbers_alone_are_no_event(served: Served, watch: subprocess.Popen[str]) -> None:
    edge = served.topology.edges[0]
    served.events.put(delta(8, Change(kind=CHANGE_KIND_UPDATED, edge=edge)))
    served.events.put(delta(9, Change(kind=CHANGE_KIND_VANISHED, edge=edge)))
    assert row(watch) == {"version": 9, "time": TIME, "event": "vanished", "edge": to_json(edge)}


def test_a_rename_says_what_it_was(served: Served, watch: subprocess.Popen[str]) -> None:
    served.events.put(delta(8, Change(kind=CHANGE_KIND_RENAMED, node=NEW, previous_id="alpha/idle")))
    told = row(watch)
    assert (told["event"], told["previous_id"], told["node"]["id"]) == ("renamed", "alpha/idle", "alpha/new")


def test_a_broken_connection_is_resumed_where_it_broke(served: Served, watch: subprocess.Popen[str]) -> None:
    bookmark = WatchTopologyResponse(position=Position(epoch="e1", version=12), bookmark=Bookmark())
    served.events.put(bookmark)
    served.events.put(None)
    eventually(lambda: len(served.requests) == 2)
    assert served.requests[1].resume == bookmark.position
    served.events.put(delta(13, Change(kind=CHANGE_KIND_APPEARED, node=NEW)))
    assert row(watch)["version"] == 13
    assert watch.stderr
    assert watch.stderr.readline() == f"plumb: The connection to {served.address} broke; trying until it is back.\n"


def test_half_a_snapshot_is_not_resumed(served: Served, started: Start) -> None:
    started("watch", "--aggregator", served.address)
    served.events.put(snapshot(served.topology, 7))
    served.events.put(restart("too old"))
    served.events.put(snapshot(Topology(nodes=[NEW]), 1, epoch="e2", complete=False))
    served.events.put(None)
    eventually(lambda: len(served.requests) == 2)
    assert not served.requests[1].HasField("resume")


def test_a_restart_is_told_with_what_changed_meanwhile(served: Served, watch: subprocess.Popen[str]) -> None:
    served.events.put(restart("the aggregator began anew"))
    gone = served.topology.nodes.pop(2)
    served.events.put(snapshot(Topology(nodes=[NEW]), 1, epoch="e2", complete=False))
    served.events.put(snapshot(served.topology, 1, epoch="e2"))
    told = [row(watch) for _ in range(3)]
    assert [(each["event"], each["version"]) for each in told] == [("resync", 1), ("appeared", 1), ("vanished", 1)]
    assert told[0]["reason"] == "the aggregator began anew"
    assert (told[1]["node"]["id"], told[2]["node"]["id"]) == ("alpha/new", gone.id)


def test_lines_for_people(served: Served, started: Start) -> None:
    process = started("watch", "--aggregator", served.address)
    served.events.put(snapshot(served.topology, 7))
    for number, change in enumerate([
        Change(kind=CHANGE_KIND_APPEARED, node=NEW),
        Change(kind=CHANGE_KIND_VANISHED, edge=served.topology.edges[1]),
        Change(kind=CHANGE_KIND_HOST_STALE, host=Host(name="al\npha")),
        Change(kind=CHANGE_KIND_RENAMED, node=NEW, previous_id="alpha/old"),
    ]):  # fmt: skip
        served.events.put(delta(8 + number, change))
    assert process.stdout
    assert [process.stdout.readline() for _ in range(4)] == [
        "03:09:05  + appeared   node alpha/new  process  listens on 81\n",
        "03:09:05  - vanished   edge alpha/backend -> api.pay.test  tls:443\n",
        "03:09:05  ! host_stale host al\\npha\n",
        "03:09:05  ~ renamed    node alpha/new  process  listens on 81 (was alpha/old)\n",
    ]


def happened(**fields: Any) -> Change:
    fields = {"id": "e1", "node": "shop/deployment/web", "object": "deployment/web"} | fields
    return Change(kind=CHANGE_KIND_HAPPENED, happened=Event(**fields))


MEMORY = FieldChange(
    path="containers[app].resources.limits.memory",
    what="resources",
    before="128Mi",
    after="256Mi",
    manager="kubectl-set",
    by_hand=True,
)


def test_what_happened_to_a_workload_in_lines_for_people(served: Served, started: Start) -> None:
    process = started("watch", "--aggregator", served.address)
    served.events.put(snapshot(served.topology, 7))
    rollout = {"kind": EVENT_KIND_ROLLOUT, "revision": "7c9d"}
    for number, change in enumerate([
        happened(kind=EVENT_KIND_CHANGED_BY_HAND, changes=[MEMORY], by_hand=True),
        happened(**rollout, state=ROLLOUT_STATE_BEGUN, previous_revision="5d8f", changes=[MEMORY], by_hand=True),
        happened(**rollout, state=ROLLOUT_STATE_STUCK, wanted=3, updated=1, available=2, reason="ErrImagePull"),
        happened(kind=EVENT_KIND_SPEC_CHANGED, changes=[FieldChange(path="replicas", before="1", after="2")]),
        happened(kind=EVENT_KIND_WARNING, object="pod/web-1", reason="BackOff", message="tries\nagain", count=3),
        happened(kind=EVENT_KIND_WARNING, node="", object="node/n1", reason="Rebooted", count=1),
    ]):  # fmt: skip
        served.events.put(delta(8 + number, change))
    assert process.stdout
    assert [process.stdout.readline() for _ in range(6)] == [
        "03:09:05  ! changed_by_hand shop/deployment/web  containers[app].resources.limits.memory 128Mi -> 256Mi"
        "  by kubectl-set\n",
        "03:09:05  ~ rollout    shop/deployment/web  begun 5d8f -> 7c9d: containers[app].resources.limits.memory"
        " 128Mi -> 256Mi  by kubectl-set, by hand\n",
        "03:09:05  ~ rollout    shop/deployment/web  stuck 7c9d  1 of 3 updated, 2 available: ErrImagePull\n",
        "03:09:05  ~ spec_changed shop/deployment/web  replicas 1 -> 2\n",
        "03:09:05  ! warning    shop/deployment/web  BackOff at pod/web-1 (3 times): tries\\nagain\n",
        "03:09:05  ! warning    node/n1  Rebooted at node/n1: \n",
    ]


def test_what_became_of_a_third_party(served: Served, started: Start) -> None:
    process = started("watch", "--aggregator", served.address)
    served.events.put(snapshot(served.topology, 7))
    clients = [f"alpha/{name}" for name in "abcdefg"]
    failing = ThirdPartyChange(
        state=THIRD_PARTY_STATE_FAILING, affected=clients, more_affected=3, attempts=9, failures=7,
        reasons={"refused": 5, "tls": 2},
    )  # fmt: skip
    slow = ThirdPartyChange(state=THIRD_PARTY_STATE_SLOW, affected=clients[:1], attempts=9, usual_ms=10, now_ms=81.25)
    new = ThirdPartyChange(state=THIRD_PARTY_STATE_NEW, affected=clients[:2])
    for number, change in enumerate((failing, slow, new)):
        change.since.FromJsonString("2026-01-02T03:04:05Z")
        served.events.put(
            delta(8 + number, happened(kind=EVENT_KIND_THIRD_PARTY, node="api.pay.test", third_party=change))
        )
    assert process.stdout
    assert [process.stdout.readline() for _ in range(3)] == [
        "03:09:05  ! third_party api.pay.test  failing since 03:04:05: 7 of 9 failed (5 refused, 2 tls)"
        "  for alpha/a, alpha/b, alpha/c, alpha/d, alpha/e and 5 more\n",
        "03:09:05  ! third_party api.pay.test  slow since 03:04:05: 81.2 ms, usually 10.0  for alpha/a\n",
        "03:09:05  ! third_party api.pay.test  new since 03:04:05  for alpha/a, alpha/b\n",
    ]


def test_what_happened_as_json_and_what_was_missed_while_nobody_answered(
    served: Served, watch: subprocess.Popen[str]
) -> None:
    first = happened(kind=EVENT_KIND_CHANGED_BY_HAND, changes=[MEMORY], by_hand=True)
    served.events.put(delta(8, first))
    told = row(watch)
    assert (told["event"], told["time"], told["happened"]["changes"][0]["after"]) == ("changed_by_hand", TIME, "256Mi")
    missed = happened(id="e2", kind=EVENT_KIND_ROLLOUT, state=ROLLOUT_STATE_BEGUN)
    served.events.put(restart("the aggregator began anew"))
    served.topology.events.extend([first.happened, missed.happened])
    served.events.put(snapshot(served.topology, 1, epoch="e2"))
    assert row(watch)["event"] == "resync"
    told = row(watch)
    assert (told["event"], told["happened"]["id"], told["happened"]["state"]) == ("rollout", "e2", "begun")


def test_the_end_is_quiet(watch: subprocess.Popen[str]) -> None:
    watch.send_signal(signal.SIGINT)
    _, stderr = watch.communicate(timeout=10)
    assert (watch.returncode, stderr.strip()) == (130, "")


def test_a_reader_that_goes_away_ends_it(served: Served, watch: subprocess.Popen[str]) -> None:
    assert watch.stdout
    watch.stdout.close()
    served.events.put(delta(8, Change(kind=CHANGE_KIND_APPEARED, node=NEW)))
    assert watch.wait(timeout=10) == 0
    assert watch.stderr
    assert watch.stderr.read() == ""


def test_nobody_to_watch(started: Start) -> None:
    process = started("watch", "--aggregator", "127.0.0.1:1")
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (4, "")
    assert stderr.startswith("plumb: No aggregator answers at 127.0.0.1:1")


def test_what_changed_is_told(served: Served, watch: subprocess.Popen[str]) -> None:
    node = to_json(served.topology.nodes[0])
    changed = Node()
    changed.CopyFrom(served.topology.nodes[0])
    changed.ambiguous = not node["ambiguous"]
    served.events.put(delta(8, Change(kind=CHANGE_KIND_CHANGED, node=changed)))
    assert row(watch) == {
        "version": 8, "time": TIME, "event": "changed", "changed": ["ambiguous"], "node": to_json(changed),
    }  # fmt: skip
