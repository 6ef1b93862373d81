"""From a cgroup's id to its path, and from the path to what a person would call it."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from plumbline.v1.flow_pb2 import (
    ENDPOINT_KIND_CONTAINER,
    ENDPOINT_KIND_POD,
    ENDPOINT_KIND_PROCESS,
    ENDPOINT_KIND_UNIT,
    EndpointKind,
)

from agent.records import KernelRefused

# A kubelet's name for a pod: its uid, or 32 hex digits for a static pod. systemd writes "_" for "-".
_POD = re.compile(
    r"(?:^|[/-])pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})"
    r"(?:\.slice)?(?=[/:]|$)"
)
# 64 hex digits as a directory, or behind a runtime's prefix: "docker-ID.scope", "cri-containerd:ID".
_CONTAINER = re.compile(r"(?:^|/|:|/[a-z][a-z0-9.]*(?:-[a-z][a-z0-9.]*)*-)([0-9a-f]{64})(?:\.scope)?(?=/|$)")
# Containers that hold a whole system, by the names that people gave them: LXC and Incus, systemd-nspawn.
_SYSTEM = re.compile(
    r"(?:^|/)(?:lxc(?:\.payload)?[./]([^/]+)|systemd-nspawn@([^/]+)\.service(?=/payload)|machine-([^/]+)\.scope(?=/payload))"
    r"(?=/|$)"
)
# What a runtime runs beside a container to look after it is not the container, and not the pod.
_MONITOR = re.compile(
    r"(?:^|/)(?:(?:crio|libpod)-conmon-[0-9a-f]{64}(?:\.scope)?|lxc\.(?:monitor|pivot)[./][^/]+|"
    r"(?:systemd-nspawn@[^/]+\.service|machine-[^/]+\.scope)/supervisor)(?=/|$)"
)
_UNIT = re.compile(r"(?:^|/)([^/]+\.(?:service|scope))(?=/|$)")
# Scopes that hold whatever someone started: the command says more.
_ANYTHING = re.compile(r"(?:init|(?:session|run|app|vte-spawn)-.*)\.scope")

_MOST_CGROUPS = 100_000


@dataclass(frozen=True, slots=True)
class CgroupIdentity:
    """What a cgroup's path tells. PROCESS: nothing; what runs in it is named by its command."""

    kind: EndpointKind
    pod_uid: str = ""
    container_id: str = ""
    unit: str = ""

    @property
    def named(self) -> bool:
        return self.kind != ENDPOINT_KIND_PROCESS


NAMELESS = CgroupIdentity(ENDPOINT_KIND_PROCESS)


def identify(path: str) -> CgroupIdentity:
    """The identity in a cgroup's path: the innermost pod, else the innermost container, else the innermost unit."""
    pod, monitor = _last(_POD, path), _last(_MONITOR, path)
    container = max(_last(_CONTAINER, path), _last(_SYSTEM, path), key=lambda found: found.start() if found else -1)
    if monitor is not None and all(one is None or one.start() <= monitor.start() for one in (pod, container)):
        return NAMELESS
    container_id = next(filter(None, container.groups())) if container is not None else ""
    if pod is not None:
        is_inside = container is not None and container.end() > pod.end()
        uid = pod.group(1).replace("_", "-")
        return CgroupIdentity(ENDPOINT_KIND_POD, pod_uid=uid, container_id=container_id if is_inside else "")
    if container is not None:
        return CgroupIdentity(ENDPOINT_KIND_CONTAINER, container_id=container_id)
    unit = _last(_UNIT, path)
    if unit is None or _ANYTHING.fullmatch(unit.group(1)):
        return NAMELESS
    return CgroupIdentity(ENDPOINT_KIND_UNIT, unit=unit.group(1))


def _last(pattern: re.Pattern[str], path: str) -> re.Match[str] | None:
    matches = list(pattern.finditer(path))
    return matches[-1] if matches else None


def find_cgroup_root(mounts: str) -> Path | None:
    """Where cgroup v2 is mounted, from the text of /proc/self/mounts; None where it is not."""
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return Path(place.encode().decode("unicode_escape"))
    return None


class CgroupIndex:
    """Every cgroup below a root by its id, which is the inode number of its directory.

    Remembers cgroups that are gone until `forget`: their last counts come after them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.truncated = False
        self._paths: dict[int, str] = {}
        self._living: dict[int, str] = {}

    def refresh(self) -> list[int]:
        """Walks the hierarchy; returns the ids that were not known before."""
        living = dict(self._walk())
        new = [cgroup_id for cgroup_id in living if cgroup_id not in self._paths]
        self._living = living
        self._paths.update(living)
        return new

    def path(self, cgroup_id: int) -> str | None:
        """Relative to the root, beginning with "/"; None when it was never seen."""
        return self._paths.get(cgroup_id)

    def living(self) -> dict[int, str]:
        return self._living

    def directory(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def learn(self, path: str) -> int:
        """The id of one directory that may be new; 0 when it is not there."""
        try:
            cgroup_id = self.directory(path).stat().st_ino
        except OSError:
            return 0
        self._paths[cgroup_id] = path
        return cgroup_id

    def gone(self) -> set[int]:
        """What is remembered and was not there at the last walk."""
        return self._paths.keys() - self._living.keys()

    def forget(self, ids: Iterable[int]) -> None:
        for cgroup_id in ids:
            self._paths.pop(cgroup_id, None)

    def _walk(self) -> Iterator[tuple[int, str]]:
        try:
            yield self.root.stat().st_ino, "/"
        except OSError:
            return
        waiting, seen = [""], 1
        while waiting:
            parent = waiting.pop()
            for name, inode in _children(f"{self.root}{parent}"):
                seen += 1
                if seen > _MOST_CGROUPS:
                    self.truncated = True
                    return
                waiting.append(f"{parent}/{name}")
                yield inode, f"{parent}/{name}"


def _children(directory: str) -> list[tuple[str, int]]:
    try:
        with os.scandir(directory) as entries:
            return [(entry.name, entry.inode()) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:  # It went away while we walked.
        return []


def cgroup_places(wanted: Path | None) -> tuple[Path, Path]:
    """(where the hierarchy is mounted, the watched part of it). Raises KernelRefused."""
    mount = find_cgroup_root(Path("/proc/self/mounts").read_text())
    if mount is None:
        raise KernelRefused(
            "no cgroup v2 hierarchy is mounted",
            "mount one: mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified",
        )
    root = wanted or mount
    if not root.resolve().is_relative_to(mount.resolve()) or not root.is_dir():
        raise KernelRefused(f"{root} is no cgroup below {mount}", "name an existing one with --cgroup-root")
    return mount, root
