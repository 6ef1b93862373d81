"""Who was last seen in each network namespace: one that nobody is in any more is forgotten, for its number is given to
another one soon.
"""

from collections.abc import Callable, Iterable

from agent.identity.process import Proc
from agent.identity.reading import Process


class Witnesses:
    """One process for each namespace but our own, which we are in ourselves."""

    def __init__(self, proc: Proc, own_namespace: int) -> None:
        self._proc = proc
        self._own = own_namespace
        self._seen: dict[int, int] = {}

    def note(self, process: Process) -> None:
        self._seen[process.network_namespace] = process.pid

    def gone(self, namespaces: Iterable[int], everybody: Callable[[], Iterable[Process]]) -> set[int]:
        """Those of them that nobody is in. `everybody` costs a look at every process: asked for when one is missing."""
        known = set(namespaces) - {self._own}
        self._seen = {namespace: pid for namespace, pid in self._seen.items() if namespace in known}
        missing = {one for one in known if self._proc.network_namespace(self._seen.get(one, 0)) != one}
        if missing:
            found = {process.network_namespace: process.pid for process in everybody()}
            self._seen |= {namespace: found[namespace] for namespace in missing & found.keys()}
            missing -= found.keys()
        return missing
