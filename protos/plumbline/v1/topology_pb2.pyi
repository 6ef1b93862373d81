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
    CHANGE_KIND_HAPPENED: _ClassVar[ChangeKind]

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

class OpeningKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPENING_KIND_UNSPECIFIED: _ClassVar[OpeningKind]
    OPENING_KIND_LOAD_BALANCER: _ClassVar[OpeningKind]
    OPENING_KIND_NODE_PORT: _ClassVar[OpeningKind]
    OPENING_KIND_EXTERNAL_IP: _ClassVar[OpeningKind]
    OPENING_KIND_INGRESS: _ClassVar[OpeningKind]
    OPENING_KIND_GATEWAY: _ClassVar[OpeningKind]
    OPENING_KIND_HOST_PORT: _ClassVar[OpeningKind]
    OPENING_KIND_HOST_NETWORK: _ClassVar[OpeningKind]

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

class EdgeEnd(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EDGE_END_UNSPECIFIED: _ClassVar[EdgeEnd]
    EDGE_END_SOURCE: _ClassVar[EdgeEnd]
    EDGE_END_TARGET: _ClassVar[EdgeEnd]

class RolloutState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLLOUT_STATE_UNSPECIFIED: _ClassVar[RolloutState]
    ROLLOUT_STATE_BEGUN: _ClassVar[RolloutState]
    ROLLOUT_STATE_PROGRESSING: _ClassVar[RolloutState]
    ROLLOUT_STATE_DONE: _ClassVar[RolloutState]
    ROLLOUT_STATE_STUCK: _ClassVar[RolloutState]
    ROLLOUT_STATE_ROLLED_BACK: _ClassVar[RolloutState]

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_KIND_UNSPECIFIED: _ClassVar[EventKind]
    EVENT_KIND_ROLLOUT: _ClassVar[EventKind]
    EVENT_KIND_SPEC_CHANGED: _ClassVar[EventKind]
    EVENT_KIND_CHANGED_BY_HAND: _ClassVar[EventKind]
    EVENT_KIND_WARNING: _ClassVar[EventKind]
    EVENT_KIND_THIRD_PARTY: _ClassVar[EventKind]

class ThirdPartyState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    THIRD_PARTY_STATE_UNSPECIFIED: _ClassVar[ThirdPartyState]
    THIRD_PARTY_STATE_NEW: _ClassVar[ThirdPartyState]
    THIRD_PARTY_STATE_FAILING: _ClassVar[ThirdPartyState]
    THIRD_PARTY_STATE_SLOW: _ClassVar[ThirdPartyState]
    THIRD_PARTY_STATE_GONE: _ClassVar[ThirdPartyState]
    THIRD_PARTY_STATE_BACK: _ClassVar[ThirdPartyState]
CHANGE_KIND_UNSPECIFIED: ChangeKind
CHANGE_KIND_APPEARED: ChangeKind
CHANGE_KIND_VANISHED: ChangeKind
CHANGE_KIND_CHANGED: ChangeKind
CHANGE_KIND_RENAMED: ChangeKind
CHANGE_KIND_UPDATED: ChangeKind
CHANGE_KIND_HOST_STALE: ChangeKind
CHANGE_KIND_HOST_BACK: ChangeKind
CHANGE_KIND_HAPPENED: ChangeKind
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
OPENING_KIND_UNSPECIFIED: OpeningKind
OPENING_KIND_LOAD_BALANCER: OpeningKind
OPENING_KIND_NODE_PORT: OpeningKind
OPENING_KIND_EXTERNAL_IP: OpeningKind
OPENING_KIND_INGRESS: OpeningKind
OPENING_KIND_GATEWAY: OpeningKind
OPENING_KIND_HOST_PORT: OpeningKind
OPENING_KIND_HOST_NETWORK: OpeningKind
EDGE_CLASS_UNSPECIFIED: EdgeClass
EDGE_CLASS_TRAFFIC: EdgeClass
EDGE_CLASS_PROBE: EdgeClass
EDGE_CLASS_SCRAPE: EdgeClass
EDGE_CLASS_SELF: EdgeClass
SEEN_FROM_UNSPECIFIED: SeenFrom
SEEN_FROM_CLIENT: SeenFrom
SEEN_FROM_SERVER: SeenFrom
SEEN_FROM_BOTH: SeenFrom
EDGE_END_UNSPECIFIED: EdgeEnd
EDGE_END_SOURCE: EdgeEnd
EDGE_END_TARGET: EdgeEnd
ROLLOUT_STATE_UNSPECIFIED: RolloutState
ROLLOUT_STATE_BEGUN: RolloutState
ROLLOUT_STATE_PROGRESSING: RolloutState
ROLLOUT_STATE_DONE: RolloutState
ROLLOUT_STATE_STUCK: RolloutState
ROLLOUT_STATE_ROLLED_BACK: RolloutState
EVENT_KIND_UNSPECIFIED: EventKind
EVENT_KIND_ROLLOUT: EventKind
EVENT_KIND_SPEC_CHANGED: EventKind
EVENT_KIND_CHANGED_BY_HAND: EventKind
EVENT_KIND_WARNING: EventKind
EVENT_KIND_THIRD_PARTY: EventKind
THIRD_PARTY_STATE_UNSPECIFIED: ThirdPartyState
THIRD_PARTY_STATE_NEW: ThirdPartyState
THIRD_PARTY_STATE_FAILING: ThirdPartyState
THIRD_PARTY_STATE_SLOW: ThirdPartyState
THIRD_PARTY_STATE_GONE: ThirdPartyState
THIRD_PARTY_STATE_BACK: ThirdPartyState

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
    __slots__ = ("kind", "node", "edge", "host", "happened", "previous_id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    EDGE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    HAPPENED_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_ID_FIELD_NUMBER: _ClassVar[int]
    kind: ChangeKind
    node: Node
    edge: Edge
    host: Host
    happened: Event
    previous_id: str
    def __init__(self, kind: _Optional[_Union[ChangeKind, str]] = ..., node: _Optional[_Union[Node, _Mapping]] = ..., edge: _Optional[_Union[Edge, _Mapping]] = ..., host: _Optional[_Union[Host, _Mapping]] = ..., happened: _Optional[_Union[Event, _Mapping]] = ..., previous_id: _Optional[str] = ...) -> None: ...

class TimeWindow(_message.Message):
    __slots__ = ("to",)
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    to: _timestamp_pb2.Timestamp
    def __init__(self, to: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., **kwargs) -> None: ...

class Topology(_message.Message):
    __slots__ = ("position", "cluster", "window", "nodes", "edges", "hosts", "stale", "workloads", "events", "pressures")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    PRESSURES_FIELD_NUMBER: _ClassVar[int]
    position: Position
    cluster: str
    window: TimeWindow
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    edges: _containers.RepeatedCompositeFieldContainer[Edge]
    hosts: _containers.RepeatedCompositeFieldContainer[Host]
    stale: _containers.RepeatedCompositeFieldContainer[StaleSource]
    workloads: _containers.RepeatedCompositeFieldContainer[Workload]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    pressures: _containers.RepeatedCompositeFieldContainer[Pressure]
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., cluster: _Optional[str] = ..., window: _Optional[_Union[TimeWindow, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[Edge, _Mapping]]] = ..., hosts: _Optional[_Iterable[_Union[Host, _Mapping]]] = ..., stale: _Optional[_Iterable[_Union[StaleSource, _Mapping]]] = ..., workloads: _Optional[_Iterable[_Union[Workload, _Mapping]]] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., pressures: _Optional[_Iterable[_Union[Pressure, _Mapping]]] = ...) -> None: ...

class StaleSource(_message.Message):
    __slots__ = ("name", "since", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    since: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, name: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("id", "kind", "name", "namespace", "cluster", "host_count", "listens", "name_source", "ambiguous", "first_seen", "last_seen", "resources", "exposure", "reached")
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
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    EXPOSURE_FIELD_NUMBER: _ClassVar[int]
    REACHED_FIELD_NUMBER: _ClassVar[int]
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
    resources: Resources
    exposure: Exposure
    reached: _containers.RepeatedCompositeFieldContainer[Reached]
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[NodeKind, str]] = ..., name: _Optional[str] = ..., namespace: _Optional[str] = ..., cluster: _Optional[str] = ..., host_count: _Optional[int] = ..., listens: _Optional[_Iterable[int]] = ..., name_source: _Optional[str] = ..., ambiguous: bool = ..., first_seen: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ..., exposure: _Optional[_Union[Exposure, _Mapping]] = ..., reached: _Optional[_Iterable[_Union[Reached, _Mapping]]] = ...) -> None: ...

