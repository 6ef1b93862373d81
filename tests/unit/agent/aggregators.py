"""An aggregator's end of the report stream on a real port: it remembers, forgets, cuts, refuses and stays silent."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from plumbline.v1.columns import unpack_flows, unpack_requests
from plumbline.v1.flow_pb2 import Acknowledgement, Batch, Hello, ReportRequest, ReportResponse, Welcome
from plumbline.v1.flow_pb2_grpc import ReportServiceServicer, add_ReportServiceServicer_to_server

from tests.unit.agent.rows import total


class FakeDisk:
    """What an aggregator knows by (host, epoch); it outlives a server."""

    def __init__(self) -> None:
        self.remembered = 0
        self.batches: list[Batch] = []
        self.flows: dict[int, Any] = {}
        self.endpoints: dict[int, Any] = {}
        self.names: dict[int, Any] = {}
        self.connections: Counter[int] = Counter()
        self.requests = 0
        self.lost: Counter[str] = Counter()

    def keep(self, batch: Batch) -> None:
        if batch.sequence <= self.remembered:
            return
        self.remembered = batch.sequence
        self.batches.append(batch)
        self.endpoints.update({one.id: one for one in batch.endpoints})
        self.flows.update({one.id: one for one in batch.flow_definitions})
        self.names.update({one.id: one for one in batch.names})
        flows, requests = unpack_flows(batch.flows), unpack_requests(batch.requests)
        assert set(flows["flow"].tolist()) <= set(self.flows)
        assert set(requests["name"].tolist()) <= {0, 1, 2, *self.names}
        for flow, connections in zip(flows["flow"].tolist(), flows["connections"].tolist(), strict=True):
            self.connections[flow] += connections
        self.requests += total(requests, "count")
        self.lost.update({one.reason: one.count for one in batch.host_status.lost})


class Reports(ReportServiceServicer):
    def __init__(self, disk: FakeDisk) -> None:
        self.disk = disk
        self.hellos: list[Hello] = []
        self.token = ""
        # How many batches a stream may bring before it is cut; whether the last of them is kept before the cut.
        self.cut_after: int | None = None
        self.keep_before_cut = True
        self.acknowledges = True
        self.contract_version = 1
        self.definitions_lost = False
        self.refuse_with: tuple[grpc.StatusCode, str] | None = None

    async def Report(  # noqa: N802 (the contract names it)
        self, requests: AsyncIterator[ReportRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[ReportResponse]:
        metadata = dict(context.invocation_metadata() or ())
        if self.token and metadata.get("authorization") != f"Bearer {self.token}":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this agent's token is not known here")
        if self.refuse_with:
            await context.abort(*self.refuse_with)
        seen = 0
        async for request in requests:
            if request.WhichOneof("message") == "hello":
                self.hellos.append(request.hello)
                welcome = Welcome(
                    contract_version=self.contract_version,
                    aggregator_version="t",
                    acknowledged_sequence=self.disk.remembered,
                    definitions_lost=self.definitions_lost,
                )
                welcome.clock.CopyFrom(request.hello.clock)
                yield ReportResponse(welcome=welcome)
                continue
            seen += 1
            cut = self.cut_after is not None and seen > self.cut_after
            if not cut or self.keep_before_cut:
                self.disk.keep(request.batch)
            if cut:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
            if self.acknowledges:
                yield ReportResponse(acknowledgement=Acknowledgement(sequence=request.batch.sequence))


async def serve(
    reports: Reports, address: str = "127.0.0.1:0", tls: tuple[Path, Path] | None = None
) -> tuple[Any, str]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_ReportServiceServicer_to_server(reports, server)
    if tls:
        credentials = grpc.ssl_server_credentials([(tls[1].read_bytes(), tls[0].read_bytes())])
        port = server.add_secure_port(address, credentials)
    else:
        port = server.add_insecure_port(address)
    await server.start()
    return server, f"127.0.0.1:{port}"


async def until(holds: Any, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)
