import json

from plumbline.v1.insight_pb2 import AskResponse
from plumbline.v1.jsonform import to_json
from plumbline.v1.topology_pb2 import (
    EDGE_CLASS_PROBE,
    EDGE_END_SOURCE,
    EDGE_END_TARGET,
    EVENT_KIND_WARNING,
    ROLLOUT_STATE_STUCK,
    Autoscaler,
    ContainerResources,
    ContainerScale,
    EdgeRevision,
    FieldChange,
    Grant,
    Image,
    Pressure,
    Resources,
    Revision,
    Rollout,
    Scale,
    ScalingTarget,
    Workload,
)

from .conftest import Served, run

MB = 1 << 20


def test_a_node_and_what_touches_it(served: Served) -> None:
    answer = json.loads(run("show", "alpha/backend", "--aggregator", served.address, "-o", "json").stdout)
    whole = to_json(served.topology)
    assert answer == {
        **whole["nodes"][1],
        "owner": None,
        "window": whole["window"],
        "callers": [whole["edges"][0]],
        "dependencies": [whole["edges"][1]],
        "scale": None,
        "resources": None,
        "revisions": None,
        "events": None,
        "exposure": None,
    }


def test_a_name_that_one_node_has_is_enough(served: Served) -> None:
    ended = run("show", "backend", "--aggregator", served.address)
    assert ended.status == 0
    assert ended.stdout.startswith("alpha/backend: unit on 1 host(s), listens on 8080\n\nCallers\nCLIENT")
    assert "GET     /items/*  alpha/frontend       120       3     1.50    3.25    9.00" in ended.stdout


def test_nodes_that_touch_nothing(served: Served) -> None:
    assert "Dependencies\nnone in this window" in run("show", "idle", "--aggregator", served.address).stdout


def test_an_unknown_node_is_wrong_use_and_says_what_is_like_it(served: Served) -> None:
    ended = run("show", "BACK", "--aggregator", served.address)
    assert ended.status == 2
    assert ended.stderr == "plumb: No node BACK was seen in this window; did you mean alpha/backend?\n"


def test_a_name_of_several_nodes_must_be_chosen(served: Served) -> None:
    served.topology.nodes.add(id="beta/backend", name="backend")
    ended = run("show", "backend", "--aggregator", served.address)
    assert (ended.status, "choose alpha/backend, beta/backend" in ended.stderr) == (2, True)


WEB = Workload(
    id="shop/deployment/web",
    revisions=[
        Revision(
            hash="7c9d",
            replicas=3,
            ready=1,
            host_count=2,
            images=[Image(container="app", image="shop/web:2", digest="sha256:ab")],
        ),
        Revision(hash="5d8f", replicas=2, ready=2, images=[Image(container="app", image="shop/web:1")]),
    ],
    rollouts=[
        Rollout(
            object="deployment/web",
            state=ROLLOUT_STATE_STUCK,
            revision="7c9d",
            previous_revision="5d8f",
            wanted=3,
            updated=1,
            available=2,
            reason="ErrImagePull",
        )
    ],
    by_hand=[FieldChange(path="replicas", before="2", after="3", manager="kubectl", by_hand=True)],
)


def test_what_is_deployed_of_a_workload_though_it_did_not_talk(served: Served) -> None:
    served.topology.workloads.append(WEB)
    for number in range(22):
        event = served.topology.events.add(id=f"e{number}", node=WEB.id, kind=EVENT_KIND_WARNING, reason=f"Why{number}")
        event.time.FromJsonString("2026-11-26T10:00:00Z")
    served.topology.events.add(id="other", node="shop/deployment/api", kind=EVENT_KIND_WARNING)
    shown = run("show", "web", "--aggregator", served.address).stdout
    assert shown.startswith(
        "shop/deployment/web: workload on 2 host(s), listens on nothing\n\nRevisions\nREVISION  READY"
    )
    assert "7c9d      1/3        2  app        shop/web:2  sha256:ab" in shown
    assert "5d8f      2/2        0  app        shop/web:1  -" in shown
    # When is not known of either.
    assert "\ndeployment/web: stuck 5d8f -> 7c9d, 1 of 3 updated, 2 available: ErrImagePull\n" in shown
    assert "By hand\nreplicas is 3 (was 2)  by kubectl\n" in shown
    assert "Events\n2 older ones are left out\n10:00:00  warning         Why2 at" in shown
    answer = json.loads(run("show", WEB.id, "--aggregator", served.address, "-o", "json").stdout)
    whole = to_json(WEB)
    assert {name: answer[name] for name in ("revisions", "rollouts", "by_hand")} == {
        name: whole[name] for name in ("revisions", "rollouts", "by_hand")
    }
    assert [event["id"] for event in answer["events"]] == [f"e{number}" for number in range(22)]
    assert (answer["kind"], answer["namespace"], answer["callers"]) == ("workload", "shop", [])


