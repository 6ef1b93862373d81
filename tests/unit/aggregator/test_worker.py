"""The store's thread: who goes first, and that nobody waits for ever."""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from aggregator.worker import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("test")
    yield worker
    worker.close()


def held(worker: Worker) -> Callable[[], None]:
    """Keeps it busy until what comes back is called."""
    go = threading.Event()
    worker.submit(lambda: go.wait(10))
    return go.set


def test_what_is_urgent_goes_before_what_waits_each_in_its_order(worker: Worker) -> None:
    done: list[str] = []
    release = held(worker)
    for name in ("snapshot 1", "batch 1", "snapshot 2", "batch 2"):
        last = worker.submit(lambda name=name: done.append(name), waits=name.startswith("snapshot"))  # type: ignore[misc]
    release()
    worker.submit(lambda: None, waits=True).result(10)
    assert last.done()
    assert done == ["batch 1", "batch 2", "snapshot 1", "snapshot 2"]


def test_what_waits_is_not_starved_and_leaves_half_of_the_time(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aggregator.worker._LONGEST_WAIT_SECONDS", 0.05)
    done: list[str] = []
    release = held(worker)

    def work(name: str) -> None:
        time.sleep(0.02)
        done.append(name)

    snapshots = [worker.submit(lambda: work("snapshot"), waits=True) for _ in range(3)]
    for _ in range(40):
        worker.submit(lambda: work("batch"))
    release()
    for one in snapshots:
        one.result(10)
    assert done.count("snapshot") == 3
    assert 3 <= done.count("batch") < 40
    at = [place for place, name in enumerate(done) if name == "snapshot"]
    assert all(later - earlier > 1 for earlier, later in pairwise(at))


def test_what_fails_is_raised_where_it_is_waited_for_and_the_next_goes_on(worker: Worker) -> None:
    with pytest.raises(ZeroDivisionError):
        worker.submit(lambda: 1 // 0).result(10)
    assert worker.submit(lambda: 3).result(10) == 3


def test_what_nobody_waits_for_any_more_is_left_out(worker: Worker) -> None:
    done: list[int] = []
    release = held(worker)
    left = worker.submit(lambda: done.append(1))
    assert left.cancel()
    release()
    worker.submit(lambda: done.append(2)).result(10)
    assert done == [2]


def test_a_close_waits_for_what_came_before() -> None:
    worker, done = Worker("test"), list[int]()
    release = held(worker)
    worker.submit(lambda: done.append(1), waits=True)
    threading.Timer(0.05, release).start()
    worker.close()
    assert done == [1]
    with pytest.raises(RuntimeError):
        worker.submit(lambda: None)
