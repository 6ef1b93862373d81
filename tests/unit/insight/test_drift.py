"""Each kind of drift where it is, and where it is not."""

from collections.abc import Sequence
from typing import Any

import pytest
from plumbline.v1 import topology_pb2 as pb

from aggregator.catalog.model import Declarations
from aggregator.insight import ask
from aggregator.insight.case import Answer, Case, Verdict
from aggregator.resolve.vendors import Vendor, Vendors
from tests.builders import (
    TO_SECONDS,
    api,
    call,
    case,
    component,
    external,
    host,
    lookup,
    opaque,
    process,
    resource,
    third_party,
    topology,
    unit,
    unresolved,
)

HOST, NODE = "plumbline.dev/host", "plumbline.dev/node"
WEB, CART = "component:default/web", "component:default/cart"
SHOP = (unit("web"), unit("cart"))
WEB_CALLS_CART = call("alpha/web", "alpha/cart")
Part = pb.Node | pb.Edge | pb.Host


def drift(*parts: Part, catalog: str) -> Answer:
    return ask(case(*parts, catalog=catalog), "drift")


def found(answer: Answer) -> list[tuple[str, str, str | None]]:
    return [(each["kind"], each["subject"], each["object"]) for each in answer.content["findings"]]


def withheld(answer: Answer) -> list[tuple[str, str, str | None]]:
    return [(each["kind"], each["subject"], each["object"]) for each in answer.content["withheld"]]


def only(answer: Answer) -> dict[str, Any]:
    """The one finding there is."""
    (finding,) = answer.content["findings"]
    return dict(finding)


def test_what_is_declared_and_seen_is_no_drift() -> None:
    answer = drift(*SHOP, WEB_CALLS_CART, catalog=component("web", dependsOn=["component:cart"]) + component("cart"))
    assert (answer.content["findings"], answer.content["withheld"], answer.content["problems"]) == ([], [], [])
    assert answer.content["reason"] is None
    assert answer.verdict is Verdict.DONE


class TestObservedOnly:
    CATALOG = component("web", owner="team-web") + component("cart")

    def test_a_call_that_nobody_declared(self) -> None:
        finding = only(drift(*SHOP, WEB_CALLS_CART, catalog=self.CATALOG))
        evidence = finding.pop("evidence")
        assert finding == {
            "kind": "observed_only",
            "subject": WEB,
            "object": CART,
            "severity": "medium",
            "confidence": "high",
        }
        assert evidence["edges"] == [WEB_CALLS_CART.id]
        assert (evidence["requests"], evidence["owner"], evidence["place"]) == (10, "team-web", "catalog.yaml:2")
        assert evidence["window"]["to"] == "2026-01-02T03:09:05.000Z"

    def test_several_edges_are_one_finding(self) -> None:
        other_port = call("alpha/web", "alpha/cart", port=81, requests=5)
        finding = only(drift(*SHOP, WEB_CALLS_CART, other_port, catalog=self.CATALOG))
        assert finding["evidence"]["edges"] == [WEB_CALLS_CART.id, other_port.id]
        assert finding["evidence"]["requests"] == 15

    def test_a_call_the_other_way_is_another_dependency(self) -> None:
        catalog = component("web", dependsOn=["component:cart"]) + component("cart")
        answer = drift(*SHOP, WEB_CALLS_CART, call("alpha/cart", "alpha/web"), catalog=catalog)
        assert found(answer) == [("observed_only", CART, WEB)]

    @pytest.mark.parametrize(
        "catalog",
        [
            component("web", dependsOn=["component:default/cart"]) + component("cart"),
            component("web") + component("cart", dependencyOf=["component:web"]),
            component("web", consumesApis=["cart-api"])
            + component("cart", providesApis=["cart-api"])
            + api("cart-api"),
            component("web", dependsOn=["api:cart-api"])
            + component("cart", providesApis=["cart-api"])
            + api("cart-api"),
        ],
        ids=["dependsOn", "dependencyOf", "consumesApis", "dependsOn an API"],
    )
    def test_every_way_to_declare_a_dependency_counts(self, catalog: str) -> None:
        assert found(drift(*SHOP, WEB_CALLS_CART, catalog=catalog)) == []

    @pytest.mark.parametrize("background", [pb.EDGE_CLASS_PROBE, pb.EDGE_CLASS_SCRAPE, pb.EDGE_CLASS_SELF])
    def test_probes_and_scrapes_are_no_use(self, background: int) -> None:
        answer = drift(*SHOP, call("alpha/web", "alpha/cart", class_=background), catalog=self.CATALOG)
        assert found(answer) == []

    def test_looking_up_a_name_is_no_dependency(self) -> None:
        answer = drift(*SHOP, lookup("alpha/web", "alpha/cart"), catalog=self.CATALOG)
        assert found(answer) == []

    def test_calls_among_instances_of_one_component_are_its_own_business(self) -> None:
        cluster = (unit("db", "alpha"), unit("db", "beta"), host("alpha"), host("beta"))
        assert found(drift(*cluster, call("alpha/db", "beta/db"), catalog=component("db"))) == []

    def test_an_ambiguous_server_lowers_confidence(self) -> None:
        parts = (unit("web"), third_party("pay.example", ambiguous=True), call("alpha/web", "pay.example"))
        finding = only(drift(*parts, catalog=component("web") + resource("pay.example")))
        assert (finding["kind"], finding["confidence"]) == ("observed_only", "low")


