"""Names that come from the network are data in every form of output: never syntax, never terminal commands."""

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plumbline.v1 import insight_pb2, topology_pb2
from plumbline.v1.jsonform import to_json

from cli import diagrams
from cli.render import safe

from .conftest import TO, Served, run

NASTY = (
    "\x1b[2J\x1b]0;owned\x07",
    'a"]; b -> c [label="d',
    "line\nbreak\r\nand\ttab",
    "</title><script>alert(1)</script>",
    "- !!python/object/apply:os.system ['true']",
    "&anchor {a: b} # c | > %",
    "\u202eevil.test\u2066",
    "\x85\u2028\u2029\x7f\x00",
    "\\n \\N \\\\ \\",
    '"]\n  click n0 call f()',
    "#quot; %%{init: {}}%% `md`",
    "null", "~", "1e3", "yes", " ", "-",
)  # fmt: skip
NAMES = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
DOT_STRING = r'"(?:[^"\\]|\\.)*"'
DOT_LINE = re.compile(rf"  n\d+(?: -> n\d+)? \[label=({DOT_STRING})(?:, shape=\w+)?\];")
MERMAID_LINE = re.compile(r'  n\d+(?:\[("[\w ./:#;-]*")\]| -->\|("[\w ./:#;-]*")\| n\d+)', re.ASCII)


def everywhere(name: str) -> topology_pb2.Topology:
    """A graph in which each text that a stranger can choose is `name`."""
    graph = topology_pb2.Topology(cluster=name)
    graph.window.to.FromJsonString(TO)
    graph.nodes.add(id=name, name=name, namespace=name, kind=topology_pb2.NODE_KIND_THIRD_PARTY)
    graph.nodes.add(id=f"alpha/{name}", name=name, listens=[80], kind=topology_pb2.NODE_KIND_PROCESS)
    graph.edges.add(
        id="x", source=f"alpha/{name}", target=name, protocol="http", port=80, requests=1, codes={name: 1},
        via=[topology_pb2.Via(name=name, connections=1)],
        routes=[topology_pb2.Route(method=name, route=name, requests=1)],
    )  # fmt: skip
    host = graph.hosts.add(name=name, lost={name: 1}, dropped={name: 2}, stale=True)
    host.blind.add(reason=name)
    return graph


def is_plain(text: str) -> bool:
    """Nothing in it steers a terminal or breaks a line but our own line ends."""
    return all(line.isprintable() for line in text.split("\n"))


def examples(test: Any) -> Any:
    for name in NASTY:
        test = example(name)(test)
    return settings(max_examples=100, deadline=None)(test)


@examples
@given(NAMES)
def test_a_safe_text_is_visible_and_says_which_it_was(name: str) -> None:
    shown = safe(name)
    assert is_plain(shown)
    assert "\n" not in shown
    reread = re.sub(
        r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))",
        lambda found: (
            {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}[found[4]]
            if found[4]
            else chr(int(found[1] or found[2] or found[3], 16))
        ),
        shown,
    )
    assert reread == name


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_documents_hold_the_name_as_it_is_in_plain_ascii(served: Served, form: str) -> None:
    @examples
    @given(NAMES)
    def holds(name: str) -> None:
        served.topology = everywhere(name)
        ended = run("graph", "--aggregator", served.address, "-o", form)
        assert ended.status == 0
        assert ended.stdout.isascii()
        assert is_plain(ended.stdout)
        load = json.loads if form == "json" else yaml.safe_load
        assert load(ended.stdout) == to_json(served.topology)

    holds()


def test_tables_keep_their_lines(served: Served) -> None:
    @examples
    @given(NAMES)
    def keeps(name: str) -> None:
        served.topology = everywhere(name)
        ended = run("graph", "--aggregator", served.address)
        assert ended.status == 0
        assert is_plain(ended.stdout)
        assert len(ended.stdout.splitlines()) == 10
        assert f"alpha/{safe(name)}  {safe(name)}" in ended.stdout

    keeps()


def test_one_node_keeps_its_lines(served: Served) -> None:
    @examples
    @given(NAMES)
    def keeps(name: str) -> None:
        served.topology = everywhere(name)
        ended = run("show", "--aggregator", served.address, "--", name)
        assert ended.status == 0
        assert is_plain(ended.stdout)
        assert len(ended.stdout.splitlines()) == 16
        assert ended.stdout.startswith(f"{safe(name)}: third_party on ")

    keeps()


@examples
@given(NAMES)
def test_dot_has_names_in_quoted_labels_only(name: str) -> None:
    lines = diagrams.dot(to_json(everywhere(name))).split("\n")
    assert (lines[:3], lines[-1]) == (["digraph plumbline {", "  rankdir=LR;", "  node [shape=box];"], "}")
    found = [DOT_LINE.fullmatch(line) for line in lines[3:-1]]
    assert len(found) == 3
    assert all(found)
    assert re.sub(r"\\(.)", r"\1", found[0][1][1:-1]) == safe(name)  # type: ignore[index]


@examples
@given(NAMES)
def test_mermaid_has_names_as_entities_only(name: str) -> None:
    lines = diagrams.mermaid(to_json(everywhere(name))).split("\n")
    assert lines[0] == "flowchart LR"
    found = [MERMAID_LINE.fullmatch(line) for line in lines[1:]]
    assert len(found) == 3
    assert all(found)
    label = found[0][1][1:-1]  # type: ignore[index]
    assert re.sub(r"#(\d+);", lambda entity: chr(int(entity[1])), label) == safe(name)


ROWS: dict[str, dict[str, Any]] = {
    "thirdparties": {
        "third_parties": [
            {"id": "?", "vendor": "?", "category": "?", "name_source": "?", "requests": 1, "dependants": [{"id": "?"}]},
        ],
    },
    "vendors": {
        "vendors": [{"id": "?", "categories": ["?"], "requests": 1, "dependants": [{"id": "?"}], "names": ["?", "?"]}],
    },
    "drift": {
        "findings": [{"kind": "?", "subject": "?", "object": "?", "severity": "?", "confidence": "?"}],
        "problems": [{"file": "?", "line": 1, "sentence": "?"}],
        "reason": "?",
    },
    "impact": {"affected": [{"id": "?", "distance": 1, "share": 0.5, "path": ["?", "?"], "owner": "?"}]},
}


@pytest.mark.parametrize("question", ROWS)
def test_answers_keep_their_lines(served: Served, question: str) -> None:
    @examples
    @given(NAMES)
    def keeps(name: str) -> None:
        content = json.loads(json.dumps(ROWS[question]), object_hook=lambda row: fill(row, name))
        served.answers[question] = insight_pb2.AskResponse(answer_json=json.dumps(content))
        command = ["thirdparties", "--by", "vendor"] if question == "vendors" else [question]
        subject = ["--", name] if question == "impact" else []
        ended = run(*command, "--aggregator", served.address, *subject)
        assert ended.status == 0
        assert is_plain(ended.stdout)
        more_lines = {"drift": 2}.get(question, 0)
        assert len(ended.stdout.splitlines()) == 4 + more_lines

    keeps()


def fill(row: dict[str, Any], name: str) -> dict[str, Any]:
    def filled(value: Any) -> Any:
        return name if value == "?" else [filled(each) for each in value] if isinstance(value, list) else value

    return {key: filled(value) for key, value in row.items()}


@pytest.mark.parametrize("name", NASTY)
def test_errors_stay_one_line(served: Served, name: str) -> None:
    ended = run("show", "--aggregator", served.address, "--", name)
    assert ended.status == 2
    assert is_plain(ended.stderr)
    assert len(ended.stderr.splitlines()) == 1
