"""All ways in that are known, and to which workloads they lead; and who looks after those. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias, TypeVar

from plumbline.v1 import topology_pb2 as pb

from aggregator.records import text_of
from aggregator.resolve.entrances.pods import PodDoors
from aggregator.resolve.entrances.waysin import Entry, Gateway, Ingress, Led, Route, WayIn
from aggregator.resolve.objects import Machine, Pod, Service, Slice
from aggregator.topology.background import Surroundings

T = TypeVar("T", Service, WayIn, Machine)
# A Service's ways in, each (kind, name, port, hosts, encrypted).
_Door: TypeAlias = tuple[int, str, int, tuple[str, ...], bool]

_BALANCED: Final = "LoadBalancer"


class Entrances:
    """`of_pod`: as PodDoors. What it tells is kept until something about it is new."""

    def __init__(self, of_pod: Callable[[str], str]) -> None:
        self._doors = PodDoors(of_pod)
        self._services: dict[str, Service] = {}
        self._slices: dict[str, Slice] = {}
        self._slices_of: defaultdict[Led, set[str]] = defaultdict(set)
        self._ways: dict[str, WayIn] = {}
        self._machines: dict[str, Machine] = {}
        self._open: set[Led] = set()  # that something leads to, as it was told last
        self._is_new = True
        self._told_version = -1
        self._told = Surroundings()

    def pods(self, came: Iterable[Pod], gone: Iterable[str]) -> None:
        self._is_new |= self._doors.learn(came, gone) and bool(self._open)

    def renamed(self, cgroup_uids: Iterable[str]) -> None:
        """What these pods are part of is news."""
        self._is_new |= self._doors.renamed(cgroup_uids) and bool(self._open)

    def machines(self, came: Iterable[Machine], gone: Iterable[str]) -> None:
        self._is_new |= _put(self._machines, came, gone)

    def ways(self, came: Iterable[WayIn], gone: Iterable[str]) -> None:
        self._is_new |= _put(self._ways, came, gone)

    def services(self, came: Iterable[Service | Slice], gone: Iterable[str]) -> None:
        came, gone = list(came), set(gone)
        self._is_new |= _put(self._services, (one for one in came if isinstance(one, Service)), gone)
        slices = [one for one in came if isinstance(one, Slice) and one.uid not in gone]
        for uid in (*gone, *(one.uid for one in slices)):
            self._forget_slice(uid)
        for slice_ in slices:
            self._slices[slice_.uid] = slice_
            self._slices_of[_led_of(slice_)].add(slice_.uid)
            self._is_new |= _led_of(slice_) in self._open

    def _forget_slice(self, uid: str) -> None:
        slice_ = self._slices.pop(uid, None)
        if slice_ is None:
            return
        led = _led_of(slice_)
        self._slices_of[led].discard(uid)
        if not self._slices_of[led]:
            del self._slices_of[led]
        self._is_new |= led in self._open

    def take_news(self) -> Surroundings | None:
        """All of it, when some of it is new since this was asked last."""
        if not self._is_new and self._told_version == self._doors.version:
            return None
        self._is_new, self._told_version = False, self._doors.version
        before, self._told = self._told, self._surroundings()
        return self._told if self._told != before else None

    def _surroundings(self) -> Surroundings:
        metrics: defaultdict[str, set[str]] = defaultdict(set)
        for node, path in self._doors.metrics:
            metrics[node].add(path)
        return Surroundings(
            frozenset((address, one.kubelet_port) for one in self._machines.values() for address in one.addresses),
            frozenset(self._doors.asked),
            {node: frozenset(paths) for node, paths in metrics.items()},
            self._exposures(),
            frozenset(self._doors.our_own),
        )

    def _exposures(self) -> Mapping[str, pb.Exposure]:
        """By workload; of all that are known."""
        found: defaultdict[str, set[_Door]] = defaultdict(set)
        for node, kind, port in self._doors.openings:
            found[node].add((kind, "", port, (), False))
        self._open = set()
        for led, door in self._all_doors():
            self._open.add(led)
            for node in self._behind(led):
                found[node].add(door)
        return {node: _exposure(found.get(node, ())) for node in self._doors.workloads}

    def _behind(self, led: Led) -> set[str]:
        slices = (self._slices[uid] for uid in self._slices_of.get(led, ()))
        return {name for one in slices for uid in one.pods if (name := self._doors.name_of(uid))}

    def _all_doors(self) -> Iterator[tuple[Led, _Door]]:
        for service in self._services.values():
            for door in _doors_of(service):
                yield Led(service.namespace, service.name), door
        gateways = {(one.namespace, one.name): one for one in self._ways.values() if isinstance(one, Gateway)}
        for way in self._ways.values():
            if isinstance(way, Ingress):
                for led, entry in way.led:
                    hosts = (entry.host,) if entry.host else way.addresses
                    yield led, _door(pb.OPENING_KIND_INGRESS, way, entry, hosts)
            elif isinstance(way, Route):
                for entry, hosts in _entries(way, gateways):
                    for led in way.led:
                        yield led, _door(pb.OPENING_KIND_GATEWAY, way, entry, hosts)


def _doors_of(one: Service) -> Iterator[_Door]:
    name = f"{one.name}.{one.namespace}"
    for port in one.ports:
        if one.kind == _BALANCED:
            yield pb.OPENING_KIND_LOAD_BALANCER, name, port.port, one.balanced, False
        if port.node_port:
            yield pb.OPENING_KIND_NODE_PORT, name, port.node_port, (), False
        if one.external:
            yield pb.OPENING_KIND_EXTERNAL_IP, name, port.port, tuple(map(text_of, one.external)), False


def _entries(route: Route, gateways: Mapping[tuple[str, str], Gateway]) -> Iterator[tuple[Entry, tuple[str, ...]]]:
    for parent in route.parents:
        gateway = gateways.get((parent.namespace, parent.name))
        if gateway is None:
            continue
        for one in gateway.listeners:
            if parent.section in ("", one.name):
                hosts = route.hosts or ((one.host,) if one.host else gateway.addresses)
                yield Entry("", one.port, one.encrypted), hosts


def _door(kind: int, way: WayIn, entry: Entry, hosts: tuple[str, ...]) -> _Door:
    return kind, f"{way.name}.{way.namespace}", entry.port, hosts, entry.encrypted


def _exposure(doors: Iterable[_Door]) -> pb.Exposure:
    return pb.Exposure(
        openings=[
            pb.Opening(kind=kind, name=name, port=port, hosts=hosts, encrypted=encrypted)  # type: ignore[arg-type]
            for kind, name, port, hosts, encrypted in sorted(doors)
        ]
    )


def _put(known: dict[str, T], came: Iterable[T], gone: Iterable[str]) -> bool:
    """Whether anything is otherwise by that."""
    is_new = False
    for one in came:
        is_new |= known.get(one.uid) != one
        known[one.uid] = one
    for uid in gone:
        is_new |= known.pop(uid, None) is not None
    return is_new


def _led_of(one: Slice) -> Led:
    return Led(one.namespace, one.service)