class TestUndeclaredThirdParty:
    PARTS = (unit("web"), third_party("pay.example", "host"), call("alpha/web", "pay.example"))

    def test_a_third_party_that_nobody_declared(self) -> None:
        finding = only(drift(*self.PARTS, catalog=component("web")))
        assert (finding["kind"], finding["subject"], finding["object"]) == (
            "undeclared_third_party",
            WEB,
            "pay.example",
        )
        assert (finding["severity"], finding["confidence"]) == ("high", "high")
        assert (finding["evidence"]["name_source"], finding["evidence"]["ambiguous"]) == ("host", False)

    def test_one_on_a_shared_address_is_said_with_doubt(self) -> None:
        parts = (unit("web"), third_party("cdn.example", ambiguous=True), call("alpha/web", "cdn.example"))
        assert only(drift(*parts, catalog=component("web")))["confidence"] == "low"

    def test_a_declared_one_is_none(self) -> None:
        catalog = component("web", dependsOn=["resource:payments"]) + resource(
            "payments", annotations={HOST: "pay.example"}
        )
        assert found(drift(*self.PARTS, catalog=catalog)) == []

    def test_declared_by_somebody_it_is_still_an_undeclared_dependency_of_others(self) -> None:
        answer = drift(*self.PARTS, catalog=component("web") + resource("pay.example"))
        assert found(answer) == [("observed_only", WEB, "resource:default/pay.example")]

    def test_a_bare_address_is_not_called_a_third_party(self) -> None:
        parts = (unit("web"), external("203.0.113.9"), call("alpha/web", "203.0.113.9"))
        assert found(drift(*parts, catalog=component("web"))) == []

    def test_an_outside_resolver_is_none(self) -> None:
        parts = (unit("web"), third_party("dns.example"), lookup("alpha/web", "dns.example"))
        assert found(drift(*parts, catalog=component("web"))) == []

    def test_behind_a_proxy_it_is_the_clients_and_not_the_proxys(self) -> None:
        parts = (
            *(unit("web"), unit("proxy"), third_party("pay.example", "proxy"), call("alpha/proxy", "pay.example")),
            call("alpha/web", "pay.example", port=3128, through=["alpha/proxy"]),
        )
        assert found(drift(*parts, catalog=component("web") + component("proxy"))) == [
            ("undeclared_third_party", WEB, "pay.example")
        ]

    def test_what_comes_back_from_the_portal_declares_nothing(self) -> None:
        observed = resource(
            "pay.example",
            namespace="runtime",
            annotations={"plumbline.dev/observed": "true", HOST: "pay.example"},
            dependencyOf=["component:default/web"],
        )
        answer = drift(*self.PARTS, catalog=component("web") + observed)
        assert found(answer) == [("undeclared_third_party", WEB, "pay.example")]


