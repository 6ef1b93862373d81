"""Who is affected, by which share of their calls, and along which path."""

import importlib
import random
from itertools import pairwise
from typing import Any

import networkx as nx
import pytest
from plumbline.v1 import topology_pb2 as pb

from aggregator.insight import ask
from aggregator.insight.case import MOST_ROWS, Case, Verdict
from tests.builders import call, case, component, lookup, opaque, process, third_party, topology, unit

Part = pb.Node | pb.Edge | pb.Host


def graph(names: str, *edges: pb.Edge) -> tuple[Part, ...]:
    return *(unit(name) for name in names.split()), *edges


def calls(source: str, target: str, requests: int = 10, **fields: Any) -> pb.Edge:
    return call(f"alpha/{source}", f"alpha/{target}", requests=requests, **fields)


def affected(subject: str, *parts: Part, catalog: str | None = None) -> dict[str, dict[str, Any]]:
    answer = ask(case(*parts, catalog=catalog), "impact", f"alpha/{subject}")
    rows = answer.content["affected"]
    assert rows == sorted(rows, key=lambda row: (-row["share"], row["distance"], row["id"]))
    return {row["id"].removeprefix("alpha/"): row for row in rows}


def shares(subject: str, *parts: Part) -> dict[str, float]:
    return {name: row["share"] for name, row in affected(subject, *parts).items()}


def test_a_caller_is_affected_by_its_share_of_calls() -> None:
    parts = graph("web cart db", calls("web", "cart", 30), calls("web", "db", 70))
    row = affected("cart", *parts, catalog=component("web", owner="team-web"))["web"]
    assert row == {
        "id": "alpha/web",
        "distance": 1,
        "share": 0.3,
        "share_of": "requests",
        "path": ["alpha/web", "alpha/cart"],
        "owner": "team-web",
    }


def test_shares_multiply_along_the_way() -> None:
    parts = graph(
        "web cart db mail",
        calls("web", "cart", 50),
        calls("web", "mail", 50),
        calls("cart", "db", 20),
        calls("cart", "mail", 80),
    )
    found = affected("db", *parts)
    assert {name: (row["share"], row["distance"]) for name, row in found.items()} == {"cart": (0.2, 1), "web": (0.1, 2)}
    assert found["web"]["path"] == ["alpha/web", "alpha/cart", "alpha/db"]
    assert found["web"]["owner"] is None


def test_the_widest_path_counts_and_the_shortest_is_the_distance() -> None:
    parts = graph(
        "web gate db",
        calls("web", "gate", 90),
        calls("web", "db", 10),
        calls("gate", "db", 10),
    )
    row = affected("db", *parts)["web"]
    assert (row["share"], row["distance"], row["path"]) == (0.9, 1, ["alpha/web", "alpha/gate", "alpha/db"])


def test_who_is_called_is_not_affected() -> None:
    assert shares("web", *graph("web cart"), calls("web", "cart")) == {}


@pytest.mark.parametrize("background", [pb.EDGE_CLASS_PROBE, pb.EDGE_CLASS_SCRAPE, pb.EDGE_CLASS_SELF])
def test_probes_and_scrapes_are_no_dependants(background: int) -> None:
    parts = graph("kubelet web cart", calls("kubelet", "cart", class_=background), calls("web", "cart"))
    assert shares("cart", *parts) == {"web": 1.0}


def test_edges_over_several_ports_add_up() -> None:
    parts = graph(
        "web cart db",
        calls("web", "cart", 30),
        calls("web", "cart", 30, port=81),
        calls("web", "db", 40),
    )
    assert shares("cart", *parts) == {"web": 0.6}


def test_connections_stand_for_requests_that_nobody_could_read() -> None:
    parts = graph("web cart db", calls("web", "cart", 30), opaque("alpha/web", "alpha/db", connections=10))
    row = affected("db", *parts)["web"]
    assert (row["share"], row["share_of"]) == (0.25, "connections")


