"""Which names a client could not look up: what never was there makes none."""

from typing import Any

import pytest
from plumbline.v1 import flow_pb2 as flow

from aggregator.topology.lookups import IPV4, IPV6, MOST_FAILED_NAMES, OTHER
from tests.unit.aggregator.agents import World

SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 2, 3, 4, 5
HTTPS = 65
PAY = "api.pay.example"


class Asking:
    """Web on alpha asks a resolver outside."""

    def __init__(self) -> None:
        self.world = World()
        self.alpha = self.world.agent("alpha", "10.0.0.1")
        self.web = self.alpha.unit("web")

    def asks(self, name: str, code: int = 0, count: int = 1, kind: int = IPV4, **more: Any) -> None:
        fields = {"protocol": flow.PROTOCOL_DNS, "operation": 0, "transport": flow.TRANSPORT_UDP, **more}
        number = self.alpha.name(name, flow.NAME_KIND_DNS)
        self.alpha.calls(self.web, "192.0.2.53", 53, count, name=number, kind=kind, code=code, **fields)

    def waits(self, name: str, count: int = 1, kind: int = IPV4) -> None:
        self.asks(name, count=count, kind=kind, outcome=flow.OUTCOME_UNANSWERED_SERVER, latency_bucket=0, sum_ns=0)

    def failed(self) -> dict[str, tuple[int, int, int]]:
        """By name: refused, unanswered, gone."""
        self.alpha.tells(2, 3)
        (edge,) = self.world.topology(now=4).edges
        return {one.name: (one.refused, one.unanswered, one.gone) for one in edge.failed_lookups}


@pytest.fixture
def asking() -> Asking:
    return Asking()


def test_what_a_resolver_refuses_and_what_it_never_answers(asking: Asking) -> None:
    asking.asks(PAY, count=5)
    asking.asks(PAY, SERVFAIL, 2)
    asking.asks(PAY, REFUSED, 3)
    asking.waits(PAY, 4)
    asking.asks("other.example", NOTIMP)
    asking.asks("well.example", count=7)
    assert asking.failed() == {PAY: (5, 4, 0), "other.example": (1, 0, 0)}


def test_search_domains_make_none(asking: Asking) -> None:
    for domain in ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local"):
        for kind in (IPV4, IPV6):
            asking.asks(f"{PAY}.{domain}", NXDOMAIN, 1000, kind)
    asking.asks(PAY, count=1000)
    assert asking.failed() == {}


def test_a_name_that_was_there_and_is_gone(asking: Asking) -> None:
    asking.asks(PAY, count=3)
    asking.alpha.tells(0, 1)
    asking.asks(PAY, NXDOMAIN, 2)
    asking.asks("never.example", NXDOMAIN, 9)
    assert asking.failed() == {PAY: (0, 0, 2)}


def test_a_name_that_came_was_not_gone_before(asking: Asking) -> None:
    asking.asks(PAY, NXDOMAIN, 2)
    asking.alpha.tells(0, 1)
    asking.asks(PAY, count=3)
    assert asking.failed() == {}


def test_a_look_up_asks_for_both_kinds_of_addresses_and_counts_once(asking: Asking) -> None:
    asking.waits(PAY, 3)
    asking.waits(PAY, 3, IPV6)
    asking.asks("four.example", count=2)
    asking.asks("four.example", SERVFAIL, 2, IPV6)  # as some servers answer that have none
    asking.asks("four.example", REFUSED, 2, HTTPS)
    assert asking.failed() == {PAY: (0, 3, 0)}


def test_who_asks_for_ipv6_alone_is_heard(asking: Asking) -> None:
    asking.asks("well.example", kind=IPV6)
    asking.waits(PAY, 2, IPV6)
    assert asking.failed() == {PAY: (0, 2, 0)}


def test_what_a_server_saw_is_not_what_its_client_saw(asking: Asking) -> None:
    name = asking.alpha.name(PAY, flow.NAME_KIND_DNS)
    asking.alpha.serves(
        asking.alpha.unit("dns"), "10.0.0.9", 53, 4, protocol=flow.PROTOCOL_DNS, operation=0,
        transport=flow.TRANSPORT_UDP, name=name, kind=IPV4, code=SERVFAIL,
    )  # fmt: skip
    assert asking.failed() == {}


def test_names_are_bounded_and_nothing_is_lost(asking: Asking) -> None:
    for number in range(MOST_FAILED_NAMES + 50):
        asking.waits(f"n{number:03}.example", number + 1)
    failed = asking.failed()
    most = [f"n{number:03}.example" for number in range(MOST_FAILED_NAMES + 49, 49, -1)]
    assert list(failed) == [*most, OTHER]
    assert failed[OTHER] == (0, sum(range(1, 51)), 0)
    assert sum(one[1] for one in failed.values()) == sum(range(1, MOST_FAILED_NAMES + 51))
