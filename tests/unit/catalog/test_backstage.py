"""Backstage's YAML into declarations: what is read, and what is wrong with it, by file and line."""

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.catalog import backstage
from aggregator.catalog.backstage import Parsed
from aggregator.catalog.model import Place, Reference
from tests.builders import component

CART = """\
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: cart
  title: The cart
  annotations:
    plumbline.dev/node: alpha/cart, beta/cart
spec:
  type: service
  lifecycle: production
  owner: team-cart
  dependsOn:
    - resource:db
    - Component:Shop/Prices
  dependencyOf: [component:web]
  providesApis: [cart-api]
  consumesApis:
    - bank/rates
"""


def read(text: str) -> Parsed:
    return backstage.parse(dedent(text), "shop.yaml")


def problems(text: str) -> list[tuple[str, str]]:
    return [(str(problem.place), problem.sentence) for problem in read(text).problems]


def test_an_entity_with_everything() -> None:
    parsed = read(CART)
    (cart,) = parsed.entities
    assert parsed.problems == ()
    assert (cart.ref, cart.place, cart.title) == ("component:default/cart", Place("shop.yaml", 4), "The cart")
    assert (cart.type, cart.lifecycle, cart.owner) == ("service", "production", "team-cart")
    assert cart.annotated("plumbline.dev/node") == ("alpha/cart", "beta/cart")
    assert cart.depends_on == (
        Reference("resource:default/db", Place("shop.yaml", 13)),
        Reference("component:shop/prices", Place("shop.yaml", 14)),
    )
    assert cart.dependency_of == (Reference("component:default/web", Place("shop.yaml", 15)),)
    assert cart.provides_apis == (Reference("api:default/cart-api", Place("shop.yaml", 16)),)
    assert cart.consumes_apis == (Reference("api:bank/rates", Place("shop.yaml", 18)),)


def test_a_reference_without_a_namespace_stays_in_that_of_its_entity() -> None:
    (cart,) = read(component("cart", namespace="shop", dependsOn=["resource:db"])).entities
    assert cart.depends_on[0].target == "resource:shop/db"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just text",
        "- a\n- list",
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n",
        "apiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {name: team}\nspec: {type: team, children: []}\n",
        "apiVersion: [backstage.io/v1alpha1]\nkind: Component\n",
    ],
    ids=["empty", "text", "list", "Kubernetes", "another kind", "no version"],
)
def test_what_is_none_of_ours_is_passed_over(text: str) -> None:
    assert read(text) == Parsed((), ())


def test_what_the_feed_wrote_is_no_declaration() -> None:
    assert read(component("pay", annotations={"plumbline.dev/observed": "true"})).entities == ()


WRONG = [
    ("kind: Component", "kynd: Component", 1, "This entity has no kind; write Component, Resource or API."),
    ("name: cart", "name: 12", 4, "This entity has no name that is text; use up to 63 letters"),
    ("name: cart", "name: a b", 4, "The name 'a b' is not allowed; use up to 63 letters, digits"),
    ("name: cart", f"name: {'x' * 999}", 4, f"The name '{'x' * 80}' is not allowed"),
    ("title: The cart", "namespace: Shop", 5, "The namespace 'Shop' is not allowed; use small letters"),
    ("owner: team-cart", "owner: The team", 11, "The owner 'The team' of component:default/cart is no reference"),
    ("  owner: team-cart\n", "", 9, "component:default/cart lacks spec.owner, so portals refuse it"),
    ("type: service", "type: 1", 9, "component:default/cart lacks spec.type, so portals refuse it"),
    ("- resource:db", "- db", 13, "The reference 'db' in spec.dependsOn of component:default/cart has no kind"),
    ("- resource:db", "- ''", 13, "spec.dependsOn of component:default/cart holds no reference"),
    ("- resource:db", "- {a: b}", 13, "spec.dependsOn of component:default/cart holds no reference"),
    ("[cart-api]", "cart-api", 16, "spec.providesApis of component:default/cart is no list; write it as one."),
    ("type: service", "apiProvidedBy: x\n  type: service", 9, "spec.apiProvidedBy of component:default/cart has no"),
    ("beta/cart", "beta/cart\n    a: 1", 8, "The annotation a of component:default/cart is no text; quote it."),
    ("type: service", "type: service\n  type: x", 10, "type stands twice in component:default/cart; only the"),
]


@pytest.mark.parametrize(("old", "new", "line", "sentence"), WRONG, ids=[f"{row[0]}-{row[1][:20]}" for row in WRONG])
def test_what_is_wrong_is_named_with_its_line(old: str, new: str, line: int, sentence: str) -> None:
    ((place, found),) = problems(CART.replace(old, new))
    assert place == f"shop.yaml:{line}"
    assert found.startswith(sentence)
    assert len(found) < 300


def test_a_broken_reference_does_not_take_the_others_with_it() -> None:
    (cart,) = read(CART.replace("- resource:db", "- db")).entities
    assert [reference.target for reference in cart.depends_on] == ["component:shop/prices"]


@pytest.mark.parametrize("spec", ["", "spec: 7", "spec: [a]"])
def test_an_entity_without_a_spec_is_broken_and_known(spec: str) -> None:
    parsed = read(CART[: CART.index("spec:")] + spec)
    assert parsed.entities == ()
    assert parsed.broken == {"component:default/cart"}
    assert parsed.problems[0].sentence == "component:default/cart has no spec; give it one with type and owner."


def test_broken_text_keeps_what_came_before() -> None:
    parsed = read(f"{CART}---\nkind: [\n")
    assert [entity.ref for entity in parsed.entities] == ["component:default/cart"]
    assert parsed.is_broken
    assert [str(problem.place) for problem in parsed.problems] == ["shop.yaml:21"]


@given(st.text())
def test_any_text_is_read_or_named(text: str) -> None:
    parsed = backstage.parse(text, "any.yaml")
    assert all(problem.sentence.endswith(".") for problem in parsed.problems)


HOSTILE = st.text(st.characters(codec="utf-8"), min_size=1) | st.sampled_from(
    ["\n---\nkind: Component", '"', "': x", "\x1b[31m", "<script>", "} -> {", "!!python/object", "&a *a", "\u2028"]
)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_name_makes_an_entity_of_its_own(name: str, owner: str, target: str) -> None:
    parsed = backstage.parse(component(name, owner=owner, dependsOn=[target]), "any.yaml")
    assert len(parsed.entities) <= 1
    assert all(entity.name == name.strip() for entity in parsed.entities)