class TestAllowedVendors:
    """Bank's names are known; api.pay.example is nobody's."""

    ROWS = {"bank.example": Vendor("Bank", "payments")}  # noqa: RUF012 - a class of tests
    PARTS = (
        *(unit("web"), third_party("api.bank.example", "host"), third_party("api.pay.example", "host")),
        *(call("alpha/web", "api.bank.example", requests=4), call("alpha/web", "api.pay.example", requests=3)),
    )
    DECLARED = component("web", dependsOn=["resource:bank", "resource:pay"], owner="team-web") + (
        resource("bank", annotations={HOST: "api.bank.example"})
        + resource("pay", annotations={HOST: "api.pay.example"})
    )

    def asked(self, *allowed: str, catalog: str | None = None, parts: Sequence[Any] = PARTS) -> Answer:
        return ask(case(*parts, catalog=catalog, vendors=Vendors(self.ROWS, allowed=allowed)), "drift")

    def why(self, answer: Answer) -> dict[tuple[str, str], list[str]]:
        assert {one["kind"] for one in answer.content["findings"]} <= {"undeclared_third_party"}
        return {(one["subject"], one["object"]): one["evidence"]["why"] for one in answer.content["findings"]}

    def test_without_a_list_all_may_be_called(self) -> None:
        assert self.why(self.asked(catalog=self.DECLARED)) == {}
        (one, other) = self.asked(catalog=component("web")).content["findings"]
        assert (one["object"], one["evidence"]["why"]) == ("api.bank.example", ["undeclared"])
        assert (one["evidence"]["vendor"], one["evidence"]["category"]) == ("Bank", "payments")
        assert (other["evidence"]["vendor"], other["evidence"]["category"]) == (None, None)

    def test_a_declared_one_of_nobody_is_a_finding_and_one_of_an_allowed_vendor_is_none(self) -> None:
        answer = self.asked("bank", catalog=self.DECLARED)
        assert self.why(answer) == {(WEB, "api.pay.example"): ["vendor_not_allowed"]}
        finding = only(answer)
        assert (finding["severity"], finding["confidence"]) == ("high", "high")
        assert (finding["evidence"]["requests"], finding["evidence"]["owner"]) == (3, "team-web")

    def test_one_of_another_vendor_is_a_finding(self) -> None:
        assert self.why(self.asked("other", catalog=self.DECLARED)) == {
            (WEB, "api.bank.example"): ["vendor_not_allowed"],
            (WEB, "api.pay.example"): ["vendor_not_allowed"],
        }

    def test_undeclared_and_not_allowed_is_one_finding_with_both_reasons(self) -> None:
        assert self.why(self.asked("bank", catalog=component("web"))) == {
            (WEB, "api.bank.example"): ["undeclared"],
            (WEB, "api.pay.example"): ["undeclared", "vendor_not_allowed"],
        }

    def test_without_a_catalog_the_list_is_held_against_who_called(self) -> None:
        answer = self.asked("bank")
        assert self.why(answer) == {("alpha/web", "api.pay.example"): ["vendor_not_allowed"]}
        evidence = only(answer)["evidence"]
        assert (evidence["owner"], evidence["place"], evidence["requests"]) == (None, None, 3)
        assert answer.verdict is Verdict.DONE
        assert answer.content["reason"] == (
            "Without a catalog only vendors that are not allowed are looked for: "
            "start the aggregator with --catalog PATH."
        )

    def test_who_is_in_no_catalog_is_held_to_it_too(self) -> None:
        parts = (*self.PARTS, unit("job"), call("alpha/job", "api.pay.example"))
        answer = self.asked("bank", catalog=self.DECLARED, parts=parts)
        found = [(one["kind"], one["subject"]) for one in answer.content["findings"] if one["object"]]
        assert found == [("undeclared_third_party", "alpha/job"), ("undeclared_third_party", WEB)]

    @pytest.mark.parametrize(
        "harmless",
        [
            (external("203.0.113.9"), call("alpha/web", "203.0.113.9")),
            (third_party("dns.example"), lookup("alpha/web", "dns.example")),
            (third_party("old.example"), call("alpha/web", "old.example", class_=pb.EDGE_CLASS_PROBE)),
            (unit("cart"), call("alpha/web", "alpha/cart")),
        ],
        ids=["an address", "a resolver", "a probe", "one of our own"],
    )
    def test_what_is_no_call_of_a_third_party_is_none(self, harmless: tuple[Any, ...]) -> None:
        assert found(self.asked("bank", parts=(unit("web"), *harmless))) == []

    def test_behind_a_proxy_it_is_the_clients_and_not_the_proxys(self) -> None:
        parts = (
            *(unit("web"), unit("proxy"), third_party("pay.example", "proxy"), call("alpha/proxy", "pay.example")),
            call("alpha/web", "pay.example", port=3128, through=["alpha/proxy"]),
        )
        assert self.why(self.asked("bank", parts=parts)) == {("alpha/web", "pay.example"): ["vendor_not_allowed"]}

    def test_while_nobody_watches_there_is_too_little_to_say(self) -> None:
        assert self.asked("bank", parts=(host("alpha", stale=True, last_seen=900),)).verdict is Verdict.NOT_ENOUGH_SEEN


