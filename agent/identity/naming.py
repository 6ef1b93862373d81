"""Which cgroups have a name of their own: looked at when one is met, and now and then."""

from collections.abc import Collection, Iterator

from agent.identity.cgroup import NAMELESS, CgroupIdentity, CgroupIndex, identify
from agent.identity.process import Proc, processes_in
from agent.identity.reading import Process

# A cgroup that was gone before we looked is not looked for again at once.
_SHORTEST_WALK_NS = 200_000_000
# What the runtimes of Kubernetes run there.
_SANDBOX = "pause"


class Naming:
    """`prefix`: of the watched root in the paths that /proc shows. Times are nanoseconds of the wall clock."""

    def __init__(self, index: CgroupIndex, proc: Proc, prefix: str) -> None:
        self._index = index
        self._proc = proc
        self._prefix = prefix
        self._identities: dict[int, CgroupIdentity] = {}
        self._new_named: list[int] = []
        self._leaving: set[int] = set()
        self.walked_ns = 0

    def walk(self, now_ns: int) -> None:
        self.walked_ns = now_ns
        for cgroup_id in self._index.refresh():
            self.identity(cgroup_id)

    def walk_if_older(self, age_ns: int, now_ns: int) -> None:
        if now_ns - self.walked_ns >= age_ns:
            self.walk(now_ns)

    def living(self) -> Collection[int]:
        """As of the last walk."""
        return self._index.living().keys()

    def living_named(self) -> Iterator[tuple[int, str, CgroupIdentity]]:
        """With their paths."""
        for cgroup_id, path in self._index.living().items():
            identity = self.identity(cgroup_id)
            if identity.named:
                yield cgroup_id, path, identity

    def identity(self, cgroup_id: int) -> CgroupIdentity:
        """Of a cgroup whose path is known; else it is nameless."""
        known, path = self._identities.get(cgroup_id), self._index.path(cgroup_id)
        if known is not None or path is None:
            return known or NAMELESS
        known = self._identities[cgroup_id] = identify(path)
        if known.named:
            self._new_named.append(cgroup_id)
        return known

    def find(self, cgroup_id: int, process_id: int, now_ns: int) -> tuple[CgroupIdentity, str]:
        """Of a cgroup that may be new, and its path; the path is "" for one that was gone before anybody looked."""
        path = self._index.path(cgroup_id)
        if path is None and process_id:
            shown = self._proc.cgroup_path(process_id)
            if shown is not None and shown.startswith(self._prefix):
                self._index.learn("/" + shown.removeprefix(self._prefix).lstrip("/"))
                path = self._index.path(cgroup_id)
        if path is None and now_ns - self.walked_ns > _SHORTEST_WALK_NS:
            self.walk(now_ns)
            path = self._index.path(cgroup_id)
        return (NAMELESS, "") if path is None else (self.identity(cgroup_id), path)

    def take_new_named(self) -> list[int]:
        new, self._new_named = self._new_named, []
        return new

    def process_in(self, path: str) -> int:
        """Any process in a cgroup; not in the root, where anything may be. 0: none."""
        if path in ("", "/"):
            return 0
        pids = processes_in(self._index.directory(path))
        return next((pid for pid in pids[:4] if self._proc.network_namespace(pid)), 0)

    def namespace_in(self, path: str) -> int:
        """The network namespace of some process in a cgroup; 0: there is none."""
        pid = self.process_in(path)
        return self._proc.network_namespace(pid) if pid else 0

    def is_sandbox(self, path: str) -> bool:
        """Whether a container only holds the namespaces of its pod, which has one such."""
        pids = processes_in(self._index.directory(path))
        return len(pids) == 1 and self._proc.command(pids[0]) == _SANDBOX

    def one_process_each_named(self) -> list[Process]:
        found = []
        for cgroup_id, path, _ in self.living_named():
            if pids := processes_in(self._index.directory(path)):
                found.append(Process(pids[0], cgroup_id, path, self._proc.network_namespace(pids[0])))
        return found

    def named_cgroups(self) -> list[int]:
        return [cgroup_id for cgroup_id, one in self._identities.items() if one.named]

    def forget(self) -> set[int]:
        """Drops cgroups that were gone at the last call too: the last counts of one come after it. Which those are."""
        gone = self._index.gone()
        dropped = gone & self._leaving
        self._index.forget(dropped)
        for cgroup_id in dropped:
            self._identities.pop(cgroup_id, None)
        self._leaving = gone - dropped
        return dropped
