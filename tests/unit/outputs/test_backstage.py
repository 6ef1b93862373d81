"""The portal's feed over time: it changes when what it says does, and never loses what may still be true."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from plumbline.v1 import topology_pb2 as pb

from aggregator.catalog import rules
from aggregator.insight.case import Case
from aggregator.outputs import backstage
from aggregator.outputs.backstage import Feed
from aggregator.outputs.forms import ExportOptions, NothingToServe, Rendered
from aggregator.outputs.registry import EXPORTS, HTTP_ROUTES, open_exports
from aggregator.resolve.vendors import Vendor, Vendors
from tests.builders import (
    HOUR_AGO,
    TO_SECONDS,
    WINDOW_SECONDS,
    call,
    case,
    component,
    entity,
    external,
    host,
    lookup,
    third_party,
    unit,
)


def feed(owner: str = "unknown") -> Feed:
    return Feed(ExportOptions(owner))


def pays(*hosts: pb.Host, **numbers: Any) -> Case:
    """Cart calls the bank."""
    return case(
        unit("cart"),
        third_party("pay.test"),
        call("alpha/cart", "pay.test", **numbers),
        *hosts,
        catalog=component("cart"),
    )


def nothing(*hosts: pb.Host) -> Case:
    return case(unit("cart"), *hosts, catalog=component("cart"))


def said(rendered: Rendered) -> Mapping[str, Sequence[str]]:
    """Callers by host."""
    entities = yaml.safe_load_all(rendered.content)
    return {
        one["metadata"]["annotations"]["plumbline.dev/host"]: one["spec"].get("dependencyOf", []) for one in entities
    }


BANK = {"pay.test": ["component:default/cart"]}


def test_it_is_not_served_before_a_third_party_was_seen() -> None:
    for empty in (nothing(), case(unit("cart"), external("192.0.2.1"), call("alpha/cart", "192.0.2.1"))):
        with pytest.raises(NothingToServe, match="delete"):
            feed()(empty)


def test_numbers_and_times_change_nothing() -> None:
    one = feed()
    first = one(pays(requests=1))
    again = one(pays(requests=900, errors=7, first_seen=None))
    assert again == first
    other = one(case(unit("cart"), third_party("pay.test", "host"), call("alpha/cart", "pay.test")))
    assert other.etag != first.etag and other.content != first.content


def test_it_is_never_empty_again() -> None:
    one = feed()
    first = one(pays())
    assert one(nothing()) == first


def test_what_is_not_called_any_more_goes_when_every_host_was_watched() -> None:
    one = feed()
    one(pays())
    other = case(unit("cart"), third_party("b.test"), call("alpha/cart", "b.test"), catalog=component("cart"))
    assert said(one(other)) == {"b.test": ["component:default/cart"]}


def test_what_a_silent_host_used_stays_with_its_callers() -> None:
    one = feed()
    one(pays())
    silent = host("beta", stale=True)
    seen = case(unit("job"), third_party("pay.test"), call("alpha/job", "pay.test"), silent, catalog=component("job"))
    assert said(one(seen)) == {"pay.test": ["component:default/cart", "component:default/job"]}
    assert said(one(nothing(silent)))["pay.test"]


def test_what_was_called_while_a_host_was_not_watched_stays_with_its_callers() -> None:
    """It is back, and most of the window went by without it."""
    one = feed()
    one(pays())
    assert said(one(elsewhere(host("beta", blind=[(200, 100)]))))["pay.test"]
    assert said(one(elsewhere(host("beta", blind=[(20, 10)])))) == {"b.test": ["component:default/cart"]}


def elsewhere(*hosts: pb.Host, first_seen: float = HOUR_AGO) -> Case:
    """Cart calls another one; everything is in view since `first_seen`."""
    other = third_party("b.test", first_seen=first_seen)
    seen = (unit("cart", first_seen=first_seen), other, call("alpha/cart", "b.test"), *hosts)
    return case(*seen, catalog=component("cart"))


def test_what_was_seen_before_all_agents_were_gone_stays_until_a_window_is_whole_again() -> None:
    one = feed()
    one(pays())
    assert set(said(one(elsewhere(first_seen=TO_SECONDS - 100)))) == {"pay.test", "b.test"}
    assert set(said(one(elsewhere(first_seen=TO_SECONDS - WINDOW_SECONDS)))) == {"b.test"}


def test_when_the_last_host_is_gone_the_last_calls_that_are_kept_take_the_place_of_nothing() -> None:
    """What silent hosts told leaves the window one by one, some of it after them."""
    one = feed()
    one(pays())
    last = elsewhere()
    del last.topology.hosts[:]
    assert set(said(one(last))) == {"pay.test", "b.test"}


def test_before_a_window_is_whole_it_takes_the_place_of_its_own_alone() -> None:
    """What an aggregator served that has lost its data since may have been more."""
    one = feed()
    first = one(elsewhere(first_seen=TO_SECONDS - 50))
    assert first.replaces == {first.etag}
    second = one(pays(host("beta", stale=True)))
    assert second.etag != first.etag and second.replaces is None
    again = one(elsewhere(first_seen=TO_SECONDS - 50))
    assert again.replaces == {first.etag, second.etag}


def test_callers_are_declared_components_and_asking_a_resolver_is_no_call() -> None:
    topology = [unit("cart"), unit("unknown"), third_party("pay.test"), third_party("dns.test")]
    calls = [call("alpha/cart", "pay.test"), call("alpha/unknown", "pay.test"), lookup("alpha/cart", "dns.test")]
    assert said(feed()(case(*topology, *calls, catalog=component("cart")))) == BANK


def test_a_declared_third_party_has_its_declared_owner_and_says_what_it_is() -> None:
    bank = entity(
        "Resource", "bank", {"plumbline.dev/host": "pay.test"}, type="external", owner="group:finance/payments"
    )
    seen = case(unit("cart"), third_party("pay.test"), call("alpha/cart", "pay.test"), catalog=component("cart") + bank)
    (served,) = yaml.safe_load_all(feed()(seen).content)
    assert served["spec"]["owner"] == "group:finance/payments"
    assert served["metadata"]["annotations"]["plumbline.dev/declared-as"] == "resource:default/bank"


def test_it_says_whose_a_third_party_is_and_what_for() -> None:
    known = Vendors({"pay.test": Vendor("Let's \u201cPay\u201d", "e-mail")})
    parts = [part for name in ("api.pay.test", "b.test") for part in (third_party(name), call("alpha/cart", name))]
    (known_one, other) = yaml.safe_load_all(feed()(case(unit("cart"), *parts, vendors=known)).content)
    annotations = known_one["metadata"]["annotations"]
    assert annotations["plumbline.dev/vendor"] == "Let's \u201cPay\u201d"
    assert annotations["plumbline.dev/category"] == "e-mail"
    assert not {"plumbline.dev/vendor", "plumbline.dev/category"} & other["metadata"]["annotations"].keys()


def test_one_third_party_of_several_clusters_is_one_entity() -> None:
    seen = case(
        unit("cart"),
        third_party("pay.test"),
        pb.Node(id="east:pay.test", name="pay.test", kind=pb.NODE_KIND_THIRD_PARTY, ambiguous=True),
        call("alpha/cart", "pay.test"),
        call("alpha/cart", "east:pay.test"),
        catalog=component("cart"),
    )
    (served,) = yaml.safe_load_all(feed()(seen).content)
    assert served["metadata"]["annotations"]["plumbline.dev/ambiguous"] == "true"


def test_a_flood_of_names_removes_nothing_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backstage, "MAX_ENTITIES", 3)
    one = feed()
    one(case(unit("cart"), third_party("zzz.test"), call("alpha/cart", "zzz.test")))
    flood = [f"{number}.flood.test" for number in range(10)]
    parts = [part for name in ("zzz.test", *flood) for part in (third_party(name), call("alpha/cart", name))]
    rendered = one(case(unit("cart"), *parts))
    assert list(said(rendered)) == ["0.flood.test", "1.flood.test", "zzz.test"]
    assert len(rendered.left_out) == 8 and all("before it" in sentence for sentence in rendered.left_out)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=[]), min_size=1, max_size=80), min_size=1, max_size=8))
def test_any_name_makes_an_entity_or_is_told(names: list[str]) -> None:
    names = [name.encode("utf-8", "ignore").decode() or "x" for name in names]
    parts = [part for name in sorted(set(names)) for part in (third_party(name), call("alpha/cart", name))]
    try:
        rendered = feed()(case(unit("cart"), *parts, catalog=component("cart")))
    except NothingToServe:
        return
    entities = list(yaml.safe_load_all(rendered.content))
    assert rendered.content.isascii()
    assert not any(rules.faults(one) for one in entities)
    keys = [one["metadata"]["name"].lower() for one in entities]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("owner", ["", "a b", "group:", "x" * 64])
def test_a_default_owner_that_is_no_reference_is_refused(owner: str) -> None:
    with pytest.raises(ValueError, match="write group:default/NAME"):
        open_exports(ExportOptions(owner))


def test_every_path_serves_a_form_that_exists() -> None:
    assert set(HTTP_ROUTES.values()) <= set(EXPORTS)
    assert set(open_exports(ExportOptions())) == set(EXPORTS)