class Resources(_message.Message):
    __slots__ = ("seconds", "cpu_cores", "cpu_throttled_share", "cpu_throttled_seconds", "cpu_limit_cores", "memory_bytes", "memory_limit_bytes", "memory_peak_share", "oom_kills", "network_sent_bytes", "network_received_bytes", "containers")
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    CPU_CORES_FIELD_NUMBER: _ClassVar[int]
    CPU_THROTTLED_SHARE_FIELD_NUMBER: _ClassVar[int]
    CPU_THROTTLED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CPU_LIMIT_CORES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PEAK_SHARE_FIELD_NUMBER: _ClassVar[int]
    OOM_KILLS_FIELD_NUMBER: _ClassVar[int]
    NETWORK_SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    NETWORK_RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    cpu_cores: float
    cpu_throttled_share: float
    cpu_throttled_seconds: float
    cpu_limit_cores: float
    memory_bytes: int
    memory_limit_bytes: int
    memory_peak_share: float
    oom_kills: int
    network_sent_bytes: int
    network_received_bytes: int
    containers: _containers.RepeatedCompositeFieldContainer[ContainerResources]
    def __init__(self, seconds: _Optional[float] = ..., cpu_cores: _Optional[float] = ..., cpu_throttled_share: _Optional[float] = ..., cpu_throttled_seconds: _Optional[float] = ..., cpu_limit_cores: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., memory_limit_bytes: _Optional[int] = ..., memory_peak_share: _Optional[float] = ..., oom_kills: _Optional[int] = ..., network_sent_bytes: _Optional[int] = ..., network_received_bytes: _Optional[int] = ..., containers: _Optional[_Iterable[_Union[ContainerResources, _Mapping]]] = ...) -> None: ...

