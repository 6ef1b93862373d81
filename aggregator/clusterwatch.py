"""The one watch of the cluster's API: resources are kept as the server has them, and what follows is learned.

What comes is gathered for a moment, so that a thousand pods are one step for those who learn of them. Used from the
event loop's thread.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from plumbline.v1 import topology_pb2 as pb

from aggregator.journal import JournalFailed
from aggregator.reflector import Reflector, State
from aggregator.resolve.api import Api, Failed, NotAllowed
from aggregator.resolve.deployed.deployed import Deployed
from aggregator.resolve.deployed.deployers import Deployers
from aggregator.resolve.deployed.specs import Generation, Spec
from aggregator.resolve.deployed.warnings import Warned
from aggregator.resolve.entrances.entrances import Entrances
from aggregator.resolve.entrances.waysin import Gateway, Ingress, Route
from aggregator.resolve.objects import Machine, Meta, Pod, Service, Slice
from aggregator.resolve.resources import OWNERS, RESOURCES, Object, Resource, custom
from aggregator.resolve.scaling.autoscalers import Autoscaler
from aggregator.resolve.scaling.scaling import Scaling
from aggregator.resolve.workloads import Kind, PodName, Workloads
from aggregator.topology.background import Surroundings

_GATHER_SECONDS: Final = 0.05
_IDLE_SECONDS: Final = 1.0
# Pods are named when their owners were listed too, or cannot be, or did not answer for so long.
_LONGEST_BEGIN_SECONDS: Final = 30.0
_MOST_CUSTOM_KINDS: Final = 64
_ASK_AGAIN_SECONDS: Final = 300.0


class Learner(Protocol):
    """As Live."""

    async def learn_pods(self, names: Sequence[PodName], living: Sequence[str], gone: Sequence[str]) -> None: ...

    async def learn_services(self, came: Sequence[Service | Slice], gone: Sequence[str]) -> None: ...

    async def learn_events(self, events: Sequence[pb.Event]) -> None: ...

    def learn_surroundings(self, around: Surroundings) -> None: ...

    async def known_of_cluster(self) -> tuple[list[str], set[str]]: ...


class ClusterWatch:
    """`on_state` hears when a resource becomes stale, current, or refused."""

    def __init__(
        self,
        api: Api,
        learner: Learner,
        on_state: Callable[[Resource, State], None],
        deployers: Deployers | None = None,
    ) -> None:
        self._api = api
        self._learner = learner
        self._on_state = on_state
        self._reflectors: dict[str, Reflector] = {}
        self._tasks = asyncio.TaskGroup()
        self._workloads = Workloads()
        self.deployed = Deployed(deployers or Deployers(), self._workloads.of_owner, self._workloads.of_pod)
        self.scaling = Scaling(self._workloads.of_owner, self._workloads.of_pod)
        self._untold: list[pb.Event] = []
        self._entrances = Entrances(self._workloads.of_pod)
        self._came: defaultdict[type, list[Object]] = defaultdict(list)
        self._gone: defaultdict[type, list[str]] = defaultdict(list)
        self._news = asyncio.Event()
        self._began = time.monotonic()
        self._unsaved: list[PodName] = []
        self._living: list[str] = []
        self._ended: list[str] = []
        self._reconciled: set[str] = set()
        self._asked: dict[Kind, float] = {}  # custom kinds that nobody watches, since when

    def states(self) -> Iterator[tuple[str, State, int]]:
        """Each resource's name, state, and how many there are."""
        for name, one in self._reflectors.items():
            yield name, one.state, len(one.known)

    def stale(self) -> list[pb.StaleSource]:
        """Those of which what is known is not of now."""
        found = []
        for name, state, _ in self.states():
            if state.stale_since_ns is not None and state.failures:
                source = pb.StaleSource(name=name, reason=state.reason)
                source.since.FromNanoseconds(state.stale_since_ns)
                found.append(source)
        return found

    async def run(self) -> None:
        """Until cancelled."""
        async with self._tasks:
            for resource in RESOURCES:
                self._begin(resource)
            while True:
                try:
                    async with asyncio.timeout(_IDLE_SECONDS):
                        await self._news.wait()
                except TimeoutError:
                    pass
                await asyncio.sleep(_GATHER_SECONDS)
                self._news.clear()
                try:
                    await self._learn()
                except JournalFailed:
                    continue  # it is told where agents report; what was not saved is kept for the next time

    def _begin(self, resource: Resource) -> None:
        reflector = Reflector(resource, self._api, self._heard, self._state_changed)
        self._reflectors[resource.name] = reflector
        self._tasks.create_task(reflector.run())

    def _heard(self, resource: Resource, came: Sequence[Object], gone: Collection[str]) -> None:
        kind = resource.kind_of_objects
        self._came[kind].extend(came)
        self._gone[kind].extend(gone)
        self._news.set()

    def _state_changed(self, resource: Resource, state: State) -> None:
        kind = resource.owner_kind
        if state.refused and not state.listed:
            self._workloads.give_up(kind)
        elif state.stale_since_ns is None:
            self._workloads.given_up.discard(kind)
            for other in self._reflectors.values():
                other.hurry()
        self._news.set()
        self._on_state(resource, state)

    async def _learn(self) -> None:
        came, self._came = self._came, defaultdict(list)
        gone, self._gone = self._gone, defaultdict(list)
        now_ns = time.time_ns()
        pods = [one for one in came[Pod] if isinstance(one, Pod)]
        owners = list(_metas(one for kind in (Meta, Spec, Generation) for one in came[kind]))
        served = [one for kind in (Service, Slice) for one in came[kind] if isinstance(one, Service | Slice)]
        self._workloads.owners(owners, [*gone[Meta], *gone[Spec], *gone[Generation]], now_ns)
        self._workloads.pods(pods, gone[Pod], now_ns)
        lost = [*gone[Service], *gone[Slice], *await self._services_of_before()]
        if served or lost:
            await self._learner.learn_services(served, lost)
        if self._may_name():
            named = self._workloads.take_named(now_ns)
            self._unsaved += named
            self._entrances.renamed(name.uid for name in named)
        self._living += [pod.cgroup_uid for pod in pods]
        self._ended += [*self._workloads.take_ended(), *await self._pods_of_before()]
        for kind in self._workloads.take_wanted():
            self._watch_kind(kind)
        self._feed_deployed(came, gone, now_ns)
        self._feed_scaling(came, gone)
        self._learn_entrances(came, gone)
        if self._unsaved or self._living or self._ended:
            await self._learner.learn_pods(self._unsaved, self._living, self._ended)
            self._unsaved, self._living, self._ended = [], [], []
        self._untold = self._untold or self.deployed.take_events(now_ns)
        if self._untold:
            await self._learner.learn_events(self._untold)
            self._untold = []

    def _feed_deployed(
        self, came: Mapping[type, Sequence[Object]], gone: Mapping[type, Sequence[str]], now_ns: int
    ) -> None:
        deployed = self.deployed
        deployed.generations([one for one in came[Generation] if isinstance(one, Generation)], gone[Generation])
        deployed.pods([one for one in came[Pod] if isinstance(one, Pod)], gone[Pod])
        deployed.specs([one for one in came[Spec] if isinstance(one, Spec)], gone[Spec], now_ns)
        known = (one for one in self._reflectors.values() if one.state.listed)
        deployed.listed.update(one.resource.kind for one in known)
        deployed.warned([one for one in came[Warned] if isinstance(one, Warned)], gone[Warned], now_ns)

    def _feed_scaling(self, came: Mapping[type, Sequence[Object]], gone: Mapping[type, Sequence[str]]) -> None:
        scaling = self.scaling
        scaling.machines([one for one in came[Machine] if isinstance(one, Machine)], gone[Machine])
        scaling.specs([one for one in came[Spec] if isinstance(one, Spec)], gone[Spec])
        scaling.pods([one for one in came[Pod] if isinstance(one, Pod)], gone[Pod])
        scaling.autoscalers([one for one in came[Autoscaler] if isinstance(one, Autoscaler)], gone[Autoscaler])

    def workloads(self) -> Mapping[str, pb.Workload]:
        """What is deployed, and how large."""
        return self.scaling.told(self.deployed.workloads())

    def _learn_entrances(self, came: Mapping[type, Sequence[Object]], gone: Mapping[type, Sequence[str]]) -> None:
        entrances, ways = self._entrances, (Ingress, Gateway, Route)
        entrances.pods([one for one in came[Pod] if isinstance(one, Pod)], gone[Pod])
        entrances.machines([one for one in came[Machine] if isinstance(one, Machine)], gone[Machine])
        entrances.services(
            [one for kind in (Service, Slice) for one in came[kind] if isinstance(one, Service | Slice)],
            [*gone[Service], *gone[Slice]],
        )
        entrances.ways(
            [one for kind in ways for one in came[kind] if isinstance(one, ways)],
            [uid for kind in ways for uid in gone[kind]],
        )
        if (news := entrances.take_news()) is not None:
            self._learner.learn_surroundings(news)

    def _may_name(self) -> bool:
        """Names that are worse for a moment would be seen to change."""
        owners = (one for one in self._reflectors.values() if one.resource.owns)
        return time.monotonic() - self._began > _LONGEST_BEGIN_SECONDS or all(one.state.settled for one in owners)

    async def _pods_of_before(self) -> list[str]:
        """Those that were there when the one before us ended, and went meanwhile; once."""
        if not self._is_first("pods"):
            return []
        before, _ = await self._learner.known_of_cluster()
        return sorted(set(before) - self._workloads.present())

    async def _services_of_before(self) -> list[str]:
        names = [one.name for one in RESOURCES if one.kind_of_objects in (Service, Slice)]
        if not self._is_first(*names):
            return []
        _, before = await self._learner.known_of_cluster()
        return sorted(before.difference(*(self._reflectors[name].known for name in names)))

    def _is_first(self, *names: str) -> bool:
        """Whether they are all listed, and were not when this was asked last."""
        if self._reconciled.issuperset(names) or not all(self._reflectors[name].state.listed for name in names):
            return False
        self._reconciled.update(names)
        return True

    def _watch_kind(self, kind: Kind) -> None:
        """A custom kind that owns pods, or owns what does."""
        last = self._asked.get(kind)
        if kind in OWNERS or (last is not None and time.monotonic() - last < _ASK_AGAIN_SECONDS):
            return
        if last is None and len(self._asked) >= _MOST_CUSTOM_KINDS:
            self._workloads.give_up(kind)
            return
        self._asked[kind] = time.monotonic()
        self._tasks.create_task(self._begin_custom(kind))

    async def _begin_custom(self, kind: Kind) -> None:
        try:
            resource = custom(*kind, await self._api.plural_of(*kind))
        except NotAllowed:
            self._workloads.give_up(kind)
            self._news.set()
        except Failed:
            del self._asked[kind]  # the next pod asks again
        else:
            if resource.name not in self._reflectors:
                self._begin(resource)


def _metas(some: Iterable[Object]) -> Iterator[Meta]:
    """Of what may own pods."""
    for one in some:
        if isinstance(one, Meta):
            yield one
        elif isinstance(one, Spec | Generation):
            yield one.meta
