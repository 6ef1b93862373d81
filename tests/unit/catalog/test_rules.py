"""What a portal takes as a name, a reference, an entity."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.catalog import rules


@pytest.mark.parametrize("name", ["a", "A-b_c.d", "api.stripe.com", "x" * 63, "0"])
def test_names(name: str) -> None:
    assert rules.is_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", ".a", "a b", "a:b", "a/b", "é", "x" * 64, "a\n", "*.x"])
def test_no_names(name: str) -> None:
    assert not rules.is_name(name)


@pytest.mark.parametrize(
    ("namespace", "fits"), [("default", True), ("a--b", True), ("A", False), ("a_b", False), ("a-", False)]
)
def test_namespaces(namespace: str, fits: bool) -> None:
    assert rules.is_namespace(namespace) is fits


@pytest.mark.parametrize(
    ("written", "kind", "whole"),
    [
        ("component:default/Cart", "", "component:default/cart"),
        ("Component:Cart", "", "component:shop/cart"),
        ("cart", "api", "api:shop/cart"),
        ("bank/cart", "api", "api:bank/cart"),
        ("cart", "", None),
        ("", "api", None),
        (":cart", "api", None),
        ("api:/cart", "", None),
        ("a:b:c", "", None),
        ("api:a/b/c", "", None),
        ("api:a b", "", None),
        ("api:" + "x" * 64, "", None),
    ],
)
def test_references(written: str, kind: str, whole: str | None) -> None:
    assert rules.complete(written, kind, "shop") == whole


def sound() -> dict[str, Any]:
    return {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Resource",
        "metadata": {
            "name": "pay.example",
            "namespace": "runtime",
            "annotations": {"plumbline.dev/host": "pay.example"},
        },
        "spec": {"type": "third-party", "owner": "group:default/a", "dependencyOf": ["component:default/cart"]},
    }


def test_a_sound_entity_has_no_fault() -> None:
    assert rules.faults(sound()) == []


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("relations",), [], "its envelope is not apiVersion, kind, metadata and spec"),
        (("apiVersion",), "v1", "its envelope is not apiVersion, kind, metadata and spec"),
        (("kind",), "Robot", "its kind is not allowed"),
        (("metadata", "name"), "a:b", "its name is not allowed"),
        (("metadata", "namespace"), "Runtime", "its namespace is not allowed"),
        (("metadata", "title"), " ", "its title or description is no text"),
        (("metadata", "annotations", "a b"), "x", "its annotation a b is not allowed"),
        (("metadata", "annotations", "Bad.dev/x"), "x", "its annotation Bad.dev/x is not allowed"),
        (("metadata", "annotations", "x"), 1, "its annotation x is not allowed"),
        (("spec", "type"), "", "it lacks what its kind must have"),
        (("spec", "owner"), "Team A", "its owner is no reference"),
        (("spec", "dependencyOf"), ["cart"], "its dependencyOf holds what is no reference"),
        (("spec", "dependsOn"), ["component:"], "its dependsOn holds what is no reference"),
    ],
)
def test_each_fault_is_found(path: tuple[str, ...], value: object, fault: str) -> None:
    entity = sound()
    inner = entity
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert rules.faults(entity) == [fault]


@given(st.text(), st.sampled_from(["", "api"]))
def test_what_is_completed_is_whole(written: str, kind: str) -> None:
    whole = rules.complete(written, kind, "shop")
    assert whole is None or rules.complete(whole, "", "other") == whole