class TestNotObserved:
    CATALOG = component("web", dependsOn=["component:cart"], owner="team-web") + component("cart")
    BUSY = (*SHOP, process("client"), call("alpha/client", "alpha/web"))

    def test_a_dependency_that_was_not_seen_in_this_window(self) -> None:
        finding = only(drift(*self.BUSY, catalog=self.CATALOG))
        assert (finding["kind"], finding["subject"], finding["object"]) == ("not_observed", WEB, CART)
        assert (finding["severity"], finding["confidence"]) == ("low", "high")
        evidence = finding["evidence"]
        assert (evidence["edges"], evidence["of_subject"]["requests"], evidence["doubts"]) == ([], 10, [])
        assert (evidence["watched_seconds"], evidence["watched_share"], evidence["coverage"]) == (300.0, 1.0, 1.0)
        assert (evidence["place"], evidence["owner"]) == ("catalog.yaml:2", "team-web")

    def test_declared_at_both_ends_it_is_said_once(self) -> None:
        catalog = component("web", dependsOn=["component:cart"]) + component("cart", dependencyOf=["component:web"])
        assert found(drift(*self.BUSY, catalog=catalog)) == [("not_observed", WEB, CART)]

    @pytest.mark.parametrize(
        ("edge", "is_seen"),
        [
            (WEB_CALLS_CART, True),
            (opaque("alpha/web", "alpha/cart"), True),
            (call("alpha/web", "alpha/cart", requests=0, connections=0, failed_connections={"refused": 3}), True),
            (lookup("alpha/web", "alpha/cart"), True),
            (call("alpha/web", "alpha/cart", class_=pb.EDGE_CLASS_PROBE), False),
            (call("alpha/web", "alpha/cart", class_=pb.EDGE_CLASS_SCRAPE), False),
        ],
        ids=["requests", "connections", "failed connections", "DNS", "probe", "scrape"],
    )
    def test_any_use_shows_it_and_no_probe_does(self, edge: pb.Edge, is_seen: bool) -> None:
        answer = drift(*self.BUSY, edge, catalog=self.CATALOG)
        assert found(answer) == ([] if is_seen else [("not_observed", WEB, CART)])

    def test_an_api_is_seen_through_any_of_its_providers(self) -> None:
        catalog = (
            component("web", consumesApis=["cart-api"])
            + component("cart", providesApis=["cart-api"])
            + component("cart-canary", providesApis=["cart-api"])
            + api("cart-api")
        )
        parts = (*self.BUSY, unit("cart-canary"))
        assert found(drift(*parts, call("alpha/web", "alpha/cart-canary"), catalog=catalog)) == []
        (finding,) = drift(*parts, catalog=catalog).content["findings"]
        assert (finding["kind"], finding["subject"], finding["object"]) == ("not_observed", WEB, "api:default/cart-api")
        assert finding["evidence"]["api"] == "api:default/cart-api"

    @pytest.mark.parametrize(
        ("parts", "reason"),
        [
            ((host("alpha", blind=[(300, 100)]),), "alpha was watched for 33% of the window only"),
            ((host("alpha", stale=True, last_seen=200),), "alpha was watched for 33% of the window only"),
        ],
        ids=["blind", "stale"],
    )
    def test_what_was_not_watched_is_withheld(self, parts: tuple[Part, ...], reason: str) -> None:
        answer = drift(*self.BUSY, *parts, catalog=self.CATALOG)
        assert found(answer) == []
        assert [each["reason"] for each in answer.content["withheld"]] == [reason]
        assert withheld(answer) == [("not_observed", WEB, CART)]

    def test_a_node_that_just_came_is_withheld(self) -> None:
        young = unit("web", first_seen=TO_SECONDS - 3)
        answer = drift(young, unit("cart"), process("client"), call("alpha/client", "alpha/web"), catalog=self.CATALOG)
        assert [each["reason"] for each in answer.content["withheld"]] == ["it has been in view for 3 s only"]

    def test_a_node_that_does_nothing_is_withheld(self) -> None:
        answer = drift(*SHOP, catalog=self.CATALOG)
        assert [each["reason"] for each in answer.content["withheld"]] == [
            "it made no calls and got none in the window"
        ]

    @pytest.mark.parametrize(
        ("change", "confidence", "doubt"),
        [
            ((host("alpha", blind=[(300, 200)]),), "low", "alpha was watched for 67% of the window"),
            ((host("alpha", coverage=0.8),), "medium", "80% of the traffic was understood"),
            ((host("alpha", coverage=0.3),), "low", "30% of the traffic was understood"),
            ((unresolved("10.0.0.9"), opaque("alpha/web", "10.0.0.9")), "low", "1 of its edges lead to what has no"),
        ],
        ids=["partly blind", "half understood", "hardly understood", "unresolved"],
    )
    def test_doubts_lower_confidence_and_are_told(self, change: tuple[Part, ...], confidence: str, doubt: str) -> None:
        finding = only(drift(*self.BUSY, *change, catalog=self.CATALOG))
        assert finding["confidence"] == confidence
        assert finding["evidence"]["doubts"][0].startswith(doubt)

    def test_a_young_node_lowers_confidence(self) -> None:
        young = unit("web", first_seen=TO_SECONDS - 30)
        parts = (young, unit("cart"), process("client"), call("alpha/client", "alpha/web"))
        assert only(drift(*parts, catalog=self.CATALOG))["evidence"]["doubts"] == ["in view for 30 s"]

    def test_an_outside_name_needs_understood_traffic(self) -> None:
        catalog = component("web", dependsOn=["resource:pay"]) + resource("pay", annotations={HOST: "pay.example"})
        parts = (unit("web"), process("client"), call("alpha/client", "alpha/web"))
        assert found(drift(*parts, catalog=catalog)) == [("not_observed", WEB, "resource:default/pay")]
        dark = drift(*parts, host("alpha", coverage=0.3), catalog=catalog)
        assert withheld(dark) == [("not_observed", WEB, "resource:default/pay")]
        assert "only 30% of the traffic was understood" in dark.content["withheld"][0]["reason"]

    @pytest.mark.parametrize(
        ("catalog", "target", "reason"),
        [
            (
                component("web", dependsOn=["resource:db"]) + resource("db"),
                "resource:default/db",
                "nothing tells which node",
            ),
            (
                component("web", consumesApis=["events"])
                + component("cart", providesApis=["events"])
                + api("events", type="asyncapi"),
                CART,
                "api:default/events is asynchronous",
            ),
        ],
        ids=["no node", "asynchronous"],
    )
    def test_what_no_traffic_can_show_is_withheld(self, catalog: str, target: str, reason: str) -> None:
        answer = drift(*self.BUSY, catalog=catalog + ("" if "cart" in catalog else component("cart")))
        assert found(answer) == []
        assert withheld(answer) == [("not_observed", WEB, target)]
        assert answer.content["withheld"][0]["reason"].startswith(reason)

    def test_a_library_is_never_missed(self) -> None:
        catalog = component("web", dependsOn=["component:ui"]) + component("ui", type="library")
        answer = drift(unit("web"), process("client"), call("alpha/client", "alpha/web"), catalog=catalog)
        assert (found(answer), withheld(answer)) == ([], [])

    def test_what_an_outside_party_calls_is_not_ours_to_see(self) -> None:
        parts = (unit("web"), third_party("pay.example"), call("alpha/web", "pay.example"))
        catalog = component("web", dependsOn=["resource:pay.example"]) + resource(
            "pay.example", dependsOn=["component:web"]
        )
        answer = drift(*parts, catalog=catalog)
        assert (found(answer), withheld(answer)) == ([], [("not_observed", "resource:default/pay.example", WEB)])

    def test_of_a_component_that_does_not_run_only_its_absence_is_said(self) -> None:
        answer = drift(unit("cart"), catalog=self.CATALOG)
        assert found(answer) == [("component_without_workload", WEB, None)]


