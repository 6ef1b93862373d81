"""What agents may make the aggregator keep: hosts, endpoints, texts, files."""

import stat
from pathlib import Path

import pytest
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1.flow_pb2 import ReportRequest

from aggregator.records import Refused
from aggregator.resolve.ownership import Ownership
from aggregator.resolve.places import Place
from tests.unit.aggregator.agents import World, ns
from tests.unit.aggregator.restarts import Folder, Started
from tests.unit.aggregator.test_ownership import claim

RETENTION = 600.0


def greet(started: Started, host: str, now: float) -> None:
    started.now = now
    hello = World().agent(host).hello(now)
    started.store.hello(hello, ReportRequest(hello=hello).SerializeToString())


def hosts(started: Started) -> list[str]:
    return [host.name for host in started.topology(started.now).hosts]


def test_hosts_beyond_the_bound_are_refused_until_one_is_gone(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with folder.start(max_hosts=2, retention_seconds=RETENTION) as started:
        greet(started, "one", 0)
        greet(started, "two", 100)
        position = started.store.position
        with pytest.raises(Refused) as refused:
            greet(started, "three", 101)
        assert refused.value.reason == "hosts_full" and str(refused.value).endswith(".")
        assert started.store.position == position
        greet(started, "two", 400)
        greet(started, "three", 700)
        assert hosts(started) == ["three", "two"]
        held = started.store.estate._coverage
        assert len(held) == 2
    with folder.start(max_hosts=2, retention_seconds=RETENTION) as again:
        again.now = 701
        assert hosts(again) == ["three", "two"]


def test_a_host_that_is_silent_for_long_leaves_with_its_listeners_and_comes_back_as_it_was() -> None:
    """Its agent may only be cut off: it says nothing twice."""
    world = World(retention_seconds=RETENTION)
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    alpha.listens(alpha.unit("idle"), "10.0.0.1", 80)
    alpha.tells()
    for second in range(1, 1000, 100):
        beta.tells(second, second + 1)
        world.estate.age(ns(second))
    topology = world.topology(900)
    assert ([host.name for host in topology.hosts], list(topology.nodes)) == (["beta"], [])
    alpha.exchanges(alpha.unit("idle"), "10.0.0.9", 5)
    alpha.tells(900, 901)
    topology = world.topology(902)
    assert [host.name for host in topology.hosts] == ["alpha", "beta"]
    assert [list(node.listens) for node in topology.nodes] == [[80]]


def test_endpoints_beyond_the_bound_keep_their_sums_and_are_never_renamed() -> None:
    world = World(max_endpoints=1)
    alpha = world.agent("alpha", "10.0.0.1")
    for count, name in ((1, "web"), (20, "job"), (300, "cron")):
        alpha.calls(alpha.unit(name), "192.0.2.7", 80, count)
    alpha.tells()
    alpha.redefine(alpha.unit("job"), flow.ENDPOINT_KIND_UNIT, unit="better.service")
    alpha.tells(1, 2)
    assert world.requests(3) == {("alpha/web", "192.0.2.7"): 1, ("alpha/(other)", "192.0.2.7"): 320}
    assert world.estate.dropped()["endpoints_full"] == 3
    assert world.estate.held()["endpoints"] == 2


@pytest.mark.parametrize("text", ["x" * 4097, "\u00e9" * 2049, "\U0001f9f5" * 1025])
def test_texts_are_measured_in_bytes(text: str) -> None:
    alpha = World().agent("alpha", "10.0.0.1")
    alpha.tells()
    alpha.message.names.add(id=9, text=text)
    with pytest.raises(Refused) as refused:
        alpha.tells(1, 2)
    assert refused.value.reason == "text"
    alpha.message.names.add(id=9, text=text[:1024])
    assert alpha.tells(2, 3)
    alpha.message.endpoints.add(id=9, unit=text[:1025])
    with pytest.raises(Refused):
        alpha.tells(3, 4)


def test_a_host_has_so_many_addresses_at_most() -> None:
    alpha = World().agent("alpha")
    alpha.addresses = [bytes(16)] * 10_001
    with pytest.raises(Refused):
        alpha.tells()


def test_gaps_that_are_given_up_are_counted() -> None:
    alpha = World().agent("alpha", "10.0.0.1")
    for _ in range(300):
        alpha.sequence += 1
        alpha.tells()
    assert alpha.world.estate.dropped()["sequence_gaps_full"] == 300 - 256


def test_addresses_that_cannot_be_remembered_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aggregator.resolve.ownership._MOST_REMEMBERED", 1)
    ownership = Ownership(lambda endpoint: Place(endpoint, str(endpoint), 0))
    for endpoint in (1, 1, 2):
        ownership.add(claim(endpoint, endpoint, port=80 + endpoint))
    assert ownership.forgotten == 1


def test_nobody_else_reads_what_is_kept(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "checkpoint.new").write_bytes(b"of a crash")
    (tmp_path / "checkpoint.new").chmod(0o666)
    with folder.start() as started:
        folder.traffic(started, 0)
        started.save()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 3
    assert all(mode & 0o137 == 0 for mode in modes.values()), modes
