"""A pod that looks names up by the thousand, as every pod does (`ndots:5`): none that it never called is a third party.

Cause: each name is tried in three search domains of the cluster first, for both types; half of them exist, half do
not. Then five sites outside are called, four of them at one address. Capture: what the pod says it found and called.
Compare: the third parties of the whole graph.
"""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.certificates import Authority
from tests.kubernetes.cluster import APPS, Cluster, await_true
from tests.kubernetes.lab import network
from tests.kubernetes.lab.lab import Lab
from tests.kubernetes.town import Town

SITES = {
    "api.pay.example": "sni",
    "login.bank.example": "sni",
    "files.store.example": "sni",
    "news.feed.example": "host",
    "db.pay.example": "dns",
}
# Each name in every search domain and as it is, for both types.
QUERIES_A_NAME = 2 * 4


@contextmanager
def sites(lab: Lab, place: Path) -> Iterator[None]:
    Authority(place).sign("sites", list(SITES))
    script = [sys.executable, str(APPS / "sites.py"), network.OUTSIDE, network.OUTSIDE_TOO]
    with subprocess.Popen(lab.within(*script, str(place / "sites.pem"), str(place / "sites.key"))) as server:
        try:
            yield
        finally:
            server.terminate()


@pytest.mark.parametrize("count", [4_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_storm_of_look_ups_makes_no_third_party(installed: Cluster, tmp_path: Path, count: int) -> None:
    if not installed.lab:
        pytest.skip("nobody outside is known of a given cluster")
    name = f"visit-{uuid.uuid4().hex[:4]}"
    with sites(installed.lab, tmp_path), Town(installed, name, programs=("lookups.py", "visitor.py")) as town:
        run = f"exec python3 /apps/visitor.py {count} wild.example missing.example"
        town.add(town.pod("visitor", town.container("visitor", run)))
        town.apply()
        (did,) = town.did("visitor", seconds=60 + count / 100)
        assert (did["found"], did["missing"], did["called"]) == (count // 2, count // 2, list(SITES))
        visitor = f"{name}/pod/visitor"

        def queries() -> int:
            edges = installed.plumb("graph", "--window", "30m")["edges"]
            return sum(one["requests"] for one in edges if one["source"] == visitor and one["protocol"] == "dns")

        await_true("all look-ups are counted", lambda: queries() >= (count + len(SITES)) * QUERIES_A_NAME)
        graph = installed.plumb("graph", "--window", "30m")
        print(f"\nlookups: {count} names, {queries()} queries", flush=True)
    outside = {one["id"]: one for one in graph["nodes"] if one["kind"] == "third_party"}
    assert not [one for one in outside if one.endswith((".wild.example", ".missing.example", ".local"))]
    called = {one["target"] for one in graph["edges"] if one["source"] == visitor and one["protocol"] != "dns"}
    assert {one: outside[one]["name_source"] for one in called} == SITES