class TestWorkloadWithoutComponent:
    CATALOG = component("web")
    WEB = (unit("web"), process("client"), call("alpha/client", "alpha/web"))

    @pytest.mark.parametrize(
        ("parts", "severity"),
        [
            ((unit("cart", listens=[8080]),), "low"),
            ((unit("cart", listens=[8080]), call("alpha/cart", "alpha/other")), "medium"),
            ((unit("cart"), call("alpha/cart", "alpha/other")), "medium"),
            ((process("cart", listens=[8080]),), "low"),
            ((process("cart"), call("alpha/other", "alpha/cart")), "low"),
        ],
        ids=["silent listener", "busy listener", "caller", "listening process", "called process"],
    )
    def test_what_was_set_up_to_stay(self, parts: tuple[Part, ...], severity: str) -> None:
        finding = only(drift(*self.WEB, *parts, catalog=self.CATALOG))
        assert (finding["kind"], finding["subject"]) == ("workload_without_component", "alpha/cart")
        assert finding["severity"] == severity

    @pytest.mark.parametrize(
        "parts",
        [
            (process("curl"), call("alpha/curl", "alpha/web")),
            (unit("resolver", listens=[53]), lookup("alpha/web", "alpha/resolver")),
            (unit("resolver"), lookup("alpha/web", "alpha/resolver"), lookup("alpha/resolver", "192.0.2.53")),
            (unit("idle"),),
            (third_party("files.example"), external("203.0.113.9"), unresolved("10.0.0.9")),
            (unit("watched"), call("alpha/probe", "alpha/watched", class_=pb.EDGE_CLASS_PROBE)),
        ],
        ids=["passing process", "resolver", "forwarding resolver", "silent unit", "outside", "only probed"],
    )
    def test_what_is_none(self, parts: tuple[Part, ...]) -> None:
        assert found(drift(*self.WEB, *parts, catalog=self.CATALOG)) == []

    def test_plumbline_is_not_held_against_the_catalog(self) -> None:
        own = (
            unit("plumb-aggregator", listens=[7170, 7171]),
            unit("plumb-agent", listens=[9101]),
            lookup("alpha/plumb-agent", "alpha/resolver"),
            call("alpha/plumb-agent", "alpha/plumb-aggregator", class_=pb.EDGE_CLASS_SELF),
        )
        assert found(drift(*self.WEB, *own, catalog=self.CATALOG)) == []

    def test_what_plumbline_asks_is_not_plumbline(self) -> None:
        parts = (
            unit("plumb-aggregator", listens=[7171]),
            unit("apiserver", listens=[6443]),
            unit("web"),
            call("alpha/plumb-aggregator", "alpha/apiserver", class_=pb.EDGE_CLASS_SELF),
            call("alpha/web", "alpha/apiserver"),
        )
        answer = drift(*parts, catalog=component("web"))
        assert found(answer) == [("workload_without_component", "alpha/apiserver", None)]

    def test_a_portal_that_reads_from_plumbline_is_not_plumbline(self) -> None:
        portal = (
            unit("plumb-aggregator", listens=[7172]),
            unit("portal", listens=[7007]),
            call("alpha/portal", "alpha/plumb-aggregator", class_=pb.EDGE_CLASS_SELF),
            call("alpha/portal", "alpha/web"),
        )
        assert found(drift(*self.WEB, *portal, catalog=self.CATALOG)) == [
            ("workload_without_component", "alpha/portal", None)
        ]


