"""Look-ups that failed: whose, of what, and what makes none."""

from dataclasses import replace
from typing import Any

from plumbline.v1 import topology_pb2 as pb

from aggregator.catalog.model import HOST_ANNOTATION
from aggregator.insight import ask
from tests.builders import call, case, external, lookup, resource, third_party, unit

BANK = "api.bank.test"
RESOLVER = "192.0.2.53"


def failed(name: str, refused: int = 0, unanswered: int = 0, gone: int = 0) -> pb.FailedLookups:
    return pb.FailedLookups(name=name, refused=refused, unanswered=unanswered, gone=gone)


def asks(client: str, *some: pb.FailedLookups, resolver: str = RESOLVER) -> pb.Edge:
    return lookup(f"alpha/{client}", resolver, 100, failed_lookups=some)


def rows(*parts: Any, catalog: str | None = None) -> dict[str, Any]:
    seen = case(unit("web"), unit("cart"), external(RESOLVER), *parts, catalog=catalog)
    return {row["id"]: row for row in ask(seen, "thirdparties").content["third_parties"]}


def test_each_client_says_how_many_and_why() -> None:
    row = rows(
        third_party(BANK),
        call("alpha/web", BANK, requests=90),
        asks("web", failed(BANK, refused=3, unanswered=4), failed("other.test", unanswered=50)),
        asks("cart", failed(BANK, gone=3)),
    )[BANK]
    assert (row["dns_failures"], row["dns_reasons"]) == (10, {"gone": 3, "refused": 3, "unanswered": 4})
    assert row["availability"] == 0.9
    found = {one["id"]: (one["requests"], one["dns_failures"], one["dns_reasons"]) for one in row["dependants"]}
    assert found == {"alpha/cart": (0, 3, {"gone": 3}), "alpha/web": (90, 7, {"refused": 3, "unanswered": 4})}


def test_a_name_that_only_fails_is_there_when_it_was_known() -> None:
    """A dead resolver: nobody calls it any more."""
    row = rows(third_party(BANK), asks("web", failed(BANK, unanswered=6)))[BANK]
    assert (row["availability"], row["dns_failures"], row["requests"]) == (0.0, 6, 0)


def test_or_when_it_is_declared() -> None:
    declared = resource("bank", annotations={HOST_ANNOTATION: "API.bank.test."})
    row = rows(asks("web", failed(BANK, unanswered=6)), catalog=declared)[BANK]
    assert (row["name"], row["availability"], row["dns_failures"]) == (BANK, 0.0, 6)
    assert (row["first_seen"], row["last_seen"]) == (None, None)
    assert [one["id"] for one in row["dependants"]] == ["alpha/web"]


def test_what_nobody_knows_makes_no_third_party() -> None:
    assert rows(asks("web", *(failed(f"n{number}.test", unanswered=9) for number in range(100)))) == {}


def test_with_a_search_domain_behind_it_it_is_the_same_name() -> None:
    """That of the dead resolver is never tried alone."""
    found = rows(
        third_party(BANK),
        third_party("bank.co"),
        asks(
            "web",
            failed(f"{BANK}.shop.svc.cluster.local", unanswered=5),
            failed("bank.co.uk", unanswered=7),
            failed(f"x{BANK}.svc.cluster.local", unanswered=9),
        ),
    )
    assert {name: row["dns_failures"] for name, row in found.items()} == {BANK: 5}


def test_who_is_asked_itself_depends_on_nothing_that_it_looks_up() -> None:
    forwarded = asks("dns", failed(BANK, unanswered=8))
    own = asks("web", failed(BANK, refused=2), resolver="alpha/dns")
    row = rows(unit("dns"), third_party(BANK), forwarded, own)[BANK]
    assert [(one["id"], one["dns_failures"]) for one in row["dependants"]] == [("alpha/web", 2)]


def test_without_a_look_up_in_sight_nothing_is_known_of_them() -> None:
    seen = rows(third_party(BANK), call("alpha/web", BANK), call("alpha/cart", BANK), asks("cart"))[BANK]
    assert seen["dns_failures"] == 0
    assert {one["id"]: one["dns_failures"] for one in seen["dependants"]} == {"alpha/cart": 0, "alpha/web": None}


def test_by_vendor_they_add_up() -> None:
    parts = (third_party("a.bank.test"), third_party("b.bank.test"), call("alpha/web", "a.bank.test", requests=4))
    failing = asks("web", failed("a.bank.test", refused=1), failed("b.bank.test", gone=2))
    seen = case(unit("web"), external(RESOLVER), *parts, failing)
    found = {row["id"]: row["dns_failures"] for row in ask(seen, "vendors").content["vendors"]}
    assert sum(found.values()) == 3


def test_one_that_was_called_before_is_the_same_one() -> None:
    """Also where its id is not its name: of another cluster."""
    seen = case(unit("web"), external(RESOLVER), asks("web", failed(BANK, unanswered=2)))
    found = ask(replace(seen, names_known={BANK: f"east:{BANK}"}), "thirdparties").content["third_parties"]
    assert [(row["id"], row["dns_failures"]) for row in found] == [(f"east:{BANK}", 2)]
