"""What Services' addresses stand for, for as long as rows of that time are kept: it is in a checkpoint. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from aggregator.records import ANY_PORT, FOREVER_NS
from aggregator.resolve.objects import Service, Slice

MOST_BACKENDS: Final = 200_000
# Address, port, transport; b"" for the address of any host.
Front: TypeAlias = tuple[bytes, int, int]
EVERY_HOST: Final = b""


class ServiceKey(NamedTuple):
    """A Service, and the name of one of its ports."""

    namespace: str
    name: str
    port: str


class Backend(NamedTuple):
    address: bytes
    port: int


class Masking(IntEnum):
    """Whether servers see a host's address instead of a client's: MAYBE where the way there decides it."""

    NEVER = 0
    MAYBE = 1
    ALWAYS = 2


class Span(NamedTuple):
    """`to_ns` is FOREVER_NS for what still is."""

    from_ns: int
    to_ns: int


class Services:
    """Of one cluster. `version` grows with every change. What is gone keeps its meaning until it is forgotten, or
    somebody else has its place."""

    def __init__(self, most: int = MOST_BACKENDS) -> None:
        self._most = most
        self._services: dict[str, Service] = {}
        self._slices: dict[str, Slice] = {}
        self._fronts: dict[Front, ServiceKey] = {}
        self._masking: dict[Front, Masking] = {}  # those that are not NEVER
        self._open: set[ServiceKey] = set()  # that have such
        self._fronts_of: defaultdict[ServiceKey, set[Front]] = defaultdict(set)
        self._behind: defaultdict[ServiceKey, dict[Backend, Span]] = defaultdict(dict)
        self._before: defaultdict[bytes, set[ServiceKey]] = defaultdict(set)  # by a backend's address
        self._named: dict[tuple[str, str], str] = {}  # uid of the Service by namespace and name
        self._renamed: set[tuple[str, str]] = set()
        self.names_version = 0  # of what Services stand for that are but names
        self._gone: dict[str, int] = {}  # Services, since when
        self._count = 0
        self._changed: set[bytes] = set()
        self.version = 0
        self.dropped = 0  # backends that had no room

    def __len__(self) -> int:
        return self._count

    def learn(self, came: Iterable[Service | Slice], gone: Iterable[str], now_ns: int) -> None:
        """`gone` are uids."""
        for one in came:
            if isinstance(one, Service):
                self._service(one)
            else:
                self._slice(one, now_ns)
        for uid in gone:
            if uid in self._services:
                self._gone.setdefault(uid, now_ns)
            elif (slice_ := self._slices.pop(uid, None)) is not None:
                self._withdraw(slice_, now_ns)

    def known(self) -> set[str]:
        """Uids of all that are there."""
        return (self._services.keys() | self._slices.keys()) - self._gone.keys()

    def at(self, address: bytes, port: int, transport: int) -> ServiceKey | None:
        return self._fronts.get((address, port, transport))

    def masking_at(self, address: bytes, port: int, transport: int) -> Masking:
        return self._masking.get((address, port, transport), Masking.NEVER)

    def is_open(self, address: bytes, port: int) -> bool:
        """Whether who comes by way of a host may be led there."""
        backend = Backend(address, port)
        keys = self._before.get(address, ())
        return any(key in self._open and backend in self._behind.get(key, ()) for key in keys)

    def named(self, namespace: str, name: str) -> Service | None:
        return self._services.get(self._named.get((namespace, name), ""))

    def in_front_of_backend(self, address: bytes, service: Service) -> list[ServiceKey]:
        """This Service's ports behind which the address is or was."""
        own = (service.namespace, service.name)
        return [key for key in self._before.get(address, ()) if key[:2] == own]

    def behind(self, key: ServiceKey) -> list[tuple[Backend, Span]]:
        """All that have answered for it, each with when, as it was learned."""
        return list(self._behind.get(key, {}).items())

    def take_changed(self) -> set[bytes]:
        """Addresses that mean something else than when this was asked last."""
        changed, self._changed = self._changed, set()
        return changed

    def take_renamed(self) -> set[tuple[str, str]]:
        """Namespace and name of Services that stand for another name than when this was asked last."""
        renamed, self._renamed = self._renamed, set()
        return renamed

    def in_front_of(self, addresses: Iterable[bytes]) -> set[bytes]:
        """Addresses of Services that lead there."""
        keys = {key for address in addresses for key in self._before.get(address, ())}
        return {front[0] for key in keys for front in self._fronts_of.get(key, ())}

    def forget(self, before_ns: int) -> None:
        """What had gone before then: no row of that time is left."""
        self._forget_services([uid for uid, gone_ns in self._gone.items() if gone_ns < before_ns])
        for key, backends in list(self._behind.items()):
            for backend in [one for one, span in backends.items() if span.to_ns < before_ns]:
                del backends[backend]
                self._count -= 1
                self._before[backend.address].discard(key)
                if not self._before[backend.address]:
                    del self._before[backend.address]
            if not backends:
                del self._behind[key]

    def _service(self, one: Service) -> None:
        before = self._services.get(one.uid)
        if before == one and one.uid not in self._gone:
            return
        self._services[one.uid] = one
        self._gone.pop(one.uid, None)
        self._name(one, before)
        for key, front in _fronts(one):
            self._fronts[front] = key
            self._fronts_of[key].add(front)
            if front[0] in (EVERY_HOST, *one.external):
                self._masking[front] = Masking.MAYBE if one.keeps_callers else Masking.ALWAYS
                self._open.add(key)
        for key in _keys(one):
            self._change(key)

    def _forget_services(self, uids: Sequence[str]) -> None:
        """One that was made anew has the same name and ports, and is there: what is its own stays."""
        gone = [self._services.pop(uid) for uid in uids]
        names = {(one.namespace, one.name) for one in gone}
        for one in gone:
            del self._gone[one.uid]
            if self._named.get((one.namespace, one.name)) == one.uid:
                del self._named[one.namespace, one.name]
        anew = (one for one in self._services.values() if (one.namespace, one.name) in names) if names else ()
        kept = {each for one in anew for each in _fronts(one)}
        for key in [key for key in self._fronts_of if key[:2] in names] if names else ():
            self._keep_fronts(key, {front for front in self._fronts_of[key] if (key, front) in kept})

    def _keep_fronts(self, key: ServiceKey, kept: set[Front]) -> None:
        for front in self._fronts_of.pop(key) - kept:
            if self._fronts.get(front) == key:
                del self._fronts[front]
                self._masking.pop(front, None)
        if kept:
            self._fronts_of[key] = kept
        if self._masking.keys().isdisjoint(kept):
            self._open.discard(key)

    def _name(self, one: Service, before: Service | None) -> None:
        self._named[one.namespace, one.name] = one.uid
        if one.external_name or (before is not None and before.external_name):
            self.version += 1
            self.names_version += 1
            self._renamed.add((one.namespace, one.name))
        for key in [key for key in self._behind if key[:2] == (one.namespace, one.name)] if not one.addresses else ():
            self._change(key)

    def _slice(self, one: Slice, now_ns: int) -> None:
        before = self._slices.get(one.uid)
        if before == one:
            return
        self._slices[one.uid] = one
        if before is not None:
            self._withdraw(before, now_ns)
        for key, backend in _backends(one):
            known = self._behind[key].get(backend)
            if known is None and self._count >= self._most:
                self.dropped += 1
                continue
            self._count += known is None
            self._behind[key][backend] = Span(known.from_ns if known else now_ns, FOREVER_NS)
            self._before[backend.address].add(key)
            self._change(key)

    def _withdraw(self, one: Slice, now_ns: int) -> None:
        """Another slice may say the same, while they are made anew."""
        still = {each for other in self._slices.values() if other.service == one.service for each in _backends(other)}
        for key, backend in _backends(one):
            if (key, backend) not in still and backend in self._behind[key]:
                self._behind[key][backend] = self._behind[key][backend]._replace(to_ns=now_ns)
                self._change(key)

    def _change(self, key: ServiceKey) -> None:
        """Clients ask at its fronts; where it has none, those behind it themselves."""
        self.version += 1
        fronts = {front[0] for front in self._fronts_of.get(key, ())}
        self._changed.update(fronts or {backend.address for backend in self._behind.get(key, ())})
        self._changed.update({EVERY_HOST} if key in self._open else ())


def _keys(one: Service) -> list[ServiceKey]:
    return [ServiceKey(one.namespace, one.name, port.name) for port in one.ports]


def _fronts(one: Service) -> list[tuple[ServiceKey, Front]]:
    """Where each of its ports is asked."""
    fronts = []
    for port, key in zip(one.ports, _keys(one), strict=True):
        fronts += [(key, (address, port.port, port.transport)) for address in one.addresses]
        if port.node_port:
            fronts.append((key, (EVERY_HOST, port.node_port, port.transport)))
    return fronts


def _backends(one: Slice) -> list[tuple[ServiceKey, Backend]]:
    """A Service without ports leads to any of them."""
    ports = [(port.name, port.port) for port in one.ports] or [("", ANY_PORT)]
    return [
        (ServiceKey(one.namespace, one.service, name), Backend(address, port))
        for name, port in ports
        for address in one.addresses
    ]
