"""What follows from the cluster's objects: names of pods, Services, rollouts, scale, and what leads in from outside.

Each is a part of its own, which a fault of ours stops alone. Used from the event loop's thread.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from plumbline.v1 import topology_pb2 as pb

from aggregator.parts import News, Part
from aggregator.reflector import Reflector
from aggregator.resolve.deployed.deployed import Deployed
from aggregator.resolve.deployed.deployers import Deployers
from aggregator.resolve.deployed.specs import Generation, Spec
from aggregator.resolve.deployed.warnings import Warned
from aggregator.resolve.entrances.entrances import Entrances
from aggregator.resolve.entrances.waysin import Gateway, Ingress, Route, WayIn
from aggregator.resolve.objects import Machine, Meta, Pod, Service, Slice
from aggregator.resolve.resources import RESOURCES, Object
from aggregator.resolve.scaling.autoscalers import Autoscaler
from aggregator.resolve.scaling.scaling import Scaling
from aggregator.resolve.workloads import Kind, PodName, Workloads
from aggregator.topology.background import Surroundings

# Pods are named when their owners were listed too, or cannot be, or did not answer for so long.
_LONGEST_BEGIN_SECONDS: Final = 30.0
_SERVED: Final = tuple(one.name for one in RESOURCES if one.kind_of_objects in (Service, Slice))


class Learner(Protocol):
    """As Live."""

    async def learn_pods(self, names: Sequence[PodName], living: Sequence[str], gone: Sequence[str]) -> None: ...

    async def learn_services(self, came: Sequence[Service | Slice], gone: Sequence[str]) -> None: ...

    async def learn_events(self, events: Sequence[pb.Event]) -> None: ...

    def learn_surroundings(self, around: Surroundings) -> None: ...

    async def known_of_cluster(self) -> tuple[list[str], set[str]]: ...


@dataclass(slots=True)
class _Names:
    """`unsaved`, `living` and `ended` are for the learner, who did not take them yet."""

    workloads: Workloads = field(default_factory=Workloads)
    renamed: list[str] = field(default_factory=list)
    unsaved: list[PodName] = field(default_factory=list)
    living: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Rollouts:
    deployed: Deployed
    untold: list[pb.Event] = field(default_factory=list)


class Learning:
    """`reflectors` are those of ClusterWatch, which may become more. `on_fault` hears of which part, and what."""

    def __init__(
        self,
        reflectors: Mapping[str, Reflector],
        learner: Learner,
        deployers: Deployers,
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self._reflectors = reflectors
        self._learner = learner
        self._deployers = deployers
        self._began = time.monotonic()
        self._reconciled: set[str] = set()
        self._names = Part("names", self._make_names, self._everything, on_fault)
        self._services = Part("services", self._make_services, self._everything, on_fault)
        self._rollouts = Part("rollouts", self._make_rollouts, self._everything, on_fault)
        self._scale = Part("scale", lambda _: Scaling(self._of_owner, self._of_pod), self._everything, on_fault)
        self._exposure = Part("exposure", lambda _: Entrances(self._of_pod), self._everything, on_fault)

    async def learn(self, news: News) -> None:
        """Raises JournalFailed when all have learned; what was not saved is kept for the next time."""
        await self._names.learn(self._feed_names, news)
        await self._services.learn(self._feed_services, news)
        await self._names.use(self._name)
        await self._scale.learn(self._feed_scale, news)
        await self._rollouts.learn(self._feed_rollouts, news)
        await self._exposure.learn(self._feed_exposure, news)
        await self._names.use(self._save)
        await self._rollouts.use(self._tell)

    # --- what came of it ---

    def workloads(self) -> Mapping[str, pb.Workload]:
        """What is deployed, and how large."""
        deployed: Mapping[str, pb.Workload] = self._rollouts.ask(lambda one: one.deployed.workloads(), {})
        return self._scale.ask(lambda one: one.told(deployed), deployed)

    def pressures(self) -> Sequence[pb.Pressure]:
        """Of machines."""
        return self._scale.ask(Scaling.pressures, [])

    def dropped(self) -> Mapping[str, int]:
        """What of rollouts found no room, by reason."""
        return self._rollouts.it.deployed.dropped()

    def faults(self) -> Iterator[tuple[str, int]]:
        """How many each part has met."""
        for part in self._parts():
            yield part.name, part.faults

    def stale(self) -> list[pb.StaleSource]:
        """Parts that stand still."""
        return [source for part in self._parts() if (source := part.stale()) is not None]

    def give_up(self, kind: Kind) -> None:
        """As Workloads."""
        self._names.it.workloads.give_up(kind)

    def take_up(self, kind: Kind) -> None:
        """It can be watched again."""
        self._names.it.workloads.given_up.discard(kind)

    def take_wanted(self) -> set[Kind]:
        """As Workloads."""
        return self._names.ask(lambda one: one.workloads.take_wanted(), set())

    def _parts(self) -> "list[Part[_Names] | Part[None] | Part[_Rollouts] | Part[Scaling] | Part[Entrances]]":
        return [self._names, self._services, self._rollouts, self._scale, self._exposure]

    # --- how a part begins ---

    def _everything(self) -> News:
        came: dict[type, list[Object]] = {}
        for one in self._reflectors.values():
            came.setdefault(one.resource.kind_of_objects, []).extend(one.known.values())
        return News(came, {}, time.time_ns())

    def _make_names(self, before: _Names | None) -> _Names:
        """What went while it stood still is found as what went while no aggregator was there."""
        self._reconciled.discard("pods")
        made = _Names()
        if before is not None:
            made.workloads.given_up.update(before.workloads.given_up)
        return made

    def _make_services(self, _: None) -> None:
        self._reconciled.difference_update(_SERVED)

    def _make_rollouts(self, _: _Rollouts | None) -> _Rollouts:
        return _Rollouts(Deployed(self._deployers, self._of_owner, self._of_pod, self._of_autoscaler))

    def _of_owner(self, meta: Meta) -> str:
        return self._names.it.workloads.of_owner(meta)

    def _of_pod(self, uid: str) -> str:
        return self._names.it.workloads.of_pod(uid)

    def _of_autoscaler(self, uid: str) -> str:
        return self._scale.ask(lambda one: one.target_of(uid), "")

    # --- what each is fed ---

    async def _feed_names(self, names: _Names, news: News) -> None:
        pods = news.of(Pod)
        made = [*(one.meta for one in news.of(Spec)), *(one.meta for one in news.of(Generation))]
        names.workloads.owners([*news.of(Meta), *made], news.without(Meta, Spec, Generation), news.now_ns)
        names.workloads.pods(pods, news.without(Pod), news.now_ns)
        names.living += [pod.cgroup_uid for pod in pods]

    async def _name(self, names: _Names) -> None:
        if self._may_name():
            named = names.workloads.take_named(time.time_ns())
            names.unsaved += named
            names.renamed = [name.uid for name in named]
        names.ended += [*names.workloads.take_ended(), *await self._pods_of_before()]

    async def _save(self, names: _Names) -> None:
        if names.unsaved or names.living or names.ended:
            await self._learner.learn_pods(names.unsaved, names.living, names.ended)
            names.unsaved, names.living, names.ended = [], [], []

    async def _feed_services(self, _: None, news: News) -> None:
        served: list[Service | Slice] = [*news.of(Service), *news.of(Slice)]
        lost = [*news.without(Service, Slice), *await self._services_of_before()]
        if served or lost:
            await self._learner.learn_services(served, lost)

    async def _feed_rollouts(self, rollouts: _Rollouts, news: News) -> None:
        deployed = rollouts.deployed
        deployed.generations(news.of(Generation), news.without(Generation))
        deployed.pods([*self._renamed(), *news.of(Pod)], news.without(Pod))
        deployed.specs(news.of(Spec), news.without(Spec), news.now_ns)
        if news.of(Meta):
            deployed.look_above()
        known = (one for one in self._reflectors.values() if one.state.listed)
        deployed.listed.update(one.resource.kind for one in known)
        deployed.warned(news.of(Warned), news.without(Warned), news.now_ns)

    async def _tell(self, rollouts: _Rollouts) -> None:
        rollouts.untold = rollouts.untold or rollouts.deployed.take_events(time.time_ns())
        if rollouts.untold:
            await self._learner.learn_events(rollouts.untold)
            rollouts.untold = []

    def _renamed(self) -> list[Pod]:
        """Pods of which the name is news, and perhaps nothing else. A static one is called by its cgroup there, and
        never otherwise."""
        known = self._reflectors["pods"].known
        return [one for uid in self._names.it.renamed if isinstance(one := known.get(uid), Pod)]

    async def _feed_scale(self, scaling: Scaling, news: News) -> None:
        scaling.machines(news.of(Machine), news.without(Machine))
        scaling.specs(news.of(Spec), news.without(Spec))
        if news.of(Meta):
            scaling.look_above()
        scaling.pods([*self._renamed(), *news.of(Pod)], news.without(Pod))
        scaling.autoscalers(news.of(Autoscaler), news.without(Autoscaler))

    async def _feed_exposure(self, entrances: Entrances, news: News) -> None:
        ways: list[WayIn] = [*news.of(Ingress), *news.of(Gateway), *news.of(Route)]
        renamed, self._names.it.renamed = self._names.it.renamed, []
        entrances.renamed(renamed)
        entrances.pods(news.of(Pod), news.without(Pod))
        entrances.machines(news.of(Machine), news.without(Machine))
        entrances.services([*news.of(Service), *news.of(Slice)], news.without(Service, Slice))
        entrances.ways(ways, news.without(Ingress, Gateway, Route))
        if (around := entrances.take_news()) is not None:
            self._learner.learn_surroundings(around)

    # --- what is known of it all ---

    def _may_name(self) -> bool:
        """Names that are worse for a moment would be seen to change."""
        owners = (one for one in self._reflectors.values() if one.resource.owns)
        return time.monotonic() - self._began > _LONGEST_BEGIN_SECONDS or all(one.state.settled for one in owners)

    async def _pods_of_before(self) -> list[str]:
        """Those that were there when the one before us ended, and went meanwhile; once."""
        if not self._is_first("pods"):
            return []
        before, _ = await self._learner.known_of_cluster()
        return sorted(set(before) - self._names.it.workloads.present())

    async def _services_of_before(self) -> list[str]:
        if not self._is_first(*_SERVED):
            return []
        _, before = await self._learner.known_of_cluster()
        return sorted(before.difference(*(self._reflectors[name].known for name in _SERVED)))

    def _is_first(self, *names: str) -> bool:
        """Whether they are all listed, and were not when this was asked last."""
        if self._reconciled.issuperset(names) or not all(self._reflectors[name].state.listed for name in names):
            return False
        self._reconciled.update(names)
        return True
