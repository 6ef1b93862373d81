"""Versions N-1, N and N+1 of the contract meet: nothing is refused, lost or counted twice, and what one does not know
of the other it leaves alone."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.internal.encoder import TagBytes  # type: ignore[attr-defined]
from plumbline.v1.flow_pb2 import Batch, ReportRequest, ReportResponse
from plumbline.v1.topology_pb2 import GetTopologyRequest

from tests.unit.outputs.running import Stream, agent, batch_now, run, running

HERE = Path(__file__).parent
TEXT = 2
# A field that no version has: number 1000, with a text.
UNKNOWN = TagBytes(1000, TEXT) + b"\x05later"
UNKNOWN_ENUM = 63


def test_an_agent_and_a_subscriber_of_the_version_before(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            ports = [str(aggregator.port(listener)) for listener in ("agents", "grpc")]
            client = await asyncio.create_subprocess_exec(
                sys.executable, HERE / "old_client.py", *ports, stdout=-1, stderr=-1
            )
            out, errors = await client.communicate()
            assert client.returncode == 0, errors.decode()
            assert json.loads(out) == {"edges": {"192.0.2.7": 20}, "stale": {"old": False}, "is_ascending": True}
            assert not aggregator.events("batch_refused") and not aggregator.events("agent_refused")
            (host,) = (await aggregator.topology.GetTopology(GetTopologyRequest())).topology.hosts
            assert not host.lost and not host.dropped

    run(test, 60)


def test_the_old_client_has_the_previous_contract_alone() -> None:
    """Or it would prove nothing."""
    previous = (HERE / "previous/plumbline/v1/flow_pb2.py").read_text()
    present = (HERE.parents[1] / "protos/plumbline/v1/flow_pb2.py").read_text()
    assert "initions_lost" in present and "initions_lost" not in previous


def with_unknown_fields(batch: Batch) -> bytes:
    """In every message of the batch, and beside them."""
    for part in (*batch.endpoints, *batch.flow_definitions, *batch.buckets, *batch.ownerships, batch.host_status):
        part.MergeFromString(UNKNOWN)
    batch.MergeFromString(UNKNOWN)
    return ReportRequest(batch=batch).SerializeToString() + UNKNOWN


def later_kind(batch: Batch) -> None:
    batch.endpoints.add(id=77, kind=UNKNOWN_ENUM, unit="later.service")


def later_name(batch: Batch) -> None:
    batch.names.add(id=78, kind=UNKNOWN_ENUM, text="later")


def later_realm(batch: Batch) -> None:
    batch.ownerships.add(endpoint=1, address=bytes(16), realm=UNKNOWN_ENUM, transport=UNKNOWN_ENUM)


def later_role(batch: Batch) -> None:
    batch.flow_definitions.add(
        id=79, endpoint=1, local_address=bytes(16), peer_address=bytes(16), role=UNKNOWN_ENUM, transport=UNKNOWN_ENUM
    )


def later_protocol(batch: Batch) -> None:
    batch.requests.protocol = bytes([UNKNOWN_ENUM]) * len(batch.requests.protocol)


def later_outcome(batch: Batch) -> None:
    batch.requests.outcome = bytes([15]) * len(batch.requests.outcome)


@pytest.mark.parametrize("spoil", [later_kind, later_name, later_realm, later_role, later_protocol, later_outcome])
def test_an_agent_of_a_later_version_is_understood_as_far_as_can_be(
    tmp_path: Path, spoil: Callable[[Batch], None]
) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            one, stream = agent(), Stream(aggregator.channel("agents"))
            hello = one.hello(0)
            hello.contract_version += 1
            hello.MergeFromString(UNKNOWN)
            assert await stream.greet(hello) == 0
            strange = batch_now(one, 3)
            spoil(strange)
            await stream.say(with_unknown_fields(strange))
            assert (await stream.hear()).acknowledgement.sequence == 1
            assert await stream.bring(batch_now(one, 4)) == 2
            assert not aggregator.events("batch_refused"), aggregator.text.getvalue()

            async def requests() -> int:
                topology = (await aggregator.topology.GetTopology(GetTopologyRequest())).topology
                return sum(edge.requests for edge in topology.edges)

            while await requests() != 7:
                await asyncio.sleep(0.02)
        async with running(tmp_path) as aggregator:
            assert await requests() == 7

    run(test)


def test_a_response_of_a_later_version_is_no_acknowledgement() -> None:
    response = ReportResponse.FromString(UNKNOWN)
    assert response.WhichOneof("message") is None
