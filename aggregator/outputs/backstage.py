"""The portal's feed: third parties as Resource entities, each hung on the components that call it.

`spec.dependencyOf` of an entity that is ours makes a portal show a dependency at components that are not.
docs/portal.md has the set-up, and the rules by which an entity comes and goes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, TypeAlias

from plumbline.v1.topology_pb2 import NODE_KIND_THIRD_PARTY, Node

from aggregator.catalog import rules
from aggregator.catalog.model import HOST_ANNOTATION, OBSERVED_ANNOTATION
from aggregator.insight.case import Case
from aggregator.insight.edges import DNS
from aggregator.insight.joining import host_name
from aggregator.outputs.forms import ExportOptions, NothingToServe, Rendered
from aggregator.resolve.vendors import Vendor

# Of our own: what a portal learns from us can never take the place of what a person declared.
NAMESPACE = "runtime"
MAX_ENTITIES = 5000
# A host that was out of sight for more than the rest of the window: what it calls may have been called then.
_SHARE_IN_SIGHT = 0.9
_MOST_ETAGS = 1000
NAME_SOURCE_ANNOTATION = "plumbline.dev/name-source"
AMBIGUOUS_ANNOTATION = "plumbline.dev/ambiguous"
DECLARED_AS_ANNOTATION = "plumbline.dev/declared-as"
VENDOR_ANNOTATION = "plumbline.dev/vendor"
CATEGORY_ANNOTATION = "plumbline.dev/category"

Entity: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ThirdParty:
    """One outside name in what it has of lasting things: counts and times would change the feed at every look."""

    host: str
    owner: str
    name_source: str
    ambiguous: bool
    declared_as: str
    callers: frozenset[str]
    vendor: Vendor | None = None


class Feed:
    """One live feed. It never turns empty, and loses nothing while a host that may still use it is out of sight.

    Before it has seen a whole window it takes the place of nothing that it did not serve itself: a portal may hold what
    an aggregator served that has lost its data since.
    """

    def __init__(self, options: ExportOptions) -> None:
        """Raises ValueError when the default owner is none."""
        owner = rules.complete(options.default_owner, "group", "default")
        if owner is None:
            raise ValueError(f"The default owner {options.default_owner!r} is no reference; write group:default/NAME.")
        self._default_owner = owner
        self._served: Mapping[str, ThirdParty] = {}
        self._etags: dict[str, None] = {}

    def __call__(self, case: Case) -> Rendered:
        """Raises NothingToServe until a third party was seen."""
        left_out: list[str] = []
        seen = _sound(_third_parties(case, self._default_owner), left_out)
        is_whole = _is_whole(case)
        if not is_whole or not _is_in_sight(case):
            seen = _with_earlier(seen, self._served)
        self._served = _bounded(seen, self._served, left_out) or self._served
        if not self._served:
            raise NothingToServe(
                "No third party was seen yet, and an empty catalog would delete what the portal holds; ask again later."
            )
        content = _document(entity_of(self._served[host]) for host in sorted(self._served)).encode("ascii")
        etag = sha256(content).hexdigest()[:32]
        served = self._remembered(etag)
        replaces = None if is_whole else frozenset(served)
        return Rendered("application/yaml", content, etag, tuple(left_out), replaces)

    def _remembered(self, etag: str) -> Iterable[str]:
        """What was served in this life, the newest last."""
        self._etags.pop(etag, None)
        self._etags[etag] = None
        while len(self._etags) > _MOST_ETAGS:
            del self._etags[next(iter(self._etags))]
        return self._etags


def entity_of(third_party: ThirdParty) -> Entity:
    """The entity as plain values: mappings, lists and texts."""
    vendor = third_party.vendor
    optional = {
        DECLARED_AS_ANNOTATION: third_party.declared_as,
        NAME_SOURCE_ANNOTATION: third_party.name_source,
        VENDOR_ANNOTATION: vendor.name if vendor else "",
        CATEGORY_ANNOTATION: vendor.category if vendor else "",
    }
    annotations = {
        HOST_ANNOTATION: third_party.host,
        OBSERVED_ANNOTATION: "true",
        **{key: value for key, value in optional.items() if value},
        **({AMBIGUOUS_ANNOTATION: "true"} if third_party.ambiguous else {}),
    }
    return {
        "apiVersion": rules.API_VERSION,
        "kind": "Resource",
        "metadata": {
            "name": entity_name(third_party.host),
            "namespace": NAMESPACE,
            "title": "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in third_party.host),
            "annotations": annotations,
        },
        "spec": {
            "type": "third-party",
            "owner": third_party.owner,
            **({"dependencyOf": sorted(third_party.callers)} if third_party.callers else {}),
        },
    }


def entity_name(host: str) -> str:
    """The host where a portal allows it as a name, else what is left of it and a hash that keeps it apart."""
    if rules.is_name(host):
        return host
    left = re.sub(r"[^a-z0-9_.]+", "-", host)[:50].strip("-_.")
    return f"{left or 'host'}-{sha256(host.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _is_whole(case: Case) -> bool:
    """Whether something was in view from the window's begin on: what is not in it was not called in all of it."""
    watch = case.watch
    return watch.seconds_of(case.topology.nodes) >= (watch.to_ns - watch.from_ns) / 1e9


