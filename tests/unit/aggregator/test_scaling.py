"""What workloads were given, how many pods of them there are, and how those fare, as the cluster's API says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.jsonform import to_json

from aggregator.resolve.deployed.specs import Spec, read_spec
from aggregator.resolve.objects import Meta, Pod, read_machine, read_pod
from aggregator.resolve.podnames import PodNames, names_of, payload_of
from aggregator.resolve.scaling.autoscalers import Autoscaler, Target, read_autoscaler
from aggregator.resolve.scaling.containers import Fate, Grant
from aggregator.resolve.scaling.quantities import quantity, whole
from aggregator.resolve.scaling.scaling import Scaling
from aggregator.resolve.workloads import PodName, Workloads
from tests.unit.aggregator.objects import Raw, by, meta, raw_pod

WEB = "shop/deployment/web"
MB = 1 << 20


@pytest.mark.parametrize(
    ("text", "milli"),
    [
        ("100m", 100), ("1", 1000), (2, 2000), ("0.1", 100), (".5", 500), ("1.", 1000), ("1e3", 10**6), ("2E0", 2000),
        ("100u", 1), ("1n", 1), ("1Ki", 1024_000), ("1k", 10**6), ("-1", 0), ("", 0), ("1 m", 0), ("m", 0), ("1Q", 0),
        (None, 0), (True, 0), ({}, 0), ("9" * 40, 0), ("1e99", 2**60),
    ],
)  # fmt: skip
def test_quantities(text: Any, milli: int) -> None:
    assert whole(text, 1000) == milli


@given(st.one_of(st.text(max_size=30), st.integers(), st.none(), st.floats()))
def test_no_quantity_is_too_much(raw: Any) -> None:
    quantity(raw)
    assert whole(raw) >= 0


def container(name: str, **resources: Raw) -> Raw:
    return {"name": name, "resources": resources}


def pod_of(name: str, *containers: Raw, statuses: list[Raw] | None = None, **spec: Any) -> Pod:
    raw = raw_pod(name, by("Deployment", "web"))
    raw["spec"] |= {"containers": list(containers), **spec}
    raw["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    if statuses is not None:
        raw["status"]["containerStatuses"] = statuses
    return read_pod(raw)


def status(name: str, container_id: str, restarts: int = 0, **more: Any) -> Raw:
    return {"name": name, "containerID": f"containerd://{container_id}", "restartCount": restarts, **more}


APP = container("app", requests={"cpu": "100m", "memory": "64Mi"}, limits={"cpu": "500m", "memory": "128Mi"})
KILLED = {
    "reason": "OOMKilled",
    "exitCode": 137,
    "finishedAt": "2026-11-26T10:00:00Z",
    "containerID": "containerd://one",
}


def deployment(replicas: int | None = 3, name: str = "web") -> Spec:
    spec = {} if replicas is None else {"replicas": replicas}
    return read_spec({**meta(name), "spec": spec, "status": {}}, "Deployment")


def autoscaler(kind: str = "Deployment", name: str = "web", **more: Any) -> Autoscaler:
    target = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    return read_autoscaler({**meta("web", "hpa"), "spec": {"scaleTargetRef": target, "maxReplicas": 5}, **more})


class Cluster:
    def __init__(self) -> None:
        self.pods: dict[str, str] = {}
        self.scaling = Scaling(self._owner, lambda uid: self.pods.get(uid, ""))

    def _owner(self, of: Meta) -> str:
        return f"{of.namespace}/{of.kind.lower()}/{of.name}"

    def add(self, *pods: Pod, node: str = WEB) -> None:
        self.pods |= {pod.uid: node for pod in pods}
        self.scaling.pods(pods, ())

    def scale(self, node: str = WEB) -> pb.Scale:
        return self.scaling.told({})[node].scale


def known(message: Any) -> dict[str, Any]:
    return {name: value for name, value in to_json(message).items() if value not in (None, [], {}, 0, "")}


def test_requests_and_limits_are_of_all_pods_that_are_there() -> None:
    cluster = Cluster()
    cluster.scaling.specs([deployment()], ())
    cluster.add(pod_of("a", APP), pod_of("b", APP))
    found = cluster.scale()
    assert (found.wanted, found.pods, found.ready) == (3, 2, 2)
    assert known(found.granted) == {
        "cpu_request_cores": 0.2, "cpu_limit_cores": 1.0, "memory_request_bytes": 128 * MB,
        "memory_limit_bytes": 256 * MB,
    }  # fmt: skip
    assert [(one.name, one.count, one.granted.cpu_limit_cores) for one in found.containers] == [("app", 2, 1.0)]
    cluster.scaling.pods([], ["uid-a"])
    assert (cluster.scale().pods, cluster.scale().granted.cpu_request_cores) == (1, 0.1)


def test_a_container_without_a_limit_is_a_workload_without_one() -> None:
    cluster = Cluster()
    cluster.add(pod_of("a", APP, container("side", requests={"cpu": 1})))
    assert known(cluster.scale().granted) == {"cpu_request_cores": 1.1}


def test_what_runs_only_at_the_start_is_not_asked_for_later() -> None:
    cluster = Cluster()
    sidecar = {**container("proxy", requests={"cpu": "50m"}), "restartPolicy": "Always"}
    once = container("migrate", requests={"cpu": 4})
    cluster.add(pod_of("a", APP, initContainers=[once, sidecar]))
    assert cluster.scale().granted.cpu_request_cores == pytest.approx(0.15)


def test_restarts_and_why_a_container_ended() -> None:
    cluster = Cluster()
    waits = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": KILLED}}
    cluster.add(
        pod_of("a", APP, statuses=[status("app", "two", 4, **waits)]),
        pod_of("b", APP, statuses=[status("app", "x", 1)]),
    )
    (found,) = cluster.scale().containers
    assert (cluster.scale().restarts, found.restarts, dict(found.waiting)) == (5, 5, {"CrashLoopBackOff": 1})
    assert (found.last_end, found.last_exit_code) == ("OOMKilled", 137)
    assert to_json(found)["last_ended"] == "2026-11-26T10:00:00.000Z"


def test_a_pod_that_is_over_is_none() -> None:
    cluster = Cluster()
    raw = raw_pod("job", by("Job", "nightly"))
    raw["status"]["phase"] = "Succeeded"
    cluster.add(read_pod(raw), node="shop/cronjob/nightly")
    assert not cluster.scaling.told({})


def test_a_pod_whose_workload_comes_late() -> None:
    cluster = Cluster()
    cluster.scaling.pods([pod_of("a", APP)], ())
    assert not cluster.scaling.told({})
    cluster.pods["uid-a"] = WEB
    cluster.scaling.pods([], ())
    assert cluster.scale().pods == 1


def test_an_autoscaler_and_what_it_holds() -> None:
    metrics = [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
        {"type": "ContainerResource", "containerResource": {"name": "memory", "container": "app",
                                                            "target": {"averageValue": "64Mi"}}},
        {"type": "External", "external": {"metric": {"name": "jobs"}, "target": {"value": "30"}}},
        {"type": "Novel", "novel": {}},
    ]  # fmt: skip
    current = [
        {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 85, "averageValue": "8m"}}},
        {"type": "External", "external": {"metric": {"name": "jobs"}, "current": {"value": "12500m"}}},
    ]
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": "web"},
        "minReplicas": 0,
        "maxReplicas": 5,
        "metrics": metrics,
    }
    trouble = [{"type": "ScalingActive", "status": "False", "reason": "No", "message": "no metrics"}]
    found = autoscaler(
        spec=spec,
        status={"currentReplicas": 2, "desiredReplicas": 3, "currentMetrics": current, "conditions": trouble},
    )
    assert found[3:10] == ("Deployment", "web", 0, 5, 2, 3, (
        Target("cpu", "percent", 60, 85), Target("app/memory", "average", 64 * MB, None),
        Target("jobs", "value", 30, 12.5), Target("", "value", None, None),
    ))  # fmt: skip
    assert found.trouble == "No: no metrics"
    cluster = Cluster()
    cluster.scaling.specs([deployment()], ())
    cluster.scaling.autoscalers([found], ())
    assert cluster.scaling.target_of("hpa") == WEB and cluster.scaling.target_of("uid-a") == ""
    (told,) = cluster.scale().autoscalers
    assert (told.least, told.most, told.current, told.desired, len(told.targets)) == (0, 5, 2, 3, 4)
    cluster.scaling.autoscalers([], ["hpa"])
    assert not cluster.scale().autoscalers


def test_an_autoscaler_that_comes_first_and_one_of_what_nobody_watches() -> None:
    cluster = Cluster()
    cluster.scaling.autoscalers([autoscaler(), autoscaler("Rollout", "api")._replace(uid="two")], ())
    assert not cluster.scaling.told({})
    cluster.scaling.specs([deployment()], ())
    cluster.add(pod_of("a", APP), node="shop/rollout/api")
    assert [one.name for one in cluster.scale().autoscalers] == ["web"]
    assert [one.name for one in cluster.scale("shop/rollout/api").autoscalers] == ["web"]
    assert not cluster.scale("shop/rollout/api").HasField("wanted")


def test_what_is_made_anew_under_its_name_is_told_together_with_the_end_of_the_one_before() -> None:
    """As after `kubectl replace --force`, or when a list shows both at once."""
    cluster = Cluster()
    before, anew = deployment(3), deployment(5)
    anew = anew._replace(meta=anew.meta._replace(uid="uid-anew"))
    cluster.scaling.specs([before], ())
    cluster.scaling.autoscalers([autoscaler()], ())
    cluster.scaling.specs([before, anew], [before.uid])
    assert cluster.scale().wanted == 5
    cluster.scaling.specs([anew._replace(wanted=6)], ())
    assert (cluster.scale().wanted, len(cluster.scale().autoscalers)) == (6, 1)
    cluster.scaling.specs([], [anew.uid])
    assert WEB not in cluster.scaling.told({})


def machine(name: str, **conditions: str) -> Any:
    rows = [{"type": kind, "status": is_so} for kind, is_so in {"Ready": "True", **conditions}.items()]
    return read_machine({**meta(name), "status": {"conditions": rows}})


def test_machines_that_are_short_of_something() -> None:
    cluster = Cluster()
    cluster.scaling.machines([machine("n1"), machine("n2", MemoryPressure="True", DiskPressure="False")], ())
    cluster.add(pod_of("a", APP))
    assert not cluster.scale().pressures
    cluster.scaling.machines([machine("n1", Ready="Unknown", PIDPressure="True")], ())
    assert [list(one.conditions) for one in cluster.scale().pressures] == [["NotReady", "PIDPressure"]]
    assert {one.host for one in cluster.scaling.pressures()} == {"n1", "n2"}
    cluster.scaling.machines([], ["uid-n2"])
    assert {one.host for one in cluster.scaling.pressures()} == {"n1"}


def test_what_is_deployed_keeps_its_other_parts_and_nothing_given_out_changes() -> None:
    cluster = Cluster()
    cluster.add(pod_of("a", APP))
    workload = pb.Workload(id=WEB, revisions=[pb.Revision(hash="5d8f")])
    first = cluster.scaling.told({WEB: workload})
    assert (first[WEB].revisions[0].hash, first[WEB].scale.pods) == ("5d8f", 1)
    assert not workload.HasField("scale")
    assert cluster.scaling.told({WEB: workload})[WEB] is first[WEB]
    same = {WEB: workload}
    assert cluster.scaling.told(same) is cluster.scaling.told(same)
    cluster.add(pod_of("b", APP))
    assert cluster.scaling.told({WEB: workload})[WEB].scale.pods == 2
    assert first[WEB].scale.pods == 1


NONSENSE = [-5, 2**70, "x", None, [], {}, True]


@pytest.mark.parametrize("value", NONSENSE)
def test_an_api_that_answers_nonsense(value: Any) -> None:
    cluster = Cluster()
    statuses = [{"name": value, "containerID": value, "restartCount": value, "state": value,
                 "lastState": {"terminated": {"reason": value, "exitCode": value, "finishedAt": value}}}]  # fmt: skip
    cluster.add(
        pod_of("a", {"name": value, "resources": {"requests": {"cpu": value}, "limits": value}}, statuses=statuses)
    )
    cluster.scaling.specs([read_spec({**meta("web"), "spec": {"replicas": value}, "status": value}, "Deployment")], ())
    status = {"currentReplicas": value, "desiredReplicas": value, "currentMetrics": value, "conditions": value}
    cluster.scaling.autoscalers([autoscaler(status=status)], ())
    broken = {"minReplicas": value, "maxReplicas": value, "metrics": value, "scaleTargetRef": value}
    cluster.scaling.autoscalers([autoscaler(spec=broken)._replace(uid="two")], ())
    assert cluster.scale().pods == 1


def test_containers_keep_their_names_when_they_are_begun_again() -> None:
    workloads = Workloads()
    first = pod_of("a", APP, statuses=[status("app", "one")])
    again = pod_of("a", APP, statuses=[status("app", "two", 1, lastState={"terminated": KILLED})])
    third = pod_of(
        "a", APP, statuses=[status("app", "three", 2, lastState={"terminated": {**KILLED, "containerID": ""}})]
    )
    given_up = ("apps/v1", "Deployment")
    workloads.give_up(given_up)
    for one in (first, again, third):
        workloads.pods([one], (), 0)
        (name,) = workloads.take_named(0)
    assert name.containers == (("one", "app"), ("two", "app"), ("three", "app"))


def test_a_record_of_before_containers_were_told_is_read() -> None:
    name = PodName("uid", "shop", "deployment", "web", "web-1", "5d8f", "n1", (("one", "app"),))
    assert names_of(payload_of([name])) == [name]
    assert names_of(b'[["uid","shop","deployment","web","web-1","5d8f","n1"]]') == [name._replace(containers=())]
    pods = PodNames()
    pods.learn(names_of(payload_of([name])))
    assert not pods.news([name])


def test_fates_and_grants_are_values() -> None:
    assert pod_of("a", APP).grants == (Grant("app", 100, 500, 64 * MB, 128 * MB),)
    assert pod_of("a", APP, statuses=[status("app", "one", 2)]).fates == (Fate("app", 2, "", "", 0, 0),)
