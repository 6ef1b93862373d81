from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChangeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGE_KIND_UNSPECIFIED: _ClassVar[ChangeKind]
    CHANGE_KIND_APPEARED: _ClassVar[ChangeKind]
    CHANGE_KIND_VANISHED: _ClassVar[ChangeKind]
    CHANGE_KIND_CHANGED: _ClassVar[ChangeKind]
    CHANGE_KIND_RENAMED: _ClassVar[ChangeKind]
    CHANGE_KIND_UPDATED: _ClassVar[ChangeKind]
    CHANGE_KIND_HOST_STALE: _ClassVar[ChangeKind]
    CHANGE_KIND_HOST_BACK: _ClassVar[ChangeKind]

class NodeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_KIND_UNSPECIFIED: _ClassVar[NodeKind]
    NODE_KIND_WORKLOAD: _ClassVar[NodeKind]
    NODE_KIND_UNIT: _ClassVar[NodeKind]
    NODE_KIND_PROCESS: _ClassVar[NodeKind]
    NODE_KIND_POD: _ClassVar[NodeKind]
    NODE_KIND_HOST: _ClassVar[NodeKind]
    NODE_KIND_SERVICE: _ClassVar[NodeKind]
    NODE_KIND_THIRD_PARTY: _ClassVar[NodeKind]
    NODE_KIND_EXTERNAL: _ClassVar[NodeKind]
    NODE_KIND_UNRESOLVED: _ClassVar[NodeKind]

class EdgeClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EDGE_CLASS_UNSPECIFIED: _ClassVar[EdgeClass]
    EDGE_CLASS_TRAFFIC: _ClassVar[EdgeClass]
    EDGE_CLASS_PROBE: _ClassVar[EdgeClass]
    EDGE_CLASS_SCRAPE: _ClassVar[EdgeClass]
    EDGE_CLASS_SELF: _ClassVar[EdgeClass]

