"""One cluster for all tests of a session, with the shipped images in its nodes."""

import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.kubernetes import evidence, pods
from tests.kubernetes.cluster import NAMESPACE, Cluster, await_true, given
from tests.kubernetes.lab import images
from tests.kubernetes.lab.build import build_missing
from tests.kubernetes.lab.lab import Lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.kubernetes)
            # The first one waits for programs and images to be built, and for the cluster.
            item.add_marker(pytest.mark.timeout(3600))


_MOST_KEPT = 5
_kept: list[Path] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of the first tests that fail."""
    report = yield
    found = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(found, Cluster) and len(_kept) < _MOST_KEPT:
        base = item.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        _kept.append(base / f"evidence-{item.name.replace('/', '-')}-{report.when}")
        evidence.keep(found, _kept[-1])
        report.sections.append(("Kept", str(_kept[-1])))
    return report


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = given()
    if found is not None:
        build_missing(("helm",))
        yield _with_nodes(found)
        return
    place = tmp_path_factory.mktemp("images")
    archives = []
    for target, name in (("agent", images.AGENT), ("aggregator", images.AGGREGATOR)):
        began = time.monotonic()
        archives.append(place / f"{target}.tar")
        images.build(target, name, archives[-1])
        size = archives[-1].stat().st_size / 1e6
        print(f"\nlab: image {target}: {size:.0f} MB, {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    with Lab(nodes=2, images=archives) as lab:
        print(f"lab: two nodes ready in {time.monotonic() - began:.0f} s", flush=True)
        yield _with_nodes(Cluster(lab))


def _with_nodes(cluster: Cluster) -> Cluster:
    cluster.nodes = [one["metadata"]["name"] for one in cluster.get("nodes")["items"]]
    return cluster


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Iterator[Cluster]:
    """The chart, and a namespace for pods; both are gone afterwards, also when they did not begin."""
    cluster.make_namespace()
    try:
        try:
            cluster.install()
            pods.prepare(cluster)
        except Exception as failed:
            raise AssertionError(cluster.diagnosis()) from failed
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", pods.PLACE, "--ignore-not-found")
        cluster.helm("uninstall", NAMESPACE, "--wait", "--ignore-not-found")
        await_true("all its pods are gone", lambda: not cluster.get("pods", "--namespace", NAMESPACE)["items"])
