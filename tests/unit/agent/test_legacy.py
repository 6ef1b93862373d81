"""What an agent leaves to its successor arrives as it was, and means there what it meant here."""

import numpy as np
import pytest
from plumbline.v1.flow_pb2 import NAME_KIND_ROUTE, Batch, LocalEndpoint, NameDefinition

from agent.coalescing import FLOWS, REQUESTS
from agent.dictionary import Dictionary
from agent.identity.endpoints import EndpointBook
from agent.records import Stand
from agent.succession.legacy import (
    BrokenLegacy,
    Legacy,
    Meanings,
    Rest,
    pack_legacy,
    pack_rests,
    unpack_legacy,
    unpack_rests,
)
from tests.unit.agent.kernels import flow
from tests.unit.agent.rows import kernel_columns

BIG = 2**63


def some_meanings() -> Meanings:
    """Of a dictionary that has learned: its rows, and a batch that defines them."""
    dictionary = Dictionary()
    for one in range(3):
        dictionary.learn_flow(flow(BIG + one, port=80 + one), 5 + one, 1000 + one)
    dictionary.learn_name(BIG + 10, NAME_KIND_ROUTE, "/cart/*", 1000)
    counted = kernel_columns([{"flow": BIG, "connections": 3, "closed": 1}], FLOWS)
    dictionary.translate(counted, kernel_columns([], REQUESTS), 2000)
    flows, names = dictionary.everything()
    endpoints = [LocalEndpoint(id=5 + one, kind=4, command=f"c{one}", network_namespace=9) for one in range(3)]
    notes = Batch(endpoints=endpoints, flow_definitions=flows, names=names)
    return Meanings(*dictionary.rows(), notes, {77: 4026531840})


def test_a_legacy_arrives_as_it_was() -> None:
    meanings = some_meanings()
    found = unpack_legacy(pack_legacy(Legacy(Stand(123, {"ring_full": 4}), meanings)))
    assert found.stand == Stand(123, {"ring_full": 4})
    assert found.meanings.notes == meanings.notes and found.meanings.namespaces == {77: 4026531840}
    assert np.array_equal(found.meanings.flows, meanings.flows)
    assert np.array_equal(found.meanings.names, meanings.names)


def test_rests_of_several_epochs_arrive_as_they_were() -> None:
    rests = [
        Rest(7, 3, [Batch(sequence=4), Batch(sequence=5)], Batch(names=[NameDefinition(id=3, text="a")])),
        Rest(8, 0, [Batch(sequence=1)], continues_epoch=7),
        Rest(9, 0, [Batch(sequence=1)], gap_reason="agent died"),
    ]
    assert unpack_rests(pack_rests(rests)) == rests


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -1], ids=str)
def test_a_damaged_legacy_is_refused(cut: int) -> None:
    whole = pack_legacy(Legacy(Stand(1, {}), some_meanings()))
    with pytest.raises(BrokenLegacy):
        unpack_legacy(whole[:cut])
    with pytest.raises(BrokenLegacy):
        unpack_rests(whole)


def test_a_successor_knows_what_the_ids_mean_and_tells_it_all_again() -> None:
    meanings, book, heir = some_meanings(), EndpointBook(), Dictionary()
    book.process("other", "/", 9)
    ours = {one.id: book.inherit(one).id for one in meanings.notes.endpoints}
    heir.inherit(meanings, ours)
    told, names = heir.take_new()
    assert [(one.endpoint, one.port) for one in told] == [(ours[5], 80), (ours[6], 81), (ours[7], 82)]
    assert [one.text for one in names] == ["/cart/*"]
    rows = kernel_columns([{"flow": BIG + 1, "bytes_sent": 5}], FLOWS)
    asked = kernel_columns([{"flow": BIG + 2, "name": BIG + 10, "count": 1}], REQUESTS)
    flows, requests, unknown = heir.translate(rows, asked, 3000)
    assert unknown == 0
    assert (flows["flow"].tolist(), requests["flow"].tolist()) == ([told[1].id], [told[2].id])
    assert requests["name"].tolist() == [names[0].id]
    # Two connections of the first one are still open: it is not struck while they are.
    assert heir.rows()[0]["open"].tolist() == [2, 0, 0]
    # A name that the kernel will not announce again is known.
    heir.learn_flow(flow(BIG + 51, port=98, server_name=BIG + 10), 1, 0)
    assert heir.take_new()[0][-1].server_name == "/cart/*"
    # What is new gets an id that nothing has had.
    assert heir.learn_flow(flow(BIG + 50, port=99), 1, 0) not in {one.id for one in told}
