"""What comes and goes in a cluster for months leaves nothing behind in who learns of it."""

from typing import Any

import pytest
from plumbline.v1 import topology_pb2 as pb

from aggregator.resolve.deployed.deployed import Deployed
from aggregator.resolve.deployed.deployers import Deployers
from aggregator.resolve.deployed.specs import Generation, read_generation, read_spec
from aggregator.resolve.entrances.entrances import Entrances
from aggregator.resolve.objects import Meta, Pod, read_machine, read_pod
from aggregator.resolve.podnames import PodNames
from aggregator.resolve.scaling.scaling import Scaling
from aggregator.resolve.services import Services
from aggregator.resolve.workloads import Workloads
from tests.unit.aggregator.agents import World
from tests.unit.aggregator.objects import by, endpoints, meta, owner, port, raw_pod, service
from tests.unit.deployed import objects as deployed_objects


def entries(thing: Any) -> int:
    """Of all tables in it, and in what they hold."""
    if isinstance(thing, dict):
        return len(thing) + sum(map(entries, thing.values()))
    if isinstance(thing, set | list):
        return len(thing) + sum(map(entries, thing))
    is_ours = type(thing).__module__.startswith("aggregator.") and not isinstance(thing, tuple)
    return sum(map(entries, vars(thing).values())) if is_ours and hasattr(thing, "__dict__") else 0


class Cluster:
    """All who learn of it. Everything in a round has a name of its own; owners go before what they own."""

    def __init__(self) -> None:
        self.workloads, self.pods, self.services = Workloads(), PodNames(), Services()
        self.deployed = Deployed(Deployers(), self.workloads.of_owner, self.workloads.of_pod, lambda _: "")
        self.scaling = Scaling(self.workloads.of_owner, self.workloads.of_pod)
        self.entrances = Entrances(self.workloads.of_pod)

    @property
    def parts(self) -> list[Any]:
        return [self.workloads, self.pods, self.services, self.deployed, self.scaling, self.entrances]

    def round(self, number: int) -> None:
        web, run, now_ns = f"web-{number}", f"run-{number}", 1000 * number
        chains = [
            (owner("Deployment", web), by("Deployment", web), owner("ReplicaSet", f"{web}-a", by("Deployment", web))),
            (owner("CronJob", "nightly"), {}, owner("Job", run, by("CronJob", "nightly", "batch/v1"))),
        ]
        owners = [one for above, _, own in chains for one in (above, own)]
        pods = [
            self._pod(f"{web}-a-x", by("ReplicaSet", f"{web}-a"), number),
            self._pod(f"{run}-x", by("Job", run, "batch/v1"), number),
        ]
        self._come(number, owners, pods, now_ns)
        self._go(number, owners[:2] + owners[3:], pods, now_ns + 500)

    @staticmethod
    def _pod(name: str, above: dict[str, Any], number: int) -> Pod:
        raw = raw_pod(name, above, {"pod-template-hash": f"a{number}"})
        raw["spec"] |= {"nodeName": f"machine-{number}", "containers": [{"name": "app", "image": f"app:{number}"}]}
        return read_pod(raw)

    @staticmethod
    def _revision(number: int) -> Generation:
        return read_generation(meta(f"web-{number}-a", owner=by("Deployment", f"web-{number}")), "ReplicaSet")

    def _come(self, number: int, owners: list[Meta], pods: list[Pod], now_ns: int) -> None:
        self.workloads.owners(owners, (), now_ns)
        self.workloads.pods(pods, (), now_ns)
        self.pods.learn(self.workloads.take_named(now_ns))
        spec = read_spec({**deployed_objects.deployment(f"web-{number}")}, "Deployment")
        # As a machine of a group that grows and shrinks, it has a name that comes once.
        machine = read_machine({**meta(f"machine-{number}", namespace=""), "status": {}})
        served = [
            service(f"web-{number}", f"10.96.0.{number}", port(80, name=f"p{number}", nodePort=30000 + number)),
            endpoints(f"web-{number}", 80, [f"10.1.0.{number}"], name=f"p{number}"),
        ]
        self.services.learn(served, (), now_ns)
        self.deployed.generations([self._revision(number)], ())
        self.deployed.pods(pods, ())
        self.deployed.specs([spec], (), now_ns)
        self.scaling.machines([machine], ())
        self.scaling.specs([spec], ())
        self.scaling.pods(pods, ())
        self.entrances.pods(pods, ())
        self.entrances.services(served, ())
        self._tell(now_ns)

    def _go(self, number: int, owners: list[Meta], pods: list[Pod], now_ns: int) -> None:
        uids, spec = [one.uid for one in pods], [f"uid-web-{number}"]
        self.workloads.owners((), [one.uid for one in owners], now_ns)
        self.deployed.specs((), spec, now_ns)
        self.scaling.specs((), spec)
        self._tell(now_ns)
        self.deployed.generations((), [self._revision(number).uid])
        for part in (self.deployed, self.scaling, self.entrances):
            part.pods((), uids)
        self.scaling.machines((), [f"uid-machine-{number}"])
        served = [f"uid-web-{number}", f"slice-web-{number}"]
        self.entrances.services((), served)
        self.services.learn((), served, now_ns)
        self.workloads.pods((), uids, now_ns)
        self.workloads.take_named(now_ns)
        self.pods.end(self.workloads.take_ended(), now_ns)
        self._tell(now_ns)
        self.services.forget(now_ns + 1)
        self.pods.forget(now_ns + 1)

    def _tell(self, now_ns: int) -> None:
        """All that is news is taken."""
        self.deployed.take_events(now_ns)
        self.scaling.told(self.deployed.workloads())
        self.entrances.take_news()
        for part in (self.services, self.pods):
            part.take_changed()


