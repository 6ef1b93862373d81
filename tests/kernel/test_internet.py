"""Real clients on an internet that is bad in every way: what each of them saw is what the product says, name by name.

Cause: curl, Python, Node.js, Go and Java call the same third parties, well ones and FAULTS. Capture: what each client
itself saw, call by call. Compare: the client's edges, and `plumb thirdparties`, which must tell the faults apart.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import pytest

from tests.cluster import internet as there
from tests.cluster.clients import LANGUAGES, Client, finish
from tests.cluster.cluster import Cluster, Workload
from tests.cluster.internet import FAULTS, SLOW_SECONDS, Internet, by_proxy, start_proxy
from tests.cluster.network import RESOLVER_IPV4
from tests.cluster.product import Graph, Product
from tests.cluster.traffic import A

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
Edges: TypeAlias = dict[str, dict[str, Any]]
IPV4, IPV6 = ("203.0.113.101", "203.0.113.102"), ("2001:db8:99::103", "2001:db8:99::104")
# By the end of an alias, and below a wildcard: nobody asks for what DNS says that they are.
ALIAS, BELOW_WILDCARD = "www.alias.example", "tenant-7.wild.example"
OLD = {"old-4.example": IPV4[0], "old-6.example": IPV6[0]}
NEW = {"new-4.example": IPV4[1], "new-6.example": IPV6[1], ALIAS: IPV4[0], BELOW_WILDCARD: IPV6[0]}
TUNNELLED = "tunnelled.example"
WELL = [*OLD, *NEW]
TIMES = 3
# As many attempts of one client as say that somebody fails.
FAULT_TIMES = 5
# Known to all, and looked up in vain by one whose resolver is gone.
LOST_NAME = "lost-name.example"
# The only client with no proxy of its own.
BY_PROXY = [language for language in LANGUAGES if language != "node"]
BUSY_BEHIND_PROXY = "busy-behind-proxy.example"
THROUGH = {f"https://{TUNNELLED}/": TIMES, f"http://{BUSY_BEHIND_PROXY}/busy": FAULT_TIMES}
# What clients say of each fault.
SEEN_AS = {
    there.REFUSED: "refused",
    there.BLACK_HOLE: "timeout",
    there.SLOW_HANDSHAKE: "200",
    there.SLOW_ANSWER: "200",
    there.SLOW_BODY: "200",
    there.EXPIRED_SINCE: "certificate",
    there.WRONG_NAME: "certificate",
    there.UNTRUSTED: "certificate",
    there.BUSY: "503",
    there.NXDOMAIN: "resolve",
    there.SERVFAIL: "resolve",
}
# Names that all could look up once.
FORMER = {f"https://{name}/": 1 for name in (there.NXDOMAIN, there.SERVFAIL, LOST_NAME)}
BAD_CERTIFICATES = (there.EXPIRED_SINCE, there.WRONG_NAME, there.UNTRUSTED)


class Ended(NamedTuple):
    """Handshakes: how many were done, and the alerts of the others that could be read."""

    done: int
    alerts: dict[str, int]


# How each leaves a server whose certificate it does not take: some say why, some say it under seal or hang up, and curl
# looks at the name when the handshake is done.
SILENTLY = dict.fromkeys(BAD_CERTIFICATES, Ended(0, {}))
WITH_WORDS = {
    there.EXPIRED_SINCE: Ended(0, {"certificate_expired": FAULT_TIMES}),
    there.WRONG_NAME: Ended(0, {"bad_certificate": FAULT_TIMES}),
    there.UNTRUSTED: Ended(0, {"unknown_ca": FAULT_TIMES}),
}
DISTRUSTS = {
    "curl": {**WITH_WORDS, there.WRONG_NAME: Ended(FAULT_TIMES, {})},
    "python": WITH_WORDS,
    "node": SILENTLY,
    "go": SILENTLY,
    "java": SILENTLY,
}


@dataclass
class Stage:
    internet: Internet
    clients: dict[str, Client]
    product: Product
    proxy: Workload
    lost: Workload
    began: float
    ended: float
    found: dict[str, Edges] = field(default_factory=dict)

    def rows(self, kind: str = "third_parties") -> Edges:
        return {one["id"]: one for one in self.product.answer("thirdparties")[kind]}

    def rows_when(self, holds: Callable[[Edges], object]) -> Edges:
        """The first ones for which it holds, else the last. What nobody answers takes five seconds to be told."""
        end = time.monotonic() + 15
        while not holds(rows := self.rows()) and time.monotonic() < end:
            time.sleep(0.5)
        return rows

    def edges(self) -> dict[str, Edges]:
        """By language and name, when nothing more is to come."""
        if not self.found:
            graph = self.product.graph_when(lambda graph: not self.differences(graph))
            assert not self.differences(graph)
            self.found = {language: edges_from(graph, client.workload) for language, client in self.clients.items()}
        return self.found

    def differences(self, graph: Graph) -> list[str]:
        """What a client saw, and what its edges say."""
        rows = []
        for language, client in self.clients.items():
            edges = edges_from(graph, client.workload)
            told = {name: attempts(edge) for name, edge in edges.items() if name != self.proxy.node_id}
            saw = expected(client)
            rows += [
                f"{language} {name}: {saw.get(name)} seen, {told.get(name)} told"
                for name in sorted(told.keys() | saw.keys())
                if told.get(name) != saw.get(name)
            ]
        return rows


def host(url: str) -> str:
    return url.split("/")[2]


def expected(client: Client) -> dict[str, int]:
    """How often it tried each that it could find, by address."""
    found: Counter[str] = Counter()
    for (url, said), count in client.saw.items():
        if said != "resolve":
            found[host(url)] += count
    return dict(found)


def edges_from(graph: Graph, client: Workload) -> Edges:
    """The one edge to each name outside."""
    edges = [one for one in graph["edges"] if one["source"] == client.node_id and one["target"] != RESOLVER_IPV4]
    assert len({one["target"] for one in edges}) == len(edges), sorted(one["id"] for one in edges)
    return {one["target"]: one for one in edges}


def attempts(edge: dict[str, Any] | None) -> int:
    if edge is None:
        return 0
    return int((edge["requests"] or edge["connections"]) + sum(edge["failed_connections"].values()))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Cluster() as cluster:
        more = dict.fromkeys((TUNNELLED, BUSY_BEHIND_PROXY, LOST_NAME), IPV4[1])
        internet = Internet(cluster, {**OLD, **NEW, **more})
        cluster.publish(
            {
                ALIAS: {"CNAME": "edge.cdn.example"},
                "edge.cdn.example": {"CNAME": "node-7.cdn.example"},
                "node-7.cdn.example": {"A": [NEW[ALIAS]]},
                BELOW_WILDCARD: {"CNAME": "shared.wild.example"},
                "*.wild.example": {"AAAA": [NEW[BELOW_WILDCARD]]},
            }
        )
        hosts = ("alpha", "beta")
        clients = {
            language: Client(language, cluster.pod(hosts[at % 2], language), internet)
            for at, language in enumerate(LANGUAGES)
        }
        proxy, lost = cluster.pod("beta", "proxy"), cluster.pod("alpha", "lost")
        start_proxy(proxy, cluster.directory)
        with Product(cluster) as product:
            began = time.time()
            call_all(clients, proxy)
            ask_nobody(Client("python", lost, internet))
            yield Stage(internet, clients, product, proxy, lost, began, time.time())


def call_all(clients: dict[str, Client], proxy: Workload) -> None:
    for client in clients.values():
        client.start(FORMER)
    finish(clients.values())
    clients["curl"].internet.lose_names()
    for client in clients.values():
        client.start({f"https://{name}/": TIMES for name in NEW} | dict.fromkeys(FAULTS.values(), FAULT_TIMES))
        client.start({f"https://{name}/": TIMES for name in OLD}, tls="1.2")
        if client.language in BY_PROXY:
            client.start(THROUGH, more=by_proxy(proxy))
    finish(clients.values())


def ask_nobody(client: Client) -> None:
    """Its resolver is gone."""
    resolv_conf = client.internet.cluster.directory / "lost.conf"
    resolv_conf.write_text(f"nameserver {there.NOBODY_LISTENS}\noptions timeout:1 attempts:2\n")
    client.workload.place = replace(client.workload.place, resolv_conf=resolv_conf)
    client.start({f"https://{LOST_NAME}/": FAULT_TIMES})
    client.finish()
    assert client.saw == {(f"https://{LOST_NAME}/", "resolve"): FAULT_TIMES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_client_saw_what_is_so(stage: Stage, language: str) -> None:
    """The stage itself, before anybody is asked what happened on it."""
    saw = stage.clients[language].saw
    calls = {(f"https://{name}/", "200"): TIMES for name in WELL} | {(url, "200"): 1 for url in FORMER}
    calls |= {(url, SEEN_AS[name]): FAULT_TIMES for name, url in FAULTS.items()}
    if language in BY_PROXY:
        calls |= {(url, "503" if "busy" in url else "200"): times for url, times in THROUGH.items()}
    assert saw == calls


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_client_s_edges_have_its_own_counts_and_names(stage: Stage, language: str) -> None:
    edges, client = stage.edges()[language], stage.clients[language]
    way = edges.pop(stage.proxy.node_id, None)
    assert {name: attempts(one) for name, one in edges.items()} == expected(client)
    for (url, said), count in client.saw.items():
        if said == "resolve":
            continue
        edge, name = edges[host(url)], host(url)
        failed = {reason: n for reason, n in edge["failed_connections"].items() if n}
        assert failed == ({said: count} if said in ("refused", "timeout") else {}), name
        assert edge["errors"] == (count if said == "503" else 0), name
        assert edge["encrypted"] == (url.startswith("https") and not failed and url not in THROUGH), name
    if language in BY_PROXY:
        assert way and (way["way"], way["requests"]) == (True, sum(THROUGH.values()))
        assert all(edges[host(url)]["through"] == [stage.proxy.node_id] for url in THROUGH)


@pytest.mark.parametrize("language", LANGUAGES)
def test_handshakes_are_told_by_version_and_by_how_they_ended(stage: Stage, language: str) -> None:
    edges = stage.edges()[language]
    for name in OLD:
        assert (edges[name]["handshakes"]["done"], edges[name]["handshakes"]["versions"]) == (TIMES, {"1.2": TIMES})
    for name in NEW:
        assert (edges[name]["handshakes"]["done"], edges[name]["handshakes"]["versions"]) == (TIMES, {"1.3": TIMES})
    names = BAD_CERTIFICATES
    ended = {name: Ended(*(edges[name]["handshakes"][word] for word in ("done", "alerts"))) for name in names}
    broken = {name: edges[name]["handshakes"]["broken"]["client"] for name in names}
    assert broken == {name: FAULT_TIMES - one.done for name, one in ended.items()}
    assert ended == DISTRUSTS[language]


def test_thirdparties_are_called_as_their_clients_called_them(stage: Stage) -> None:
    stage.edges()
    rows = stage.rows_when(lambda rows: rows[LOST_NAME]["dns_reasons"])
    sources = dict.fromkeys((*WELL, there.SLOW_HANDSHAKE, *BAD_CERTIFICATES), "sni")
    sources |= dict.fromkeys((there.BUSY, there.SLOW_ANSWER, there.SLOW_BODY), "host")
    sources |= dict.fromkeys((there.REFUSED, there.BLACK_HOLE), "dns")
    sources |= dict.fromkeys((TUNNELLED, BUSY_BEHIND_PROXY), "proxy")
    sources |= dict.fromkeys(map(host, FORMER), "sni")
    assert {name: row["name_source"] for name, row in rows.items()} == sources
    everybody = sorted(client.workload.node_id for client in stage.clients.values())
    some = sorted(stage.clients[language].workload.node_id for language in BY_PROXY)
    callers = dict.fromkeys(rows, everybody) | dict.fromkeys((TUNNELLED, BUSY_BEHIND_PROXY), some)
    callers[LOST_NAME] = sorted([*everybody, stage.lost.node_id])
    assert {name: [one["id"] for one in row["dependants"]] for name, row in rows.items()} == callers


def test_thirdparties_tell_the_faults_apart(stage: Stage) -> None:
    stage.edges()
    rows, all_times = stage.rows(), FAULT_TIMES * len(LANGUAGES)
    for name in WELL:
        row = rows[name]
        assert (row["availability"], row["tls_failures"], sum(row["failed_connections"].values())) == (1, 0, 0), name
        assert row["connect_ms"]["mean"] > 0 == row["dns_failures"], name
    for name in BAD_CERTIFICATES:
        done = sum(ends[name].done for ends in DISTRUSTS.values())
        row, alerts = rows[name], sum((Counter(ends[name].alerts) for ends in DISTRUSTS.values()), Counter[str]())
        assert (row["tls_failures"], row["tls_alerts"]) == (all_times - done, alerts), name
        assert row["availability"] == round(done / all_times, 6), name
    refused, hole = (rows[name] for name in (there.REFUSED, there.BLACK_HOLE))
    assert (refused["availability"], refused["failed_connections"]["refused"]) == (0, all_times)
    assert (hole["availability"], hole["failed_connections"]["timeout"]) == (0, all_times)
    assert refused["connect_ms"] is hole["connect_ms"] is None
    busy = rows[there.BUSY]
    assert (busy["availability"], busy["errors"], busy["requests"]) == (0, all_times, all_times)
    behind = rows[BUSY_BEHIND_PROXY]
    assert (behind["availability"], behind["errors"]) == (0, FAULT_TIMES * len(BY_PROXY))
    assert rows[TUNNELLED]["availability"] == 1
    slow, drip = rows[there.SLOW_ANSWER], rows[there.SLOW_BODY]
    # The time of an answer is that of its first byte: a slow body is no slow answer.
    assert slow["latency_ms"]["mean"] >= 1000 * SLOW_SECONDS > 2 * drip["latency_ms"]["mean"]
    assert slow["availability"] == drip["availability"] == 1


def test_those_that_fail_are_told_for_whom_and_since_when(stage: Stage) -> None:
    stage.edges()
    failing = {there.REFUSED, there.BLACK_HOLE, there.BUSY, BUSY_BEHIND_PROXY, *BAD_CERTIFICATES}
    failing |= {there.NXDOMAIN, there.SERVFAIL, LOST_NAME}
    found = failing_ones(stage.rows_when(lambda rows: failing_ones(rows).keys() == failing))
    assert found.keys() == failing
    nodes = {language: client.workload.node_id for language, client in stage.clients.items()}
    # curl takes the certificate, and looks at the name when all is done; Java looks up once what nobody knows.
    everybody = frozenset(nodes.values())
    for_whom = dict.fromkeys(failing, everybody) | {
        BUSY_BEHIND_PROXY: {nodes[language] for language in BY_PROXY},
        there.WRONG_NAME: everybody - {nodes["curl"]},
        there.NXDOMAIN: everybody - {nodes["java"]},
        there.SERVFAIL: everybody - {nodes["java"]},
        LOST_NAME: {stage.lost.node_id},
    }
    assert {name: clients for name, (clients, _) in found.items()} == for_whom
    for name, (_, since) in found.items():
        # Nobody's answer is missed for five seconds.
        late = 6 if name == LOST_NAME else 1
        assert stage.began - 1 <= datetime.fromisoformat(since).timestamp() <= stage.ended + late, name


def failing_ones(rows: Edges) -> dict[str, tuple[set[str], str]]:
    """For whom, and since when."""
    return {
        name: ({one["id"] for one in row["dependants"] if one["state"] == "failing"}, row["since"])
        for name, row in rows.items()
        if row["state"] == "failing"
    }


def test_names_that_cannot_be_looked_up_any_more(stage: Stage) -> None:
    """Against what the resolver answered; the one that is gone answered nothing."""
    stage.edges()
    cluster = stage.internet.cluster
    queries = cluster.resolver.programs[0].counts(cluster.resolver_counts)["queries"]
    refused = Counter[str]()
    for _, _, name, kind, rcode, count in queries:
        refused[name] += count if kind == A and rcode else 0
    # Java asks once, and remembers for ten seconds that nobody knew.
    assert min(refused[name] for name in (there.NXDOMAIN, there.SERVFAIL)) >= FAULT_TIMES * (len(LANGUAGES) - 1) + 1

    right = {there.NXDOMAIN: {"gone": refused[there.NXDOMAIN]}, there.SERVFAIL: {"refused": refused[there.SERVFAIL]}}
    rows = stage.rows_when(lambda rows: rows[LOST_NAME]["dns_reasons"])
    found = {host(url): rows[host(url)]["dns_reasons"] for url in FORMER}
    assert found.pop(LOST_NAME).keys() == {"unanswered"}
    assert found == right


def test_the_slow_handshake_is_told_by_its_time(stage: Stage) -> None:
    rows = stage.rows()
    assert rows[there.SLOW_HANDSHAKE]["connect_ms"]["mean"] < 100 < rows[there.SLOW_HANDSHAKE]["handshake_ms"]["mean"]
    for language, edges in stage.edges().items():
        slow, fast = (edges[name]["handshakes"]["latency_ms"] for name in (there.SLOW_HANDSHAKE, "new-4.example"))
        # The server waits from the connect on, the hello comes a moment later.
        assert slow["mean"] >= 900 * SLOW_SECONDS > fast["mean"], language


def test_a_resolver_that_is_gone_and_names_that_are_no_third_party(stage: Stage) -> None:
    stage.edges()
    assert not {"edge.cdn.example", "node-7.cdn.example", "shared.wild.example"} & stage.rows().keys()
    # A query is without an answer after five seconds.
    stage.product.graph_when(lambda graph: any(one["requests"] for one in edges_from(graph, stage.lost).values()))
    resolvers = stage.rows("externals")
    assert resolvers.keys() == {RESOLVER_IPV4, there.NOBODY_LISTENS}
    assert resolvers[there.NOBODY_LISTENS]["availability"] == 0
    assert [one["id"] for one in resolvers[there.NOBODY_LISTENS]["dependants"]] == [stage.lost.node_id]