class ContainerResources(_message.Message):
    __slots__ = ("name", "count", "cpu_cores", "cpu_throttled_share", "cpu_limit_cores", "memory_bytes", "memory_limit_bytes", "memory_peak_bytes", "oom_kills")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    CPU_CORES_FIELD_NUMBER: _ClassVar[int]
    CPU_THROTTLED_SHARE_FIELD_NUMBER: _ClassVar[int]
    CPU_LIMIT_CORES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    OOM_KILLS_FIELD_NUMBER: _ClassVar[int]
    name: str
    count: int
    cpu_cores: float
    cpu_throttled_share: float
    cpu_limit_cores: float
    memory_bytes: int
    memory_limit_bytes: int
    memory_peak_bytes: int
    oom_kills: int
    def __init__(self, name: _Optional[str] = ..., count: _Optional[int] = ..., cpu_cores: _Optional[float] = ..., cpu_throttled_share: _Optional[float] = ..., cpu_limit_cores: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., memory_limit_bytes: _Optional[int] = ..., memory_peak_bytes: _Optional[int] = ..., oom_kills: _Optional[int] = ...) -> None: ...

class Exposure(_message.Message):
    __slots__ = ("openings",)
    OPENINGS_FIELD_NUMBER: _ClassVar[int]
    openings: _containers.RepeatedCompositeFieldContainer[Opening]
    def __init__(self, openings: _Optional[_Iterable[_Union[Opening, _Mapping]]] = ...) -> None: ...

class Opening(_message.Message):
    __slots__ = ("kind", "name", "port", "hosts", "encrypted")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_FIELD_NUMBER: _ClassVar[int]
    kind: OpeningKind
    name: str
    port: int
    hosts: _containers.RepeatedScalarFieldContainer[str]
    encrypted: bool
    def __init__(self, kind: _Optional[_Union[OpeningKind, str]] = ..., name: _Optional[str] = ..., port: _Optional[int] = ..., hosts: _Optional[_Iterable[str]] = ..., encrypted: bool = ...) -> None: ...