def test_a_connection_that_stays_open_is_a_use() -> None:
    pool = opaque("alpha/web", "alpha/db", connections=0, active_connections=5)
    assert shares("db", *graph("web cart db"), calls("web", "cart", 15), pool) == {"web": 0.25}


def test_failed_connections_are_uses_that_failed() -> None:
    failing = calls("web", "cart", 0, connections=0, failed_connections={"refused": 10})
    assert shares("cart", *graph("web cart db"), failing, calls("web", "db", 10)) == {"web": 0.5}


def test_lookups_are_shares_among_themselves() -> None:
    parts = graph("web cart dns", calls("web", "cart", 10), lookup("alpha/web", "alpha/dns", 990))
    assert shares("cart", *parts) == {"web": 1.0}
    assert shares("dns", *parts) == {"web": 1.0}


def test_a_third_party_has_an_impact() -> None:
    parts = (unit("web"), process("cron"), third_party("pay.example"), call("alpha/web", "pay.example"))
    rows = ask(case(*parts, calls("cron", "web")), "impact", "pay.example").content["affected"]
    assert [(row["id"], row["distance"], row["share"]) for row in rows] == [
        ("alpha/web", 1, 1.0),
        ("alpha/cron", 2, 1.0),
    ]


class TestCircles:
    def test_in_a_circle_everybody_else_is_affected_once(self) -> None:
        parts = graph("a b c", calls("a", "b"), calls("b", "c"), calls("c", "a"))
        found = affected("a", *parts)
        assert {name: row["distance"] for name, row in found.items()} == {"c": 1, "b": 2}
        assert found["b"]["path"] == ["alpha/b", "alpha/c", "alpha/a"]

    def test_two_that_call_each_other_and_a_third(self) -> None:
        parts = graph("a b c", calls("a", "b"), calls("b", "a"), calls("b", "c"))
        assert shares("c", *parts) == {"b": 0.5, "a": 0.5}

    def test_a_node_that_calls_itself_is_no_dependant_of_itself(self) -> None:
        assert shares("a", *graph("a b"), calls("a", "a", 90), calls("b", "a", 10)) == {"b": 1.0}


def test_a_very_long_chain_reaches_its_end() -> None:
    names = [f"n{number}" for number in range(1500)]
    chain = [calls(source, target, 1) for source, target in pairwise(names)]
    side = [calls(name, "sink", 99) for name in names[:-1]]
    content = ask(case(*graph(" ".join([*names, "sink"]), *chain, *side)), "impact", "alpha/n1499").content
    assert content["counts"] == {"affected": 1499}
    found = {row["id"].removeprefix("alpha/"): row for row in content["affected"]}
    assert found["n1497"]["path"] == ["alpha/n1497", "alpha/n1498", "alpha/n1499"]
    # Beyond a hundred hops or so every share is 0 to six digits, and the nearest come first.
    assert max(row["distance"] for row in found.values()) == len(found) == MOST_ROWS


def test_what_is_beyond_the_rows_of_an_answer_is_counted() -> None:
    names = [f"n{number:04}" for number in range(MOST_ROWS + 5)]
    content = ask(
        case(*graph(" ".join([*names, "db"]), *[calls(name, "db") for name in names])), "impact", "alpha/db"
    ).content
    assert [row["id"] for row in content["affected"]] == [f"alpha/{name}" for name in names[:MOST_ROWS]]
    assert (content["counts"], content["reason"]) == ({"affected": 1005}, "Listed are the first 1000 of 1005 affected.")


def test_nothing_seen_is_not_nothing_affected() -> None:
    silent = ask(case(unit("a")), "impact", "alpha/a")
    assert (silent.verdict, silent.content["affected"]) == (Verdict.DONE, [])
    seen = topology(unit("a"))
    del seen.hosts[:]
    assert ask(Case(seen), "impact", "alpha/a").verdict is Verdict.NOT_ENOUGH_SEEN


