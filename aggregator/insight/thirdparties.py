"""Who we depend on outside: whose it is, how available it was, how it answered, who uses it."""

from collections.abc import Sequence

from plumbline.v1.jsonform import to_json
from plumbline.v1.topology_pb2 import NODE_KIND_EXTERNAL, NODE_KIND_THIRD_PARTY, Edge, Node

from aggregator.insight.case import Answer, Case, Json, Verdict
from aggregator.insight.figures import Calls, figures
from aggregator.insight.joining import host_name
from aggregator.insight.standing import Word, time_of


def thirdparties(case: Case, subject: str) -> Answer:
    """Those called in the window, or looked up in vain, the most used first. What nothing here can know is null."""
    rows = [_row(case, node, calls) for node, calls in called(case, NODE_KIND_THIRD_PARTY)]
    return answered(case, {"third_parties": rows, "externals": externals(case), "gone": gone(case)})


def gone(case: Case) -> list[Json]:
    """Those that nobody calls any more, the last ones first."""
    found = sorted(
        (one for one in case.standings.values() if one.word is Word.GONE), key=lambda one: (-one.since_ns, one.third)
    )
    return [{"id": one.third, "since": time_of(one.since_ns), "dependants": sorted(one.clients)} for one in found]


def externals(case: Case) -> list[Json]:
    """The rows of what has only an address."""
    return [_row(case, node, calls) for node, calls in called(case, NODE_KIND_EXTERNAL)]


def called(case: Case, kind: int) -> list[tuple[Node, Calls]]:
    """The nodes of this kind that were called, with the calls of each, the most used first; of third parties also those
    that nobody could look up, where they are known or declared."""
    nodes = [node for node in case.nodes.values() if node.kind == kind]
    if kind == NODE_KIND_THIRD_PARTY:
        nodes += _out_of_sight(case)
    calls = [(node, _calls_to(case, node)) for node in nodes]
    found = [(node, some) for node, some in calls if some.clients]
    return sorted(found, key=lambda one: (-one[1].attempts, one[0].id))


def answered(case: Case, rows: Json) -> Answer:
    """Without traffic nothing outside was called, if anybody watched."""
    return case.answer(rows, Verdict.DONE if case.traffic or case.watch.share else Verdict.NOT_ENOUGH_SEEN)


def _out_of_sight(case: Case) -> list[Node]:
    """Names that are no node, since nobody could look them up: known from before, or declared."""
    here = {host_name(node.name) for node in case.nodes.values() if node.kind == NODE_KIND_THIRD_PARTY}
    before = {host_name(one.name): one for one in case.standings.values()}
    found = []
    for name in sorted(case.failed_lookups.keys() - here):
        third = case.names_known.get(name, name)
        node = Node(id=third, kind=NODE_KIND_THIRD_PARTY, name=name, name_source="dns")
        if one := before.get(name):
            node.id = one.third
            node.first_seen.FromNanoseconds(one.first_ns)
            node.last_seen.FromNanoseconds(one.last_ns)
        found.append(node)
    return found


def _calls_to(case: Case, node: Node) -> Calls:
    edges: Sequence[Edge] = case.edges_of.get(node.id, ())
    edges = [edge for edge in edges if edge.target == node.id and not case.is_passed_on(edge)]
    if node.kind != NODE_KIND_THIRD_PARTY:
        return Calls(edges)
    failed = case.failed_lookups.get(host_name(node.name), {})
    if node.id in case.nodes:
        failed = {client: some for client, some in failed.items() if case.nodes[client].cluster == node.cluster}
    return Calls(edges, failed, frozenset(case.asking))


def _row(case: Case, node: Node, calls: Calls) -> Json:
    node_json = to_json(node)
    vendor, standing = case.vendor_of(node), case.standings.get(node.id)
    return {
        "id": node.id,
        "name": node.name,
        "state": standing.word.text if standing else None,
        "since": time_of(standing.since_ns) if standing else None,
        "name_source": node.name_source or None,
        "ambiguous": node.ambiguous,
        "vendor": vendor.name if vendor else None,
        "category": vendor.category if vendor else None,
        **figures(calls, case.served, standing.doing if standing else {}),
        "first_seen": node_json["first_seen"],
        "last_seen": node_json["last_seen"],
    }