class TestComponentWithoutWorkload:
    CATALOG = component("web") + component("cart", owner="team-cart")
    WEB = (unit("web"), process("client"), call("alpha/client", "alpha/web"))
    CART_MISSES = (("component_without_workload", CART, None),)

    def test_a_component_that_nobody_runs(self) -> None:
        finding = only(drift(*self.WEB, catalog=self.CATALOG))
        assert (finding["kind"], finding["subject"], finding["confidence"]) == (
            "component_without_workload",
            CART,
            "high",
        )
        assert finding["evidence"]["hosts"] == ["alpha"]
        assert (finding["evidence"]["owner"], finding["evidence"]["place"]) == ("team-cart", "catalog.yaml:4")

    def test_one_that_runs_and_is_silent_is_there(self) -> None:
        assert found(drift(*self.WEB, unit("cart", listens=[8080]), catalog=self.CATALOG)) == []

    @pytest.mark.parametrize("kind", ["library", "Website", "documentation"])
    def test_what_is_no_process_is_not_missed(self, kind: str) -> None:
        assert found(drift(*self.WEB, catalog=component("web") + component("cart", type=kind))) == []

    def test_a_resource_is_not_missed(self) -> None:
        assert found(drift(*self.WEB, catalog=component("web") + resource("cart"))) == []

    def test_one_that_may_be_among_several_is_a_problem_and_not_missed(self) -> None:
        catalog = component("web") + component("cart", namespace="a") + component("cart", namespace="b")
        answer = drift(*self.WEB, unit("cart", listens=[8080]), catalog=catalog)
        assert ("component_without_workload", "component:a/cart", None) not in found(answer)
        assert len(answer.content["problems"]) == 1

    def test_where_half_the_window_is_dark_nothing_is_said(self) -> None:
        answer = drift(*self.WEB, host("alpha"), host("beta", stale=True, last_seen=900), catalog=self.CATALOG)
        assert found(answer) == [("component_without_workload", CART, None)]
        assert only(answer)["confidence"] == "low"
        darker = drift(*self.WEB, host("alpha", blind=[(290, 0)]), catalog=self.CATALOG)
        assert (found(darker), withheld(darker)) == ([], list(self.CART_MISSES))

    def test_just_after_the_start_nothing_is_said(self) -> None:
        young = (
            unit("web", first_seen=TO_SECONDS - 2),
            process("client", first_seen=TO_SECONDS - 2),
            call("alpha/client", "alpha/web"),
        )
        answer = drift(*young, catalog=self.CATALOG)
        assert (found(answer), withheld(answer)) == ([], list(self.CART_MISSES))
        assert answer.content["withheld"][0]["reason"] == "the hosts have been in view for 2 s only"

    def test_who_only_listens_does_not_say_how_long_anybody_looked(self) -> None:
        """At a start they are known before anybody was seen to call."""
        listener = unit("web", listens=[80])
        listener.ClearField("first_seen")
        answer = drift(listener, catalog=self.CATALOG)
        assert (found(answer), withheld(answer)) == ([], list(self.CART_MISSES))