class Reached(_message.Message):
    __slots__ = ("port", "protocol", "connections", "encrypted", "first_seen", "last_seen")
    PORT_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    port: int
    protocol: str
    connections: int
    encrypted: bool
    first_seen: _timestamp_pb2.Timestamp
    last_seen: _timestamp_pb2.Timestamp
    def __init__(self, port: _Optional[int] = ..., protocol: _Optional[str] = ..., connections: _Optional[int] = ..., encrypted: bool = ..., first_seen: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Edge(_message.Message):
    __slots__ = ("id", "source", "target", "protocol", "port", "requests", "errors", "client_errors", "unanswered", "statuses", "codes", "latency_ms", "turn_ms", "rtt_ms", "bytes_sent", "bytes_received", "connections", "active_connections", "failed_connections", "retransmits", "encrypted", "via", "coverage", "seen_from", "first_seen", "last_seen", "routes", "client_side", "server_side", "way", "through", "appeared_with", "revisions", "handshakes", "failed_lookups", "connect_ms", "certificate_expires")
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
    WAY_FIELD_NUMBER: _ClassVar[int]
    THROUGH_FIELD_NUMBER: _ClassVar[int]
    APPEARED_WITH_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    HANDSHAKES_FIELD_NUMBER: _ClassVar[int]
    FAILED_LOOKUPS_FIELD_NUMBER: _ClassVar[int]
    CONNECT_MS_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_EXPIRES_FIELD_NUMBER: _ClassVar[int]
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
    way: bool
    through: _containers.RepeatedScalarFieldContainer[str]
    appeared_with: _containers.RepeatedCompositeFieldContainer[AppearedWith]
    revisions: _containers.RepeatedCompositeFieldContainer[EdgeRevision]
    handshakes: Handshakes
    failed_lookups: _containers.RepeatedCompositeFieldContainer[FailedLookups]
    connect_ms: Latency
    certificate_expires: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., source: _Optional[str] = ..., target: _Optional[str] = ..., protocol: _Optional[str] = ..., port: _Optional[int] = ..., requests: _Optional[int] = ..., errors: _Optional[int] = ..., client_errors: _Optional[int] = ..., unanswered: _Optional[_Union[Unanswered, _Mapping]] = ..., statuses: _Optional[_Union[Statuses, _Mapping]] = ..., codes: _Optional[_Mapping[str, int]] = ..., latency_ms: _Optional[_Union[Latency, _Mapping]] = ..., turn_ms: _Optional[_Union[Latency, _Mapping]] = ..., rtt_ms: _Optional[float] = ..., bytes_sent: _Optional[int] = ..., bytes_received: _Optional[int] = ..., connections: _Optional[int] = ..., active_connections: _Optional[int] = ..., failed_connections: _Optional[_Union[FailedConnections, _Mapping]] = ..., retransmits: _Optional[int] = ..., encrypted: bool = ..., via: _Optional[_Iterable[_Union[Via, _Mapping]]] = ..., coverage: _Optional[float] = ..., seen_from: _Optional[_Union[SeenFrom, str]] = ..., first_seen: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., routes: _Optional[_Iterable[_Union[Route, _Mapping]]] = ..., client_side: _Optional[_Union[Side, _Mapping]] = ..., server_side: _Optional[_Union[Side, _Mapping]] = ..., way: bool = ..., through: _Optional[_Iterable[str]] = ..., appeared_with: _Optional[_Iterable[_Union[AppearedWith, _Mapping]]] = ..., revisions: _Optional[_Iterable[_Union[EdgeRevision, _Mapping]]] = ..., handshakes: _Optional[_Union[Handshakes, _Mapping]] = ..., failed_lookups: _Optional[_Iterable[_Union[FailedLookups, _Mapping]]] = ..., connect_ms: _Optional[_Union[Latency, _Mapping]] = ..., certificate_expires: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., **kwargs) -> None: ...

