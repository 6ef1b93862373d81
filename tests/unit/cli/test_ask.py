import json
from typing import Any

import pytest
from plumbline.v1 import insight_pb2

from cli.questions import QUESTIONS

from .conftest import FROM, TO, Served, run

ABOUT = {"window": {"from": FROM, "to": TO}, "coverage": 0.5}
ANSWERS: dict[str, dict[str, Any]] = {
    "drift": {
        "findings": [
            {"kind": "observed_only", "subject": "a", "object": "b", "severity": "high", "confidence": "low",
             "evidence": {}},
        ],
        "problems": [{"file": "c.yaml", "line": 3, "subject": "x", "sentence": "No such system."}],
        "withheld": [{}, {}],
        "reason": None,
    },
    "impact": {
        "node": "b",
        "affected": [{"id": "a", "distance": 1, "share": 0.25, "path": ["a", "b"], "owner": None}],
    },
    "owner": {
        "node": "b",
        "owner": "team-b",
        "entities": [
            {"id": "component:default/b", "owner": "team-b", "type": "service", "lifecycle": None, "place": "c.yaml:3"},
        ],
        "reason": None,
    },
    "thirdparties": {
        "third_parties": [
            {"id": "api.pay.test", "vendor": "Pay", "category": "payments", "name_source": "host", "state": "failing",
             "since": "2026-01-02T03:04:05.000Z",
             "availability": 0.999999, "requests": 9, "errors": 1,
             "failed_connections": {"refused": 1, "timeout": 1}, "dns_failures": 3, "latency_ms": {"mean": 12.34},
             "dependants": [{"id": "a", "hard": None}, {"id": "b", "hard": None}]},
        ],
        "externals": [
            {"id": "192.0.2.9", "vendor": None, "category": None, "name_source": None,
             "availability": None, "requests": 0, "errors": 0,
             "failed_connections": None, "latency_ms": None, "dependants": []},
        ],
    },
}  # fmt: skip
LINES = {
    "drift": [
        "FINDING        SUBJECT  OBJECT  SEVERITY  CONFIDENCE",
        "observed_only  a        b       high      low",
    ],
    "impact": [
        "AFFECTED  DISTANCE    SHARE  OWNER  PATH",
        "a                1  25.00 %  -      a -> b",
    ],
    "owner": [
        "ENTITY               OWNER   TYPE     LIFECYCLE  DECLARED IN",
        "component:default/b  team-b  service  -          c.yaml:3",
    ],
    "thirdparties": [
        "NAME          VENDOR  CATEGORY  NAMED BY  STATE                   AVAILABILITY  REQUESTS  ERRORS  FAILED  "
        "MEAN MS  USED BY",
        "api.pay.test  Pay     payments  host      failing since 03:04:05       99.99 %         9       1       5  "
        "   12.3  a, b",
        "192.0.2.9     -       -         -         -                                  -         0       0       0  "
        "      -  -",
    ],
}


BY_VENDOR: dict[str, Any] = {
    **ABOUT,
    "vendors": [
        {"id": "Cloud", "vendor": "Cloud", "domain": None, "categories": ["database", "queue"], "availability": 0.5,
         "requests": 9, "errors": 1, "failed_connections": {"refused": 1, "timeout": 1}, "latency_ms": {"mean": 12.34},
         "dependants": [{"id": "a", "hard": None}], "names": ["w.test", "x.test", "y.test", "z.test"],
         "name_count": 60},
        {"id": "pay.test", "vendor": None, "domain": "pay.test", "categories": [], "availability": 1, "requests": 2,
         "errors": 0, "failed_connections": {}, "latency_ms": None, "dependants": [], "names": ["api.pay.test"],
         "name_count": 1},
    ],
    "externals": ANSWERS["thirdparties"]["externals"],
}  # fmt: skip


def arguments(name: str, served: Served) -> list[str]:
    return [name, *(["b"] if QUESTIONS[name].argument else []), "--aggregator", served.address]


def serve(served: Served, name: str, verdict: str = "VERDICT_DONE") -> dict[str, Any]:
    content = {**ANSWERS[name], **ABOUT}
    served.answers[name] = insight_pb2.AskResponse(answer_json=json.dumps(content), verdict=verdict)
    return content


@pytest.mark.parametrize("name", QUESTIONS)
def test_json_is_the_answer_as_it_came(served: Served, name: str) -> None:
    content = serve(served, name)
    assert json.loads(run(*arguments(name, served), "-o", "json").stdout) == content


@pytest.mark.parametrize("name", QUESTIONS)
def test_tables(served: Served, name: str) -> None:
    serve(served, name)
    assert run(*arguments(name, served)).stdout.splitlines()[: len(LINES[name])] == LINES[name]


def test_third_parties_by_vendor(served: Served) -> None:
    served.answers["vendors"] = insight_pb2.AskResponse(answer_json=json.dumps(BY_VENDOR), verdict="VERDICT_DONE")
    ended = run("thirdparties", "--by", "vendor", "--aggregator", served.address)
    assert ended.stdout.splitlines()[:4] == [
        "VENDOR     CATEGORY         AVAILABILITY  REQUESTS  ERRORS  FAILED  MEAN MS  USED BY  NAMES",
        "Cloud      database, queue       50.00 %         9       1       2     12.3  a        "
        "w.test, x.test, y.test and 57 more",
        "pay.test   -                       100 %         2       0       0        -  -        api.pay.test",
        "192.0.2.9  -                           -         0       0       0        -  -        -",
    ]
    assert served.requests[0].question == "vendors"
    ended = run("thirdparties", "--by", "vendor", "--aggregator", served.address, "-o", "json")
    assert json.loads(ended.stdout) == BY_VENDOR


def test_third_parties_are_grouped_by_what_is_there_to_group_them_by(served: Served) -> None:
    ended = run("thirdparties", "--by", "colour", "--aggregator", served.address)
    assert (ended.status, ended.stdout) == (2, "")
    assert "'colour' is not 'vendor'" in ended.stderr


@pytest.mark.parametrize(
    ("verdict", "status"),
    [("VERDICT_DONE", 0), ("VERDICT_CHECK_FAILED", 1), ("VERDICT_NOT_ENOUGH_SEEN", 3)],
)
def test_the_verdict_is_the_exit_status(served: Served, verdict: str, status: int) -> None:
    serve(served, "drift", verdict)
    assert run(*arguments("drift", served)).status == status


def test_what_stands_under_the_table(served: Served) -> None:
    serve(served, "drift")
    assert run(*arguments("drift", served)).stdout.splitlines()[3:] == [
        f"Seen from {FROM} to {TO}, coverage 50.00 %; 2 withheld for want of evidence (-o json tells why).",
        "c.yaml:3: No such system.",
    ]


def test_the_subject_is_asked_for_and_may_be_unknown(served: Served) -> None:
    ended = run("impact", "ghost", "--aggregator", served.address)
    assert (ended.status, ended.stderr) == (2, "plumb: Nothing of the name ghost was seen.\n")
    assert served.requests[0].subject == "ghost"


def test_export_is_passed_on_byte_by_byte(served: Served) -> None:
    served.exports["backstage"] = "kind: Resource\nname: ü\n".encode()
    assert run("export", "backstage", "--aggregator", served.address).stdout == "kind: Resource\nname: ü\n"


def test_an_unknown_form_is_wrong_use(served: Served) -> None:
    ended = run("export", "tea", "--aggregator", served.address)
    assert (ended.status, ended.stderr) == (2, "plumb: There is no form tea; use backstage.\n")