class TestTheWhole:
    def test_the_gravest_comes_first(self) -> None:
        parts = (*SHOP, third_party("pay.example"), WEB_CALLS_CART, call("alpha/web", "pay.example"), process("client"))
        catalog = component("web", dependsOn=["component:ghost"]) + component("cart") + component("ghost")
        kinds = [kind for kind, _, _ in found(drift(*parts, catalog=catalog))]
        assert kinds == ["undeclared_third_party", "component_without_workload", "observed_only"]

    def test_without_a_catalog_there_is_nothing_to_hold_against(self) -> None:
        answer = ask(case(*SHOP, WEB_CALLS_CART), "drift")
        assert answer.verdict is Verdict.NOT_ENOUGH_SEEN
        assert answer.content["findings"] == []
        assert answer.content["reason"] == "Nothing is declared: start the aggregator with --catalog PATH."

    def test_an_empty_catalog_says_so(self) -> None:
        answer = ask(Case(topology(*SHOP), Declarations(configured=True)), "drift")
        assert answer.content["reason"] == "The catalog declares no component: see problems, or correct --catalog."

    def test_where_nobody_looks_nothing_is_known(self) -> None:
        seen = topology(*SHOP)
        del seen.hosts[:]
        answer = ask(Case(seen, case(catalog=component("web")).declarations), "drift")
        assert (answer.verdict, answer.content["reason"]) == (
            Verdict.NOT_ENOUGH_SEEN,
            "No host is watched: start an agent.",
        )

    def test_problems_of_the_catalog_come_with_file_and_line(self) -> None:
        answer = drift(*SHOP, WEB_CALLS_CART, catalog=component("web", dependsOn=["cart"]) + component("cart"))
        (problem,) = answer.content["problems"]
        assert (problem["file"], problem["line"], problem["subject"]) == ("catalog.yaml", 2, WEB)
        assert "has no kind and leads nowhere; write component:cart or resource:cart." in problem["sentence"]

    def test_a_finding_names_some_of_very_many_edges(self) -> None:
        edges = [call("alpha/web", "alpha/cart", port=port) for port in range(1000, 1060)]
        evidence = only(drift(*SHOP, *edges, catalog=component("web") + component("cart")))["evidence"]
        assert (len(evidence["edges"]), evidence["edge_count"], evidence["requests"]) == (50, 60, 600)

    def test_very_many_findings_are_counted(self) -> None:
        catalog = component("web") + "".join(
            component(f"ghost-{n}", dependsOn=["component:nobody"]) for n in range(1001)
        )
        content = drift(*SHOP, WEB_CALLS_CART, catalog=catalog).content
        assert (len(content["findings"]), len(content["problems"])) == (1000, 1000)
        assert content["counts"] == {"findings": 1002, "withheld": 0, "problems": 1001}
        assert content["reason"] == "Listed are the first 1000 of 1002 findings and 1000 of 1001 problems."

    def test_the_same_case_gives_the_same_answer(self) -> None:
        seen = case(*SHOP, WEB_CALLS_CART, catalog=component("web") + component("cart"))
        assert ask(seen, "drift") == ask(seen, "drift")


