"""The door to an aggregator: the only module of cli that imports grpc. Every failure leaves it as one sentence."""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

# The C core writes connection failures to stderr by itself; they are told once, here.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from google.protobuf.duration_pb2 import Duration
from plumbline.v1 import insight_pb2, insight_pb2_grpc, topology_pb2, topology_pb2_grpc

from cli.failure import Failure, Status

_TIMEOUT_SECONDS = 30.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    # An aggregator that restarts is back in a second; the library's own pause grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
)
_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: Status.WRONG_USE,
    grpc.StatusCode.NOT_FOUND: Status.WRONG_USE,
    grpc.StatusCode.UNIMPLEMENTED: Status.WRONG_USE,
    grpc.StatusCode.FAILED_PRECONDITION: Status.NOT_ENOUGH_SEEN,
}
_VERDICTS = {
    insight_pb2.VERDICT_CHECK_FAILED: Status.CHECK_FAILED,
    insight_pb2.VERDICT_NOT_ENOUGH_SEEN: Status.NOT_ENOUGH_SEEN,
}


@dataclass(frozen=True, slots=True)
class Access:
    """Where an aggregator is, and how to be let in."""

    address: str
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    token_file: Path | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of the graph, over which span."""

    window_seconds: float
    namespace: str = ""
    node: str = ""
    include_background: bool = False


class Aggregator:
    """Calls to one aggregator. Raises Failure; close it, or use it in a `with` block."""

    def __init__(self, access: Access) -> None:
        self._address = access.address
        self._metadata = _token(access)
        credentials = _credentials(access)
        self._is_secure = credentials is not None
        self._channel = (
            grpc.secure_channel(access.address, credentials, options=_CHANNEL_OPTIONS)
            if credentials
            else grpc.insecure_channel(access.address, options=_CHANNEL_OPTIONS)
        )
        self._topology = topology_pb2_grpc.TopologyServiceStub(self._channel)
        self._insight = insight_pb2_grpc.InsightServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def topology(self, selection: Selection) -> topology_pb2.Topology:
        """What the selection holds now."""
        request = topology_pb2.GetTopologyRequest(window=_span(selection.window_seconds), filter=_filter(selection))
        response: topology_pb2.GetTopologyResponse = self._call(self._topology.GetTopology, request)
        return response.topology

    def ask(self, question: str, subject: str, window_seconds: float) -> tuple[dict[str, Any], Status]:
        """The answer's JSON, and the exit status that it means."""
        request = insight_pb2.AskRequest(question=question, subject=subject, window=_span(window_seconds))
        response: insight_pb2.AskResponse = self._call(self._insight.Ask, request)
        return json.loads(response.answer_json), _VERDICTS.get(response.verdict, Status.DONE)

    def export(self, form: str) -> bytes:
        """The graph in a form that another tool reads."""
        response: insight_pb2.ExportResponse = self._call(self._insight.Export, insight_pb2.ExportRequest(form=form))
        return response.content

    def watch(
        self, selection: Selection, on_lost: Callable[[str], None] = lambda _: None
    ) -> Iterator[topology_pb2.WatchTopologyResponse]:
        """The snapshot, then changes, for ever: a broken connection is resumed where it broke.

        Only a first connection that fails, or a refusal, raises Failure. `on_lost` hears once of each break.
        """
        position: topology_pb2.Position | None = None
        pause_seconds = _FIRST_PAUSE_SECONDS
        has_answered = is_lost = False
        while True:
            request = topology_pb2.WatchTopologyRequest(
                window=_span(selection.window_seconds), filter=_filter(selection), resume=position
            )
            try:
                for response in self._topology.WatchTopology(request, metadata=self._metadata):
                    position = _next_position(position, response)
                    pause_seconds, has_answered, is_lost = _FIRST_PAUSE_SECONDS, True, False
                    yield response
            except grpc.RpcError as error:
                failure = self._failure(error)
                if not has_answered or failure.status is not Status.NOT_REACHED:
                    raise failure from error
                if not is_lost:
                    on_lost(f"The connection to {self._address} broke; trying until it is back.")
                    is_lost = True
            time.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        try:
            return method(request, timeout=_TIMEOUT_SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._failure(error) from error

    def _failure(self, error: Any) -> Failure:
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE and _is_from_transport(details):
            # TLS 1.3 tells a client that its certificate is refused by closing on it.
            if self._is_secure and ("handshake" in details.lower() or "Socket closed" in details):
                sentence = f"No TLS with {self._address}; check --tls-ca, and --tls-cert with --tls-key."
                return Failure(Status.NOT_REACHED, sentence)
            sentence = f"No aggregator answers at {self._address}; start one (plumb up) or name it with --aggregator."
            return Failure(Status.NOT_REACHED, sentence)
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            sentence = f"The aggregator at {self._address} did not answer in {_TIMEOUT_SECONDS:.0f} s; see its log."
            return Failure(Status.NOT_REACHED, sentence)
        if code is grpc.StatusCode.UNIMPLEMENTED:
            sentence = (
                f"The aggregator at {self._address} cannot do this; use a plumb and an aggregator of one version."
            )
            return Failure(Status.WRONG_USE, sentence)
        if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            details = details or f"The aggregator at {self._address} wants a token; give it with --token-file."
        return Failure(_STATUSES.get(code, Status.NOT_REACHED), details or f"The aggregator failed ({code.name}).")


def _is_from_transport(details: str) -> bool:
    """Whether the library itself says so, and not the aggregator, whose sentence is worth showing."""
    return not details or "connect" in details or "Socket closed" in details or "resolution" in details


def _next_position(
    position: topology_pb2.Position | None, response: topology_pb2.WatchTopologyResponse
) -> topology_pb2.Position | None:
    event = response.WhichOneof("event")
    if event == "restart":
        return None
    if event == "snapshot" and not response.snapshot.complete:
        # Half a snapshot is nothing to resume from.
        return position
    return response.position if response.HasField("position") else position


def _span(seconds: float) -> Duration:
    span = Duration()
    span.FromNanoseconds(round(seconds * 1e9))
    return span


def _filter(selection: Selection) -> topology_pb2.Filter:
    return topology_pb2.Filter(
        namespace=selection.namespace, node=selection.node, include_background=selection.include_background
    )


def _credentials(access: Access) -> Any:
    if bool(access.tls_cert) != bool(access.tls_key):
        raise Failure(Status.WRONG_USE, "A certificate and its key go together; give both --tls-cert and --tls-key.")
    if not access.tls_ca:
        if access.tls_cert:
            sentence = "A certificate of ours without TLS would never be shown; name the aggregator's with --tls-ca."
            raise Failure(Status.WRONG_USE, sentence)
        return None
    authority = _read(access.tls_ca)
    # The library would call it a connection that failed.
    if b"-----BEGIN CERTIFICATE-----" not in (authority or b""):
        raise Failure(Status.WRONG_USE, f"{access.tls_ca} holds no certificate; name a PEM file.")
    return grpc.ssl_channel_credentials(authority, _read(access.tls_key), _read(access.tls_cert))


def _token(access: Access) -> tuple[tuple[str, str], ...]:
    token = _read(access.token_file)
    if token is None:
        return ()
    if not (access.tls_ca or access.insecure or _is_local(access.address)):
        sentence = "The token would cross the network in plain text; give --tls-ca, or ask for it with --insecure."
        raise Failure(Status.WRONG_USE, sentence)
    return (("authorization", f"Bearer {token.decode('ascii', 'replace').strip()}"),)


def _is_local(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.") or address.startswith("unix:")


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(Status.WRONG_USE, f"{path} cannot be read ({error.strerror}); name a readable file.") from error
