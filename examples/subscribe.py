"""The live graph in a program of your own, on plumbline.v1 alone: python examples/subscribe.py [HOST:PORT]"""

import sys
import time

import grpc
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.topology_pb2_grpc import TopologyServiceStub


def follow(address: str) -> None:
    edges: dict[str, pb.Edge] = {}
    position = None
    with grpc.insecure_channel(address, options=[("grpc.max_reconnect_backoff_ms", 1000)]) as channel:
        while True:
            if position is None:
                edges.clear()
            try:
                for event in TopologyServiceStub(channel).WatchTopology(pb.WatchTopologyRequest(resume=position)):
                    if event.HasField("restart"):
                        edges.clear()
                    edges.update((edge.id, edge) for edge in event.snapshot.part.edges)
                    for change in event.delta.changes:
                        if change.kind == pb.CHANGE_KIND_VANISHED:
                            edges.pop(change.edge.id, None)
                        elif change.HasField("edge"):
                            edges.pop(change.previous_id, None)
                            edges[change.edge.id] = change.edge
                    whole = event.HasField("delta") or event.HasField("bookmark") or event.snapshot.complete
                    position = event.position if whole else None
                    print(event.position.version, event.WhichOneof("event"), len(edges), "edges", flush=True)
            except grpc.RpcError as error:
                print("waiting for the aggregator:", error.code().name, file=sys.stderr, flush=True)
                time.sleep(0.5)


if __name__ == "__main__":
    follow(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:7171")
