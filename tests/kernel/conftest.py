"""A running system: the miniature cluster's estate, and the product that watches it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.estate import Estate
from tests.cluster.product import Product
from tests.kernel.ordering import Stage
from tests.kernel.wire import Wire, wired


@dataclass
class System:
    cluster: Cluster
    estate: Estate
    product: Product


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """The kernel's side alone, for a cgroup in which this process is."""
    with wired() as wire:
        yield wire


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A miniature cluster with nothing in it."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """Two hosts whose services run already, two agents, one aggregator."""
    with Cluster() as cluster:
        estate = Estate(cluster)
        with Product(cluster) as product:
            yield System(cluster, estate, product)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Two hosts with a wire between them that can be made bad, and an agent's kernel side on each."""
    with Stage() as stage:
        yield stage