def test_what_comes_and_goes_leaves_nothing_behind() -> None:
    cluster = Cluster()
    for number in range(1, 4):
        cluster.round(number)
    before = {type(part).__name__: entries(part) for part in cluster.parts}
    for number in range(4, 34):
        cluster.round(number)
    assert {type(part).__name__: entries(part) for part in cluster.parts} == before


def test_a_revision_that_another_workload_adopts_is_no_longer_of_the_one_before() -> None:
    """As when a Deployment is deleted without its pods, and made anew under another name."""
    deployed = Deployed(Deployers(), lambda meta: f"shop/deployment/{meta.name}", lambda _: "", lambda _: "")
    own = read_generation(meta("web-a", owner=by("Deployment", "web")), "ReplicaSet")
    other = read_generation(meta("web-a", owner=by("Deployment", "shop")), "ReplicaSet")
    deployed.specs([deployed_objects.spec(deployed_objects.deployment())], (), 1)
    deployed.generations([own], ())
    deployed.generations([other], ())
    deployed.generations((), [own.uid])
    deployed.generations([read_generation(meta("web-b", owner=by("Deployment", "web")), "ReplicaSet")], ())
    assert not deployed.take_events(2)


def test_what_is_outside_is_apart_once_however_often_services_change() -> None:
    world = World()
    alpha = world.agent("alpha", "10.0.0.1")
    alpha.calls(alpha.unit("web"), "192.0.2.9", 443, 3, host=alpha.name("api.pay.example"))
    alpha.tells()
    world.edges()
    apart = world.estate._snapshots._looks.resolver.third_parties.apart
    before = list(apart)
    for turn in range(5):
        alias = service("pay", "", type="ExternalName", externalName=f"{turn}.pay.example")
        world.estate.services.learn([alias], (), 1)
        assert world.edges().keys() == {("alpha/web", "api.pay.example")}
    assert before
    assert apart == before


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_slice_that_is_another_service_s_by_now_leads_there_alone(is_gone: bool) -> None:
    one = read_pod(raw_pod("a"))
    entrances = Entrances(lambda uid: f"shop/pod/{uid}")
    entrances.pods([one], ())
    doors = [service(name, address, port(80, nodePort=node)) for name, address, node in
             (("web", "10.96.0.1", 30080), ("api", "10.96.0.2", 30081))]  # fmt: skip
    first = endpoints("web", 80, ["10.1.0.1"], uid="same")._replace(pods=(one.uid,))
    entrances.services([*doors, first], ())
    assert ports(entrances) == [30080]
    entrances.services([first._replace(service="api")], ())
    assert ports(entrances) == [30081]
    if is_gone:
        entrances.services((), ["same"])
        assert ports(entrances) == []


def ports(entrances: Entrances) -> list[int]:
    around = entrances.take_news()
    assert around is not None
    exposure: pb.Exposure = around.exposures["shop/pod/uid-a"]
    return [one.port for one in exposure.openings]
