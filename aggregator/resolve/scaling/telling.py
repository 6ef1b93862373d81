"""Scales of workloads as messages. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from plumbline.v1 import topology_pb2 as pb

from aggregator.resolve.deployed.specs import Spec
from aggregator.resolve.objects import Pod
from aggregator.resolve.scaling.autoscalers import Autoscaler
from aggregator.resolve.scaling.containers import Fate, Grant

_MILLI: Final = 1000
# A number of the API that is none becomes one that can be told.
_MOST: Final = 2**31 - 1


def scale_of(
    pods: Sequence[Pod],
    specs: Sequence[Spec],
    autoscalers: Iterable[Autoscaler],
    pressures: Mapping[str, tuple[str, ...]],
) -> pb.Scale:
    scale = pb.Scale(
        pods=len(pods),
        ready=sum(pod.ready for pod in pods),
        granted=granted([grant for pod in pods for grant in pod.grants]),
        restarts=sum(_count(fate.restarts) for pod in pods for fate in pod.fates),
        containers=_containers(pods),
        autoscalers=[_autoscaler(one) for one in sorted(autoscalers)],
        pressures=[pressure_of(*one) for one in sorted(pressures.items())],
    )
    if specs:
        scale.wanted = _count(sum(_count(spec.wanted) for spec in specs))
    return scale


def with_scale(node: str, workload: pb.Workload | None, scale: pb.Scale | None) -> pb.Workload:
    """A value: neither of the two is changed."""
    found = pb.Workload(id=node, scale=scale)
    if workload is not None:
        found.MergeFrom(workload)
    return found


def pressure_of(host: str, conditions: Sequence[str]) -> pb.Pressure:
    return pb.Pressure(host=host, conditions=conditions)


def granted(grants: Sequence[Grant]) -> pb.Grant:
    """Together; a limit that one of them lacks is none of all."""
    found = pb.Grant()
    for name, scale in (("cpu_request", _MILLI), ("cpu_limit", _MILLI), ("memory_request", 1), ("memory_limit", 1)):
        suffix = ("millicores", "cores") if scale == _MILLI else ("bytes", "bytes")
        values = [getattr(one, f"{name}_{suffix[0]}") for one in grants]
        if values and all(values):
            total = sum(values)
            setattr(found, f"{name}_{suffix[1]}", total / _MILLI if scale == _MILLI else min(total, 2**63))
    return found


def _containers(pods: Sequence[Pod]) -> list[pb.ContainerScale]:
    grants: defaultdict[str, list[Grant]] = defaultdict(list)
    fates: defaultdict[str, list[Fate]] = defaultdict(list)
    for pod in pods:
        for grant in pod.grants:
            grants[grant.container].append(grant)
        for fate in pod.fates:
            fates[fate.container].append(fate)
    return [_container(name, grants[name], fates[name]) for name in sorted({*grants, *fates})]


def _container(name: str, grants: Sequence[Grant], fates: Sequence[Fate]) -> pb.ContainerScale:
    found = pb.ContainerScale(
        name=name,
        count=len(grants),
        granted=granted(grants),
        restarts=sum(_count(one.restarts) for one in fates),
        waiting=Counter(one.waiting for one in fates if one.waiting),
    )
    last = max(fates, key=lambda one: one.ended_ns, default=None)
    if last is not None and last.ended_ns:
        found.last_end, found.last_exit_code = last.reason, max(-_MOST, min(last.exit_code, _MOST))
        found.last_ended.FromNanoseconds(last.ended_ns)
    return found


def _autoscaler(one: Autoscaler) -> pb.Autoscaler:
    return pb.Autoscaler(
        name=one.name,
        least=_count(one.least),
        most=_count(one.most),
        current=_count(one.current),
        desired=_count(one.desired),
        targets=[
            pb.ScalingTarget(metric=target.metric, unit=target.unit, wanted=target.wanted, current=target.current)
            for target in one.targets
        ],
        trouble=one.trouble,
    )


def _count(number: int) -> int:
    return max(0, min(number, _MOST))