def test_what_it_used_and_may_use(served: Served) -> None:
    served.topology.nodes[1].resources.CopyFrom(
        Resources(
            seconds=300, cpu_cores=0.25, cpu_throttled_share=0.4, cpu_throttled_seconds=12, cpu_limit_cores=0.5,
            memory_bytes=60 * MB, memory_limit_bytes=100 * MB, memory_peak_share=0.8, oom_kills=2,
            network_sent_bytes=2048, network_received_bytes=100,
            containers=[
                ContainerResources(name="app", count=2, cpu_cores=0.2, memory_bytes=50 * MB, memory_peak_bytes=40 * MB),
                ContainerResources(name="", count=0, cpu_cores=0.05, oom_kills=2),
            ],
        )
    )  # fmt: skip
    shown = run("show", "backend", "--aggregator", served.address).stdout
    assert "listens on 8080\n\nResources\n" in shown
    for line in (
        "CPU used 0.25 cores, limit 0.50 cores, throttled in 40.00 % of periods for 12.0 s",
        "Memory used 60.0 MiB, limit 100.0 MiB, at most 80.00 % of what one may have",
        "OOM 2 process(es) ended for want of memory in this window",
        "Network 2.0 KiB sent, 100 B received",
        "app 2 0.20 - - - 50.0 MiB - - 40.0 MiB - - - -",
        "(other) 0 0.05 - - - - - - - 2 - - -",
    ):
        assert line in [" ".join(row.split()) for row in shown.splitlines()], shown
    answer = json.loads(run("show", "backend", "--aggregator", served.address, "-o", "json").stdout)
    assert (answer["resources"]["cpu_cores"], answer["resources"]["containers"][0]["oom_kills"]) == (0.25, None)


def test_of_what_nobody_looked_at_nothing_is_said(served: Served) -> None:
    served.topology.nodes[1].resources.CopyFrom(Resources(seconds=10, cpu_cores=0))
    shown = run("show", "backend", "--aggregator", served.address).stdout
    assert "Resources\nCPU       used 0.00 cores\nNetwork   0 B sent, 0 B received\n\nCallers" in shown
    assert "Resources" not in run("show", "idle", "--aggregator", served.address).stdout


def test_what_it_was_given_stands_beside_what_it_uses(served: Served) -> None:
    scale = Scale(
        wanted=3, pods=3, ready=2, restarts=7, granted=Grant(cpu_request_cores=0.3, memory_request_bytes=192 * MB),
        containers=[
            ContainerScale(
                name="app", count=3, restarts=7, waiting={"CrashLoopBackOff": 1}, last_end="OOMKilled",
                last_exit_code=137, granted=Grant(cpu_limit_cores=1.5, memory_limit_bytes=300 * MB),
            ),
        ],
        autoscalers=[
            Autoscaler(
                name="web", least=2, most=5, current=2, desired=3, trouble="FailedGetResourceMetric: no metrics",
                targets=[ScalingTarget(metric="cpu", unit="percent", wanted=60), ScalingTarget(metric="jobs")],
            )
        ],
        pressures=[Pressure(host="n1", conditions=["MemoryPressure"])],
    )  # fmt: skip
    scale.containers[0].last_ended.FromJsonString("2026-11-26T10:00:00Z")
    served.topology.workloads.add(id="shop/deployment/web", scale=scale)
    shown = run("show", "web", "--aggregator", served.address).stdout
    lines = [" ".join(row.split()) for row in shown.splitlines()]
    for line in (
        "3 of 3 wanted, 2 ready, 7 restart(s) of their containers",
        "autoscaler web: 2 to 5, has 2, wants 3; cpu ? of 60.0 %; jobs ? of ?; "
        "does not scale: FailedGetResourceMetric: no metrics",
        "machine n1: MemoryPressure",
        "CPU asked for 0.30 cores",
        "Memory asked for 192.0 MiB",
        "app 3 - - 1.50 - - - 300.0 MiB - - 7 1 CrashLoopBackOff 10:00:00 OOMKilled (137)",
    ):
        assert line in lines, shown
    answer = json.loads(run("show", "web", "--aggregator", served.address, "-o", "json").stdout)
    assert (answer["scale"], answer["resources"]) == (to_json(scale), None)