class FailedLookups(_message.Message):
    __slots__ = ("name", "refused", "unanswered", "gone")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    UNANSWERED_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    name: str
    refused: int
    unanswered: int
    gone: int
    def __init__(self, name: _Optional[str] = ..., refused: _Optional[int] = ..., unanswered: _Optional[int] = ..., gone: _Optional[int] = ...) -> None: ...

class Handshakes(_message.Message):
    __slots__ = ("done", "broken", "alerts", "versions", "latency_ms")
    class AlertsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    DONE_FIELD_NUMBER: _ClassVar[int]
    BROKEN_FIELD_NUMBER: _ClassVar[int]
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    done: int
    broken: Unanswered
    alerts: _containers.ScalarMap[str, int]
    versions: _containers.ScalarMap[str, int]
    latency_ms: Latency
    def __init__(self, done: _Optional[int] = ..., broken: _Optional[_Union[Unanswered, _Mapping]] = ..., alerts: _Optional[_Mapping[str, int]] = ..., versions: _Optional[_Mapping[str, int]] = ..., latency_ms: _Optional[_Union[Latency, _Mapping]] = ...) -> None: ...

class EdgeRevision(_message.Message):
    __slots__ = ("end", "revision", "requests", "errors", "connections")
    END_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    end: EdgeEnd
    revision: str
    requests: int
    errors: int
    connections: int
    def __init__(self, end: _Optional[_Union[EdgeEnd, str]] = ..., revision: _Optional[str] = ..., requests: _Optional[int] = ..., errors: _Optional[int] = ..., connections: _Optional[int] = ...) -> None: ...

class AppearedWith(_message.Message):
    __slots__ = ("node", "revision")
    NODE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    node: str
    revision: str
    def __init__(self, node: _Optional[str] = ..., revision: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("name", "connections", "shared")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    name: str
    connections: int
    shared: bool
    def __init__(self, name: _Optional[str] = ..., connections: _Optional[int] = ..., shared: bool = ...) -> None: ...

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
    __slots__ = ("name", "last_seen", "stale", "lost", "dropped", "coverage", "blind", "clock_ahead_seconds", "shed")
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
    CLOCK_AHEAD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SHED_FIELD_NUMBER: _ClassVar[int]
    name: str
    last_seen: _timestamp_pb2.Timestamp
    stale: bool
    lost: _containers.ScalarMap[str, int]
    dropped: _containers.ScalarMap[str, int]
    coverage: float
    blind: _containers.RepeatedCompositeFieldContainer[HostBlindInterval]
    clock_ahead_seconds: float
    shed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., last_seen: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., stale: bool = ..., lost: _Optional[_Mapping[str, int]] = ..., dropped: _Optional[_Mapping[str, int]] = ..., coverage: _Optional[float] = ..., blind: _Optional[_Iterable[_Union[HostBlindInterval, _Mapping]]] = ..., clock_ahead_seconds: _Optional[float] = ..., shed: _Optional[_Iterable[str]] = ...) -> None: ...

class HostBlindInterval(_message.Message):
    __slots__ = ("to", "reason")
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    to: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, to: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., **kwargs) -> None: ...

class Workload(_message.Message):
    __slots__ = ("id", "revisions", "rollouts", "by_hand", "more_by_hand", "scale")
    ID_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    ROLLOUTS_FIELD_NUMBER: _ClassVar[int]
    BY_HAND_FIELD_NUMBER: _ClassVar[int]
    MORE_BY_HAND_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    id: str
    revisions: _containers.RepeatedCompositeFieldContainer[Revision]
    rollouts: _containers.RepeatedCompositeFieldContainer[Rollout]
    by_hand: _containers.RepeatedCompositeFieldContainer[FieldChange]
    more_by_hand: int
    scale: Scale
    def __init__(self, id: _Optional[str] = ..., revisions: _Optional[_Iterable[_Union[Revision, _Mapping]]] = ..., rollouts: _Optional[_Iterable[_Union[Rollout, _Mapping]]] = ..., by_hand: _Optional[_Iterable[_Union[FieldChange, _Mapping]]] = ..., more_by_hand: _Optional[int] = ..., scale: _Optional[_Union[Scale, _Mapping]] = ...) -> None: ...

