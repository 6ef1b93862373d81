"""Exactness over millions of requests: every edge has its generators' numbers."""

import pytest

from tests.cluster.bulk import Bulk
from tests.cluster.cluster import Cluster
from tests.cluster.estate import Estate
from tests.cluster.product import Product
from tests.cluster.truth import differences
from tests.cluster.watched import SIDES, node_differences, route_differences, side_differences, watch

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow, pytest.mark.long]
ESTATE_SHARE, LATE_SECONDS = 0.1, 120


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("requests", [500_000, 10_000_000])
def test_every_edge_has_its_clients_numbers(requests: int) -> None:
    """The estate's load of every kind, and beside it so many more to eight services over IPv4 and IPv6."""
    with Cluster() as cluster:
        estate, bulk = Estate(cluster), Bulk(cluster)
        with Product(cluster) as product:
            estate.note(bulk.run(requests))
            watched = watch(estate, product, estate.load(ESTATE_SHARE), LATE_SECONDS)
    assert watched.truth.requests() >= requests
    wrong = [
        *differences(watched.truth, watched.graph["edges"]),
        *node_differences(watched),
        *route_differences(watched),
    ]
    wrong += [line for side in SIDES for line in side_differences(watched, side)]
    assert not wrong, "\n" + "\n".join(wrong)
    for host in watched.graph["hosts"]:
        assert not host["stale"] and not any(host["lost"].values()) and not any(host["dropped"].values()), host
