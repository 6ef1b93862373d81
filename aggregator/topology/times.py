"""Times as the contract has them. Pure."""

from google.protobuf.timestamp_pb2 import Timestamp


def stamp(ns: int) -> Timestamp:
    time = Timestamp()
    time.FromNanoseconds(ns)
    return time