class Scale(_message.Message):
    __slots__ = ("wanted", "pods", "ready", "granted", "restarts", "containers", "autoscalers", "pressures")
    WANTED_FIELD_NUMBER: _ClassVar[int]
    PODS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    AUTOSCALERS_FIELD_NUMBER: _ClassVar[int]
    PRESSURES_FIELD_NUMBER: _ClassVar[int]
    wanted: int
    pods: int
    ready: int
    granted: Grant
    restarts: int
    containers: _containers.RepeatedCompositeFieldContainer[ContainerScale]
    autoscalers: _containers.RepeatedCompositeFieldContainer[Autoscaler]
    pressures: _containers.RepeatedCompositeFieldContainer[Pressure]
    def __init__(self, wanted: _Optional[int] = ..., pods: _Optional[int] = ..., ready: _Optional[int] = ..., granted: _Optional[_Union[Grant, _Mapping]] = ..., restarts: _Optional[int] = ..., containers: _Optional[_Iterable[_Union[ContainerScale, _Mapping]]] = ..., autoscalers: _Optional[_Iterable[_Union[Autoscaler, _Mapping]]] = ..., pressures: _Optional[_Iterable[_Union[Pressure, _Mapping]]] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("cpu_request_cores", "cpu_limit_cores", "memory_request_bytes", "memory_limit_bytes")
    CPU_REQUEST_CORES_FIELD_NUMBER: _ClassVar[int]
    CPU_LIMIT_CORES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    cpu_request_cores: float
    cpu_limit_cores: float
    memory_request_bytes: int
    memory_limit_bytes: int
    def __init__(self, cpu_request_cores: _Optional[float] = ..., cpu_limit_cores: _Optional[float] = ..., memory_request_bytes: _Optional[int] = ..., memory_limit_bytes: _Optional[int] = ...) -> None: ...

class ContainerScale(_message.Message):
    __slots__ = ("name", "count", "granted", "restarts", "waiting", "last_end", "last_exit_code", "last_ended")
    class WaitingEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    LAST_END_FIELD_NUMBER: _ClassVar[int]
    LAST_EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    LAST_ENDED_FIELD_NUMBER: _ClassVar[int]
    name: str
    count: int
    granted: Grant
    restarts: int
    waiting: _containers.ScalarMap[str, int]
    last_end: str
    last_exit_code: int
    last_ended: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., count: _Optional[int] = ..., granted: _Optional[_Union[Grant, _Mapping]] = ..., restarts: _Optional[int] = ..., waiting: _Optional[_Mapping[str, int]] = ..., last_end: _Optional[str] = ..., last_exit_code: _Optional[int] = ..., last_ended: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Autoscaler(_message.Message):
    __slots__ = ("name", "least", "most", "current", "desired", "targets", "trouble")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LEAST_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    DESIRED_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    least: int
    most: int
    current: int
    desired: int
    targets: _containers.RepeatedCompositeFieldContainer[ScalingTarget]
    trouble: str
    def __init__(self, name: _Optional[str] = ..., least: _Optional[int] = ..., most: _Optional[int] = ..., current: _Optional[int] = ..., desired: _Optional[int] = ..., targets: _Optional[_Iterable[_Union[ScalingTarget, _Mapping]]] = ..., trouble: _Optional[str] = ...) -> None: ...

class ScalingTarget(_message.Message):
    __slots__ = ("metric", "unit", "wanted", "current")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    metric: str
    unit: str
    wanted: float
    current: float
    def __init__(self, metric: _Optional[str] = ..., unit: _Optional[str] = ..., wanted: _Optional[float] = ..., current: _Optional[float] = ...) -> None: ...

class Pressure(_message.Message):
    __slots__ = ("host", "conditions")
    HOST_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    host: str
    conditions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, host: _Optional[str] = ..., conditions: _Optional[_Iterable[str]] = ...) -> None: ...

