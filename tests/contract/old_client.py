"""An agent and a subscriber of the version before: this program sees the previous contract alone.

old_client.py AGENTS_PORT READERS_PORT      prints {"edges": {target: requests}, "stale", "versions"} when it has seen
                                            in the graph what it had reported
"""

import json
import sys
import time
from pathlib import Path

import grpc

PREVIOUS = Path(__file__).parent / "previous"
sys.path[:] = [str(PREVIOUS), *(one for one in sys.path if not (Path(one) / "plumbline").is_dir())]

import numpy as np  # noqa: E402
from plumbline.v1 import columns, flow_pb2, topology_pb2  # noqa: E402
from plumbline.v1.flow_pb2_grpc import ReportServiceStub  # noqa: E402
from plumbline.v1.topology_pb2_grpc import TopologyServiceStub  # noqa: E402

ROUNDS, REQUESTS, OPEN_CONNECTIONS = 4, 5, 1
SERVER = bytes(10) + b"\xff\xff" + bytes((192, 0, 2, 7))


def hello() -> flow_pb2.ReportRequest:
    said = flow_pb2.Hello(
        contract_version=columns.CONTRACT_VERSION,
        oldest_contract_version=columns.CONTRACT_VERSION,
        agent_version="0.0.9",
        host="old",
        boot_id="boot",
        epoch=1,
    )
    said.clock.FromNanoseconds(time.time_ns())
    said.interval.FromSeconds(1)
    return flow_pb2.ReportRequest(hello=said)


def batch(number: int) -> flow_pb2.ReportRequest:
    """The first one defines what the rows of all are about."""
    now_ns = time.time_ns()
    said = flow_pb2.Batch(sequence=number)
    if number == 1:
        said.endpoints.add(id=1, kind=flow_pb2.ENDPOINT_KIND_UNIT, unit="web.service", network_namespace=1)
        said.flow_definitions.add(
            id=1, endpoint=1, local_address=bytes(15) + b"\1", peer_address=SERVER, port=80,
            role=flow_pb2.ROLE_CLIENT, transport=flow_pb2.TRANSPORT_TCP,
        )  # fmt: skip
    bucket = said.buckets.add()
    getattr(bucket, "from").FromNanoseconds(now_ns - 10**9)
    bucket.to.FromNanoseconds(now_ns)
    flows = {name: np.zeros(1, kind) for name, kind in columns.FLOW_TYPES.items()}
    flows["flow"][:], flows["connections"][:] = 1, 1
    requests = {name: np.zeros(1, kind) for name, kind in columns.REQUEST_TYPES.items()}
    requests["flow"][:], requests["protocol"][:], requests["operation"][:] = 1, flow_pb2.PROTOCOL_HTTP, 1
    requests["outcome"][:], requests["code"][:], requests["count"][:] = flow_pb2.OUTCOME_ANSWERED, 200, REQUESTS
    said.flows.CopyFrom(columns.pack_flows(flows))
    said.requests.CopyFrom(columns.pack_requests(requests))
    said.host_status.time.FromNanoseconds(now_ns)
    said.sent.FromNanoseconds(now_ns)
    return flow_pb2.ReportRequest(batch=said)


def report(port: str) -> None:
    """All batches; the stream breaks in the middle, and what was in flight is sent again."""
    batches = [batch(number) for number in range(1, ROUNDS + 1)]
    acknowledged = 0
    for few in (batches[:2], batches[1:]):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            responses = ReportServiceStub(channel).Report(iter([hello(), *few]))
            welcome = next(responses).welcome
            assert welcome.contract_version == columns.CONTRACT_VERSION, welcome
            assert welcome.acknowledged_sequence == acknowledged, (welcome, acknowledged)
            while acknowledged < few[-1].batch.sequence:
                acknowledged = next(responses).acknowledgement.sequence


def subscribe(port: str) -> dict[str, object]:
    """Follows the graph from its snapshot on until it has everything."""
    edges: dict[str, topology_pb2.Edge] = {}
    hosts: dict[str, topology_pb2.Host] = {}
    versions = []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for response in TopologyServiceStub(channel).WatchTopology(topology_pb2.WatchTopologyRequest(), timeout=20):
            versions.append(response.position.version)
            part = response.snapshot.part
            edges |= {edge.id: edge for edge in part.edges}
            hosts |= {host.name: host for host in part.hosts}
            for change in response.delta.changes:
                if change.WhichOneof("subject") == "edge":
                    edges[change.edge.id] = change.edge
            if sum(edge.requests for edge in edges.values()) >= ROUNDS * REQUESTS and hosts:
                break
    answer = TopologyServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}")).GetTopology(
        topology_pb2.GetTopologyRequest()
    )
    return {
        "edges": {edge.target: edge.requests for edge in answer.topology.edges},
        "stale": {host.name: host.stale for host in answer.topology.hosts},
        "is_ascending": versions == sorted(versions),
    }


report(sys.argv[1])
print(json.dumps(subscribe(sys.argv[2])))  # noqa: T201
