"""HorizontalPodAutoscalers as plain values. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from aggregator.resolve.raw import Json, int_of, map_of, maps_of, text_of
from aggregator.resolve.scaling.quantities import quantity

_MOST_TARGETS: Final = 32
_LONGEST_MESSAGE: Final = 200
# By the word for one kind of metric in the API: where its name is, below that word.
_KINDS: Final = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


class Target(NamedTuple):
    """What one metric is held at. `unit`: "percent" of what was requested, "average" of a pod, or "value"."""

    metric: str
    unit: str
    wanted: float | None
    current: float | None


class Autoscaler(NamedTuple):
    """Of what `target_kind` and `target_name` say, in its own namespace. `trouble`: why it does not scale."""

    uid: str
    namespace: str
    name: str
    target_kind: str
    target_name: str
    least: int
    most: int
    current: int
    desired: int
    targets: tuple[Target, ...]
    trouble: str


def read_autoscaler(raw: Json, kind: str = "HorizontalPodAutoscaler") -> Autoscaler:
    meta, spec, status = map_of(raw, "metadata"), map_of(raw, "spec"), map_of(raw, "status")
    target = map_of(spec, "scaleTargetRef")
    return Autoscaler(
        text_of(meta, "uid"),
        text_of(meta, "namespace"),
        text_of(meta, "name"),
        text_of(target, "kind"),
        text_of(target, "name"),
        int_of(spec, "minReplicas") if "minReplicas" in spec else 1,
        int_of(spec, "maxReplicas"),
        int_of(status, "currentReplicas"),
        int_of(status, "desiredReplicas"),
        tuple(_targets(spec, status)),
        _trouble(status),
    )


def _targets(spec: Json, status: Json) -> Iterator[Target]:
    current = {_metric(one): one for one in maps_of(status, "currentMetrics")}
    for one in maps_of(spec, "metrics")[:_MOST_TARGETS]:
        word, metric = _KINDS.get(text_of(one, "type"), ""), _metric(one)
        unit, wanted = _number(map_of(map_of(one, word), "target"))
        is_of = map_of(map_of(current.get(metric, {}), word), "current")
        yield Target(metric, unit, wanted, _of_unit(is_of, unit))


def _metric(one: Json) -> str:
    """What a person would call it: "cpu", "app/memory", "http_requests"."""
    part = map_of(one, _KINDS.get(text_of(one, "type"), ""))
    name = text_of(part, "name") or text_of(map_of(part, "metric"), "name")
    container = text_of(part, "container")
    return f"{container}/{name}" if container else name


def _number(target: Json) -> tuple[str, float | None]:
    for unit in ("percent", "average", "value"):
        found = _of_unit(target, unit)
        if found is not None:
            return unit, found
    return "value", None


def _of_unit(some: Json, unit: str) -> float | None:
    if unit == "percent":
        return float(int_of(some, "averageUtilization")) if "averageUtilization" in some else None
    found = quantity(some.get("averageValue" if unit == "average" else "value"))
    return None if found is None else float(found)


def _trouble(status: Json) -> str:
    for one in maps_of(status, "conditions"):
        if text_of(one, "type") in ("AbleToScale", "ScalingActive") and text_of(one, "status") == "False":
            return f"{text_of(one, 'reason')}: {text_of(one, 'message')[:_LONGEST_MESSAGE]}"
    return ""