MEMORY = pb.FieldChange(
    path="containers[app].resources.limits.memory",
    what="resources",
    before="128Mi",
    after="256Mi",
    manager="kubectl-set",
    by_hand=True,
)


def deployed(*changes: pb.FieldChange, stale: str = "") -> Answer:
    """Of a workload that nobody saw talk."""
    found = topology()
    found.workloads.add(id="shop/deployment/web", by_hand=changes)
    if stale:
        found.stale.add(name=stale, reason="gone")
    return ask(Case(found, Declarations()), "drift")


def test_a_limit_that_somebody_changed_by_hand_is_one_finding_without_any_catalog() -> None:
    answer = deployed(MEMORY)
    finding = only(answer)
    assert found(answer) == [("changed_by_hand", "shop/deployment/web", MEMORY.path)]
    assert (finding["severity"], finding["confidence"]) == ("medium", "high")
    told = {key: finding["evidence"][key] for key in ("what", "before", "after", "manager")}
    assert told == {"what": "resources", "before": "128Mi", "after": "256Mi", "manager": "kubectl-set"}
    assert answer.verdict is Verdict.DONE
    assert "only changes by hand" in answer.content["reason"]


def test_an_image_by_hand_is_graver_and_one_that_was_read_before_the_api_went_less_sure() -> None:
    image = pb.FieldChange(path="containers[app].image", what="image", after="web:2")
    answer = deployed(image, MEMORY, stale="deployments.apps")
    assert [(one["object"], one["severity"], one["confidence"]) for one in answer.content["findings"]] == [
        (image.path, "high", "medium"),
        (MEMORY.path, "medium", "medium"),
    ]
    assert only(deployed(MEMORY, stale="jobs.batch"))["confidence"] == "high"


def test_a_cluster_in_which_nobody_changed_anything_has_no_drift_of_that_kind() -> None:
    answer = deployed()
    assert (answer.content["findings"], answer.verdict) == ([], Verdict.DONE)