@pytest.mark.parametrize("seed", range(5))
def test_shares_and_distances_are_those_of_a_plain_search(seed: int) -> None:
    dice = random.Random(seed)
    names = [f"n{number}" for number in range(40)]
    ends = {(dice.choice(names), dice.choice(names)) for _ in range(160)}
    edges = [calls(source, target, dice.randint(1, 100)) for source, target in sorted(ends) if source != target]
    whole = nx.DiGraph()
    whole.add_nodes_from(f"alpha/{name}" for name in names)
    for edge in edges:
        total = sum(each.requests for each in edges if each.source == edge.source)
        whole.add_edge(edge.target, edge.source, share=edge.requests / total)
    expected = {name.removeprefix("alpha/"): share for name, share in widest(whole, "alpha/n0").items()}
    distances = nx.single_source_shortest_path_length(whole, "alpha/n0")
    found = affected("n0", *graph(" ".join(names), *edges))
    assert {name: row["share"] for name, row in found.items()} == pytest.approx(expected, abs=1e-6)
    assert {row["id"]: row["distance"] for row in found.values()} | {"alpha/n0": 0} == distances
    for row in found.values():
        product = 1.0
        for client, server in pairwise(row["path"]):
            product *= whole.edges[server, client]["share"]
        assert row["share"] == pytest.approx(product, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_worst_of_many_are_those_of_a_search_of_all(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is far below the last row is not looked for, and nothing of the rows changes."""
    monkeypatch.setattr(importlib.import_module("aggregator.insight.impact"), "MOST_ROWS", 15)
    dice = random.Random(seed)
    names = [f"n{number:03}" for number in range(300)]
    ends = {(dice.choice(names), dice.choice(names)) for _ in range(1500)}
    edges = [calls(source, target, dice.choice((1, 1, 5, 1000))) for source, target in sorted(ends) if source != target]
    asked = case(*graph(" ".join(names), *edges))
    for subject in dice.sample(names, 20):
        found = ask(asked, "impact", f"alpha/{subject}").content
        whole = asked.calls.reach(f"alpha/{subject}")
        assert whole.floor == 0.0
        callers = [number for number in range(len(names)) if whole.hops[number] > 0]
        expected = sorted(callers, key=lambda one: (-round(float(whole.shares[one]), 6), whole.hops[one], one))[:15]
        assert [(row["id"], row["share"], row["distance"]) for row in found["affected"]] == [
            (asked.calls.ids[one], round(float(whole.shares[one]), 6), whole.hops[one]) for one in expected
        ]
        assert found["counts"] == {"affected": len(callers)}


def widest(whole: "nx.DiGraph[str]", start: str) -> dict[str, float]:
    """The largest product of shares to each node, by trying every improvement until there is none."""
    found = {start: 1.0}
    waiting = [start]
    while waiting:
        server = waiting.pop()
        for client in whole.successors(server):
            offered = found[server] * whole.edges[server, client]["share"]
            if offered > found.get(client, 0.0):
                found[client] = offered
                waiting.append(client)
    del found[start]
    return found


def test_a_proxy_is_on_the_way_of_all_its_clients_calls_and_calls_nobody_in_their_place() -> None:
    parts = graph(
        "web proxy mail",
        calls("web", "proxy", 40, way=True),
        call("alpha/web", "a.test", requests=10, through=["alpha/proxy"]),
        call("alpha/web", "b.test", requests=30, through=["alpha/proxy"]),
        call("alpha/web", "alpha/mail", requests=40),
        opaque("alpha/proxy", "a.test"),
        opaque("alpha/proxy", "alpha/mail"),
    )
    parts += (third_party("a.test", "proxy"), third_party("b.test", "proxy"))
    answer = ask(case(*parts), "impact", "a.test").content["affected"]
    assert [(row["id"], row["share"]) for row in answer] == [("alpha/web", 0.125)]
    assert shares("proxy", *parts) == {"web": 0.5}
    assert shares("mail", *parts) == {"proxy": 1.0, "web": 0.5}
    outside = {row["id"]: row for row in ask(case(*parts), "thirdparties", "").content["third_parties"]}
    assert {name: row["requests"] for name, row in outside.items()} == {"a.test": 10, "b.test": 30}
    assert all([one["id"] for one in row["dependants"]] == ["alpha/web"] for row in outside.values())
