from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EndpointKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENDPOINT_KIND_UNSPECIFIED: _ClassVar[EndpointKind]
    ENDPOINT_KIND_POD: _ClassVar[EndpointKind]
    ENDPOINT_KIND_UNIT: _ClassVar[EndpointKind]
    ENDPOINT_KIND_CONTAINER: _ClassVar[EndpointKind]
    ENDPOINT_KIND_PROCESS: _ClassVar[EndpointKind]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_CLIENT: _ClassVar[Role]
    ROLE_SERVER: _ClassVar[Role]

class Transport(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSPORT_UNSPECIFIED: _ClassVar[Transport]
    TRANSPORT_TCP: _ClassVar[Transport]
    TRANSPORT_UDP: _ClassVar[Transport]

class NameKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NAME_KIND_UNSPECIFIED: _ClassVar[NameKind]
    NAME_KIND_ROUTE: _ClassVar[NameKind]
    NAME_KIND_HOST: _ClassVar[NameKind]
    NAME_KIND_DNS: _ClassVar[NameKind]
    NAME_KIND_TARGET: _ClassVar[NameKind]

class Protocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROTOCOL_UNSPECIFIED: _ClassVar[Protocol]
    PROTOCOL_TCP: _ClassVar[Protocol]
    PROTOCOL_UDP: _ClassVar[Protocol]
    PROTOCOL_HTTP: _ClassVar[Protocol]
    PROTOCOL_DNS: _ClassVar[Protocol]
    PROTOCOL_TLS: _ClassVar[Protocol]
    PROTOCOL_QUIC: _ClassVar[Protocol]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_ANSWERED: _ClassVar[Outcome]
    OUTCOME_UNANSWERED_CLIENT: _ClassVar[Outcome]
    OUTCOME_UNANSWERED_SERVER: _ClassVar[Outcome]
    OUTCOME_STREAMED: _ClassVar[Outcome]

class ResourceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESOURCE_KIND_UNSPECIFIED: _ClassVar[ResourceKind]
    RESOURCE_KIND_CPU: _ClassVar[ResourceKind]
    RESOURCE_KIND_CPU_LIMIT: _ClassVar[ResourceKind]
    RESOURCE_KIND_MEMORY: _ClassVar[ResourceKind]
    RESOURCE_KIND_OOM: _ClassVar[ResourceKind]

class Realm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REALM_UNSPECIFIED: _ClassVar[Realm]
    REALM_NAMESPACE: _ClassVar[Realm]
    REALM_HOST: _ClassVar[Realm]
    REALM_CLUSTER: _ClassVar[Realm]
ENDPOINT_KIND_UNSPECIFIED: EndpointKind
ENDPOINT_KIND_POD: EndpointKind
ENDPOINT_KIND_UNIT: EndpointKind
ENDPOINT_KIND_CONTAINER: EndpointKind
ENDPOINT_KIND_PROCESS: EndpointKind
ROLE_UNSPECIFIED: Role
ROLE_CLIENT: Role
ROLE_SERVER: Role
TRANSPORT_UNSPECIFIED: Transport
TRANSPORT_TCP: Transport
TRANSPORT_UDP: Transport
NAME_KIND_UNSPECIFIED: NameKind
NAME_KIND_ROUTE: NameKind
NAME_KIND_HOST: NameKind
NAME_KIND_DNS: NameKind
NAME_KIND_TARGET: NameKind
PROTOCOL_UNSPECIFIED: Protocol
PROTOCOL_TCP: Protocol
PROTOCOL_UDP: Protocol
PROTOCOL_HTTP: Protocol
PROTOCOL_DNS: Protocol
PROTOCOL_TLS: Protocol
PROTOCOL_QUIC: Protocol
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_ANSWERED: Outcome
OUTCOME_UNANSWERED_CLIENT: Outcome
OUTCOME_UNANSWERED_SERVER: Outcome
OUTCOME_STREAMED: Outcome
RESOURCE_KIND_UNSPECIFIED: ResourceKind
RESOURCE_KIND_CPU: ResourceKind
RESOURCE_KIND_CPU_LIMIT: ResourceKind
RESOURCE_KIND_MEMORY: ResourceKind
RESOURCE_KIND_OOM: ResourceKind
REALM_UNSPECIFIED: Realm
REALM_NAMESPACE: Realm
REALM_HOST: Realm
REALM_CLUSTER: Realm

class ReportRequest(_message.Message):
    __slots__ = ("hello", "batch")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    batch: Batch
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ...) -> None: ...