class Revision(_message.Message):
    __slots__ = ("hash", "replicas", "ready", "host_count", "images", "created")
    HASH_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    HOST_COUNT_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    hash: str
    replicas: int
    ready: int
    host_count: int
    images: _containers.RepeatedCompositeFieldContainer[Image]
    created: _timestamp_pb2.Timestamp
    def __init__(self, hash: _Optional[str] = ..., replicas: _Optional[int] = ..., ready: _Optional[int] = ..., host_count: _Optional[int] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., created: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("container", "image", "digest")
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    container: str
    image: str
    digest: str
    def __init__(self, container: _Optional[str] = ..., image: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class Rollout(_message.Message):
    __slots__ = ("object", "state", "revision", "previous_revision", "began", "ended", "wanted", "updated", "available", "reason", "message")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_REVISION_FIELD_NUMBER: _ClassVar[int]
    BEGAN_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    object: str
    state: RolloutState
    revision: str
    previous_revision: str
    began: _timestamp_pb2.Timestamp
    ended: _timestamp_pb2.Timestamp
    wanted: int
    updated: int
    available: int
    reason: str
    message: str
    def __init__(self, object: _Optional[str] = ..., state: _Optional[_Union[RolloutState, str]] = ..., revision: _Optional[str] = ..., previous_revision: _Optional[str] = ..., began: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., ended: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., wanted: _Optional[int] = ..., updated: _Optional[int] = ..., available: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class FieldChange(_message.Message):
    __slots__ = ("path", "what", "before", "after", "manager", "time", "by_hand")
    PATH_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    BY_HAND_FIELD_NUMBER: _ClassVar[int]
    path: str
    what: str
    before: str
    after: str
    manager: str
    time: _timestamp_pb2.Timestamp
    by_hand: bool
    def __init__(self, path: _Optional[str] = ..., what: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., manager: _Optional[str] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., by_hand: bool = ...) -> None: ...

class ThirdPartyChange(_message.Message):
    __slots__ = ("state", "since", "affected", "more_affected", "attempts", "failures", "reasons", "usual_ms", "now_ms")
    class ReasonsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    STATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    AFFECTED_FIELD_NUMBER: _ClassVar[int]
    MORE_AFFECTED_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    USUAL_MS_FIELD_NUMBER: _ClassVar[int]
    NOW_MS_FIELD_NUMBER: _ClassVar[int]
    state: ThirdPartyState
    since: _timestamp_pb2.Timestamp
    affected: _containers.RepeatedScalarFieldContainer[str]
    more_affected: int
    attempts: int
    failures: int
    reasons: _containers.ScalarMap[str, int]
    usual_ms: float
    now_ms: float
    def __init__(self, state: _Optional[_Union[ThirdPartyState, str]] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., affected: _Optional[_Iterable[str]] = ..., more_affected: _Optional[int] = ..., attempts: _Optional[int] = ..., failures: _Optional[int] = ..., reasons: _Optional[_Mapping[str, int]] = ..., usual_ms: _Optional[float] = ..., now_ms: _Optional[float] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("id", "time", "kind", "node", "object", "state", "revision", "previous_revision", "wanted", "updated", "available", "changes", "more_changes", "by_hand", "reason", "message", "count", "third_party")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_REVISION_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    MORE_CHANGES_FIELD_NUMBER: _ClassVar[int]
    BY_HAND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    THIRD_PARTY_FIELD_NUMBER: _ClassVar[int]
    id: str
    time: _timestamp_pb2.Timestamp
    kind: EventKind
    node: str
    object: str
    state: RolloutState
    revision: str
    previous_revision: str
    wanted: int
    updated: int
    available: int
    changes: _containers.RepeatedCompositeFieldContainer[FieldChange]
    more_changes: int
    by_hand: bool
    reason: str
    message: str
    count: int
    third_party: ThirdPartyChange
    def __init__(self, id: _Optional[str] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[_Union[EventKind, str]] = ..., node: _Optional[str] = ..., object: _Optional[str] = ..., state: _Optional[_Union[RolloutState, str]] = ..., revision: _Optional[str] = ..., previous_revision: _Optional[str] = ..., wanted: _Optional[int] = ..., updated: _Optional[int] = ..., available: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[FieldChange, _Mapping]]] = ..., more_changes: _Optional[int] = ..., by_hand: bool = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., count: _Optional[int] = ..., third_party: _Optional[_Union[ThirdPartyChange, _Mapping]] = ...) -> None: ...
