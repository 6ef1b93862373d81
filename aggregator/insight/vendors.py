"""Who we depend on outside, by vendor: the third parties that are one's own as one row. What no vendor is known of goes
by the domain that somebody registered.
"""

from collections import defaultdict
from collections.abc import Sequence

from plumbline.v1.jsonform import to_json
from plumbline.v1.topology_pb2 import NODE_KIND_THIRD_PARTY, Edge, Node

from aggregator.insight.case import Answer, Case, Json
from aggregator.insight.joining import host_name
from aggregator.insight.thirdparties import answered, attempts, called, externals, figures

# The names that one row lists.
MOST_NAMES = 50


def vendors(case: Case, subject: str) -> Answer:
    """Those called in the window, the most used first. Each number is that of all calls to all of a vendor's names."""
    groups: dict[tuple[bool, str], list[tuple[Node, list[Edge]]]] = defaultdict(list)
    for node, edges in called(case, NODE_KIND_THIRD_PARTY):
        vendor = case.vendor_of(node)
        # A vendor may call itself by a domain that is somebody else's.
        key = (True, vendor.name) if vendor else (False, case.vendors.domain_of(node.name or node.id))
        groups[key].append((node, edges))
    calls = {key: [edge for _, edges in group for edge in edges] for key, group in groups.items()}
    order = sorted(groups, key=lambda key: (-attempts(calls[key]), key[1], key[0]))
    rows = [_row(case, *key, [node for node, _ in groups[key]], calls[key]) for key in order]
    return answered(case, {"vendors": rows, "externals": externals(case)})


def _row(case: Case, is_known: bool, name: str, nodes: Sequence[Node], edges: Sequence[Edge]) -> Json:
    # In several clusters it is still one name.
    names = sorted({host_name(node.name or node.id) for node in nodes})
    first = min(nodes, key=lambda node: node.first_seen.ToNanoseconds())
    last = max(nodes, key=lambda node: node.last_seen.ToNanoseconds())
    return {
        "id": name,
        "vendor": name if is_known else None,
        "domain": None if is_known else name,
        "categories": sorted({vendor.category for node in nodes if (vendor := case.vendor_of(node))}),
        "ambiguous": any(node.ambiguous for node in nodes),
        **figures(edges),
        "names": names[:MOST_NAMES],
        "name_count": len(names),
        "first_seen": to_json(first)["first_seen"],
        "last_seen": to_json(last)["last_seen"],
    }
