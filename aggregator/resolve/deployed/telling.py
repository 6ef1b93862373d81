"""What happened to workloads, and how they are, as messages of the contract. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple, cast

from plumbline.v1 import topology_pb2 as pb

from aggregator.resolve.deployed.deployers import Deployers
from aggregator.resolve.deployed.differences import Changed, is_by_hand
from aggregator.resolve.deployed.rollouts import BEGINS, Progress, Rollout, State, Step
from aggregator.resolve.deployed.running import Group
from aggregator.resolve.deployed.specs import Spec
from aggregator.resolve.deployed.warnings import Warned

# Of one event, or one workload; the rest is counted.
MOST_CHANGES: Final = 20
_LONGEST_TEXT: Final = 200


class Counts(NamedTuple):
    """Pods that are to be, those of the newest revision, and those that are available."""

    wanted: int
    updated: int
    available: int


def counts_of(spec: Spec) -> Counts:
    status = spec.status
    return Counts(spec.wanted, max(status.updated, 0) if spec.is_observed else 0, max(status.available, 0))


def of_step(node: str, spec: Spec, step: Step, deployers: Deployers) -> pb.Event:
    """Of a rollout; what it changes is said when it begins."""
    event = _step(node, step, object_of(spec), f"{spec.uid}-{step.rollout.generation}", counts_of(spec))
    if step.state in BEGINS:
        by_hand = {one.path for one in step.rollout.changes if is_by_hand(one, spec, deployers)}
        _add_changes(event, step.rollout.changes, by_hand)
    return event


def of_crowd(node: str, step: Step, counts: Counts) -> pb.Event:
    """The same of a workload that is known by its pods alone."""
    id_ = f"{node}-{step.rollout.revision}-{step.rollout.generation}"
    event = _step(node, step, _object_of_node(node), id_, counts)
    if step.state in BEGINS:
        _add_changes(event, step.rollout.changes, frozenset())
    return event


def of_changes(
    node: str, spec: Spec, changes: Sequence[Changed], deployers: Deployers, now_ns: int, is_rollout: bool
) -> Iterator[pb.Event]:
    """Those by hand are told by who made them; of the others a rollout tells, if there is one."""
    by_hand = [one for one in changes if is_by_hand(one, spec, deployers)]
    others = [] if is_rollout else [one for one in changes if one not in by_hand]
    kinds = ((pb.EVENT_KIND_CHANGED_BY_HAND, by_hand), (pb.EVENT_KIND_SPEC_CHANGED, others))
    for kind, some in kinds:
        for manager, each in groupby(sorted(some, key=_manager), key=_manager):
            event = pb.Event(
                id=f"{spec.uid}-{spec.meta.generation}-{kind}-{manager}", kind=kind, node=node, object=object_of(spec)
            )
            event.time.FromNanoseconds(now_ns)
            own = [*each]
            _add_changes(
                event, own, {one.path for one in own} if kind == pb.EVENT_KIND_CHANGED_BY_HAND else frozenset()
            )
            yield event


def of_warning(node: str, one: Warned, count: int) -> pb.Event:
    event = pb.Event(
        id=f"{one.uid}-{one.times}",
        kind=pb.EVENT_KIND_WARNING,
        node=node,
        object=f"{one.kind.lower()}/{one.name}",
        reason=one.reason,
        message=one.message,
        count=min(count, 2**32 - 1),
    )
    event.time.FromNanoseconds(one.time_ns)
    return event


def workload_of(
    node: str,
    groups: Mapping[str, Group],
    parts: Sequence[Progress],
    by_hand: Sequence[Changed],
    last: Rollout | None = None,
) -> pb.Workload:
    """`parts`: its controllers; `by_hand`: fields of them; `last`: its rollout, where its pods alone tell of it."""
    found = pb.Workload(id=node)
    for revision, group in sorted(groups.items(), key=lambda one: (-one[1].created_ns, one[0])):
        message = found.revisions.add(
            hash=revision, replicas=group.pods, ready=group.ready, host_count=len(group.hosts)
        )
        message.images.extend(pb.Image(container=c, image=i, digest=d) for c, i, d in group.image)
        message.created.FromNanoseconds(group.created_ns)
    for part in parts:
        if part.rollouts:
            found.rollouts.append(_rollout(object_of(part.spec), part.rollouts[-1], counts_of(part.spec)))
    if last is not None:
        found.rollouts.append(_rollout(_object_of_node(node), last, crowd_counts(groups, last.revision)))
    messages = _messages(by_hand)
    found.by_hand.extend(messages[:MOST_CHANGES])
    found.more_by_hand = len(messages[MOST_CHANGES:])
    for one in found.by_hand:
        one.by_hand = True
    return found


def object_of(spec: Spec) -> str:
    return f"{spec.meta.kind.lower()}/{spec.meta.name}"


def crowd_counts(groups: Mapping[str, Group], revision: str) -> Counts:
    own = groups[revision].pods if revision in groups else 0
    return Counts(sum(one.pods for one in groups.values()), own, sum(one.ready for one in groups.values()))


def _object_of_node(node: str) -> str:
    return node.partition("/")[2]


def _step(node: str, step: Step, object_: str, id_: str, counts: Counts) -> pb.Event:
    event = pb.Event(
        id=f"{id_}-{step.state.name.lower()}-{step.number}",
        kind=pb.EVENT_KIND_ROLLOUT,
        node=node,
        object=object_,
        state=_state(step.state),
        revision=step.rollout.revision,
        previous_revision=step.rollout.previous,
        reason=step.reason[:_LONGEST_TEXT],
        message=step.message,
        **counts._asdict(),
    )
    event.time.FromNanoseconds(step.time_ns)
    return event


def _add_changes(event: pb.Event, changes: Sequence[Changed], by_hand: Collection[str]) -> None:
    """`by_hand`: their paths."""
    messages = _messages(changes)
    for one in messages:
        one.by_hand = one.path in by_hand
    event.changes.extend(messages[:MOST_CHANGES])
    event.more_changes = len(messages[MOST_CHANGES:])
    event.by_hand = bool(by_hand)


def _messages(changes: Iterable[Changed]) -> list[pb.FieldChange]:
    """One a path: what is below the name of an environment variable is not told apart."""
    found = {}
    for one in changes:
        message = pb.FieldChange(path=one.path[:_LONGEST_TEXT], what=one.kind)
        message.before, message.after = one.before[:_LONGEST_TEXT], one.after[:_LONGEST_TEXT]
        if one.by is not None:
            message.manager = one.by.manager
            # Of what was scaled the API does not note when.
            if one.by.time_ns:
                message.time.FromNanoseconds(one.by.time_ns)
        found[one.path] = message
    return list(found.values())


def _rollout(object_: str, one: Rollout, counts: Counts) -> pb.Rollout:
    found = pb.Rollout(
        object=object_,
        state=_state(one.state),
        revision=one.revision,
        previous_revision=one.previous,
        **counts._asdict(),
        reason=one.reason[:_LONGEST_TEXT],
        message=one.message,
    )
    if one.began_ns:  # it began before anybody looked, and no revision tells when
        found.began.FromNanoseconds(one.began_ns)
    if one.ended_ns:
        found.ended.FromNanoseconds(one.ended_ns)
    return found


def _state(state: State | None) -> pb.RolloutState:
    return cast(pb.RolloutState, int(state or 0))


def _manager(change: Changed) -> str:
    return change.by.manager if change.by else ""
