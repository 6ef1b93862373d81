"""Whose third parties are, and the sums of all that is one's own."""

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from plumbline.v1 import topology_pb2 as pb

from aggregator.insight import ask
from aggregator.insight.case import Case, Verdict
from aggregator.insight.standing import Standing, Word
from aggregator.insight.vendors import MOST_NAMES
from aggregator.resolve.vendors import Vendor, Vendors
from tests.builders import at, call, case, external, lookup, opaque, third_party, unit

ROWS = {
    "bank.test": Vendor("Bank", "payments"),
    "cloud.test": Vendor("Cloud", "cloud API"),
    "db.*.cloud.test": Vendor("Cloud", "database"),
}


def registrable(name: str) -> str | None:
    return ".".join(name.split(".")[-2:]) if "." in name else None


KNOWN = Vendors(ROWS, registrable)


def latency(mean: float) -> pb.Latency:
    return pb.Latency(mean=mean, p50=mean, p95=mean, p99=mean)


def shop() -> Case:
    """Two services, five names: three of two vendors, two of one domain that no row has; and a bare address."""
    return case(
        *(unit("web"), unit("cart"), external("203.0.113.9"), call("alpha/web", "203.0.113.9", requests=7)),
        third_party("api.bank.test", first_seen=1000),
        call("alpha/web", "api.bank.test", requests=60, errors=6, latency_ms=latency(10)),
        call("alpha/cart", "api.bank.test", requests=20, failed_connections={"refused": 5}, latency_ms=latency(30)),
        third_party("shop.db.eu.cloud.test", first_seen=500),
        opaque("alpha/cart", "shop.db.eu.cloud.test", connections=8, failed_connections={"timeout": 2, "reset": 1}),
        third_party("api.cloud.test", first_seen=2000),
        call("alpha/web", "api.cloud.test", requests=9, unanswered=pb.Unanswered(server=1), latency_ms=latency(1)),
        *(third_party("a.other.test", ambiguous=True), third_party("b.other.test")),
        *(call("alpha/web", "a.other.test", requests=1), call("alpha/cart", "b.other.test", requests=2)),
        vendors=KNOWN,
    )


def rows(seen: Case, question: str, key: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in ask(seen, question).content[key]}


def test_each_third_party_says_whose_it_is_and_what_for() -> None:
    found = rows(shop(), "thirdparties", "third_parties")
    assert {name: (row["vendor"], row["category"]) for name, row in found.items()} == {
        "api.bank.test": ("Bank", "payments"),
        "shop.db.eu.cloud.test": ("Cloud", "database"),
        "api.cloud.test": ("Cloud", "cloud API"),
        "a.other.test": (None, None),
        "b.other.test": (None, None),
    }
    (address,) = ask(shop(), "thirdparties").content["externals"]
    assert (address["id"], address["vendor"], address["category"]) == ("203.0.113.9", None, None)


def test_by_vendor_every_number_is_the_sum_of_all_calls() -> None:
    found = rows(shop(), "vendors", "vendors")
    assert list(found) == ["Bank", "Cloud", "other.test"]  # 85, 20 and 3 attempts
    dependants = found["Bank"].pop("dependants")
    assert [(one["id"], one["hard"], one["requests"], one["availability"]) for one in dependants] == [
        ("alpha/cart", None, 20, 0.8),
        ("alpha/web", None, 60, 0.9),
    ]
    assert [sum(one["failed_connections"].values()) for one in dependants] == [5, 0]
    assert [one["latency_ms"]["mean"] for one in dependants] == [30.0, 10.0]
    assert found["Bank"] == {
        "id": "Bank",
        "vendor": "Bank",
        "domain": None,
        "categories": ["payments"],
        "ambiguous": False,
        "availability": round(1 - (6 + 5) / (60 + 20 + 5), 6),
        "requests": 80,
        "errors": 6,
        "failed_connections": {"refused": 5, "timeout": 0, "reset": 0, "unreachable": 0, "other": 0},
        "dns_failures": None,
        "dns_reasons": {},
        "tls_failures": None,
        "tls_alerts": {},
        "tls_versions": {},
        "certificate_expires": None,
        "connect_ms": None,
        "handshake_ms": None,
        "latency_ms": {"mean": 15.0, "p50": None, "p95": None, "p99": None},
        "names": ["api.bank.test"],
        "name_count": 1,
        "first_seen": "1970-01-01T00:16:40.000Z",
        "last_seen": "2026-01-02T03:09:05.000Z",
    }
    cloud = found["Cloud"]
    assert cloud["categories"] == ["cloud API", "database"]
    assert cloud["availability"] == round(1 - (2 + 1 + 1) / (8 + 3 + 9), 6) == 0.8
    assert (cloud["requests"], cloud["errors"], sum(cloud["failed_connections"].values())) == (9, 0, 3)
    assert [one["id"] for one in cloud["dependants"]] == ["alpha/cart", "alpha/web"]
    assert cloud["names"] == ["api.cloud.test", "shop.db.eu.cloud.test"]
    assert cloud["first_seen"] == "1970-01-01T00:08:20.000Z"


