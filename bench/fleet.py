"""Synthetic agents: hellos, definitions and batches, as real ones pack them, for an estate of any size.

Every service runs on one host and listens on port 8080 of an address of its own; an edge is a client's flow on one
host and a server's flow on the other, both reported. Times are handed in; nothing here reads a clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from google.protobuf.timestamp_pb2 import Timestamp
from plumbline.v1 import flow_pb2 as pb
from plumbline.v1.columns import CONTRACT_VERSION, FIRST_NAME_ID, FLOW_TYPES, REQUEST_TYPES, pack_flows, pack_requests

PORT = 8080
ROUTES = 4
EDGES_A_SERVICE = 8
# Of 16,000 rows, an agent's usual mix: latencies fall into a few buckets of each flow's route.
REQUEST_ROWS_A_FLOW_ROW = 3
_CLUSTER_REALM = pb.REALM_CLUSTER


def stamp(ns: int) -> Timestamp:
    return Timestamp(seconds=ns // 1_000_000_000, nanos=ns % 1_000_000_000)


@dataclass(slots=True)
class HostAgent:
    """One agent: what it defines, and the numbers of its batches."""

    name: str
    endpoints: list[pb.LocalEndpoint] = field(default_factory=list)
    ownerships: list[pb.Ownership] = field(default_factory=list)
    flows: list[pb.FlowDefinition] = field(default_factory=list)
    sequence: int = 0
    next_flow: int = 0

    def hello(self, now_ns: int) -> pb.ReportRequest:
        hello = pb.Hello(contract_version=CONTRACT_VERSION, oldest_contract_version=1, host=self.name, epoch=1)
        hello.clock.CopyFrom(stamp(now_ns))
        hello.interval.FromNanoseconds(1_000_000_000)
        return pb.ReportRequest(hello=hello)

    def definitions(self) -> Iterator[pb.ReportRequest]:
        """Everything that rows refer to, in batches of a size that agents use."""
        names = [
            pb.NameDefinition(id=FIRST_NAME_ID + one, kind=pb.NAME_KIND_ROUTE, text=f"/route{one}/*")
            for one in range(ROUTES)
        ]
        first = pb.Batch(endpoints=self.endpoints, ownerships=self.ownerships, names=names)
        yield self.numbered(first)
        for start in range(0, len(self.flows), 10_000):
            yield self.numbered(pb.Batch(flow_definitions=self.flows[start : start + 10_000]))

    def rows(self, count: int, from_ns: int, to_ns: int, dice: np.random.Generator) -> pb.ReportRequest:
        """A batch with `count` rows of the next flows in turn, all of one time bucket."""
        flow_rows = count // (1 + REQUEST_ROWS_A_FLOW_ROW)
        flows = (self.next_flow + np.arange(flow_rows)) % len(self.flows)
        self.next_flow = int(flows[-1] + 1) % len(self.flows)
        batch = pb.Batch(flows=pack_flows(_flow_columns(flows, dice)))
        batch.requests.CopyFrom(pack_requests(_request_columns(np.repeat(flows, REQUEST_ROWS_A_FLOW_ROW), dice)))
        batch.buckets.append(pb.TimeBucket(**{"from": stamp(from_ns), "to": stamp(to_ns)}))
        return self.numbered(batch)

    def whole_interval(self, from_ns: int, to_ns: int, dice: np.random.Generator) -> Iterator[pb.ReportRequest]:
        """One row of each flow and its requests, in as many batches as an agent needs."""
        left = len(self.flows) * (1 + REQUEST_ROWS_A_FLOW_ROW)
        while left > 0:
            yield self.rows(min(left, 16_000), from_ns, to_ns, dice)
            left -= 16_000

    def numbered(self, batch: pb.Batch) -> pb.ReportRequest:
        self.sequence += 1
        batch.sequence = self.sequence
        return pb.ReportRequest(batch=batch)


def fleet(edges: int, hosts: int, from_ns: int, seed: int = 1) -> list[HostAgent]:
    """Agents that together see `edges` different pairs of services, each from both sides."""
    dice = np.random.default_rng(seed)
    services = max(edges // EDGES_A_SERVICE, EDGES_A_SERVICE + 1)
    agents = [HostAgent(f"host{number}") for number in range(hosts)]
    for service in range(services):
        _place(agents[service % hosts], service, from_ns)
    for edge in range(edges):
        source = edge % services
        target = (source + 1 + edge // services * 7 + int(dice.integers(0, 7))) % services
        _connect(agents, source, target if target != source else (source + 1) % services)
    return agents


def _place(agent: HostAgent, service: int, from_ns: int) -> None:
    identity = len(agent.endpoints)
    agent.endpoints.append(
        pb.LocalEndpoint(
            id=identity, kind=pb.ENDPOINT_KIND_POD, pod_uid=f"{service:08x}", network_namespace=service + 1
        )
    )
    whole = pb.Ownership(endpoint=identity, address=service_address(service), realm=_CLUSTER_REALM)
    getattr(whole, "from").CopyFrom(stamp(from_ns))
    listens = pb.Ownership(port=PORT, transport=pb.TRANSPORT_TCP, listening=True)
    listens.MergeFrom(whole)
    agent.ownerships += [whole, listens]


def _connect(agents: list[HostAgent], source: int, target: int) -> None:
    hosts = len(agents)
    for role, local, peer in ((pb.ROLE_CLIENT, source, target), (pb.ROLE_SERVER, target, source)):
        agent = agents[local % hosts]
        agent.flows.append(
            pb.FlowDefinition(
                id=len(agent.flows),
                endpoint=local // hosts,
                local_address=service_address(local),
                peer_address=service_address(peer),
                port=PORT,
                role=role,
                transport=pb.TRANSPORT_TCP,
            )
        )


def service_address(service: int) -> bytes:
    return bytes(10) + b"\xff\xff\x0a" + (service + 1).to_bytes(3, "big")


def _flow_columns(flows: npt.NDArray[np.int64], dice: np.random.Generator) -> dict[str, npt.NDArray[np.generic]]:
    size = len(flows)
    columns: dict[str, npt.NDArray[np.generic]] = {name: np.zeros(size, kind) for name, kind in FLOW_TYPES.items()}
    columns["flow"] = flows.astype(np.uint32)
    columns["protocols"] = np.full(size, 1 << pb.PROTOCOL_HTTP, np.uint64)
    for name in ("bytes_sent", "bytes_received", "parsed_bytes"):
        columns[name] = dice.integers(1_000, 100_000, size, np.uint64)
    columns["connections"] = np.ones(size, np.uint64)
    columns["closed"] = np.ones(size, np.uint64)
    return columns


def _request_columns(flows: npt.NDArray[np.int64], dice: np.random.Generator) -> dict[str, npt.NDArray[np.generic]]:
    size = len(flows)
    columns: dict[str, npt.NDArray[np.generic]] = {name: np.zeros(size, kind) for name, kind in REQUEST_TYPES.items()}
    columns["flow"] = flows.astype(np.uint32)
    columns["protocol"] = np.full(size, pb.PROTOCOL_HTTP, np.uint8)
    columns["operation"] = np.ones(size, np.uint8)
    columns["outcome"] = np.full(size, pb.OUTCOME_ANSWERED, np.uint8)
    columns["code"] = np.where(dice.random(size) < 0.97, 200, 503).astype(np.uint16)
    # Every flow has two of the routes, and latencies that spread over a handful of buckets around its own median.
    columns["name"] = (FIRST_NAME_ID + (flows + dice.integers(0, 2, size)) % ROUTES).astype(np.uint32)
    columns["latency_bucket"] = (160 + flows % 24 + dice.geometric(0.4, size)).astype(np.uint16)
    columns["count"] = dice.integers(1, 50, size, np.uint64)
    columns["sum_ns"] = columns["count"].astype(np.uint64) * np.uint64(2_000_000)
    return columns
