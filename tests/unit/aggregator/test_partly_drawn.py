"""What is drawn of a part of a node's edges says of the node what all of them say."""

import itertools

import pytest
from plumbline.v1 import topology_pb2 as pb

from aggregator.topology.graph import with_span

BY_TRUST = ("proxy", "sni", "host", "dns")


def third_party(source: str, ambiguous: bool = False) -> pb.Node:
    return pb.Node(id="api.test", kind=pb.NODE_KIND_THIRD_PARTY, name_source=source, ambiguous=ambiguous)


@pytest.mark.parametrize(("better", "worse"), [*itertools.combinations(BY_TRUST, 2)])
def test_the_best_source_of_a_name_whichever_came_first(better: str, worse: str) -> None:
    for before, now in ((better, worse), (worse, better)):
        assert with_span(third_party(now), third_party(before)).name_source == better


def test_ambiguous_by_any_of_its_calls() -> None:
    for before, now in ((True, False), (False, True)):
        assert with_span(third_party("dns", now), third_party("dns", before)).ambiguous