def standing(third: str, word: Word, since: float, **doing: tuple[Word, int]) -> Standing:
    clients = {f"alpha/{client}": one for client, one in doing.items()}
    return Standing(third, third, word, int(since * 1e9), 10**9, int(since * 1e9), clients, frozenset(clients))


def test_each_says_how_it_is_since_when_and_for_whom() -> None:
    standings = {
        "api.bank.test": standing("api.bank.test", Word.FAILING, 1000, web=(Word.FAILING, 1000 * 10**9)),
        "was.bank.test": standing("was.bank.test", Word.GONE, 2000, web=(Word.USUAL, 10**9)),
        "old.bank.test": standing("old.bank.test", Word.GONE, 500),
        "quiet.bank.test": standing("quiet.bank.test", Word.USUAL, 500),
    }
    answer = ask(replace(shop(), standings=standings), "thirdparties").content
    found = {row["id"]: row for row in answer["third_parties"]}
    assert set(found) == set(rows(shop(), "thirdparties", "third_parties"))
    bank = found["api.bank.test"]
    assert (bank["state"], bank["since"]) == ("failing", "1970-01-01T00:16:40.000Z")
    told = {one["id"]: (one["state"], one["since"]) for one in bank["dependants"]}
    assert told == {"alpha/cart": (None, None), "alpha/web": ("failing", "1970-01-01T00:16:40.000Z")}
    assert (found["api.cloud.test"]["state"], found["api.cloud.test"]["since"]) == (None, None)
    assert answer["gone"] == [
        {"id": "was.bank.test", "since": "1970-01-01T00:33:20.000Z", "dependants": ["alpha/web"]},
        {"id": "old.bank.test", "since": "1970-01-01T00:08:20.000Z", "dependants": []},
    ]


def test_one_that_was_called_once_and_is_now_only_looked_up_in_vain_is_there() -> None:
    """The resolver died, and the window has gone by since anybody could call it."""
    failing = lookup("alpha/web", "192.0.2.53", failed_lookups=[pb.FailedLookups(name="api.bank.test", unanswered=4)])
    seen = case(unit("web"), external("192.0.2.53"), failing)
    assert ask(seen, "thirdparties").content["third_parties"] == []
    known = {"api.bank.test": standing("api.bank.test", Word.FAILING, 1000, web=(Word.FAILING, 1000 * 10**9))}
    (row,) = ask(replace(seen, standings=known), "thirdparties").content["third_parties"]
    assert (row["id"], row["state"], row["dns_failures"], row["availability"]) == ("api.bank.test", "failing", 4, 0.0)
    assert (row["first_seen"], row["last_seen"]) == ("1970-01-01T00:00:01.000Z", "1970-01-01T00:16:40.000Z")


def done(count: int, mean: float) -> pb.Handshakes:
    return pb.Handshakes(done=count, latency_ms=latency(mean))


def test_connects_of_several_have_the_mean_of_all_connections() -> None:
    calls = (
        opaque("alpha/web", "api.bank.test", connections=3, connect_ms=latency(10), handshakes=done(2, 40)),
        opaque("alpha/cart", "api.bank.test", connections=1, connect_ms=latency(50), handshakes=done(6, 80)),
    )
    seen = case(unit("web"), unit("cart"), third_party("api.bank.test"), *calls)
    row = rows(seen, "thirdparties", "third_parties")["api.bank.test"]
    assert row["connect_ms"] == {"mean": 20.0, "p50": None, "p95": None, "p99": None}
    assert [one["connect_ms"]["p95"] for one in row["dependants"]] == [50.0, 10.0]
    assert row["handshake_ms"] == {"mean": 70.0, "p50": None, "p95": None, "p99": None}


def test_of_several_certificates_the_first_to_end_is_told() -> None:
    calls = [
        opaque(f"alpha/{name}", "api.bank.test", connections=1, certificate_expires=Timestamp(seconds=seconds))
        for name, seconds in (("web", 2_000_000_000), ("cart", 1_900_000_000))
    ]
    seen = case(unit("web"), unit("cart"), third_party("api.bank.test"), *calls)
    row = rows(seen, "thirdparties", "third_parties")["api.bank.test"]
    assert row["certificate_expires"] == "2030-03-17T17:46:40.000Z"
    assert [one["certificate_expires"][:4] for one in row["dependants"]] == ["2030", "2033"]


def test_what_no_row_has_goes_by_its_registered_domain() -> None:
    other = rows(shop(), "vendors", "vendors")["other.test"]
    assert (other["vendor"], other["domain"], other["categories"]) == (None, "other.test", [])
    assert (other["names"], other["requests"], other["ambiguous"]) == (["a.other.test", "b.other.test"], 3, True)


def test_bare_addresses_stay_what_they_are() -> None:
    by_vendor, by_name = ask(shop(), "vendors").content, ask(shop(), "thirdparties").content
    assert by_vendor["externals"] == by_name["externals"] != []


