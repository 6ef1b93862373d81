import json

from plumbline.v1.jsonform import to_json

from .conftest import Served, run


def test_a_node_and_what_touches_it(served: Served) -> None:
    answer = json.loads(run("show", "alpha/backend", "--aggregator", served.address, "-o", "json").stdout)
    whole = to_json(served.topology)
    assert answer == {
        **whole["nodes"][1],
        "window": whole["window"],
        "callers": [whole["edges"][0]],
        "dependencies": [whole["edges"][1]],
        "resources": None,
        "revisions": None,
        "events": None,
        "exposure": None,
    }


def test_a_name_that_one_node_has_is_enough(served: Served) -> None:
    ended = run("show", "backend", "--aggregator", served.address)
    assert ended.status == 0
    assert ended.stdout.startswith("alpha/backend: unit on 1 host(s), listens on 8080\n\nCallers\nCLIENT")
    assert "GET     /items/*  alpha/frontend       120       3     1.50    3.25    9.00" in ended.stdout


def test_nodes_that_touch_nothing(served: Served) -> None:
    assert "Dependencies\nnone in this window" in run("show", "idle", "--aggregator", served.address).stdout


def test_an_unknown_node_is_wrong_use_and_says_what_is_like_it(served: Served) -> None:
    ended = run("show", "BACK", "--aggregator", served.address)
    assert ended.status == 2
    assert ended.stderr == "plumb: No node BACK was seen in this window; did you mean alpha/backend?\n"


def test_a_name_of_several_nodes_must_be_chosen(served: Served) -> None:
    served.topology.nodes.add(id="beta/backend", name="backend")
    ended = run("show", "backend", "--aggregator", served.address)
    assert (ended.status, "choose alpha/backend, beta/backend" in ended.stderr) == (2, True)
