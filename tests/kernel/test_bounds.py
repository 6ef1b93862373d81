"""Tables that are full: nothing is wrong, and every row that found no room is told."""

from collections.abc import Iterator
from itertools import count

import pytest
from plumbline.v1.flow_pb2 import NAME_KIND_DNS, NAME_KIND_HOST, NAME_KIND_ROUTE, NAME_KIND_TARGET, PROTOCOL_TCP

from agent.kernel.shares import COMMON, KINDS, SHARE_OF_FLOWS, SHARE_OF_ROWS
from agent.records import FLOW_OTHER, Limits, NameSeen, OpenConnection
from tests.kernel.wire import Wire, connection, say, wired

pytestmark = pytest.mark.kernel
NAME_OTHER = 1
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NAMED_CGROUPS, SHARES, CONNECTIONS = 32_768, 16_384, 65_536


@pytest.fixture
def wire() -> Iterator[Wire]:
    """One for each test."""
    with wired() as wire:
        yield wire


def ask(route: bytes) -> None:
    with connection() as (client, server):
        say(client, server, b"GET " + route + b" HTTP/1.1\r\n\r\n")
        say(server, client, OK)


def fill_shares(wire: Wire) -> None:
    shares = wire.kernel._maps["shares"]
    for cgroup_id in range(1, SHARES + 1 - len(shares.read_all()[0])):
        shares.put((cgroup_id, 0), 1)


def test_endpoints_without_room_for_shares_of_their_own_have_one_together(wire: Wire) -> None:
    """For who is met when the table is full: nothing is lost, until all of them have taken what one may take."""
    fill_shares(wire)
    ask(b"/together")
    drained = wire.kernel.drain(1)
    assert FLOW_OTHER not in drained.flows["flow"] and int(drained.flows["connections"].sum()) == 2
    asked = drained.requests["protocol"] != PROTOCOL_TCP
    assert NAME_OTHER not in drained.requests["name"] and int(drained.requests["count"][asked].sum()) == 2
    assert drained.lost == {} and set(drained.dropped) == {"budgets_full"}
    wire.kernel.correct_shares()
    assert len(wire.kernel._maps["shares"].read_all()[0]) == len(KINDS)
    # They have left, but one flow more has no share of its own: the common one keeps what those took.
    fill_shares(wire)
    wire.kernel.correct_shares()
    common = {kind: wire.kernel._maps["shares"].get((COMMON, kind)) for kind in KINDS}
    assert {kind: int(row[0]) for kind, row in common.items() if row is not None and kind != SHARE_OF_ROWS} == {
        NAME_KIND_ROUTE: 1, NAME_KIND_HOST: 0, NAME_KIND_DNS: 0, NAME_KIND_TARGET: 0, SHARE_OF_FLOWS: 2
    }  # fmt: skip


def test_the_common_share_is_a_share(wire: Wire) -> None:
    wire.kernel.limit(Limits(flows_each_endpoint=1))
    fill_shares(wire)
    ask(b"/one")
    assert wire.kernel.drain(1).dropped["flows_as_other"] == 1


def test_a_name_whose_text_cannot_be_marked_as_known(wire: Wire) -> None:
    ask(b"/heard")
    names = wire.kernel._maps["names"]
    (name_id,) = names.read_all()[0].tolist()
    names.remove(name_id)
    heard = [one.raw for one in wire.kernel.poll(0.1) if isinstance(one, NameSeen)]
    assert heard == [b"/heard"]
    assert wire.kernel.drain(1).dropped == {"names_untold": 1}
    assert wire.kernel.drain(2).dropped == {}


def test_named_cgroups_and_older_connections_beyond_the_bound(wire: Wire) -> None:
    wire.kernel.mark_named_cgroups(range(1, NAMED_CGROUPS + 8))
    assert wire.kernel.drain(1).dropped == {"named_cgroups_full": 7}
    addresses = (number.to_bytes(16, "big") for number in count(1))
    older = [OpenConnection(next(addresses), 1, bytes(16), 2, 1, 7) for _ in range(CONNECTIONS + 9)]
    wire.kernel.adopt_connections(older)
    assert wire.kernel.drain(2).dropped == {"known_connections_full": 9}


def test_named_cgroups_that_are_gone_make_room(wire: Wire) -> None:
    for number in range(3):
        first = 1 + number * NAMED_CGROUPS
        wire.kernel.mark_named_cgroups(range(first, first + NAMED_CGROUPS))
        wire.kernel.keep_named_cgroups([first])
    assert wire.kernel.drain(1).dropped == {"named_cgroups_full": 1 + 1}
