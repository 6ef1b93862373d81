"""What the containers of a pod were given, and how they fare. Pure."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from aggregator.resolve.raw import Json, int_of, map_of, maps_of, text_of, time_ns_of
from aggregator.resolve.scaling.quantities import whole

_MILLI: Final = 1000


class Grant(NamedTuple):
    """Of one container; 0 where nothing is said."""

    container: str
    cpu_request_millicores: int
    cpu_limit_millicores: int
    memory_request_bytes: int
    memory_limit_bytes: int


class Fate(NamedTuple):
    """How one container fares; `reason` and `exit_code` are of its last end, at `ended_ns` (0: it has not ended)."""

    container: str
    restarts: int
    waiting: str
    reason: str
    exit_code: int
    ended_ns: int


def grants_of(spec: Json) -> tuple[Grant, ...]:
    """Of all that run as long as the pod does."""
    sidecars = [one for one in maps_of(spec, "initContainers") if text_of(one, "restartPolicy") == "Always"]
    return tuple(_grant_of(one) for one in (*maps_of(spec, "containers"), *sidecars))


def fates_of(status: Json) -> tuple[Fate, ...]:
    return tuple(_fates(status))


def ids_of(status: Json) -> tuple[tuple[str, str], ...]:
    """(id, name) of containers that run, and of those that ran before them."""
    return tuple(dict.fromkeys(_ids(status)))


def _grant_of(container: Json) -> Grant:
    resources = map_of(container, "resources")
    requests, limits = map_of(resources, "requests"), map_of(resources, "limits")
    return _grant(
        text_of(container, "name"),
        whole(requests.get("cpu"), _MILLI),
        whole(limits.get("cpu"), _MILLI),
        whole(requests.get("memory")),
        whole(limits.get("memory")),
    )


@lru_cache(maxsize=8192)
def _grant(*fields: str | int) -> Grant:
    """One for all pods that have it."""
    return Grant(*fields)  # type: ignore[arg-type]


def _fates(status: Json) -> Iterator[Fate]:
    for one in _statuses(status):
        state, last = map_of(one, "state"), map_of(map_of(one, "lastState"), "terminated")
        ended = map_of(state, "terminated") or last
        yield Fate(
            text_of(one, "name"),
            int_of(one, "restartCount"),
            text_of(map_of(state, "waiting"), "reason"),
            text_of(ended, "reason"),
            int_of(ended, "exitCode"),
            time_ns_of(ended, "finishedAt"),
        )


def _ids(status: Json) -> Iterator[tuple[str, str]]:
    for one in _statuses(status):
        before = text_of(map_of(map_of(one, "lastState"), "terminated"), "containerID")
        for container_id in (before, text_of(one, "containerID")):
            if number := container_id.rpartition("://")[2]:
                yield number, text_of(one, "name")


def _statuses(status: Json) -> Iterator[Json]:
    for field in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        yield from maps_of(status, field)