def test_machines_that_are_short_of_something_are_told_with_the_graph(served: Served) -> None:
    served.topology.pressures.add(host="n1", conditions=["DiskPressure", "NotReady"])
    shown = run("graph", "--aggregator", served.address).stdout
    assert "n1: the cluster's API says DiskPressure, NotReady." in shown


def test_whose_it_is_stands_in_the_heading(served: Served) -> None:
    answer = {"node": "alpha/backend", "owner": "team-b", "entities": []}
    served.answers["owner"] = AskResponse(answer_json=json.dumps(answer))
    shown = run("show", "backend", "--aggregator", served.address).stdout
    assert shown.startswith("alpha/backend: unit on 1 host(s), listens on 8080, owned by team-b\n")
    assert json.loads(run("show", "backend", "--aggregator", served.address, "-o", "json").stdout)["owner"] == "team-b"


def test_what_each_revision_answered_and_asked(served: Served) -> None:
    called, calls = served.topology.edges
    for end, revision, requests, errors, connections in (
        (EDGE_END_SOURCE, "f1", 120, 3, 4),
        (EDGE_END_TARGET, "5d8f", 90, 0, 3),
        (EDGE_END_TARGET, "7c9d", 30, 3, 1),
    ):
        row = EdgeRevision(end=end, revision=revision, requests=requests, errors=errors, connections=connections)
        called.revisions.append(row)
    calls.revisions.add(end=EDGE_END_SOURCE, connections=6)
    other = served.topology.edges.add(id="x3", source="beta/other", target=called.target, requests=30)
    other.revisions.add(end=EDGE_END_TARGET, revision="7c9d", requests=30)
    probe = served.topology.edges.add(id="x4", source="alpha/kubelet", target=called.target, requests=99)
    probe.revisions.add(end=EDGE_END_TARGET, revision="7c9d", requests=99)
    setattr(probe, "class", EDGE_CLASS_PROBE)
    shown = run("show", "backend", "--aggregator", served.address).stdout
    _, _, section = shown.partition("By revision\n")
    assert [line.split() for line in section.partition("\n\n")[0].splitlines()] == [
        ["REVISION", "DOES", "WITH", "REQUESTS", "PER", "S", "ERRORS", "FAILING", "CONNS"],
        ["5d8f", "answers", "(all)", "90", "0.30", "0", "0", "%", "3"],
        ["7c9d", "answers", "(all)", "60", "0.20", "3", "5.00", "%", "1"],
        ["5d8f", "answers", "alpha/frontend", "90", "0.30", "0", "0", "%", "3"],
        ["7c9d", "answers", "alpha/frontend", "30", "0.10", "3", "10.00", "%", "1"],
        ["7c9d", "answers", "beta/other", "30", "0.10", "0", "0", "%", "0"],
        ["(unknown)", "asks", "api.pay.test", "0", "0.00", "0", "-", "6"],
    ]
    (first, *_) = json.loads(run("show", "backend", "--aggregator", served.address, "-o", "json").stdout)["callers"]
    assert first["revisions"][1] == {
        "end": "target", "revision": "5d8f", "requests": 90, "errors": 0, "connections": 3,
    }  # fmt: skip
