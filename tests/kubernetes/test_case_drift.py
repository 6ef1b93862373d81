"""C17, live: what machines do, and what only looks different, is no drift; one limit by hand is."""

import json
from collections.abc import Iterator

import pytest

from tests.kubernetes.control import ControlPlane
from tests.kubernetes.installed import Plumb, Row, changes, kubelet, states
from tests.kubernetes.test_revisions import MEMORY, WEB, by_hand, deploy, workload

ADMISSION = "admissionregistration.k8s.io/v1beta1"
FLAGS = {
    "kube-apiserver": [
        "--feature-gates=MutatingAdmissionPolicy=true",
        f"--runtime-config={ADMISSION}=true",
    ]
}
SIDECAR = """\
Object{spec: Object.spec{containers: [Object.spec.containers{name: "mesh", image: "example.test/mesh:1"}]}}"""


@pytest.fixture
def control() -> Iterator[ControlPlane]:
    with ControlPlane(FLAGS) as plane, kubelet(plane):
        yield plane


def add_sidecar(control: ControlPlane) -> None:
    """A policy of the API server puts a container into each new pod."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    spec: Row = {
        "matchConstraints": {"resourceRules": [rule]},
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": SIDECAR}}],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
    }
    policy = {"apiVersion": ADMISSION, "kind": "MutatingAdmissionPolicy", "metadata": {"name": "mesh"}, "spec": spec}
    binding = {**policy, "kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": "mesh"}}
    for one in (policy, binding):
        deploy(control, one)


def declared(is_again: bool = False) -> Row:
    """Two ways to write the same."""
    env = {"A": "1", "B": "2"} if not is_again else {"B": "2", "A": "1"}
    thing = workload("Deployment", "web", **env)
    (container,) = thing["spec"]["template"]["spec"]["containers"]
    container["resources"]["limits"] = (
        {"cpu": "1000m", "memory": "1000M"} if not is_again else {"memory": "1G", "cpu": 1}
    )
    ports = [{"name": "http", "containerPort": 8080}, {"name": "admin", "containerPort": 8081}]
    container["ports"] = ports if not is_again else ports[::-1]
    thing["spec"]["replicas"] = 2
    return thing


def pods_have_sidecars(control: ControlPlane) -> bool:
    found = control.kubectl("get", "pods", "--output=jsonpath={.items[*].spec.containers[*].name}").split()
    return found.count("mesh") == found.count("app") > 0


def test_what_only_looks_like_drift_is_none(control: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> None:
    add_sidecar(control)
    with Plumb(control, tmp_path_factory.mktemp("data")) as plumb:
        deploy(control, declared())
        since = len(plumb.until_done(WEB))
        assert pods_have_sidecars(control)
        assert by_hand(plumb) == []

        # A patch would leave the order as it is.
        control.kubectl("replace", "--field-manager=helm", "--filename=-", text=json.dumps(declared(is_again=True)))
        again = plumb.until_done(WEB, since)
        assert [one for event in again for one in event["changes"]] == []
        assert by_hand(plumb) == []
        since += len(again)

        control.kubectl("autoscale", "deployment", "web", "--min=5", "--max=9", "--cpu-percent=50")
        scaled = plumb.until("the autoscaler is told", lambda: [
            one for one in plumb.happened(WEB, since) if changes(one)
        ], 90)[0]  # fmt: skip
        assert (scaled["kind"], changes(scaled)) == (
            "spec_changed",
            [("replicas", "2", "5", "kube-controller-manager")],
        )
        assert by_hand(plumb) == []
        # Nobody measures pods here: that is told of what it scales.
        about = "horizontalpodautoscaler/web"
        plumb.until("its warning is told", lambda: about in {one["object"] for one in plumb.happened(WEB, since)}, 60)
        since = len(plumb.happened(WEB))

        control.kubectl("rollout", "restart", "deployment/web")
        restarted = plumb.until_done(WEB, since)
        assert [one["what"] for event in restarted for one in event["changes"]] == ["restart"]
        assert "changed_by_hand" not in states(plumb.happened(WEB))
        assert by_hand(plumb) == []

        control.kubectl("set", "resources", "deployment/web", "--containers=app", "--limits=memory=2G")
        plumb.until("it is told", lambda: "changed_by_hand" in states(plumb.happened(WEB)))
        (told,) = (one for one in plumb.happened(WEB) if one["kind"] == "changed_by_hand")
        assert changes(told) == [(MEMORY, "1G", "2G", "kubectl-set")]
        assert by_hand(plumb) == [(WEB, MEMORY)]
