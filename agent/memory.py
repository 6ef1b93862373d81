"""The memory that the agent may take, as its memory cgroup counts it: kernel maps and the storage of sockets included.

Over the limit the kernel ends the agent; so what grows with the sockets of others ends before that.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.identity.process import cgroup_namespace
from agent.records import Limits

# Beyond this share of the limit nothing more is parsed: what is left is for the storage of sockets, which nobody can
# give up. Beyond the second one names are given up too.
PARSERS_SHARE: Final = 0.8
NAMES_SHARE: Final = 0.92
# Of a parsed connection, with what the kernel adds.
_PARSER_BYTES: Final = 1500
# What version 1 says where there is no limit.
_NO_LIMIT: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class Memory:
    """`used_bytes` without file pages that can be had back."""

    used_bytes: int
    limit_bytes: int

    @property
    def share(self) -> float:
        return self.used_bytes / self.limit_bytes

    def parsers(self, in_use: int, most: int) -> int:
        """How many connections may be parsed at once, by what is left."""
        left = int(self.limit_bytes * PARSERS_SHARE) - self.used_bytes
        return max(0, min(most, in_use + left // _PARSER_BYTES))


def within(limits: Limits, memory: Memory | None, parsers_in_use: int) -> Limits:
    """What is affordable of it."""
    if memory is None:
        return limits
    return Limits(
        names_each_endpoint=limits.names_each_endpoint,
        flows_each_endpoint=limits.flows_each_endpoint,
        rows_each_endpoint=limits.rows_each_endpoint,
        parsers=memory.parsers(parsers_in_use, limits.parsers),
        without_names=limits.without_names or memory.share > NAMES_SHARE,
        without_fine_latency=limits.without_fine_latency or memory.share > NAMES_SHARE,
    )


class MemoryCgroup:
    """Of this process, of version 1 or 2. `root`: where /proc and the cgroups are, for tests."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._place = _place(root)

    def read(self) -> Memory | None:
        """None where nothing limits us, or nobody can tell."""
        if self._place is None:
            return None
        path, mount, is_v2 = self._place
        try:
            stat = dict(line.split() for line in (path / "memory.stat").read_text().splitlines())
            if not is_v2:
                used = int((path / "memory.usage_in_bytes").read_text()) - int(stat["total_inactive_file"])
                return _limited(used, int(stat["hierarchical_memory_limit"]))
            used = int((path / "memory.current").read_text()) - int(stat["inactive_file"])
            return _limited(used, _lowest(path, mount))
        except OSError:
            # Its directory may be another one than /proc says where cgroup namespaces are nested: then nobody can tell.
            return None


def _limited(used_bytes: int, limit_bytes: int) -> Memory | None:
    return Memory(used_bytes, limit_bytes) if 0 < limit_bytes < _NO_LIMIT else None


def _lowest(path: Path, mount: Path) -> int:
    """An upper one's limit holds for all below it."""
    limits = [_NO_LIMIT]
    while path.is_relative_to(mount) and (path / "memory.max").exists():
        text = (path / "memory.max").read_text().strip()
        limits += [] if text == "max" else [int(text)]
        path = path.parent
    return min(limits)


def _place(root: Path) -> tuple[Path, Path, bool] | None:
    """(our directory, where the hierarchy is mounted, whether it is version 2)."""
    mounts = [line.split() for line in (root / "proc/self/mounts").read_text().splitlines()]
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        for row in mounts:
            mount = root / row[1].lstrip("/")
            ours = mount / path.lstrip("/")
            if row[2] == "cgroup" and "memory" in controllers.split(",") and "memory" in row[3].split(","):
                return (ours if (ours / "memory.stat").exists() else mount), mount, False
            if row[2] == "cgroup2" and number == "0":
                ours = mount / (cgroup_namespace(mount, path, os.getpid()) + path).lstrip("/")
                if (ours / "memory.current").exists():
                    return ours, mount, True
    return None