class SeenFrom(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEEN_FROM_UNSPECIFIED: _ClassVar[SeenFrom]
    SEEN_FROM_CLIENT: _ClassVar[SeenFrom]
    SEEN_FROM_SERVER: _ClassVar[SeenFrom]
    SEEN_FROM_BOTH: _ClassVar[SeenFrom]
CHANGE_KIND_UNSPECIFIED: ChangeKind
CHANGE_KIND_APPEARED: ChangeKind
CHANGE_KIND_VANISHED: ChangeKind
CHANGE_KIND_CHANGED: ChangeKind
CHANGE_KIND_RENAMED: ChangeKind
CHANGE_KIND_UPDATED: ChangeKind
CHANGE_KIND_HOST_STALE: ChangeKind
CHANGE_KIND_HOST_BACK: ChangeKind
NODE_KIND_UNSPECIFIED: NodeKind
NODE_KIND_WORKLOAD: NodeKind
NODE_KIND_UNIT: NodeKind
NODE_KIND_PROCESS: NodeKind
NODE_KIND_POD: NodeKind
NODE_KIND_HOST: NodeKind
NODE_KIND_SERVICE: NodeKind
NODE_KIND_THIRD_PARTY: NodeKind
NODE_KIND_EXTERNAL: NodeKind
NODE_KIND_UNRESOLVED: NodeKind
EDGE_CLASS_UNSPECIFIED: EdgeClass
EDGE_CLASS_TRAFFIC: EdgeClass
EDGE_CLASS_PROBE: EdgeClass
EDGE_CLASS_SCRAPE: EdgeClass
EDGE_CLASS_SELF: EdgeClass
SEEN_FROM_UNSPECIFIED: SeenFrom
SEEN_FROM_CLIENT: SeenFrom
SEEN_FROM_SERVER: SeenFrom
SEEN_FROM_BOTH: SeenFrom

class GetTopologyRequest(_message.Message):
    __slots__ = ("window", "filter")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    window: _duration_pb2.Duration
    filter: Filter
    def __init__(self, window: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ...) -> None: ...

class GetTopologyResponse(_message.Message):
    __slots__ = ("topology",)
    TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    topology: Topology
    def __init__(self, topology: _Optional[_Union[Topology, _Mapping]] = ...) -> None: ...

class WatchTopologyRequest(_message.Message):
    __slots__ = ("window", "filter", "resume")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    window: _duration_pb2.Duration
    filter: Filter
    resume: Position
    def __init__(self, window: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., resume: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class WatchTopologyResponse(_message.Message):
    __slots__ = ("position", "snapshot", "delta", "bookmark", "restart")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    BOOKMARK_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    position: Position
    snapshot: SnapshotPart
    delta: Delta
    bookmark: Bookmark
    restart: Restart
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., snapshot: _Optional[_Union[SnapshotPart, _Mapping]] = ..., delta: _Optional[_Union[Delta, _Mapping]] = ..., bookmark: _Optional[_Union[Bookmark, _Mapping]] = ..., restart: _Optional[_Union[Restart, _Mapping]] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("epoch", "version")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    epoch: str
    version: int
    def __init__(self, epoch: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("namespace", "node", "include_background")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    node: str
    include_background: bool
    def __init__(self, namespace: _Optional[str] = ..., node: _Optional[str] = ..., include_background: bool = ...) -> None: ...

class SnapshotPart(_message.Message):
    __slots__ = ("part", "complete")
    PART_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    part: Topology
    complete: bool
    def __init__(self, part: _Optional[_Union[Topology, _Mapping]] = ..., complete: bool = ...) -> None: ...

class Delta(_message.Message):
    __slots__ = ("time", "changes")
    TIME_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    def __init__(self, time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ...) -> None: ...

class Bookmark(_message.Message):
    __slots__ = ("time", "nodes", "edges")
    TIME_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    nodes: int
    edges: int
    def __init__(self, time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., nodes: _Optional[int] = ..., edges: _Optional[int] = ...) -> None: ...

class Restart(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("kind", "node", "edge", "host", "previous_id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    EDGE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_ID_FIELD_NUMBER: _ClassVar[int]
    kind: ChangeKind
    node: Node
    edge: Edge
    host: Host
    previous_id: str
    def __init__(self, kind: _Optional[_Union[ChangeKind, str]] = ..., node: _Optional[_Union[Node, _Mapping]] = ..., edge: _Optional[_Union[Edge, _Mapping]] = ..., host: _Optional[_Union[Host, _Mapping]] = ..., previous_id: _Optional[str] = ...) -> None: ...

class TimeWindow(_message.Message):
    __slots__ = ("to",)
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    to: _timestamp_pb2.Timestamp
    def __init__(self, to: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., **kwargs) -> None: ...

class Topology(_message.Message):
    __slots__ = ("position", "cluster", "window", "nodes", "edges", "hosts")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    position: Position
    cluster: str
    window: TimeWindow
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    edges: _containers.RepeatedCompositeFieldContainer[Edge]
    hosts: _containers.RepeatedCompositeFieldContainer[Host]
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., cluster: _Optional[str] = ..., window: _Optional[_Union[TimeWindow, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[Edge, _Mapping]]] = ..., hosts: _Optional[_Iterable[_Union[Host, _Mapping]]] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("id", "kind", "name", "namespace", "cluster", "host_count", "listens", "name_source", "ambiguous", "first_seen", "last_seen")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    HOST_COUNT_FIELD_NUMBER: _ClassVar[int]
    LISTENS_FIELD_NUMBER: _ClassVar[int]
    NAME_SOURCE_FIELD_NUMBER: _ClassVar[int]
    AMBIGUOUS_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: NodeKind
    name: str
    namespace: str
    cluster: str
    host_count: int
    listens: _containers.RepeatedScalarFieldContainer[int]
    name_source: str
    ambiguous: bool
    first_seen: _timestamp_pb2.Timestamp
    last_seen: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[NodeKind, str]] = ..., name: _Optional[str] = ..., namespace: _Optional[str] = ..., cluster: _Optional[str] = ..., host_count: _Optional[int] = ..., listens: _Optional[_Iterable[int]] = ..., name_source: _Optional[str] = ..., ambiguous: bool = ..., first_seen: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Edge(_message.Message):
    __slots__ = ("id", "source", "target", "protocol", "port", "requests", "errors", "client_errors", "unanswered", "statuses", "codes", "latency_ms", "turn_ms", "rtt_ms", "bytes_sent", "bytes_received", "connections", "active_connections", "failed_connections", "retransmits", "encrypted", "via", "coverage", "seen_from", "first_seen", "last_seen", "routes", "client_side", "server_side")
    class CodesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ERRORS_FIELD_NUMBER: _ClassVar[int]
    UNANSWERED_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    TURN_MS_FIELD_NUMBER: _ClassVar[int]
    RTT_MS_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    FAILED_CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    RETRANSMITS_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_FIELD_NUMBER: _ClassVar[int]
    VIA_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    SEEN_FROM_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    CLIENT_SIDE_FIELD_NUMBER: _ClassVar[int]
    SERVER_SIDE_FIELD_NUMBER: _ClassVar[int]
    id: str
    source: str
    target: str
    protocol: str
    port: int
    requests: int
    errors: int
    client_errors: int
    unanswered: Unanswered
    statuses: Statuses
    codes: _containers.ScalarMap[str, int]
    latency_ms: Latency
    turn_ms: Latency
    rtt_ms: float
    bytes_sent: int
    bytes_received: int
    connections: int
    active_connections: int
    failed_connections: FailedConnections
    retransmits: int
    encrypted: bool
    via: _containers.RepeatedCompositeFieldContainer[Via]
    coverage: float
    seen_from: SeenFrom
    first_seen: _timestamp_pb2.Timestamp
    last_seen: _timestamp_pb2.Timestamp
    routes: _containers.RepeatedCompositeFieldContainer[Route]
    client_side: Side
    server_side: Side
    def __init__(self, id: _Optional[str] = ..., source: _Optional[str] = ..., target: _Optional[str] = ..., protocol: _Optional[str] = ..., port: _Optional[int] = ..., requests: _Optional[int] = ..., errors: _Optional[int] = ..., client_errors: _Optional[int] = ..., unanswered: _Optional[_Union[Unanswered, _Mapping]] = ..., statuses: _Optional[_Union[Statuses, _Mapping]] = ..., codes: _Optional[_Mapping[str, int]] = ..., latency_ms: _Optional[_Union[Latency, _Mapping]] = ..., turn_ms: _Optional[_Union[Latency, _Mapping]] = ..., rtt_ms: _Optional[float] = ..., bytes_sent: _Optional[int] = ..., bytes_received: _Optional[int] = ..., connections: _Optional[int] = ..., active_connections: _Optional[int] = ..., failed_connections: _Optional[_Union[FailedConnections, _Mapping]] = ..., retransmits: _Optional[int] = ..., encrypted: bool = ..., via: _Optional[_Iterable[_Union[Via, _Mapping]]] = ..., coverage: _Optional[float] = ..., seen_from: _Optional[_Union[SeenFrom, str]] = ..., first_seen: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., routes: _Optional[_Iterable[_Union[Route, _Mapping]]] = ..., client_side: _Optional[_Union[Side, _Mapping]] = ..., server_side: _Optional[_Union[Side, _Mapping]] = ..., **kwargs) -> None: ...

class Side(_message.Message):
    __slots__ = ("requests", "connections", "bytes_sent", "bytes_received", "statuses", "unanswered")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    UNANSWERED_FIELD_NUMBER: _ClassVar[int]
    requests: int
    connections: int
    bytes_sent: int
    bytes_received: int
    statuses: Statuses
    unanswered: Unanswered
    def __init__(self, requests: _Optional[int] = ..., connections: _Optional[int] = ..., bytes_sent: _Optional[int] = ..., bytes_received: _Optional[int] = ..., statuses: _Optional[_Union[Statuses, _Mapping]] = ..., unanswered: _Optional[_Union[Unanswered, _Mapping]] = ...) -> None: ...

class Unanswered(_message.Message):
    __slots__ = ("client", "server")
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    client: int
    server: int
    def __init__(self, client: _Optional[int] = ..., server: _Optional[int] = ...) -> None: ...

class Statuses(_message.Message):
    __slots__ = ("s2xx", "s3xx", "s4xx", "s5xx", "other")
    S2XX_FIELD_NUMBER: _ClassVar[int]
    S3XX_FIELD_NUMBER: _ClassVar[int]
    S4XX_FIELD_NUMBER: _ClassVar[int]
    S5XX_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    s2xx: int
    s3xx: int
    s4xx: int
    s5xx: int
    other: int
    def __init__(self, s2xx: _Optional[int] = ..., s3xx: _Optional[int] = ..., s4xx: _Optional[int] = ..., s5xx: _Optional[int] = ..., other: _Optional[int] = ...) -> None: ...

class Latency(_message.Message):
    __slots__ = ("mean", "p50", "p95", "p99")
    MEAN_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    P95_FIELD_NUMBER: _ClassVar[int]
    P99_FIELD_NUMBER: _ClassVar[int]
    mean: float
    p50: float
    p95: float
    p99: float
    def __init__(self, mean: _Optional[float] = ..., p50: _Optional[float] = ..., p95: _Optional[float] = ..., p99: _Optional[float] = ...) -> None: ...

class FailedConnections(_message.Message):
    __slots__ = ("refused", "timeout", "reset", "unreachable", "other")
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    UNREACHABLE_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    refused: int
    timeout: int
    reset: int
    unreachable: int
    other: int
    def __init__(self, refused: _Optional[int] = ..., timeout: _Optional[int] = ..., reset: _Optional[int] = ..., unreachable: _Optional[int] = ..., other: _Optional[int] = ...) -> None: ...

class Via(_message.Message):
    __slots__ = ("name", "connections")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    connections: int
    def __init__(self, name: _Optional[str] = ..., connections: _Optional[int] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("method", "route", "requests", "errors", "statuses", "latency_ms")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    method: str
    route: str
    requests: int
    errors: int
    statuses: Statuses
    latency_ms: Latency
    def __init__(self, method: _Optional[str] = ..., route: _Optional[str] = ..., requests: _Optional[int] = ..., errors: _Optional[int] = ..., statuses: _Optional[_Union[Statuses, _Mapping]] = ..., latency_ms: _Optional[_Union[Latency, _Mapping]] = ..., **kwargs) -> None: ...

class Host(_message.Message):
    __slots__ = ("name", "last_seen", "stale", "lost", "dropped", "coverage", "blind")
    class LostEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class DroppedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    BLIND_FIELD_NUMBER: _ClassVar[int]
    name: str
    last_seen: _timestamp_pb2.Timestamp
    stale: bool
    lost: _containers.ScalarMap[str, int]
    dropped: _containers.ScalarMap[str, int]
    coverage: float
    blind: _containers.RepeatedCompositeFieldContainer[HostBlindInterval]
    def __init__(self, name: _Optional[str] = ..., last_seen: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., stale: bool = ..., lost: _Optional[_Mapping[str, int]] = ..., dropped: _Optional[_Mapping[str, int]] = ..., coverage: _Optional[float] = ..., blind: _Optional[_Iterable[_Union[HostBlindInterval, _Mapping]]] = ...) -> None: ...

class HostBlindInterval(_message.Message):
    __slots__ = ("to", "reason")
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    to: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, to: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., **kwargs) -> None: ...
