import json

import pytest
import yaml
from plumbline.v1.jsonform import to_json

from .conftest import Served, run


def test_json_is_the_contract_of_scripts(served: Served) -> None:
    ended = run("graph", "--aggregator", served.address, "-o", "json")
    assert ended.status == 0
    assert json.loads(ended.stdout) == to_json(served.topology)


def test_yaml_says_the_same(served: Served) -> None:
    ended = run("graph", "--aggregator", served.address, "-o", "yaml")
    assert yaml.safe_load(ended.stdout) == to_json(served.topology)


def test_table_has_each_edge_and_what_limits_the_truth(served: Served) -> None:
    lines = run("graph", "--aggregator", served.address).stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [
        "CLIENT SERVER PROTOCOL REQUESTS ERRORS MEAN MS P95 MS CONNS FAILED SENT RECEIVED SEEN BY".split(),
        "alpha/backend api.pay.test tls:443 - - - - 6 0 10 B 20 B client".split(),
        "alpha/frontend alpha/backend http:8080 120 3 1.50 3.25 4 3 2.0 KiB 3.0 MiB both".split(),
    ]
    assert lines[3:] == [
        "",
        "Listening, not called in this window: alpha/idle (9).",
        "",
        "4 nodes, 2 edges, 03:04:05 to 03:09:05 UTC; 1 of 1 hosts watched, coverage 100 %.",
        "alpha: blind from 03:04:05 to 03:09:05 (agent restarted).",
        "alpha: lost 5 ring_full.",
        "pods of the cluster's API: as of 03:04:05. The API server says 403.",
    ]


def test_dot(served: Served) -> None:
    assert run("graph", "--aggregator", served.address, "-o", "dot").stdout.splitlines() == [
        "digraph plumbline {",
        "  rankdir=LR;",
        "  node [shape=box];",
        '  n0 [label="alpha/frontend", shape=box];',
        '  n1 [label="alpha/backend", shape=box];',
        '  n2 [label="alpha/idle", shape=box];',
        '  n3 [label="api.pay.test", shape=component];',
        '  n0 -> n1 [label="http:8080 120 requests"];',
        '  n1 -> n3 [label="tls:443"];',
        "}",
    ]


def test_mermaid(served: Served) -> None:
    assert run("graph", "--aggregator", served.address, "-o", "mermaid").stdout.splitlines() == [
        "flowchart LR",
        '  n0["alpha/frontend"]',
        '  n1["alpha/backend"]',
        '  n2["alpha/idle"]',
        '  n3["api.pay.test"]',
        '  n0 -->|"http:8080 120 requests"| n1',
        '  n1 -->|"tls:443"| n3',
    ]


def test_what_was_asked_for_is_what_is_asked(served: Served) -> None:
    run("graph", "--aggregator", served.address, "--window", "1h30m", "--namespace", "shop", "--background")
    (request,) = served.requests
    assert request.window.seconds == 5400
    assert (request.filter.namespace, request.filter.include_background) == ("shop", True)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["graph", "--aggregator", "127.0.0.1:1"], 4, "No aggregator answers at 127.0.0.1:1; start one (plumb up)"),
        (["graph", "--at", "12:00"], 2, "--at comes later"),
        (["graph", "--window", "5 minutes"], 2, "write it like 30s, 5m or 1h30m"),
        (["graph", "--window", "0s"], 2, "no span of time"),
        (["graph", "-o", "xml"], 2, "'xml' is not one of"),
        (["graph", "--nonsense"], 2, "see plumb graph --help"),
        (["nonsense"], 2, "see plumb --help"),
        (["impact"], 2, "Missing argument 'NODE'"),
    ],
)
def test_errors_are_one_sentence_with_the_remedy(arguments: list[str], status: int, says: str) -> None:
    ended = run(*arguments)
    assert (ended.status, ended.stdout) == (status, "")
    assert says in ended.stderr
    assert ended.stderr.startswith("plumb: ")
    assert len(ended.stderr.splitlines()) == 1
