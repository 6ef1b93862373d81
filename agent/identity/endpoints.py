"""The endpoints of this host: one id for each pod's container, unit, container or command.

Ids are 1, 2, 3, ... and never used again. Pure: what /proc says is passed in.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from plumbline.v1.flow_pb2 import ENDPOINT_KIND_PROCESS, LocalEndpoint

from agent.identity.cgroup import NAMELESS, CgroupIdentity

UNKNOWN_COMMAND = "(unknown)"
OTHER_COMMAND = "(other)"
# Kept at most, also while nobody takes them. What is new then is (other).
MOST_ENDPOINTS = 65_536


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Something on this host that opens or accepts connections; network_namespace 0: not known yet."""

    id: int
    identity: CgroupIdentity
    command: str
    cgroup_path: str
    network_namespace: int


@dataclass(frozen=True, slots=True)
class _Key:
    identity: CgroupIdentity
    command: str
    # Two processes of one name in two namespaces have loopbacks of their own; what has a name has one namespace.
    network_namespace: int


class EndpointBook:
    """Gives ids, and remembers which definitions are new or changed."""

    def __init__(self) -> None:
        self._ids: dict[_Key, int] = {}
        self._endpoints: dict[int, Endpoint] = {}
        self._changed: dict[int, Endpoint] = {}
        self._next = 1
        # Endpoints beyond the bound, since the start.
        self.refused = 0

    def named(self, identity: CgroupIdentity, cgroup_path: str, network_namespace: int) -> Endpoint:
        """The endpoint of a pod, container or unit. A namespace that was unknown before is filled in."""
        endpoint = self._get(_Key(identity, "", 0), cgroup_path, network_namespace)
        if endpoint.identity == identity and network_namespace and network_namespace != endpoint.network_namespace:
            endpoint = replace(endpoint, network_namespace=network_namespace, cgroup_path=cgroup_path)
            self._put(endpoint)
        return endpoint

    def process(self, command: str, cgroup_path: str, network_namespace: int) -> Endpoint:
        return self._get(_Key(NAMELESS, command or UNKNOWN_COMMAND, network_namespace), cgroup_path, network_namespace)

    def inherit(self, told: LocalEndpoint) -> Endpoint:
        """One that an agent before us knew, with an id of our own."""
        if told.kind == ENDPOINT_KIND_PROCESS:
            return self.process(told.command, told.cgroup_path, told.network_namespace)
        identity = CgroupIdentity(told.kind, told.pod_uid, told.container_id, told.unit)
        return self.named(identity, told.cgroup_path, told.network_namespace)

    def get(self, endpoint_id: int) -> Endpoint | None:
        return self._endpoints.get(endpoint_id)

    def all(self) -> list[Endpoint]:
        return list(self._endpoints.values())

    def take_changed(self) -> list[Endpoint]:
        changed, self._changed = list(self._changed.values()), {}
        return changed

    def forget(self, keep: Iterable[int]) -> None:
        """Drops every endpoint that is not in `keep`."""
        kept = set(keep)
        self._endpoints = {known: endpoint for known, endpoint in self._endpoints.items() if known in kept}
        self._ids = {key: known for key, known in self._ids.items() if known in kept}

    def _get(self, key: _Key, cgroup_path: str, network_namespace: int) -> Endpoint:
        known = self._ids.get(key)
        if known is not None:
            return self._endpoints[known]
        if len(self._ids) >= MOST_ENDPOINTS and key.command != OTHER_COMMAND:
            self.refused += 1
            return self.process(OTHER_COMMAND, "/", 0)
        endpoint = Endpoint(self._next, key.identity, key.command, cgroup_path, network_namespace)
        self._next += 1
        self._ids[key] = endpoint.id
        self._put(endpoint)
        return endpoint

    def _put(self, endpoint: Endpoint) -> None:
        self._endpoints[endpoint.id] = endpoint
        self._changed[endpoint.id] = endpoint


def is_process(endpoint: Endpoint) -> bool:
    return endpoint.identity.kind == ENDPOINT_KIND_PROCESS
