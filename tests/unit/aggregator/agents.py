"""Agents that say what a test makes up, in the contract's own words, and an estate that hears them.

world = World(); alpha = world.agent("alpha", "10.0.0.1"); web = alpha.unit("web")
alpha.calls(web, "10.0.0.2", 80, requests=3); alpha.tells(); world.edges()
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from plumbline.v1 import columns as wire
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.estate import Estate
from aggregator.records import SECOND_NS, HostKey
from aggregator.settings import Settings

BEGIN: Final = 1_767_000_000  # what tests call second 0
HOST_NAMESPACE: Final = 1
# Every kind of resource.
ALL_KNOWN: Final = 0b11110
Rows = list[dict[str, int]]


def ns(second: float) -> int:
    return BEGIN * SECOND_NS + round(second * SECOND_NS)


def stamp(second: float) -> Timestamp:
    time = Timestamp()
    time.FromNanoseconds(ns(second))
    return time


def address(text: str) -> bytes:
    parsed = ip_address(text)
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed


def pack(rows: Sequence[Mapping[str, int]], types: Mapping[str, str]) -> wire.Columns:
    return {name: np.array([row.get(name, 0) for row in rows], kind) for name, kind in types.items()}


class Agent:
    """One agent on one host. What it says collects until `batch` or `tells`; its clock is `skew` seconds ahead."""

    def __init__(self, world: "World", host: str, addresses: Iterable[str] = (), **options: Any) -> None:
        self.world = world
        self.host = host
        self.addresses = [address(one) for one in addresses]
        self.cluster: str = options.get("cluster", "")
        self.skew: float = options.get("skew", 0.0)
        self.interval: float = options.get("interval", 1.0)
        self.epoch = 0
        self.restart()

    def restart(self) -> None:
        """It has forgotten everything, and will say hello before its next batch."""
        self.epoch += 1
        self.sequence = 0
        self.greeted = False
        self._ids: dict[Any, int] = {}
        self._defined = flow.Batch()
        self._empty()

    def _empty(self) -> None:
        self.message = flow.Batch()
        self.flows: Rows = []
        self.requests: Rows = []
        self.resources: Rows = []

    # --- who is on the host ---

    def endpoint(self, kind: int, network_namespace: int = HOST_NAMESPACE, **names: str) -> int:
        key = ("endpoint", kind, network_namespace, *sorted(names.items()))
        if key not in self._ids:
            self._ids[key] = len(self._ids) + 1
            self.redefine(self._ids[key], kind, network_namespace, **names)
        return self._ids[key]

    def redefine(self, known: int, kind: int, network_namespace: int = HOST_NAMESPACE, **names: str) -> None:
        self.message.endpoints.add(id=known, kind=kind, network_namespace=network_namespace, **names)

    def unit(self, name: str) -> int:
        return self.endpoint(flow.ENDPOINT_KIND_UNIT, unit=f"{name}.service")

    def pod(self, uid: str, own_address: str, since: float = 0.0, container: str = "c1") -> int:
        """It has its address from `since` on."""
        namespace = 1000 + sum(map(ord, uid))
        one = self.endpoint(flow.ENDPOINT_KIND_POD, namespace, pod_uid=uid, container_id=container)
        self.owns(one, own_address, since, network_namespace=namespace)
        return one

    def owns(self, endpoint: int, own: str, since: float = 0.0, until: float | None = None, **more: Any) -> None:
        """The endpoint has an address; with `port` and `listening`, a port of it."""
        fields = {"realm": flow.REALM_CLUSTER, "network_namespace": HOST_NAMESPACE, **more}
        claim = self.message.ownerships.add(endpoint=endpoint, address=address(own), **fields)
        getattr(claim, "from").CopyFrom(self.stamp(since))
        if until is not None:
            claim.to.CopyFrom(self.stamp(until))

    def listens(
        self, endpoint: int, own: str, port: int, since: float = 0.0, until: float | None = None, **more: Any
    ) -> None:
        more = {"port": port, "listening": True, "transport": flow.TRANSPORT_TCP, **more}
        self.owns(endpoint, own, since, until, **more)

    def told(self, endpoint: int, name: str, *addresses: str, at: float = 0.0) -> None:
        """By DNS."""
        answer = self.message.dns_answers.add(endpoint=endpoint, name=name, addresses=map(address, addresses))
        answer.time.CopyFrom(self.stamp(at))

    # --- what they did ---

    def calls(
        self, client: int, peer: str, port: int, requests: int = 0, local: str = "", said: str = "", **more: int
    ) -> None:
        """`said`: the name in its TLS hello."""
        self._exchanged(flow.ROLE_CLIENT, client, peer, port, requests, local, more, said)

    def serves(self, server: int, peer: str, port: int, requests: int = 0, local: str = "", **more: int) -> None:
        self._exchanged(flow.ROLE_SERVER, server, peer, port, requests, local, more)

    def uses(self, endpoint: int, known: int = ALL_KNOWN, **columns: int) -> None:
        """Resources; the memory it has is the most that it had, unless told."""
        most = columns.get("memory_bytes", 0)
        self.resources.append({"endpoint": endpoint, "known": known, "memory_most_bytes": most, **columns})

    def exchanges(self, endpoint: int, peer: str, port: int, **more: int) -> None:
        """Over a connection of which nobody knows who opened it."""
        self._exchanged(flow.ROLE_UNSPECIFIED, endpoint, peer, port, 0, "", more)

    def _exchanged(
        self,
        role: int,
        endpoint: int,
        peer: str,
        port: int,
        requests: int,
        local: str,
        more: Mapping[str, int],
        said: str = "",
    ) -> None:
        local_address = address(local) if local else (self.addresses[0] if self.addresses else bytes(16))
        transport = more.get("transport", flow.TRANSPORT_TCP)
        key = ("flow", role, endpoint, peer, port, local_address, transport, said)
        if key not in self._ids:
            self._ids[key] = len(self._ids) + 1
            self.message.flow_definitions.add(
                id=self._ids[key],
                endpoint=endpoint,
                local_address=local_address,
                peer_address=address(peer),
                port=port,
                role=role,
                transport=transport,
                server_name=said,
            )
        counts = {name: value for name, value in more.items() if name in wire.FLOW_TYPES}
        self.flows.append({"flow": self._ids[key], "connections": 1, **counts})
        if requests:
            details = {name: value for name, value in more.items() if name in wire.REQUEST_TYPES}
            self.requests.append(self._request(self._ids[key], requests, details))

    @staticmethod
    def _request(flow_id: int, count: int, details: Mapping[str, int]) -> dict[str, int]:
        usual = {"protocol": flow.PROTOCOL_HTTP, "operation": 1, "outcome": flow.OUTCOME_ANSWERED, "code": 200}
        return {"flow": flow_id, "count": count, "latency_bucket": 160, "sum_ns": count * 10**6, **usual, **details}

    def name(self, text: str, kind: int = flow.NAME_KIND_HOST) -> int:
        key = ("name", kind, text)
        if key not in self._ids:
            self._ids[key] = len(self._ids) + wire.FIRST_NAME_ID
            self.message.names.add(id=self._ids[key], kind=kind, text=text)
        return self._ids[key]

    def target(self, text: str) -> int:
        """As a proxy is asked."""
        return self.name(text, flow.NAME_KIND_TARGET)

    # --- and says ---

    def stamp(self, second: float) -> Timestamp:
        return stamp(second + self.skew)

    def hello(self, at: float) -> flow.Hello:
        return flow.Hello(
            contract_version=wire.CONTRACT_VERSION,
            oldest_contract_version=wire.CONTRACT_VERSION,
            host=self.host,
            cluster=self.cluster,
            boot_id="boot",
            epoch=self.epoch,
            clock=self.stamp(at),
            interval=Duration(nanos=round(self.interval * SECOND_NS) % SECOND_NS, seconds=int(self.interval)),
        )

    def batch(self, begin: float, end: float) -> flow.Batch:
        """All that was collected, as of one bucket of time, with the host's status at its end."""
        batch, flows, requests, resources = self.message, self.flows, self.requests, self.resources
        self._empty()
        for name in ("endpoints", "flow_definitions", "names"):
            getattr(self._defined, name).extend(getattr(batch, name))
        self.sequence += 1
        batch.sequence = self.sequence
        bucket = batch.buckets.add()
        getattr(bucket, "from").CopyFrom(self.stamp(begin))
        bucket.to.CopyFrom(self.stamp(end))
        batch.flows.CopyFrom(wire.pack_flows(pack(flows, wire.FLOW_TYPES)))
        batch.requests.CopyFrom(wire.pack_requests(pack(requests, wire.REQUEST_TYPES)))
        batch.resources.CopyFrom(wire.pack_resources(pack(resources, wire.RESOURCE_TYPES)))
        batch.host_status.CopyFrom(flow.HostStatus(time=self.stamp(end), coverage=1.0, addresses=self.addresses))
        batch.sent.CopyFrom(self.stamp(end))
        return batch

    def everything(self) -> flow.Batch:
        """All that it defined and knows still, again."""
        self.sequence += 1
        again = flow.Batch(sequence=self.sequence)
        again.MergeFrom(self._defined)
        return again

    def forget(self, endpoints: Collection[int], names: Collection[int] = ()) -> None:
        """As an agent does with what is gone: `everything` says it no more."""
        left, self._defined = self._defined, flow.Batch()
        self._defined.endpoints.extend(one for one in left.endpoints if one.id not in endpoints)
        self._defined.flow_definitions.extend(one for one in left.flow_definitions if one.endpoint not in endpoints)
        self._defined.names.extend(one for one in left.names if one.id not in names)

    def tells(self, begin: float = 0.0, end: float = 1.0, at: float | None = None) -> bool:
        """What was collected reaches the world at second `at`; False when it was known."""
        received = end if at is None else at
        if not self.greeted:
            self.world.estate.hello(self.hello(received), ns(received))
            self.greeted = True
        return self.world.deliver(self, self.batch(begin, end), received)


class World:
    """An estate, and its time in seconds."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.estate = Estate(self.settings)

    def agent(self, host: str, *addresses: str, **options: Any) -> Agent:
        return Agent(self, host, addresses, **options)

    def deliver(self, agent: Agent, batch: flow.Batch, at: float) -> bool:
        return self.estate.batch(HostKey(agent.cluster, agent.host), agent.epoch, batch, ns(at))

    def topology(self, now: float = 2.0, window: float = 300.0) -> pb.Topology:
        return self.estate.topology(round(window * SECOND_NS), ns(now))

    def edges(self, now: float = 2.0, window: float = 300.0) -> dict[tuple[str, str], pb.Edge]:
        """By source and target; there may be one edge a pair only."""
        edges = self.topology(now, window).edges
        found = {(edge.source, edge.target): edge for edge in edges}
        assert len(found) == len(edges), [edge.id for edge in edges]
        return found

    def requests(self, now: float = 2.0, window: float = 300.0) -> dict[tuple[str, str], int]:
        return {pair: edge.requests for pair, edge in self.edges(now, window).items()}

    def nodes(self, now: float = 2.0) -> dict[str, pb.Node]:
        return {node.id: node for node in self.topology(now).nodes}
