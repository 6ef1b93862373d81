"""What a host knows of its endpoints, as messages of the contract. Pure."""

from google.protobuf.duration_pb2 import Duration
from plumbline.v1 import flow_pb2

from agent.dns import DnsResponse
from agent.identity.addresses import Claim
from agent.identity.endpoints import Endpoint
from agent.packing import timestamp
from agent.records import MissingPart
from agent.text import carried


def endpoint_note(endpoint: Endpoint) -> flow_pb2.LocalEndpoint:
    identity = endpoint.identity
    return flow_pb2.LocalEndpoint(
        id=endpoint.id,
        kind=identity.kind,
        pod_uid=identity.pod_uid,
        container_id=identity.container_id,
        unit=carried(identity.unit),
        command=carried(endpoint.command),
        cgroup_path=carried(endpoint.cgroup_path),
        network_namespace=endpoint.network_namespace,
    )


def answer_note(endpoint: int, response: DnsResponse, time_ns: int) -> flow_pb2.DnsAnswer:
    return flow_pb2.DnsAnswer(
        endpoint=endpoint,
        name=response.name,
        addresses=response.addresses,
        time=timestamp(time_ns),
        ttl=Duration(seconds=response.ttl_seconds),
    )


def missing_note(part: MissingPart) -> flow_pb2.MissingPart:
    return flow_pb2.MissingPart(part=part.part, reason=part.reason, remedy=part.remedy)


def ownership_note(claim: Claim) -> flow_pb2.Ownership:
    ownership = flow_pb2.Ownership(
        endpoint=claim.endpoint,
        address=claim.place.address,
        port=claim.place.port,
        transport=claim.place.transport,  # type: ignore[arg-type]
        realm=claim.place.realm,
        network_namespace=claim.network_namespace,
        listening=claim.listening,
    )
    getattr(ownership, "from").CopyFrom(timestamp(claim.from_ns))
    if claim.to_ns is not None:
        ownership.to.CopyFrom(timestamp(claim.to_ns))
    return ownership
