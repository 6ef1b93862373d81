"""Tables that are full: nothing is wrong, and every row that found no room is told."""

from collections.abc import Iterator
from itertools import count

import pytest

from agent.kernel.source import NAMED
from agent.records import NameSeen, OpenConnection
from tests.kernel.wire import Wire, connection, own_cgroup, say

pytestmark = pytest.mark.kernel
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NAMES, NAMED_CGROUPS, BUDGETS, CONNECTIONS = 32_768, 32_768, 8_192, 65_536


@pytest.fixture
def wire() -> Iterator[Wire]:
    with own_cgroup() as cgroup:
        wire = Wire(cgroup)
        try:
            yield wire
        finally:
            wire.kernel.close()


def ask(route: bytes) -> None:
    with connection() as (client, server):
        say(client, server, b"GET " + route + b" HTTP/1.1\r\n\r\n")
        say(server, client, OK)


def test_an_endpoint_without_room_for_its_budget_has_none(wire: Wire) -> None:
    for cgroup_id in range(1, BUDGETS + 1):
        wire.kernel._maps["name_budgets"].put((cgroup_id, 0), 1)
    ask(b"/unlimited")
    seen = wire.counted()
    assert seen.requests == {("client", "GET", "(other)", "200"): 1, ("server", "GET", "(other)", "200"): 1}
    assert (seen.dropped, seen.lost) == ({"name_budgets_full": 2}, {})


def test_a_name_whose_text_cannot_be_marked_as_known(wire: Wire) -> None:
    ask(b"/heard")
    names = wire.kernel._maps["names"]
    (name_id,) = names.read_all()[0].tolist()
    names.remove(name_id)
    for other in range(2, NAMES + 2):
        names.put(other, NAMED)
    heard = [one.raw for one in wire.kernel.poll(0.1) if isinstance(one, NameSeen)]
    assert heard == [b"/heard"]
    assert wire.kernel.drain(1).dropped == {"names_untold": 1}
    assert wire.kernel.drain(2).dropped == {}


def test_named_cgroups_and_older_connections_beyond_the_bound(wire: Wire) -> None:
    wire.kernel.mark_named_cgroups(range(1, NAMED_CGROUPS + 8))
    assert wire.kernel.drain(1).dropped == {"named_cgroups_full": 7}
    addresses = (number.to_bytes(16, "big") for number in count(1))
    older = [OpenConnection(next(addresses), 1, bytes(16), 2, 1) for _ in range(CONNECTIONS + 9)]
    wire.kernel.adopt_connections(older)
    assert wire.kernel.drain(2).dropped == {"known_connections_full": 9}
