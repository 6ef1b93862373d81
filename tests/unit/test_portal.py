"""Whatever strangers call their hosts, the portal's own catalog model takes what we serve; and it can refuse."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import yaml
from plumbline.v1 import topology_pb2 as pb

from aggregator.outputs.backstage import MAX_ENTITIES, NAMESPACE, Feed, entity_name
from aggregator.outputs.forms import ExportOptions, Rendered
from aggregator.resolve.vendors import Vendor, Vendors
from tests.builders import call, case, component, entity, third_party, unit
from tests.portal.portal import HERE, verdict

LABEL = "a" * 63
LONG = ".".join([LABEL, LABEL, LABEL, "b" * 61])
# A host as it was seen -> the same host as names are compared.
HOSTS = {
    "api.bank.example": "api.bank.example",
    "API.Upper.Example": "api.upper.example",
    "trailing.example.": "trailing.example",
    "two.trailing.example..": "two.trailing.example",
    "x": "x",
    "1.2": "1.2",
    "a" * 63: "a" * 63,
    "a" * 64: "a" * 64,
    LONG: LONG,
    LONG[:-1] + "c": LONG[:-1] + "c",
    "_dmarc._tcp.example": "_dmarc._tcp.example",
    "under_score.example": "under_score.example",
    "under_score_": "under_score_",
    "-dash.example-": "-dash.example-",
    "dash--dash..dots.example": "dash--dash..dots.example",
    "xn--bcher-kva.example": "xn--bcher-kva.example",
    "bücher.example": "bücher.example",
    "İstanbul.example": "i̇stanbul.example",
    "例え.テスト": "例え.テスト",
    "...---...": "...---",
    "*.wild.example": "*.wild.example",
    "host:8443": "host:8443",
    "[2001:db8::1]": "[2001:db8::1]",
    "true": "true",
    "null": "null",
    "0x10": "0x10",
    "1e3": "1e3",
    "2026-01-02": "2026-01-02",
    "a b\tc.example": "a b\tc.example",
    "quote\"'back\\slash": "quote\"'back\\slash",
    "---\nkind: Group": "---\nkind: group",
    "{{ template }} ${x} <b>": "{{ template }} ${x} <b>",
    "\u202egnp.evil": "\u202egnp.evil",
    "line\u2028line\u0085.example": "line\u2028line\u0085.example",
    "emoji-\U0001f600.example": "emoji-\U0001f600.example",
}


def served(hosts: Iterable[str], catalog: str | None = None) -> Rendered:
    parts: list[pb.Node | pb.Edge] = [unit("cart")]
    for host in hosts:
        parts += [third_party(host), call("alpha/cart", host)]
    return Feed(ExportOptions())(case(*parts, catalog=catalog))


def entities(rendered: Rendered) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(rendered.content))


def test_hostile_and_extreme_names() -> None:
    rendered = served(HOSTS, component("cart"))
    assert verdict(rendered.content) == (len(HOSTS), [])
    assert rendered.left_out == ()
    found = entities(rendered)
    assert {one["metadata"]["annotations"]["plumbline.dev/host"] for one in found} == set(HOSTS.values())
    assert {tuple(one["spec"]["dependencyOf"]) for one in found} == {("component:default/cart",)}
    assert {one["metadata"]["namespace"] for one in found} == {NAMESPACE}


def test_whose_a_third_party_is_in_any_writing() -> None:
    """All that a file of vendors may say."""
    texts = ["Stripe", "Let's Encrypt", "7", "true", "null", "a: b # c", "\u4f8b\u3048", "{{ x }}", "x" * 100]
    rows = {f"host-{number}.example": Vendor(text, text) for number, text in enumerate(texts)}
    parts: list[pb.Node | pb.Edge] = [unit("cart")]
    for host in rows:
        parts += [third_party(host), call("alpha/cart", host)]
    rendered = Feed(ExportOptions())(case(*parts, vendors=Vendors(rows)))
    assert verdict(rendered.content) == (len(rows), [])
    assert rendered.left_out == ()
    found = [one["metadata"]["annotations"] for one in entities(rendered)]
    assert {(one["plumbline.dev/vendor"], one["plumbline.dev/category"]) for one in found} == {
        (text, text) for text in texts
    }


def test_names_that_are_one_when_shortened_stay_two() -> None:
    same = [f"{'s' * 70}.{number}.example" for number in range(50)]
    rendered = served(same)
    assert verdict(rendered.content) == (50, [])
    assert len({entity_name(host) for host in same}) == 50


def test_who_takes_the_name_that_another_one_was_shortened_to_is_told() -> None:
    """Whoever knows the rule can make such a name; it takes its own entity from the feed, and no portal sees two."""
    long = "zz" + "s" * 70
    thief = entity_name(long)
    rendered = served([long, thief])
    assert verdict(rendered.content) == (1, [])
    assert len(rendered.left_out) == 1 and "another one has its name" in rendered.left_out[0]


def test_the_same_host_in_other_letters_is_one() -> None:
    rendered = served(["Api.Bank.Example", "api.bank.example", "API.BANK.EXAMPLE."])
    assert verdict(rendered.content) == (1, [])


def test_what_no_portal_can_keep_is_left_out_and_told() -> None:
    rendered = served(["nul\0.example", ".", "good.example"])
    assert verdict(rendered.content) == (1, [])
    assert len(rendered.left_out) == 2


def test_owners() -> None:
    """As a component declares them, and as an operator sets them."""
    owners = ("team-a", "user:jane", "group:other/Team.B", "GROUP:default/x")
    stream = b""
    for number, owner in enumerate(owners):
        declared, set_by_flag = f"declared-{number}.example", f"set-{number}.example"
        own = entity("Resource", declared, type="third-party", owner=owner)
        stream += served([declared], own).content
        parts = (unit("cart"), third_party(set_by_flag), call("alpha/cart", set_by_flag))
        stream += Feed(ExportOptions(owner))(case(*parts)).content
    assert verdict(stream) == (2 * len(owners), [])
    found = [one["spec"]["owner"] for one in yaml.safe_load_all(stream)]
    whole = ["group:default/team-a", "user:default/jane", "group:other/team.b", "group:default/x"]
    assert found == [each for owner in whole for each in (owner, owner)]


def test_as_many_as_we_serve() -> None:
    hosts = [f"{number}.example" for number in range(MAX_ENTITIES + 1)]
    rendered = served(hosts)
    assert verdict(rendered.content) == (MAX_ENTITIES, [])
    assert len(rendered.left_out) == 1


# --- the judge itself ---

Change = Callable[[dict[str, Any]], object]
BROKEN: dict[str, tuple[Change, str]] = {
    "a name with a colon": (lambda one: one["metadata"].update(name="api.bank.example:443"), "metadata.name"),
    "a name of 64": (lambda one: one["metadata"].update(name="a" * 64), "metadata.name"),
    "a namespace with a dot": (lambda one: one["metadata"].update(namespace="run.time"), "metadata.namespace"),
    "no name": (lambda one: one["metadata"].pop("name"), "name"),
    "an empty title": (lambda one: one["metadata"].update(title=""), "title"),
    "a number as annotation": (lambda one: one["metadata"]["annotations"].update({"a.example/b": 7}), "annotations"),
    "an annotation's key": (lambda one: one["metadata"]["annotations"].update({"a b": "c"}), "annotations"),
    "a root field": (lambda one: one.update(status={}), "status"),
    "a kind nobody knows": (lambda one: one.update(kind="Vendor"), "no validator"),
    "another version": (lambda one: one.update(apiVersion="backstage.io/v9"), "no validator"),
    "no type": (lambda one: one["spec"].pop("type"), "type"),
    "no owner": (lambda one: one["spec"].pop("owner"), "owner"),
    "an owner that can be none": (lambda one: one["spec"].update(owner="group:default/team money"), "spec.owner"),
    "a reference without a kind": (lambda one: one["spec"].update(dependencyOf=["cart"]), "spec.dependencyOf"),
    "an empty reference": (lambda one: one["spec"].update(dependencyOf=["component:"]), "spec.dependencyOf"),
    "a list that is none": (lambda one: one["spec"].update(dependsOn="component:cart"), "dependsOn"),
}  # fmt: skip


def test_every_broken_entity_is_refused_and_named() -> None:
    stream = ""
    for number, (change, _) in enumerate(BROKEN.values()):
        (one,) = entities(served([f"api.bank-{number}.example"]))
        change(one)
        stream += f"---\n{json.dumps(one)}\n"
    sound, problems = verdict(stream.encode())
    assert sound == 0
    told = {number: [one for one in problems if one.split()[0] == str(number)] for number in range(len(BROKEN))}
    for number, (name, (_, word)) in enumerate(BROKEN.items()):
        assert told[number] and all(word in one for one in told[number]), (name, told[number])


def test_what_is_no_entity_and_what_is_there_twice_is_refused() -> None:
    content = served(["api.bank.example"]).content
    stream = b"--- 7\n" + content + content.replace(b'"api.', b'"API.') + b"---\na: [\n"
    assert [one.split()[0] for one in verdict(stream)[1]] == ["0", "2", "3"]
    assert verdict(b"") == (0, ["there is no entity"])


def test_the_lock_names_no_place_to_get_it_from() -> None:
    for place in (HERE, HERE / "backstage", HERE.parent / "buf"):
        assert '"resolved"' not in (place / "package-lock.json").read_text(encoding="utf-8")
