"""Who we depend on outside, by vendor: the third parties that are one's own as one row. What no vendor is known of goes
by the domain that somebody registered.
"""

from collections import defaultdict
from collections.abc import Sequence

from plumbline.v1.jsonform import to_json
from plumbline.v1.topology_pb2 import NODE_KIND_THIRD_PARTY, Node

from aggregator.insight.case import Answer, Case, Json
from aggregator.insight.figures import Calls, figures, together
from aggregator.insight.joining import host_name
from aggregator.insight.thirdparties import answered, called, externals

# The names that one row lists.
MOST_NAMES = 50


def vendors(case: Case, subject: str) -> Answer:
    """Those called in the window, the most used first. Each number is that of all calls to all of a vendor's names."""
    groups: dict[tuple[bool, str], list[tuple[Node, Calls]]] = defaultdict(list)
    for node, one in called(case, NODE_KIND_THIRD_PARTY):
        vendor = case.vendor_of(node)
        # A vendor may call itself by a domain that is somebody else's.
        key = (True, vendor.name) if vendor else (False, case.vendors.domain_of(node.name or node.id))
        groups[key].append((node, one))
    calls = {key: together(one for _, one in group) for key, group in groups.items()}
    order = sorted(groups, key=lambda key: (-calls[key].attempts, key[1], key[0]))
    rows = [_row(case, *key, [node for node, _ in groups[key]], calls[key]) for key in order]
    return answered(case, {"vendors": rows, "externals": externals(case)})


def _row(case: Case, is_known: bool, name: str, nodes: Sequence[Node], calls: Calls) -> Json:
    # In several clusters it is still one name.
    names = sorted({host_name(node.name or node.id) for node in nodes})
    seen = [node for node in nodes if node.HasField("first_seen")] or nodes
    first = min(seen, key=lambda node: node.first_seen.ToNanoseconds())
    last = max(seen, key=lambda node: node.last_seen.ToNanoseconds())
    return {
        "id": name,
        "vendor": name if is_known else None,
        "domain": None if is_known else name,
        "categories": sorted({vendor.category for node in nodes if (vendor := case.vendor_of(node))}),
        "ambiguous": any(node.ambiguous for node in nodes),
        **figures(calls, case.served, {}),
        "names": names[:MOST_NAMES],
        "name_count": len(names),
        "first_seen": to_json(first)["first_seen"],
        "last_seen": to_json(last)["last_seen"],
    }
