"""What every question may look at: which traffic counts, what was watched, and which entity a node is."""

from typing import Any

import pytest
from plumbline.v1 import topology_pb2 as pb

from aggregator.insight import ask
from aggregator.insight.case import CannotAnswer, Case
from tests.builders import (
    api,
    call,
    case,
    component,
    external,
    host,
    opaque,
    process,
    resource,
    third_party,
    unit,
    unresolved,
    workload,
)

HOST, NODE = "plumbline.dev/host", "plumbline.dev/node"


SILENT: dict[str, Any] = {"requests": 0, "connections": 0, "bytes_sent": 0, "bytes_received": 0}


def joined(seen: Case) -> dict[str, str]:
    return dict(seen.join.entity_of)


@pytest.mark.parametrize("background", [pb.EDGE_CLASS_PROBE, pb.EDGE_CLASS_SCRAPE, pb.EDGE_CLASS_SELF])
def test_background_is_no_traffic(background: int) -> None:
    used = call("alpha/a", "alpha/b")
    assert case(used, call("alpha/k", "alpha/b", class_=background)).traffic == (used,)


def test_an_edge_that_is_only_remembered_is_no_traffic() -> None:
    assert case(call("alpha/a", "alpha/b", **SILENT)).traffic == ()


@pytest.mark.parametrize("sign", [{"active_connections": 1}, {"failed_connections": {"refused": 1}}, {"requests": 1}])
def test_an_edge_with_any_sign_of_life_is_traffic(sign: dict[str, Any]) -> None:
    assert len(case(call("alpha/a", "alpha/b", **(SILENT | sign))).traffic) == 1


def test_coverage_is_what_was_understood_of_what_was_watched() -> None:
    seen = (call("alpha/a", "alpha/b"), opaque("alpha/a", "alpha/c"))
    assert case(*seen).coverage == 0.5
    assert case(*seen, host("alpha", blind=[(300, 150)])).coverage == 0.25
    assert case().coverage == 1.0


@pytest.mark.parametrize(
    ("seen", "share"),
    [
        (host("alpha"), 1.0),
        (host("alpha", blind=[(150, 0)]), 0.5),
        (host("alpha", blind=[(300, 200), (250, 150)]), 0.5),  # overlapping spans count once
        (host("alpha", blind=[(900, 600)]), 1.0),  # before the window
        (host("alpha", stale=True, last_seen=75), 0.75),
        (host("alpha", stale=True, last_seen=900), 0.0),
    ],
)
def test_what_was_not_looked_at_is_known(seen: pb.Host, share: float) -> None:
    assert case(seen).watch.share == pytest.approx(share)


def test_a_blind_interval_without_an_end_lasts_until_now() -> None:
    blind = host("alpha", blind=[(150, 0)])
    blind.blind[0].ClearField("to")
    assert case(blind).watch.share == pytest.approx(0.5)


def test_a_unit_is_watched_by_its_own_host_and_a_workload_by_all() -> None:
    seen = case(host("alpha"), host("beta", blind=[(300, 0)]))
    assert [each.share for each in seen.watch.hosts_of(unit("cart", "alpha"))] == [1.0]
    assert [each.share for each in seen.watch.hosts_of(workload("shop", "cart"))] == [1.0, 0.0]


def test_a_node_of_another_cluster_lies_on_its_host() -> None:
    far = pb.Node(id="west:alpha/cart", kind=pb.NODE_KIND_UNIT, name="cart", cluster="west")
    assert [each.name for each in case(host("alpha"), host("beta")).watch.hosts_of(far)] == ["alpha"]


