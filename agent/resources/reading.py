"""The files of one cgroup, read now: counters as they stand, and what it holds. The rim: any of them may be gone."""

import os
from dataclasses import dataclass
from pathlib import Path

from agent.resources import files
from agent.resources.files import Held

_MOST_BYTES = 1 << 14


@dataclass(frozen=True, slots=True)
class Places:
    """Where the watched root is in each hierarchy. `cpu` and `memory` are None where those controllers are version 2's.

    CPU time is always version 2's: it has it for every cgroup, also where the controller is elsewhere.
    """

    unified: str
    cpu: str | None = None
    memory: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters since the cgroup began, and what it has now; None: nobody tells."""

    cpu_ns: int | None = None
    held: Held | None = None
    cpu_limit_millicores: int | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    oom_kills: int | None = None


def places_of(mounts: str, root: Path, mount: Path) -> Places:
    """`mounts`: the text of /proc/self/mounts; `root` is watched, in the hierarchy of version 2 mounted at `mount`."""
    relative = root.resolve().relative_to(mount.resolve())
    found: dict[str, list[Path]] = {"cpu": [], "memory": []}
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 4 or words[2] != "cgroup":
            continue
        for controller in found.keys() & words[3].split(","):
            found[controller].append(Path(words[1].encode().decode("unicode_escape"), relative))
    return Places(str(root), _best(found["cpu"]), _best(found["memory"]))


def _best(places: list[Path]) -> str | None:
    """Of several mounts of one hierarchy, one that has our root."""
    best = next((place for place in places if place.is_dir()), places[0] if places else None)
    return None if best is None else str(best)


class Reader:
    """Reads cgroups by their paths below the root, which begin with "/". `polls_oom`: OOM kills are wanted too."""

    def __init__(self, places: Places, polls_oom: bool = False) -> None:
        self._places = places
        self._polls_oom = polls_oom
        self._limits: dict[str, int] = {}

    def begin(self) -> None:
        """Before each round: what was read of a cgroup above several holds for one round."""
        self._limits.clear()

    def read(self, path: str) -> Reading | None:
        """None: it is gone."""
        own = _text(f"{self._places.unified}{path}/cpu.stat")
        if not own:
            return None
        used_bytes, limit_bytes = self._memory(path)
        return Reading(
            files.cpu_ns(own),
            files.held_back(_text(f"{self._places.cpu}{path}/cpu.stat") if self._places.cpu else own),
            self._cpu_limit(path),
            used_bytes,
            limit_bytes,
            self._oom_kills(path) if self._polls_oom else None,
        )

    def _cpu_limit(self, path: str) -> int | None:
        if self._places.cpu is None:
            quota, _, period = _text(f"{self._places.unified}{path}/cpu.max").partition(" ")
            return files.cpu_limit_millicores(quota, period)
        quota = _text(f"{self._places.cpu}{path}/cpu.cfs_quota_us")
        has_one = quota and not quota.startswith("-")
        period = _text(f"{self._places.cpu}{path}/cpu.cfs_period_us") if has_one else ""
        return files.cpu_limit_millicores(quota, period)

    def _memory(self, path: str) -> tuple[int | None, int | None]:
        if self._places.memory is None:
            place = f"{self._places.unified}{path}"
            stat = _text(f"{place}/memory.stat")
            return files.working_set_bytes(_text(f"{place}/memory.current"), stat, True), self._lowest_limit(path)
        place = f"{self._places.memory}{path}"
        stat = _text(f"{place}/memory.stat")
        usage = _text(f"{place}/memory.usage_in_bytes")
        return files.working_set_bytes(usage, stat, False), files.lowest_limit_bytes(stat)

    def _lowest_limit(self, path: str) -> int | None:
        """Of version 2, where an upper one's holds too; the root of all has none."""
        known = self._limits.get(path)
        if known is not None:
            return known
        own = files.memory_limit_bytes(_text(f"{self._places.unified}{path}/memory.max"))
        if own is None:
            return None
        above = self._lowest_limit(path.rpartition("/")[0]) if path.count("/") > 1 else None
        found = self._limits[path] = min((limit for limit in (own, above) if limit), default=files.NO_LIMIT)
        return found

    def _oom_kills(self, path: str) -> int | None:
        if self._places.memory is not None:
            return files.oom_kills(_text(f"{self._places.memory}{path}/memory.oom_control"))
        # Those of the cgroups below are not its own; Linux 5.2 and later tell them apart.
        place = f"{self._places.unified}{path}"
        return files.oom_kills(_text(f"{place}/memory.events.local") or _text(f"{place}/memory.events"))


def _text(path: str) -> str:
    """ "" for what is not there, or not any more. Not by pathlib, which costs ten times as much."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(file, _MOST_BYTES).decode("ascii", "replace")
    except OSError:
        return ""
    finally:
        os.close(file)
