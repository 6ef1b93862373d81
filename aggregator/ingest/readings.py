"""Claims, answers and statuses of a checked batch as plain values, in the aggregator's own ids and times. Pure."""

from google.protobuf.timestamp_pb2 import Timestamp
from plumbline.v1 import flow_pb2 as pb

from aggregator.ingest.decoding import nanoseconds
from aggregator.ingest.tables import Epoch
from aggregator.records import FOREVER_NS, Blind, Owned, Status, Told

# Kinds of detail: there are a handful.
MOST_SHED = 16


def owned_of(epoch: Epoch, claim: pb.Ownership) -> Owned | None:
    endpoint = epoch.endpoints.one(claim.endpoint)
    if endpoint < 0:
        return None
    begin_ns = nanoseconds(getattr(claim, "from"))
    return Owned(
        endpoint=endpoint,
        address=claim.address,
        port=claim.port,
        transport=claim.transport,
        realm=claim.realm,
        network_namespace=claim.network_namespace,
        listening=claim.listening,
        from_ns=begin_ns + epoch.clock_offset_ns,
        to_ns=nanoseconds(claim.to) + epoch.clock_offset_ns if claim.HasField("to") else FOREVER_NS,
        begin_ns=begin_ns,
    )


def told_of(epoch: Epoch, answer: pb.DnsAnswer) -> Told | None:
    endpoint = epoch.endpoints.one(answer.endpoint)
    if endpoint < 0:
        return None
    return Told(endpoint, answer.name, tuple(answer.addresses), answer.time.ToNanoseconds() + epoch.clock_offset_ns)


def status_of(status: pb.HostStatus, offset_ns: int, received_ns: int) -> Status:
    def ours(time: Timestamp, known: bool) -> int:
        return time.ToNanoseconds() + offset_ns if known else FOREVER_NS

    return Status(
        time_ns=min(status.time.ToNanoseconds() + offset_ns, received_ns),
        lost={one.reason: one.count for one in status.lost},
        dropped={one.reason: one.count for one in status.dropped},
        blind=tuple(
            Blind(ours(getattr(one, "from"), True), ours(one.to, one.HasField("to")), one.reason)
            for one in status.blind
        ),
        addresses=tuple(status.addresses),
        shed=tuple(status.shed[:MOST_SHED]),
        clock_ahead_ns=status.clock_set.ToNanoseconds() - offset_ns,
    )
