"""One Deployment as an API server of 1.34 gave it, after each of a row of commands: what differs, and who did it.

It was made by `kubectl apply --field-manager=helm`, as Helm does; then `kubectl set resources`, `set env`, `rollout
restart`, `scale`, `patch` (which removes a probe), an autoscaler, `apply --server-side
--field-manager=argocd-controller`, `set resources`.
"""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from aggregator.resolve.deployed.byhand import ByHand
from aggregator.resolve.deployed.deployers import Deployers
from aggregator.resolve.deployed.differences import differences, held_by_hand, is_by_hand
from aggregator.resolve.deployed.specs import Spec, read_spec

SPECS: dict[str, Spec] = {
    name: read_spec(raw, "Deployment")
    for name, raw in json.loads((Path(__file__).parent / "real.json").read_text()).items()
}
BEFORE = {after: before for before, after in pairwise(SPECS)}
USUAL = Deployers()
MEMORY, ENV = "containers[app].resources.limits.memory", "containers[app].env[LOG]"
PROBE, RESTART = "containers[app].livenessProbe", "annotations[kubectl.kubernetes.io/restartedAt]"


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("set-resources", {(MEMORY, "128Mi", "256Mi", "kubectl-set", True)}),
        ("set-env", {(ENV, "", "", "kubectl-set", True)}),
        ("restart", {(RESTART, "", "", "kubectl-rollout", False)}),
        ("scale", {("replicas", "2", "3", "kubectl", True)}),
        ("autoscaled", {("replicas", "3", "5", "kube-controller-manager", False)}),
        ("set-after-argocd", {(MEMORY, "128Mi", "300Mi", "kubectl-set", True)}),
    ],
)
def test_what_a_command_changed_and_that_it_was_it(after: str, expected: set[tuple[str, str, str, str, bool]]) -> None:
    found = differences(SPECS[BEFORE[after]], SPECS[after])
    assert {
        (one.path, one.before, one.after, one.by.manager if one.by else "", is_by_hand(one, SPECS[after], USUAL))
        for one in found
    } == expected


def test_who_removes_a_field_leaves_no_note_and_is_none_of_those_who_did() -> None:
    found = differences(SPECS["scale"], SPECS["patch-remove"])
    assert {one.path.partition(".livenessProbe")[0] for one in found} == {"containers[app]"}
    assert {(one.by and one.by.manager, is_by_hand(one, SPECS["patch-remove"], USUAL)) for one in found} == {("", True)}


def test_all_that_who_deploys_put_back_was_that_one_s() -> None:
    found = differences(SPECS["autoscaled"], SPECS["argocd"])
    assert {one.by and one.by.manager for one in found} == {"argocd-controller"}
    assert {MEMORY, ENV, "containers[app].image", "replicas"} <= {one.path for one in found}


def test_what_is_by_hand_from_the_notes_alone_at_each_time() -> None:
    assert {name: [one.path for one in held_by_hand(spec, USUAL)] for name, spec in SPECS.items()} == {
        "helm": [],
        "set-resources": [MEMORY],
        "set-env": [ENV, MEMORY],
        "restart": [ENV, MEMORY],
        "scale": ["replicas", ENV, MEMORY],
        "patch-remove": ["replicas", ENV, MEMORY],
        "autoscaled": [ENV, MEMORY],
        "argocd": [],
        "set-after-argocd": [MEMORY],
    }


def test_what_is_by_hand_for_one_who_saw_all_of_it() -> None:
    followed = ByHand(USUAL, SPECS["helm"])
    for before, after in pairwise(SPECS):
        followed.change(SPECS[after], differences(SPECS[before], SPECS[after]))
        if after == "patch-remove":
            told = {(one.path.partition(".livenessProbe")[0], one.before, one.after) for one in followed.fields}
            assert {("replicas", "2", "3"), (ENV, "", ""), (MEMORY, "128Mi", "256Mi")} < told
    assert [(one.path, one.before, one.after) for one in followed.fields] == [(MEMORY, "128Mi", "300Mi")]
