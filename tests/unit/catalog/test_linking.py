"""From entities to dependencies: what leads somewhere, and what does not."""

import random

import networkx as nx
import pytest

from aggregator.catalog.cycles import cycles
from tests.builders import api, component, declared, resource


def dependencies(catalog: str) -> list[tuple[str, tuple[str, ...], str]]:
    return [(each.source, each.targets, each.api) for each in declared(catalog).dependencies]


def problems(catalog: str) -> list[tuple[str, str]]:
    return [(str(problem.place), problem.sentence) for problem in declared(catalog).problems]


def test_every_way_to_declare_one() -> None:
    catalog = (
        component("web", dependsOn=["component:cart", "resource:db"], consumesApis=["cart-api"])
        + component("cart", providesApis=["cart-api"])
        + resource("db", dependencyOf=["component:cart"])
        + api("cart-api")
    )
    assert dependencies(catalog) == [
        ("component:default/web", ("component:default/cart",), ""),
        ("component:default/web", ("resource:default/db",), ""),
        ("component:default/web", ("component:default/cart",), "api:default/cart-api"),
        ("component:default/cart", ("resource:default/db",), ""),
    ]
    assert problems(catalog) == []


def test_letter_case_is_no_difference() -> None:
    catalog = component("Web", dependsOn=["Component:Default/ORDERS"]) + component("orders")
    assert dependencies(catalog) == [("component:default/web", ("component:default/orders",), "")]
    assert problems(catalog) == []


def test_an_api_that_several_provide_is_one_dependency() -> None:
    catalog = component("web", consumesApis=["a"], providesApis=["a"]) + component("b", providesApis=["a"])
    catalog += component("c", providesApis=["a"]) + api("a")
    targets = ("component:default/b", "component:default/c")
    assert dependencies(catalog) == [("component:default/web", targets, "api:default/a")]


GHOST = "component:default/web refers to {}, which is not declared; declare it or correct the reference."
NOWHERE = {
    "dependsOn": (component("web", dependsOn=["component:ghost"]), 2, GHOST.format("component:default/ghost")),
    "dependencyOf": (component("web", dependencyOf=["resource:ghost"]), 2, GHOST.format("resource:default/ghost")),
    "providesApis": (component("web", providesApis=["ghost"]), 2, GHOST.format("api:default/ghost")),
    "consumesApis": (component("web", consumesApis=["ghost"]), 2, GHOST.format("api:default/ghost")),
    "no provider": (
        api("a") + component("web", consumesApis=["a"]),
        4,
        "component:default/web consumes api:default/a, which no other component provides; "
        "add it to spec.providesApis of the component that does.",
    ),
    "a group": (
        component("web", dependsOn=["group:team"]),
        2,
        "component:default/web depends on group:default/team, and no traffic can show that; "
        "depend on a component, a resource or an API.",
    ),
    "twice": (
        component("web") + component("Web"),
        4,
        "component:default/web is already declared at catalog.yaml:2; keep one of them.",
    ),
    "itself": (
        component("web", dependsOn=["component:web"]),
        2,
        "Declared dependencies go round in a circle: component:default/web; remove one of them.",
    ),
}


@pytest.mark.parametrize(("catalog", "line", "sentence"), NOWHERE.values(), ids=NOWHERE)
def test_what_leads_nowhere_is_named(catalog: str, line: int, sentence: str) -> None:
    assert problems(catalog) == [(f"catalog.yaml:{line}", sentence)]


def test_of_two_the_first_counts() -> None:
    found = declared(component("web", owner="first") + component("web", owner="second"))
    assert [entity.owner for entity in found.entities.values()] == ["first"]


def test_a_circle_is_told_once_and_its_dependencies_stand() -> None:
    catalog = (
        component("a", dependsOn=["component:b"])
        + component("b", dependsOn=["component:c"])
        + component("c", dependsOn=["component:a"])
        + component("d", dependsOn=["component:a"])
    )
    ((place, sentence),) = problems(catalog)
    assert place == "catalog.yaml:2"
    names = "component:default/a, component:default/b, component:default/c"
    assert sentence == f"Declared dependencies go round in a circle: {names}; remove one of them."
    assert len(dependencies(catalog)) == 4


def test_of_a_large_circle_some_are_named() -> None:
    ring = "".join(component(f"c{n:02}", dependsOn=[f"component:c{(n + 1) % 30:02}"]) for n in range(30))
    ((_, sentence),) = problems(ring)
    assert sentence.count("component:") == 10
    assert ", ...;" in sentence


def test_a_chain_as_deep_as_anybody_likes() -> None:
    chain = {str(n): [str(n + 1)] for n in range(50_000)} | {"50000": []}
    assert list(cycles(chain)) == []
    assert [len(ring) for ring in cycles(chain | {"50000": ["0"]})] == [50_001]


@pytest.mark.parametrize("seed", range(20))
def test_circles_are_those_of_a_plain_search(seed: int) -> None:
    dice = random.Random(seed)
    graph = {n: [dice.randrange(25) for _ in range(dice.randrange(3))] for n in range(25)}
    named = {str(source): [str(target) for target in targets] for source, targets in graph.items()}
    plain = nx.DiGraph([(source, target) for source, targets in graph.items() for target in targets])
    plain.add_nodes_from(graph)
    expected = {
        frozenset(map(str, ring))
        for ring in nx.strongly_connected_components(plain)
        if len(ring) > 1 or plain.has_edge(*tuple(ring) * 2)
    }
    assert {frozenset(ring) for ring in cycles(named)} == expected
