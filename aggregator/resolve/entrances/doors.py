"""What of a pod's spec says who comes to it: probes, monitors, ports of its machine. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from aggregator.resolve.raw import Json, int_of, map_of, maps_of, text_of

_METRICS: Final = "prometheus.io/scrape", "prometheus.io/path"
# As the chart marks its pods.
_PART_OF: Final = "app.kubernetes.io/part-of"
_USUAL_PATH: Final = "/metrics"
_PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")
_HOOKS: Final = ("postStart", "preStop")


class Doors(NamedTuple):
    """`asked`: ports that its kubelet calls; `metrics`: paths that its annotations tell monitors to read; `host_ports`:
    of its machine, that lead to it; `is_our_own`: it is Plumbline's."""

    asked: frozenset[int] = frozenset()
    metrics: frozenset[str] = frozenset()
    host_ports: frozenset[int] = frozenset()
    is_our_own: bool = False


def doors_of(meta: Json, spec: Json) -> Doors:
    containers = [*maps_of(spec, "containers"), *maps_of(spec, "initContainers")]
    notes = map_of(meta, "annotations")
    is_read = text_of(notes, _METRICS[0]) == "true"
    return Doors(
        frozenset(port for one in containers for port in _asked(one)),
        frozenset([text_of(notes, _METRICS[1]) or _USUAL_PATH]) if is_read else frozenset(),
        frozenset(port for one in containers for each in maps_of(one, "ports") if (port := int_of(each, "hostPort"))),
        text_of(map_of(meta, "labels"), _PART_OF) == "plumbline",
    )


def _asked(container: Json) -> Iterator[int]:
    named = {text_of(one, "name"): int_of(one, "containerPort") for one in maps_of(container, "ports")}
    hooks = map_of(container, "lifecycle")
    checks = (*(map_of(container, one) for one in _PROBES), *(map_of(hooks, one) for one in _HOOKS))
    for check in filter(None, checks):
        for kind in ("httpGet", "tcpSocket", "grpc"):
            if port := _number(map_of(check, kind), named):
                yield port


def _number(check: Json, named: Mapping[str, int]) -> int:
    """A port is a number or a name, and a name may be a number's text."""
    text = text_of(check, "port")
    return int_of(check, "port") or named.get(text, 0) or (int(text) if text.isdecimal() and len(text) < 6 else 0)
