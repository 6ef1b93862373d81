"""A reader who looks twice a second, and what it saw: totals that only grow, rates that stay those of the traffic."""

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.duration_pb2 import Duration
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.topology_pb2_grpc import TopologyServiceStub

from tests.cluster.truth import EdgeKey

_PAUSE_SECONDS = 0.5
_WHOLE_SECONDS = 3600
_RATE_SECONDS = 10
_TOTALS = ("requests", "connections", "bytes_sent", "bytes_received")


@dataclass(frozen=True, slots=True)
class Look:
    """Totals and requests a second, at a time of the wall's clock. By (source, target, port): what a connection speaks
    is known after its first bytes only, and its edge is another one from then on."""

    time: float
    totals: dict[EdgeKey, tuple[int, ...]]
    rates: dict[EdgeKey, float]
    span_seconds: float


class Reader:
    """A context manager; while the aggregator is away it sees nothing, and asks again."""

    def __init__(self, address: str) -> None:
        self.looks: list[Look] = []
        self.missed = 0
        self._address = address
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def steps_back(self, for_seconds: float = 0) -> list[str]:
        """Every total that became smaller from one look to the next, and was so for longer than that."""
        lines = []
        for before, after in zip(self.looks, self.looks[1:], strict=False):
            for key, numbers in before.totals.items():
                for name, old, new in zip(_TOTALS, numbers, after.totals.get(key, (0, 0, 0, 0)), strict=True):
                    if new < old and not self._is_back(key, _TOTALS.index(name), old, after.time + for_seconds):
                        lines.append(f"{after.time:.1f} {key} {name}: {old}, then {new}")
        return lines

    def _is_back(self, key: EdgeKey, place: int, total: int, until: float) -> bool:
        later = [look for look in self.looks if look.time <= until]
        return bool(later) and later[-1].totals.get(key, (0, 0, 0, 0))[place] >= total

    def highest_rate(self, key: EdgeKey) -> float:
        return max((look.rates.get(key, 0.0) for look in self.looks), default=0.0)

    def story(self, key: EdgeKey) -> str:
        """Each look at one edge, for a failure's message."""
        lines = (
            f"{look.time:.1f} {look.totals.get(key)} {look.rates.get(key, 0.0):.0f}/s over {look.span_seconds:.1f} s"
            for look in self.looks
        )
        return "\n".join(lines)

    def _go_on(self) -> None:
        channel: Any = None
        while not self._end.wait(_PAUSE_SECONDS):
            if channel is None:
                # One that was refused would sit out the library's own pauses.
                channel = grpc.insecure_channel(self._address, options=[("grpc.use_local_subchannel_pool", 1)])
            try:
                self.looks.append(_look(TopologyServiceStub(channel)))
            except grpc.RpcError:
                self.missed += 1
                channel.close()
                channel = None
        if channel is not None:
            channel.close()


def _look(stub: Any) -> Look:
    whole = _topology(stub, _WHOLE_SECONDS)
    totals: dict[EdgeKey, tuple[int, ...]] = {}
    for edge in whole.edges:
        known = totals.get(_key(edge), (0,) * len(_TOTALS))
        totals[_key(edge)] = tuple(one + getattr(edge, name) for one, name in zip(known, _TOTALS, strict=True))
    recent = _topology(stub, _RATE_SECONDS)
    begin, end = getattr(recent.window, "from").ToNanoseconds(), recent.window.to.ToNanoseconds()
    rates = {_key(edge): edge.requests / ((end - begin) / 1e9) for edge in recent.edges if edge.requests}
    return Look(time.time(), totals, rates, (end - begin) / 1e9)


def _topology(stub: Any, window_seconds: int) -> pb.Topology:
    request = pb.GetTopologyRequest(window=Duration(seconds=window_seconds))
    topology: pb.Topology = stub.GetTopology(request, timeout=3).topology
    return topology


def _key(edge: pb.Edge) -> EdgeKey:
    return EdgeKey(edge.source, edge.target, "", edge.port)