def test_a_vendor_that_is_called_as_a_domain_is_not_that_domain() -> None:
    known = Vendors({"bank.test": Vendor("other.test", "payments")}, registrable)
    calls = (call("alpha/web", "api.bank.test", requests=2), call("alpha/web", "a.other.test", requests=1))
    seen = case(unit("web"), third_party("api.bank.test"), third_party("a.other.test"), *calls, vendors=known)
    found = [(row["id"], row["vendor"], row["requests"]) for row in ask(seen, "vendors").content["vendors"]]
    assert found == [("other.test", "other.test", 2), ("other.test", None, 1)]


def test_one_name_in_two_clusters_is_one_name() -> None:
    east = pb.Node(id="east:api.bank.test", name="api.bank.test", kind=pb.NODE_KIND_THIRD_PARTY, last_seen=at(5000))
    calls = (call("alpha/web", "api.bank.test", requests=2), call("alpha/web", "east:api.bank.test", requests=3))
    seen = case(unit("web"), third_party("api.bank.test"), east, *calls, vendors=KNOWN)
    (row,) = ask(seen, "vendors").content["vendors"]
    assert (row["names"], row["name_count"], row["requests"]) == (["api.bank.test"], 1, 5)


def test_what_was_not_called_and_what_a_proxy_passed_on_is_in_no_sum() -> None:
    seen = case(
        *(unit("web"), unit("proxy"), third_party("api.bank.test", "proxy"), third_party("old.bank.test")),
        call("alpha/web", "api.bank.test", requests=10, through=["alpha/proxy"]),
        opaque("alpha/proxy", "api.bank.test"),
        vendors=KNOWN,
    )
    (row,) = ask(seen, "vendors").content["vendors"]
    assert (row["names"], row["requests"]) == (["api.bank.test"], 10)
    assert [one["id"] for one in row["dependants"]] == ["alpha/web"]


def test_the_names_of_one_row_are_bounded_and_counted() -> None:
    names = [f"{number:04}.bank.test" for number in range(MOST_NAMES + 7)]
    parts = [part for name in names for part in (third_party(name), call("alpha/web", name, requests=3))]
    (row,) = ask(case(unit("web"), *parts, vendors=KNOWN), "vendors").content["vendors"]
    assert row["names"] == names[:MOST_NAMES]
    assert (row["name_count"], row["requests"]) == (len(names), 3 * len(names))


def test_without_anybody_who_watched_there_is_no_answer() -> None:
    assert ask(case(vendors=KNOWN), "vendors").verdict is Verdict.DONE
    blind = case(pb.Host(name="alpha", stale=True), vendors=KNOWN)
    assert ask(blind, "vendors").verdict is Verdict.NOT_ENOUGH_SEEN


NAMES = st.sampled_from(
    ("a.bank.test", "b.bank.test", "x.cloud.test", "db.eu.cloud.test", "other.test", "x", "y.z.test")
)
CALLS = st.tuples(st.sampled_from(("a", "b", "c")), st.integers(0, 50), st.integers(0, 9), st.integers(0, 9))


@given(st.dictionaries(NAMES, st.lists(CALLS, min_size=1, max_size=3, unique_by=lambda one: one[0])))
def test_nothing_is_lost_or_counted_twice(called: dict[str, list[tuple[str, int, int, int]]]) -> None:
    parts: list[pb.Node | pb.Edge] = [unit("a"), unit("b"), unit("c")]
    for name, calls in called.items():
        parts.append(third_party(name))
        parts += [
            call(
                f"alpha/{who}",
                name,
                requests=requests,
                errors=min(errors, requests),
                failed_connections={"reset": failed},
            )
            for who, requests, errors, failed in calls
        ]
    seen = case(*parts, vendors=KNOWN)
    by_name, by_vendor = ask(seen, "thirdparties").content["third_parties"], ask(seen, "vendors").content["vendors"]
    for sum_of in (
        lambda row: row["requests"],
        lambda row: row["errors"],
        lambda row: row["failed_connections"]["reset"],
    ):
        assert sum(map(sum_of, by_name)) == sum(map(sum_of, by_vendor))
    assert sorted(name for row in by_vendor for name in row["names"]) == sorted(row["name"] for row in by_name)
    users = {row["id"]: {one["id"] for one in row["dependants"]} for row in by_name}
    for row in by_vendor:
        assert {one["id"] for one in row["dependants"]} == set().union(*(users[name] for name in row["names"]))


@pytest.mark.parametrize("question", ["thirdparties", "vendors"])
def test_asking_a_resolver_is_a_call_of_it(question: str) -> None:
    key = {"thirdparties": "third_parties"}.get(question, question)
    seen = case(unit("web"), third_party("ns.bank.test"), lookup("alpha/web", "ns.bank.test", 4), vendors=KNOWN)
    assert [row["requests"] for row in ask(seen, question).content[key]] == [4]
