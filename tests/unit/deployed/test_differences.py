"""What differs between two specs and who did it, and that nothing is told that nobody must see."""

import json
from typing import Any

import pytest

from aggregator.resolve.deployed.byhand import ByHand
from aggregator.resolve.deployed.deployers import Deployers
from aggregator.resolve.deployed.differences import Changed, differences, held_by_hand, is_by_hand, replaces_pods
from aggregator.resolve.deployed.specs import Spec
from tests.unit.deployed.objects import (
    ENV,
    LIMIT,
    NOTES,
    RESTART,
    Raw,
    changed,
    container_of,
    deployment,
    image,
    limit,
    noted,
    spec,
)

MEMORY = "containers[app].resources.limits.memory"
USUAL = Deployers()


def between(before: Raw, after: Raw) -> list[Changed]:
    return differences(spec(before), spec(after))


def short(changes: list[Changed]) -> list[tuple[str, str, str, str]]:
    return [(one.path, one.kind, one.before, one.after) for one in changes]


def set_env(value: str) -> Any:
    return lambda raw: container_of(raw)["env"][0].update(value=value)


def restart(raw: Raw) -> None:
    raw["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "2026-11-26T10:00:01Z"}


def replicas(count: int) -> Any:
    return lambda raw: raw["spec"].update(replicas=count)


CASES = {
    "image": (
        image("registry.example/web:2"),
        ("containers[app].image", "image", "registry.example/web:1", "registry.example/web:2"),
    ),
    "limit": (limit("256Mi"), (MEMORY, "resources", "128Mi", "256Mi")),
    "env": (set_env("debug"), ("containers[app].env[LOG_LEVEL]", "env", "", "")),
    "replicas": (replicas(5), ("replicas", "replicas", "3", "5")),
    "restart": (restart, ("annotations[kubectl.kubernetes.io/restartedAt]", "restart", "", "")),
    "probe": (
        lambda raw: container_of(raw)["livenessProbe"].update(periodSeconds=30),
        ("containers[app].livenessProbe.periodSeconds", "probe", "10", "30"),
    ),
    "arguments": (
        lambda raw: container_of(raw).update(args=["--token=xyz"]),
        ("containers[app].args", "other", "", ""),
    ),
    "strategy": (
        lambda raw: raw["spec"]["strategy"]["rollingUpdate"].update(maxSurge=1),
        ("strategy.rollingUpdate.maxSurge", "other", "25%", "1"),
    ),
    "a label": (
        lambda raw: raw["spec"]["template"]["metadata"]["labels"].update(version="2"),
        ("labels.version", "other", "", ""),
    ),
    "a port": (
        lambda raw: container_of(raw)["ports"].append({"containerPort": 9090, "protocol": "TCP", "name": "metrics"}),
        ("containers[app].ports[9090,TCP]", "other", "", ""),
    ),
    "a sidecar": (
        lambda raw: raw["spec"]["template"]["spec"]["containers"].append({"name": "proxy", "image": "proxy:1"}),
        ("containers[proxy]", "other", "", ""),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_differs_is_told_by_its_path(name: str) -> None:
    how, expected = CASES[name]
    before = deployment()
    assert short(between(before, changed(before, how))) == [expected]
    assert replaces_pods(between(before, changed(before, how))) is (name not in ("replicas", "strategy"))


def test_a_status_or_an_order_differs_in_nothing() -> None:
    before = deployment()
    after = changed(before, lambda raw: container_of(raw)["env"].reverse())
    after["status"]["replicas"] = 7
    assert between(before, after) == []


def test_values_that_nobody_must_see_are_nowhere() -> None:
    before = deployment()
    kept = spec(before)
    assert not {"info", "--token=abc", "password"} & set(json.loads(kept.fields).values())
    for secret in (b"token", b"info", b"healthz", b"77"):
        assert b'"' + secret not in kept.fields


def test_it_was_whoever_holds_the_field_by_now() -> None:
    before = deployment()
    (one,) = between(before, changed(before, limit("256Mi"), "kubectl-set", LIMIT))
    assert one.by is not None and one.by.manager == "kubectl-set"
    (one,) = between(before, changed(before, set_env("debug"), "kubectl-set", ENV))
    assert one.by is not None and one.by.manager == "kubectl-set"


def test_a_field_that_is_gone_was_removed_by_who_wrote_last() -> None:
    before = deployment()
    after = changed(before, lambda raw: container_of(raw)["resources"]["limits"].pop("cpu"))
    after["metadata"]["managedFields"].append(noted("kubectl-edit", {"f:progressDeadlineSeconds": {}}, 7))
    (one,) = between(before, after)
    assert (one.before, one.after) == ("1", "") and one.by is not None and one.by.manager == "kubectl-edit"


def test_who_deploys_and_who_does_not() -> None:
    before = deployment()
    for manager, expected in (("kubectl-set", True), ("helm", False), ("argocd-controller", False), ("ci-web", True)):
        after = spec(changed(before, limit("256Mi"), manager, LIMIT))
        (one,) = differences(spec(before), after)
        assert is_by_hand(one, after, USUAL) is expected, manager
    assert not is_by_hand(one, after, Deployers(["ci-*"]))


def test_an_autoscaler_and_a_restart_change_nothing_that_was_declared() -> None:
    before = deployment()
    scaled = spec(changed(before, replicas(7), "kube-controller-manager", {"f:replicas": {}}, part="scale"))
    restarted = spec(changed(before, restart, "kubectl-rollout", RESTART))
    for after in (scaled, restarted):
        (one,) = differences(spec(before), after)
        assert not is_by_hand(one, after, USUAL)
        assert held_by_hand(after, USUAL) == []
    by_hand = spec(changed(before, replicas(7), "kubectl", {"f:replicas": {}}, part="scale"))
    assert [one.path for one in held_by_hand(by_hand, USUAL)] == ["replicas"]


def test_what_the_notes_alone_tell_of_a_change_that_nobody_saw() -> None:
    after = spec(changed(deployment(), limit("256Mi"), "kubectl-set", LIMIT))
    assert short(held_by_hand(after, USUAL)) == [(MEMORY, "resources", "", "256Mi")]
    assert held_by_hand(spec(deployment()), USUAL) == []


def test_whoever_made_it_changed_nothing_by_making_it() -> None:
    made = deployment(manager="kubectl-create")
    assert held_by_hand(spec(made), USUAL) == []
    after = spec(changed(made, limit("256Mi"), "kubectl-set", LIMIT))
    assert [one.path for one in held_by_hand(after, USUAL)] == [MEMORY]


def test_a_field_that_who_deploys_holds_too_is_as_that_one_wants_it() -> None:
    raw = changed(deployment(), limit("256Mi"), "kubectl-set", LIMIT)
    raw["metadata"]["managedFields"].append(noted("helm", LIMIT, 9, operation="Apply"))
    assert held_by_hand(spec(raw), USUAL) == []


def test_an_operator_changes_what_it_made() -> None:
    made = deployment(manager="postgres-operator")
    made["metadata"]["ownerReferences"] = [
        {"apiVersion": "acme.test/v1", "kind": "Postgres", "name": "main", "uid": "u", "controller": True}
    ]
    after = changed(made, limit("256Mi"))
    after["metadata"]["managedFields"][0] = noted("postgres-operator", NOTES, 5)
    (one,) = between(made, after)
    assert not is_by_hand(one, spec(after), USUAL)


class Followed:
    """A deployment whose changes by hand are followed."""

    def __init__(self, raw: Raw) -> None:
        self.raw, self.kept = raw, ByHand(USUAL, spec(raw))

    def change(self, memory: str, manager: str) -> list[tuple[str, str, str]]:
        before: Spec = spec(self.raw)
        fields = LIMIT
        self.raw = changed(self.raw, limit(memory), manager, fields, self.raw["metadata"]["generation"])
        after = spec(self.raw)
        self.kept.change(after, differences(before, after))
        return [(one.path, one.before, one.after) for one in self.kept.fields]


def test_a_change_by_hand_lasts_until_somebody_who_deploys_ends_it() -> None:
    followed = Followed(deployment())
    assert followed.change("256Mi", "kubectl-set") == [(MEMORY, "128Mi", "256Mi")]
    assert followed.change("512Mi", "kubectl-edit") == [(MEMORY, "128Mi", "512Mi")]
    assert followed.change("300Mi", "helm") == []


def test_a_change_that_somebody_puts_back_is_none_any_more() -> None:
    followed = Followed(deployment())
    assert followed.change("256Mi", "kubectl-set")
    assert followed.change("128Mi", "kubectl-set") == []


def test_what_came_or_went_whole_by_hand_is_by_hand() -> None:
    before = deployment()
    added = changed(before, lambda raw: container_of(raw)["env"].append({"name": "NEW", "value": "x"}), "kubectl-set", {
        "f:template": {"f:spec": {"f:containers": {'k:{"name":"app"}': {"f:env": {
            'k:{"name":"NEW"}': {".": {}, "f:name": {}, "f:value": {}}}}}}}}, 2)  # fmt: skip
    kept = ByHand(USUAL, spec(before))
    kept.change(spec(added), between(before, added))
    assert [one.path for one in kept.fields] == ["containers[app].env[NEW]"]
    removed = changed(before, lambda raw: container_of(raw)["env"].pop(0))
    kept = ByHand(USUAL, spec(before))
    kept.change(spec(removed), between(before, removed))
    assert [one.path for one in kept.fields] == ["containers[app].env[LOG_LEVEL]"]


def test_a_change_by_who_made_it_by_hand_is_one_too() -> None:
    followed = Followed(deployment(manager="kubectl-client-side-apply"))
    assert followed.change("256Mi", "kubectl-client-side-apply") == [(MEMORY, "128Mi", "256Mi")]


@pytest.mark.parametrize(
    "broken", [{}, {"spec": None, "metadata": {"managedFields": [1, {"fieldsV1": {"f:spec": 3}}]}}]
)
def test_half_an_object_is_read_as_far_as_it_goes(broken: Raw) -> None:
    found = spec(broken)
    assert (found.uid, found.wanted, held_by_hand(found, USUAL)) == ("", 1, [])