class TestJoining:
    def test_by_name(self) -> None:
        seen = case(unit("cart"), unit("orders.service"), catalog=component("Cart") + component("orders"))
        assert joined(seen) == {
            "alpha/cart": "component:default/cart",
            "alpha/orders.service": "component:default/orders",
        }

    def test_one_component_on_many_hosts(self) -> None:
        seen = case(unit("cart", "alpha"), unit("cart", "beta"), catalog=component("cart"))
        assert seen.join.nodes_of == {"component:default/cart": ("alpha/cart", "beta/cart")}

    def test_by_annotation_before_name(self) -> None:
        catalog = component("basket", annotations={NODE: "alpha/cart, beta/cart"}) + component("cart")
        seen = case(unit("cart", "alpha"), unit("cart", "beta"), unit("cart", "gamma"), catalog=catalog)
        assert joined(seen) == {
            "alpha/cart": "component:default/basket",
            "beta/cart": "component:default/basket",
            "gamma/cart": "component:default/cart",
        }

    def test_what_is_annotated_is_not_looked_for_by_name(self) -> None:
        catalog = component("cart", annotations={NODE: "alpha/basket"})
        assert joined(case(unit("cart"), catalog=catalog)) == {}

    def test_a_third_party_by_its_name_or_its_annotation(self) -> None:
        catalog = resource("api.stripe.com") + resource("maps", annotations={HOST: "Maps.Example., 203.0.113.9"})
        seen = case(
            third_party("api.stripe.com"), third_party("maps.example"), external("203.0.113.9"), catalog=catalog
        )
        assert joined(seen) == {
            "api.stripe.com": "resource:default/api.stripe.com",
            "maps.example": "resource:default/maps",
            "203.0.113.9": "resource:default/maps",
        }

    def test_an_outside_name_is_no_component_of_that_name_without_a_dot(self) -> None:
        assert joined(case(third_party("cart"), catalog=component("cart"))) == {}

    def test_the_namespace_of_a_workload_decides(self) -> None:
        catalog = component("web", namespace="shop") + component("web", namespace="bank") + component("web")
        seen = case(workload("shop", "web"), workload("other", "web"), catalog=catalog)
        assert joined(seen) == {
            "shop/Deployment/web": "component:shop/web",
            "other/Deployment/web": "component:default/web",
        }

    def test_a_component_of_another_namespace_is_another_one(self) -> None:
        assert joined(case(workload("shop", "web"), catalog=component("web", namespace="bank"))) == {}

    def test_a_component_before_a_resource(self) -> None:
        assert joined(case(unit("db"), catalog=resource("db") + component("db"))) == {
            "alpha/db": "component:default/db"
        }

    def test_two_that_fit_alike_are_a_problem_and_no_guess(self) -> None:
        seen = case(unit("web"), catalog=component("web", namespace="shop") + component("web", namespace="bank"))
        assert joined(seen) == {}
        assert seen.join.undecided == {"component:shop/web", "component:bank/web"}
        assert [str(problem.place) for problem in seen.join.problems] == ["catalog.yaml:2"]
        assert seen.join.problems[0].sentence == (
            "alpha/web may be component:shop/web or component:bank/web; "
            "say which with the annotation plumbline.dev/node or plumbline.dev/host on that one alone."
        )

    def test_what_has_no_name_of_its_own_is_nothing_declared(self) -> None:
        assert joined(case(unresolved("10.0.0.9"), catalog=component("10.0.0.9"))) == {}

    def test_an_api_runs_nowhere(self) -> None:
        assert joined(case(unit("cart"), catalog=api("cart"))) == {}


class TestFinding:
    SEEN = case(
        unit("cart"),
        unit("cart", "beta"),
        process("curl"),
        catalog=component("shell", annotations={NODE: "alpha/curl"}),
    )

    @pytest.mark.parametrize(
        "subject", ["alpha/curl", "curl", "CURL", "component:default/shell", "Component:default/Shell"]
    )
    def test_by_id_name_or_reference(self, subject: str) -> None:
        assert self.SEEN.find(subject).id == "alpha/curl"

    def test_a_name_that_several_have_is_asked_back(self) -> None:
        with pytest.raises(CannotAnswer, match="'cart' may be alpha/cart, beta/cart; give the id"):
            self.SEEN.find("cart")

    def test_what_was_not_seen_is_told(self) -> None:
        with pytest.raises(CannotAnswer, match="Nothing named 'nope' was seen; `plumb graph` shows"):
            self.SEEN.find("nope")


class TestAsking:
    def test_every_answer_carries_window_and_coverage(self) -> None:
        for question, subject in (("drift", ""), ("impact", "alpha/a"), ("thirdparties", "")):
            content = ask(case(unit("a")), question, subject).content
            assert content["window"] == {"from": "2026-01-02T03:04:05.000Z", "to": "2026-01-02T03:09:05.000Z"}
            assert content["coverage"] == 1.0

    def test_an_unknown_question_names_those_that_exist(self) -> None:
        with pytest.raises(
            CannotAnswer, match="There is no question 'why'; ask one of: drift, impact, owner, thirdparties"
        ):
            ask(case(), "why")

    def test_a_question_about_one_node_needs_it(self) -> None:
        with pytest.raises(CannotAnswer, match="impact is about one node: name it"):
            ask(case(), "impact")