def _is_in_sight(case: Case) -> bool:
    """With no host at all nothing is."""
    hosts = case.watch.hosts.values()
    return bool(hosts) and all(host.share >= _SHARE_IN_SIGHT and not host.stale for host in hosts)


def _third_parties(case: Case, default_owner: str) -> Iterator[ThirdParty]:
    """By name: in several clusters it is still one third party."""
    nodes: dict[str, list[Node]] = {}
    for node in case.topology.nodes:
        if node.kind == NODE_KIND_THIRD_PARTY and any(_calls(case, node)):
            nodes.setdefault(host_name(node.name or node.id), []).append(node)
    for host, same in nodes.items():
        first, entity_of_node = same[0], case.join.entity_of
        callers = {entity_of_node[client] for node in same for client in _calls(case, node) if client in entity_of_node}
        declared_as = entity_of_node.get(first.id, "")
        owner = _owner(case, declared_as) or default_owner
        is_ambiguous = any(node.ambiguous for node in same)
        callers -= {declared_as}
        vendor = case.vendor_of(first)
        yield ThirdParty(host, owner, first.name_source, is_ambiguous, declared_as, frozenset(callers), vendor)


def _calls(case: Case, node: Node) -> Iterator[str]:
    """The clients of a node. Asking a resolver is no dependency on it."""
    edges = (edge for edge in case.edges_of.get(node.id, ()) if edge.target == node.id and not case.is_passed_on(edge))
    return (edge.source for edge in edges if edge.protocol != DNS)


def _owner(case: Case, ref: str) -> str | None:
    """As a whole reference: without a namespace it would be looked for in ours."""
    entity = case.declarations.entities.get(ref)
    return rules.complete(entity.owner, "group", entity.namespace) if entity else None


def _sound(third_parties: Iterable[ThirdParty], left_out: list[str]) -> dict[str, ThirdParty]:
    """Those whose entity a portal takes, by host; the others are named in `left_out`."""
    sound: dict[str, ThirdParty] = {}
    names: set[str] = set()
    for third_party in sorted(third_parties, key=lambda each: each.host):
        entity = entity_of(third_party)
        name = entity["metadata"]["name"]
        faults = rules.faults(entity)
        if name in names:
            faults.append("another one has its name")
        if "\0" in third_party.host:
            # A text for every rule of the model, and none for the databases below it.
            faults.append("its host has a zero byte")
        if faults:
            left_out.append(f"{third_party.host[:80]!r}: {', '.join(faults)}")
            continue
        names.add(name)
        sound[third_party.host] = third_party
    return sound


def _with_earlier(seen: Mapping[str, ThirdParty], earlier: Mapping[str, ThirdParty]) -> dict[str, ThirdParty]:
    merged = {**earlier, **seen}
    for host in seen.keys() & earlier.keys():
        merged[host] = replace(seen[host], callers=seen[host].callers | earlier[host].callers)
    return merged


def _bounded(
    seen: Mapping[str, ThirdParty], earlier: Mapping[str, ThirdParty], left_out: list[str]
) -> dict[str, ThirdParty]:
    """At most MAX_ENTITIES; those that a portal has already go first, so that a flood of names removes none."""
    hosts = sorted(seen, key=lambda host: (host not in earlier, host))
    left_out.extend(f"{host[:80]!r}: there are {MAX_ENTITIES} before it" for host in hosts[MAX_ENTITIES:])
    return {host: seen[host] for host in hosts[:MAX_ENTITIES]}


def _document(entities: Iterable[Entity]) -> str:
    return "".join("---\n" + "".join(_lines(entity)) for entity in entities)


def _lines(mapping: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in mapping.items():
        match value:
            case str():
                yield f"{indent}{key}: {_quoted(value)}\n"
            case list():
                yield f"{indent}{key}:\n"
                yield from (f"{indent}  - {_quoted(each)}\n" for each in value)
            case _:
                yield f"{indent}{key}:\n"
                yield from _lines(value, indent + "  ")


def _quoted(text: str) -> str:
    """A scalar that no reader of YAML 1.1 or 1.2 takes for anything else: printable ASCII between quotes."""
    return '"' + "".join(_escaped(sign) for sign in text) + '"'


def _escaped(sign: str) -> str:
    code = ord(sign)
    if sign in '"\\':
        return "\\" + sign
    if 0x20 <= code < 0x7F:
        return sign
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
