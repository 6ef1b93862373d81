"""Files of cgroups as they are, as they cannot be, and as they vanish; counters that only ever add up."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plumbline.v1.flow_pb2 import (
    RESOURCE_KIND_CPU,
    RESOURCE_KIND_CPU_LIMIT,
    RESOURCE_KIND_MEMORY,
    RESOURCE_KIND_OOM,
)

from agent.coalescing import RESOURCES, Portion, Span, Waiting, coalesce
from agent.identity.cgroup import CgroupIndex, identify
from agent.identity.endpoints import EndpointBook
from agent.identity.naming import Naming
from agent.identity.process import Proc
from agent.records import OomKill
from agent.resources import files
from agent.resources.deltas import Deltas, Used, without_inner
from agent.resources.files import Held
from agent.resources.reading import Places, Reader, Reading, places_of
from agent.resources.usage import Chosen, Usage, choose
from tests.unit.agent.rows import SECOND_NS, columns

V2_CPU = "usage_usec 1500\nuser_usec 900\nsystem_usec 600\nnr_periods 10\nnr_throttled 4\nthrottled_usec 250\n"
V1_CPU = "nr_periods 10\nnr_throttled 4\nthrottled_time 250000\nnr_bursts 0\n"
V1_MEMORY = "cache 1\ninactive_file 7\nhierarchical_memory_limit 9223372036854771712\ntotal_inactive_file 4096\n"
CONTAINER = "c" * 64
POD = "/kubepods/burstable/pod11111111-2222-3333-4444-555555555555"
NONSENSE = [
    "",
    "\n",
    "max",
    "-1",
    "1e9",
    "0x10",
    "９",
    "9" * 5000,
    "usage_usec",
    "usage_usec \n",
    "usage_usec -5",
    "\0",
]


def test_both_versions_say_the_same() -> None:
    assert files.cpu_ns(V2_CPU) == 1_500_000
    assert files.held_back(V2_CPU) == files.held_back(V1_CPU) == Held(10, 4, 250_000)
    assert files.cpu_limit_millicores("20000", "100000") == 200
    assert files.cpu_limit_millicores("max", "100000") == files.cpu_limit_millicores("-1\n", "100000\n") == 0
    assert files.working_set_bytes("10000\n", V1_MEMORY, is_v2=False) == 5904
    assert files.working_set_bytes("10000\n", V1_MEMORY, is_v2=True) == 9993
    assert files.lowest_limit_bytes(V1_MEMORY) == files.memory_limit_bytes("max\n") == 0
    assert files.memory_limit_bytes("1048576\n") == 1048576
    assert files.oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n") == 3
    assert files.oom_kills("low 0\nhigh 0\nmax 9\noom 2\noom_kill 3\noom_group_kill 1\n") == 3


@pytest.mark.parametrize("text", NONSENSE)
def test_what_is_no_number_is_not_known(text: str) -> None:
    assert files.cpu_ns(text) is None
    assert files.held_back(text) is None
    assert files.oom_kills(text) is None
    assert files.working_set_bytes(text, text, is_v2=True) is None
    assert files.lowest_limit_bytes(text) is None
    assert files.cpu_limit_millicores(text, "100000") in (None, 0)
    assert files.cpu_limit_millicores("100000", text) is None
    assert files.memory_limit_bytes(text) in (None, 0)


@given(st.text(max_size=200))
def test_no_text_is_too_much(text: str) -> None:
    for parse in (files.cpu_ns, files.held_back, files.oom_kills, files.memory_limit_bytes, files.lowest_limit_bytes):
        parse(text)


def test_numbers_that_no_machine_has_are_none() -> None:
    assert files.cpu_ns("usage_usec 99999999999999999999") is None
    assert files.number("99999999999999999999") == 1 << 62
    assert files.cpu_limit_millicores("100000", "0") is None
    assert files.working_set_bytes("5", "inactive_file 10", is_v2=True) == 0


def written(directory: Path, **texts: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (directory / name.replace("__", ".")).write_text(text)


def hybrid(root: Path) -> Places:
    return Places(*(str(root / one) for one in ("unified", "cpu", "memory")))


def test_a_container_of_both_versions_at_once(tmp_path: Path) -> None:
    written(tmp_path / "unified/a", cpu__stat="usage_usec 7\n")
    written(tmp_path / "cpu/a", cpu__stat=V1_CPU, cpu__cfs_quota_us="50000\n", cpu__cfs_period_us="100000\n")
    written(tmp_path / "memory/a", memory__usage_in_bytes="10000\n", memory__stat=V1_MEMORY)
    reader = Reader(hybrid(tmp_path))
    assert reader.read("/a") == Reading(7000, Held(10, 4, 250_000), 500, 5904, 0, None)
    shutil.rmtree(tmp_path / "memory/a")
    assert reader.read("/a") == Reading(7000, Held(10, 4, 250_000), 500, None, None, None)
    shutil.rmtree(tmp_path / "unified/a")
    assert reader.read("/a") is None


def test_the_lowest_limit_above_a_container_holds(tmp_path: Path) -> None:
    written(tmp_path / "pod", memory__max="5000\n")
    written(tmp_path / "pod/a", memory__max="max\n", memory__current="900\n", memory__stat="inactive_file 1\n",
            cpu__stat=V2_CPU, cpu__max="max 100000\n", memory__events__local="oom_kill 2\n")  # fmt: skip
    written(tmp_path / "pod/b", memory__max="4000\n", cpu__stat=V2_CPU)
    reader = Reader(Places(str(tmp_path)), polls_oom=True)
    assert reader.read("/pod/a") == Reading(1_500_000, Held(10, 4, 250_000), 0, 899, 5000, 2)
    assert reader.read("/pod/b") == Reading(1_500_000, Held(10, 4, 250_000), None, None, 4000, None)


@pytest.mark.parametrize("text", ["", "\0" * 9000, "usage_usec 1" + "0" * 9000])
def test_files_that_are_no_such_files(tmp_path: Path, text: str) -> None:
    for place in ("unified", "cpu", "memory"):
        names = ("cpu.stat", "cpu.cfs_quota_us", "memory.stat", "memory.usage_in_bytes", "memory.oom_control")
        written(tmp_path / place / "a", **dict.fromkeys(names, text))
    found = Reader(hybrid(tmp_path), polls_oom=True).read("/a")
    assert found == (Reading() if text else None)


def test_where_the_hierarchies_are(tmp_path: Path) -> None:
    for one in ("unified/alpha", "cpu,cpuacct/alpha", "memory/alpha", "other"):
        (tmp_path / one).mkdir(parents=True)
    mounts = (
        f"cgroup {tmp_path}/other cgroup rw,memory 0 0\n"
        f"cgroup {tmp_path}/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n"
        f"cgroup {tmp_path}/memory cgroup rw,memory 0 0\n"
        "cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n"
    )
    mount = tmp_path / "unified"
    found = places_of(mounts, mount / "alpha", mount)
    assert found == Places(f"{mount}/alpha", f"{tmp_path}/cpu,cpuacct/alpha", f"{tmp_path}/memory/alpha")
    assert places_of("tmpfs /x tmpfs rw 0 0\nbroken\n", mount, mount) == Places(str(mount))


def reading(cpu_ns: int, held: Held | None = None, **more: Any) -> Reading:
    return Reading(cpu_ns, held or Held(0, 0, 0), **more)


def test_what_was_there_before_begins_at_what_it_is() -> None:
    deltas = Deltas()
    assert deltas.take({1: reading(100)}, {1})[1].cpu_ns == 0
    assert deltas.take({1: reading(130), 2: reading(50)}, {1, 2}) == {
        1: deltas_of(reading(130), 30),
        2: deltas_of(reading(50), 50, is_new=True),
    }


def deltas_of(now: Reading, cpu_ns: int, is_new: bool = False) -> Used:
    return Used(now, is_new, cpu_ns, Held(0, 0, 0), 0)


def test_what_had_no_room_before_is_not_new() -> None:
    deltas = Deltas()
    deltas.take({}, {1})
    deltas.take({}, {1})
    assert deltas.take({1: reading(10**12)}, {1})[1].cpu_ns == 0
    assert deltas.take({1: reading(10**12 + 5)}, {1})[1].cpu_ns == 5


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_nothing_runs_backwards(values: list[int]) -> None:
    deltas = Deltas()
    deltas.take({}, set())
    told = [deltas.take({1: reading(value, Held(value, value, value))}, {1})[1] for value in values]
    assert all(min(one.cpu_ns, *one.held) >= 0 for one in told)
    if values == sorted(values):
        assert sum(one.cpu_ns for one in told) == values[-1]


def test_what_is_in_another_one_is_nobody_s_twice() -> None:
    deltas = Deltas()
    deltas.take({1: reading(0), 2: reading(0)}, {1, 2})
    used = deltas.take({1: reading(100, memory_bytes=50), 2: reading(70, memory_bytes=20)}, {1, 2})
    own = without_inner(used, {2: 1})
    assert (own[1].cpu_ns, own[1].reading.memory_bytes, own[2].cpu_ns) == (30, 30, 70)
    # The inner one has ended, and what it used last is left with the one around it.
    used = deltas.take({1: reading(110, memory_bytes=30)}, {1})
    assert without_inner(used, {}) == used
    assert used[1].cpu_ns == 10


def named(*paths: str) -> Chosen:
    found = ((number, path, identify(path)) for number, path in enumerate(paths))
    return choose(one for one in found if one[2].named)


def test_the_outermost_cgroup_of_each_container_and_unit() -> None:
    found = named(
        POD,
        f"{POD}/{CONTAINER}",
        f"{POD}/{CONTAINER}/inner",
        f"{POD}/{CONTAINER}/docker/{'d' * 64}",
        "/user.slice/user@0.service",
        "/user.slice/user@0.service/app.slice/a.service",
        "/system.slice/web.service",
        "/system.slice/web.service-other",
    )
    assert sorted(found.paths) == [1, 3, 4, 5, 6]
    assert dict(found.outer_of) == {3: 1, 5: 4}


def test_beyond_the_bound_some_are_left_out_and_counted() -> None:
    found = choose(((n, f"/{n}.service", identify(f"/{n}.service")) for n in range(9)), most=6)
    assert (len(found.paths), found.left_out) == (6, 3)


class Tree:
    """A directory that looks like the hierarchies of a host, with what an agent makes of it."""

    def __init__(self, root: Path, counts_kills: bool = True) -> None:
        self.root = root
        (root / "unified").mkdir()
        self.book = EndpointBook()
        self.naming = Naming(CgroupIndex(root / "unified"), Proc(root / "proc"), "/")
        self.usage = Usage(self.naming, self.book, Reader(hybrid(root), polls_oom=not counts_kills), counts_kills, 0)

    def write(self, path: str, used_us: int, memory: int = 10_000, kills: int = 0) -> int:
        written(self.root / f"unified{path}", cpu__stat=f"usage_usec {used_us}\n")
        written(self.root / f"cpu{path}", cpu__stat=V1_CPU, cpu__cfs_quota_us="-1\n")
        written(self.root / f"memory{path}", memory__usage_in_bytes=f"{memory}\n", memory__stat=V1_MEMORY,
                memory__oom_control=f"oom_kill {kills}\n")  # fmt: skip
        return (self.root / f"unified{path}").stat().st_ino

    def rows(self, second: float) -> dict[str, dict[str, int]]:
        """By what has them; `since` is when their span begins."""
        portions = self.usage.take(round(second * SECOND_NS))
        names = {one.id: one.identity.unit or one.identity.container_id for one in self.book.all()}
        return {
            names[endpoint]: {
                **{name: int(column[at]) for name, column in portion.resources.items()},
                "since": portion.span.from_ns // SECOND_NS,
            }
            for portion in portions
            for at, endpoint in enumerate(portion.resources["endpoint"].tolist())
        }


def test_rows_have_what_was_used_and_what_is_known(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("/system.slice/web.service", 1000)
    assert tree.rows(10)["web.service"]["cpu_ns"] == 0
    assert not tree.usage.take(round(11.5 * SECOND_NS))
    tree.write("/system.slice/web.service", 1700)
    tree.write(f"{POD}/{CONTAINER}", 40)
    found = tree.rows(17)
    assert found["web.service"]["cpu_ns"] == 700_000
    assert found[CONTAINER]["cpu_ns"] == 40_000
    assert found["web.service"]["since"] == found[CONTAINER]["since"] == 10
    assert found[CONTAINER]["memory_bytes"] == found[CONTAINER]["memory_most_bytes"] == 5904
    kinds = (RESOURCE_KIND_CPU, RESOURCE_KIND_CPU_LIMIT, RESOURCE_KIND_MEMORY, RESOURCE_KIND_OOM)
    assert found[CONTAINER]["known"] == sum(1 << kind for kind in kinds)


def test_what_is_new_was_begun_since_the_last_walk(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("/a.service", 1)
    tree.rows(10)
    tree.write("/b.service", 4_000_000)
    assert set(tree.rows(12)) == set(tree.rows(14)) == {"a.service"}
    found = tree.rows(16)
    assert (found["a.service"]["since"], found["b.service"]["since"], found["b.service"]["cpu_ns"]) == (
        14,
        10,
        4 * 10**9,
    )
    assert tree.rows(18)["b.service"]["since"] == 16


def test_what_vanishes_between_listing_and_reading_is_gone(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("/a.service", 1)
    tree.write("/b.service", 1)
    tree.naming.walk(10 * SECOND_NS)
    shutil.rmtree(tmp_path / "unified/a.service")
    assert set(tree.rows(10)) == {"b.service"}


def test_an_oom_kill_is_told_once_also_of_a_container_that_is_gone(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    cgroup = tree.write(f"{POD}/{CONTAINER}", 1)
    tree.rows(10)
    shutil.rmtree(tmp_path / f"unified{POD}")
    for _ in range(2):  # by two of its threads
        tree.usage.killed(OomKill(cgroup, 77, 11 * SECOND_NS))
    tree.usage.killed(OomKill(cgroup, 78, 11 * SECOND_NS))
    tree.usage.killed(OomKill(4711, 79, 11 * SECOND_NS))
    (row,) = tree.rows(16).values()
    assert (row["oom_kills"], row["known"], row["memory_bytes"]) == (2, 1 << RESOURCE_KIND_OOM, 0)
    assert tree.usage.take_dropped() == Counter({"oom_kills_of_unknown": 1})
    assert not tree.usage.take_dropped()
    assert not tree.rows(20)


def test_without_the_kernel_s_word_the_files_tell_of_oom_kills(tmp_path: Path) -> None:
    tree = Tree(tmp_path, counts_kills=False)
    tree.write("/a.service", 1, kills=1)
    assert tree.rows(10)["a.service"]["oom_kills"] == 0
    tree.write("/a.service", 1, kills=4)
    assert tree.rows(12)["a.service"]["oom_kills"] == 3


def test_the_sandbox_of_a_pod_is_nobody_s(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    sandbox, app = "d" * 64, CONTAINER
    for container, command, process in ((sandbox, "pause", 70), (app, "app", 71), ("e" * 64, "", 0)):
        tree.write(f"{POD}/{container}", 1)
        (tmp_path / f"unified{POD}/{container}/cgroup.procs").write_text(f"{process}\n" if process else "")
        written(tmp_path / f"proc/{process}", comm=f"{command}\n")
    assert set(tree.rows(10)) == {app, "e" * 64}


def row(endpoint: int, **more: int) -> dict[str, int]:
    return {"endpoint": endpoint, "known": 1 << RESOURCE_KIND_MEMORY, **more}


def test_counters_add_up_and_the_latest_of_what_is_there_holds() -> None:
    parts = [
        columns([row(1, cpu_ns=5, memory_bytes=70, memory_most_bytes=70, memory_limit_bytes=100)], RESOURCES),
        columns([row(1, cpu_ns=6, memory_bytes=30, memory_most_bytes=30), row(2, cpu_ns=1)], RESOURCES),
        columns([{"endpoint": 1, "known": 1 << RESOURCE_KIND_OOM, "oom_kills": 2}], RESOURCES),
    ]
    merged = coalesce(parts, RESOURCES)
    assert merged["endpoint"].tolist() == [1, 2]
    first = {name: int(column[0]) for name, column in merged.items()}
    assert first == {
        "endpoint": 1, "known": 1 << RESOURCE_KIND_MEMORY | 1 << RESOURCE_KIND_OOM, "cpu_ns": 11, "cpu_periods": 0,
        "cpu_throttled_periods": 0, "cpu_throttled_ns": 0, "oom_kills": 2, "memory_bytes": 30, "memory_most_bytes": 70,
        "memory_limit_bytes": 0, "cpu_limit_millicores": 0,
    }  # fmt: skip


@given(st.permutations(range(8)), st.integers(11, 5000))
def test_the_latest_holds_in_whatever_order_spans_are_merged(order: list[int], age: int) -> None:
    waiting = Waiting(most_rows=3)
    for second in order:
        rows = columns([row(1, cpu_ns=1, memory_bytes=second, memory_most_bytes=second)], RESOURCES)
        waiting.add(Portion(Span(second * SECOND_NS, (second + 1) * SECOND_NS), resources=rows))
        waiting.widen((second + 1) * SECOND_NS)
    waiting.widen((8 + age) * SECOND_NS)
    taken = sorted(waiting.take(100), key=lambda portion: portion.span.to_ns)
    assert sum(int(one.resources["cpu_ns"].sum()) for one in taken) == 8
    assert int(taken[-1].resources["memory_bytes"][-1]) == 7
    assert waiting.rows == 0
