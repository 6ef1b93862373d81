"""A pod that looks names up by the thousand, as every pod does (`ndots:5`): none that it never called is a third party.

Cause: each name is tried in three search domains of the cluster first, for both types; half of them exist, half do
not. Then five sites outside are called, four of them at one address. Capture: what the pod says it found and called.
Compare: the third parties of the whole graph.
"""

import sys
import uuid
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.cluster.certificates import Authority
from tests.kubernetes.cluster import APPS, Cluster, await_true
from tests.kubernetes.installed import started
from tests.kubernetes.lab import network
from tests.kubernetes.lab.lab import Lab
from tests.kubernetes.town import Town

# By what each is known; lab/coredns.yaml has their addresses, four of them the same one.
SITES = {
    "api.pay.example": "sni",
    "login.bank.example": "sni",
    "files.store.example": "sni",
    "news.feed.example": "host",
    "db.pay.example": "dns",
}
# Each name in every search domain and as it is, for both types.
QUERIES_A_NAME = 2 * 4


def sites(lab: Lab, place: Path) -> AbstractContextManager[object]:
    Authority(place).sign("sites", list(SITES))
    certificate = (str(place / "sites.pem"), str(place / "sites.key"))
    at_once = "0"
    script = [sys.executable, str(APPS / "moody.py"), *certificate, at_once, network.OUTSIDE, network.OUTSIDE_TOO]
    return started(lab.within(*script))


@pytest.mark.parametrize("count", [4_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_storm_of_look_ups_makes_no_third_party(installed: Cluster, tmp_path: Path, count: int) -> None:
    if not installed.lab:
        pytest.skip("nobody outside is known of a given cluster")
    name = f"visit-{uuid.uuid4().hex[:4]}"
    with sites(installed.lab, tmp_path), Town(installed, name, programs=("lookups.py", "visitor.py")) as town:
        calls = " ".join(f"{site}:{way}" for site, way in SITES.items())
        look = f"python3 /apps/lookups.py {count} wild.example missing.example > /tmp/said"
        town.add(
            town.pod("visitor", town.container("visitor", f"{look} && exec python3 /apps/visitor.py /tmp/said {calls}"))
        )
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