class ReportResponse(_message.Message):
    __slots__ = ("welcome", "acknowledgement")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    acknowledgement: Acknowledgement
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., acknowledgement: _Optional[_Union[Acknowledgement, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("contract_version", "oldest_contract_version", "agent_version", "host", "cluster", "boot_id", "epoch", "clock", "interval", "continues_epoch", "gap_reason")
    CONTRACT_VERSION_FIELD_NUMBER: _ClassVar[int]
    OLDEST_CONTRACT_VERSION_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    CONTINUES_EPOCH_FIELD_NUMBER: _ClassVar[int]
    GAP_REASON_FIELD_NUMBER: _ClassVar[int]
    contract_version: int
    oldest_contract_version: int
    agent_version: str
    host: str
    cluster: str
    boot_id: str
    epoch: int
    clock: _timestamp_pb2.Timestamp
    interval: _duration_pb2.Duration
    continues_epoch: int
    gap_reason: str
    def __init__(self, contract_version: _Optional[int] = ..., oldest_contract_version: _Optional[int] = ..., agent_version: _Optional[str] = ..., host: _Optional[str] = ..., cluster: _Optional[str] = ..., boot_id: _Optional[str] = ..., epoch: _Optional[int] = ..., clock: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., continues_epoch: _Optional[int] = ..., gap_reason: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("contract_version", "aggregator_version", "acknowledged_sequence", "clock", "definitions_lost")
    CONTRACT_VERSION_FIELD_NUMBER: _ClassVar[int]
    AGGREGATOR_VERSION_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    DEFINITIONS_LOST_FIELD_NUMBER: _ClassVar[int]
    contract_version: int
    aggregator_version: str
    acknowledged_sequence: int
    clock: _timestamp_pb2.Timestamp
    definitions_lost: bool
    def __init__(self, contract_version: _Optional[int] = ..., aggregator_version: _Optional[str] = ..., acknowledged_sequence: _Optional[int] = ..., clock: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., definitions_lost: bool = ...) -> None: ...

class Acknowledgement(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("sequence", "buckets", "endpoints", "flow_definitions", "names", "flows", "requests", "ownerships", "dns_answers", "host_status", "sent", "resources")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    FLOW_DEFINITIONS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    FLOWS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    OWNERSHIPS_FIELD_NUMBER: _ClassVar[int]
    DNS_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    HOST_STATUS_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    buckets: _containers.RepeatedCompositeFieldContainer[TimeBucket]
    endpoints: _containers.RepeatedCompositeFieldContainer[LocalEndpoint]
    flow_definitions: _containers.RepeatedCompositeFieldContainer[FlowDefinition]
    names: _containers.RepeatedCompositeFieldContainer[NameDefinition]
    flows: FlowColumns
    requests: RequestColumns
    ownerships: _containers.RepeatedCompositeFieldContainer[Ownership]
    dns_answers: _containers.RepeatedCompositeFieldContainer[DnsAnswer]
    host_status: HostStatus
    sent: _timestamp_pb2.Timestamp
    resources: ResourceColumns
    def __init__(self, sequence: _Optional[int] = ..., buckets: _Optional[_Iterable[_Union[TimeBucket, _Mapping]]] = ..., endpoints: _Optional[_Iterable[_Union[LocalEndpoint, _Mapping]]] = ..., flow_definitions: _Optional[_Iterable[_Union[FlowDefinition, _Mapping]]] = ..., names: _Optional[_Iterable[_Union[NameDefinition, _Mapping]]] = ..., flows: _Optional[_Union[FlowColumns, _Mapping]] = ..., requests: _Optional[_Union[RequestColumns, _Mapping]] = ..., ownerships: _Optional[_Iterable[_Union[Ownership, _Mapping]]] = ..., dns_answers: _Optional[_Iterable[_Union[DnsAnswer, _Mapping]]] = ..., host_status: _Optional[_Union[HostStatus, _Mapping]] = ..., sent: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., resources: _Optional[_Union[ResourceColumns, _Mapping]] = ...) -> None: ...

class TimeBucket(_message.Message):
    __slots__ = ("to",)
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    to: _timestamp_pb2.Timestamp
    def __init__(self, to: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., **kwargs) -> None: ...

class LocalEndpoint(_message.Message):
    __slots__ = ("id", "kind", "pod_uid", "container_id", "unit", "command", "cgroup_path", "network_namespace")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    CGROUP_PATH_FIELD_NUMBER: _ClassVar[int]
    NETWORK_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    id: int
    kind: EndpointKind
    pod_uid: str
    container_id: str
    unit: str
    command: str
    cgroup_path: str
    network_namespace: int
    def __init__(self, id: _Optional[int] = ..., kind: _Optional[_Union[EndpointKind, str]] = ..., pod_uid: _Optional[str] = ..., container_id: _Optional[str] = ..., unit: _Optional[str] = ..., command: _Optional[str] = ..., cgroup_path: _Optional[str] = ..., network_namespace: _Optional[int] = ...) -> None: ...

class FlowDefinition(_message.Message):
    __slots__ = ("id", "endpoint", "local_address", "peer_address", "port", "role", "transport", "asked_address", "asked_port", "server_name")
    ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    ASKED_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ASKED_PORT_FIELD_NUMBER: _ClassVar[int]
    SERVER_NAME_FIELD_NUMBER: _ClassVar[int]
    id: int
    endpoint: int
    local_address: bytes
    peer_address: bytes
    port: int
    role: Role
    transport: Transport
    asked_address: bytes
    asked_port: int
    server_name: str
    def __init__(self, id: _Optional[int] = ..., endpoint: _Optional[int] = ..., local_address: _Optional[bytes] = ..., peer_address: _Optional[bytes] = ..., port: _Optional[int] = ..., role: _Optional[_Union[Role, str]] = ..., transport: _Optional[_Union[Transport, str]] = ..., asked_address: _Optional[bytes] = ..., asked_port: _Optional[int] = ..., server_name: _Optional[str] = ...) -> None: ...

class NameDefinition(_message.Message):
    __slots__ = ("id", "kind", "text")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    id: int
    kind: NameKind
    text: str
    def __init__(self, id: _Optional[int] = ..., kind: _Optional[_Union[NameKind, str]] = ..., text: _Optional[str] = ...) -> None: ...

class FlowColumns(_message.Message):
    __slots__ = ("bucket", "flow", "bytes_sent", "bytes_received", "packets_sent", "packets_received", "connections", "adopted", "closed", "refused", "timeout", "reset", "unreachable", "other", "retransmits", "rtt_sum_us", "rtt_count", "parsed_bytes", "protocols")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    PACKETS_SENT_FIELD_NUMBER: _ClassVar[int]
    PACKETS_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    ADOPTED_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    UNREACHABLE_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    RETRANSMITS_FIELD_NUMBER: _ClassVar[int]
    RTT_SUM_US_FIELD_NUMBER: _ClassVar[int]
    RTT_COUNT_FIELD_NUMBER: _ClassVar[int]
    PARSED_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROTOCOLS_FIELD_NUMBER: _ClassVar[int]
    bucket: bytes
    flow: bytes
    bytes_sent: bytes
    bytes_received: bytes
    packets_sent: bytes
    packets_received: bytes
    connections: bytes
    adopted: bytes
    closed: bytes
    refused: bytes
    timeout: bytes
    reset: bytes
    unreachable: bytes
    other: bytes
    retransmits: bytes
    rtt_sum_us: bytes
    rtt_count: bytes
    parsed_bytes: bytes
    protocols: bytes
    def __init__(self, bucket: _Optional[bytes] = ..., flow: _Optional[bytes] = ..., bytes_sent: _Optional[bytes] = ..., bytes_received: _Optional[bytes] = ..., packets_sent: _Optional[bytes] = ..., packets_received: _Optional[bytes] = ..., connections: _Optional[bytes] = ..., adopted: _Optional[bytes] = ..., closed: _Optional[bytes] = ..., refused: _Optional[bytes] = ..., timeout: _Optional[bytes] = ..., reset: _Optional[bytes] = ..., unreachable: _Optional[bytes] = ..., other: _Optional[bytes] = ..., retransmits: _Optional[bytes] = ..., rtt_sum_us: _Optional[bytes] = ..., rtt_count: _Optional[bytes] = ..., parsed_bytes: _Optional[bytes] = ..., protocols: _Optional[bytes] = ...) -> None: ...

class RequestColumns(_message.Message):
    __slots__ = ("bucket", "flow", "protocol", "operation", "outcome", "latency_bucket", "code", "kind", "name", "host", "count", "sum_ns")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    LATENCY_BUCKET_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SUM_NS_FIELD_NUMBER: _ClassVar[int]
    bucket: bytes
    flow: bytes
    protocol: bytes
    operation: bytes
    outcome: bytes
    latency_bucket: bytes
    code: bytes
    kind: bytes
    name: bytes
    host: bytes
    count: bytes
    sum_ns: bytes
    def __init__(self, bucket: _Optional[bytes] = ..., flow: _Optional[bytes] = ..., protocol: _Optional[bytes] = ..., operation: _Optional[bytes] = ..., outcome: _Optional[bytes] = ..., latency_bucket: _Optional[bytes] = ..., code: _Optional[bytes] = ..., kind: _Optional[bytes] = ..., name: _Optional[bytes] = ..., host: _Optional[bytes] = ..., count: _Optional[bytes] = ..., sum_ns: _Optional[bytes] = ...) -> None: ...

class ResourceColumns(_message.Message):
    __slots__ = ("bucket", "endpoint", "known", "cpu_ns", "cpu_periods", "cpu_throttled_periods", "cpu_throttled_ns", "oom_kills", "memory_bytes", "memory_most_bytes", "memory_limit_bytes", "cpu_limit_millicores")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    CPU_NS_FIELD_NUMBER: _ClassVar[int]
    CPU_PERIODS_FIELD_NUMBER: _ClassVar[int]
    CPU_THROTTLED_PERIODS_FIELD_NUMBER: _ClassVar[int]
    CPU_THROTTLED_NS_FIELD_NUMBER: _ClassVar[int]
    OOM_KILLS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MOST_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_LIMIT_MILLICORES_FIELD_NUMBER: _ClassVar[int]
    bucket: bytes
    endpoint: bytes
    known: bytes
    cpu_ns: bytes
    cpu_periods: bytes
    cpu_throttled_periods: bytes
    cpu_throttled_ns: bytes
    oom_kills: bytes
    memory_bytes: bytes
    memory_most_bytes: bytes
    memory_limit_bytes: bytes
    cpu_limit_millicores: bytes
    def __init__(self, bucket: _Optional[bytes] = ..., endpoint: _Optional[bytes] = ..., known: _Optional[bytes] = ..., cpu_ns: _Optional[bytes] = ..., cpu_periods: _Optional[bytes] = ..., cpu_throttled_periods: _Optional[bytes] = ..., cpu_throttled_ns: _Optional[bytes] = ..., oom_kills: _Optional[bytes] = ..., memory_bytes: _Optional[bytes] = ..., memory_most_bytes: _Optional[bytes] = ..., memory_limit_bytes: _Optional[bytes] = ..., cpu_limit_millicores: _Optional[bytes] = ...) -> None: ...

class Ownership(_message.Message):
    __slots__ = ("endpoint", "address", "port", "transport", "realm", "network_namespace", "listening", "to")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    REALM_FIELD_NUMBER: _ClassVar[int]
    NETWORK_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LISTENING_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    endpoint: int
    address: bytes
    port: int
    transport: Transport
    realm: Realm
    network_namespace: int
    listening: bool
    to: _timestamp_pb2.Timestamp
    def __init__(self, endpoint: _Optional[int] = ..., address: _Optional[bytes] = ..., port: _Optional[int] = ..., transport: _Optional[_Union[Transport, str]] = ..., realm: _Optional[_Union[Realm, str]] = ..., network_namespace: _Optional[int] = ..., listening: bool = ..., to: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., **kwargs) -> None: ...

class DnsAnswer(_message.Message):
    __slots__ = ("endpoint", "name", "addresses", "time", "ttl")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    endpoint: int
    name: str
    addresses: _containers.RepeatedScalarFieldContainer[bytes]
    time: _timestamp_pb2.Timestamp
    ttl: _duration_pb2.Duration
    def __init__(self, endpoint: _Optional[int] = ..., name: _Optional[str] = ..., addresses: _Optional[_Iterable[bytes]] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., ttl: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ReasonCount(_message.Message):
    __slots__ = ("reason", "count")
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    count: int
    def __init__(self, reason: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class BlindInterval(_message.Message):
    __slots__ = ("to", "reason")
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    to: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, to: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., **kwargs) -> None: ...

class MissingPart(_message.Message):
    __slots__ = ("part", "reason", "remedy")
    PART_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    part: str
    reason: str
    remedy: str
    def __init__(self, part: _Optional[str] = ..., reason: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...

class HostStatus(_message.Message):
    __slots__ = ("time", "lost", "dropped", "coverage", "blind", "missing", "addresses", "clock_set", "shed")
    TIME_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    BLIND_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    CLOCK_SET_FIELD_NUMBER: _ClassVar[int]
    SHED_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    lost: _containers.RepeatedCompositeFieldContainer[ReasonCount]
    dropped: _containers.RepeatedCompositeFieldContainer[ReasonCount]
    coverage: float
    blind: _containers.RepeatedCompositeFieldContainer[BlindInterval]
    missing: _containers.RepeatedCompositeFieldContainer[MissingPart]
    addresses: _containers.RepeatedScalarFieldContainer[bytes]
    clock_set: _duration_pb2.Duration
    shed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., lost: _Optional[_Iterable[_Union[ReasonCount, _Mapping]]] = ..., dropped: _Optional[_Iterable[_Union[ReasonCount, _Mapping]]] = ..., coverage: _Optional[float] = ..., blind: _Optional[_Iterable[_Union[BlindInterval, _Mapping]]] = ..., missing: _Optional[_Iterable[_Union[MissingPart, _Mapping]]] = ..., addresses: _Optional[_Iterable[bytes]] = ..., clock_set: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., shed: _Optional[_Iterable[str]] = ...) -> None: ...
