"""Who calls a server, by the address that the server sees: who has it, or who of ours calls from it. Pure.

What comes by way of a host shows that host's address: its kubelet, pods of its network, and whoever asks one of its
ports, from inside or outside. Those of ours tell themselves; what is left is the host's (topology/byhosts.py).
"""

from collections.abc import Callable, Iterable
from typing import Final

from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.addresses import MANY

from aggregator.ingest.tables import Tables
from aggregator.records import NOBODY_KNOWN, TOLD_ELSEWHERE, Flow
from aggregator.resolve.callings import Calling, Callings
from aggregator.resolve.claimed import Claimed
from aggregator.resolve.fresh import Fresh
from aggregator.resolve.hosts import HostAddresses
from aggregator.resolve.places import is_loopback
from aggregator.resolve.resolved import NOT_SHOWN, Columns
from aggregator.resolve.served import ServedFlows
from aggregator.resolve.services import Masking, Services
from aggregator.resolve.strangers import Strangers
from aggregator.resolve.vertices import Ends, one_of_many

# What a server sees of clients that came by way of any host.
_MASKED: Final = b"masked"


class Callers:
    def __init__(
        self,
        tables: Tables,
        ends: Ends,
        end_of: Callable[[int], int],
        claimed: Claimed,
        hosts: HostAddresses,
        services: Services,
        served: ServedFlows,
        strangers: Strangers,
        fresh: Fresh,
        cluster: str,
    ) -> None:
        self._tables = tables
        self._ends = ends
        self._end_of = end_of
        self._claimed = claimed
        self._hosts = hosts
        self._services = services
        self._served = served
        self._strangers = strangers
        self._fresh = fresh
        self._cluster = cluster
        self.callings = Callings()

    def forget(self, one: int) -> None:
        self.callings.make(one)
        self.callings.ask(one)

    # --- clients ---

    def note_client(self, found: Columns, one: int, also: Iterable[int]) -> None:
        """Whom it calls, when its target is found; `also`: nodes that had its far address in turn."""
        value = self._tables.flows.values[one]
        found.by_host[one] = self._host_seen(value, one)
        is_seen = found.by_host[one] >= 0
        found.near[one] = self._host(b"", self._claimed.place(value.endpoint).host) if is_seen else NOT_SHOWN
        is_ours = found.far_host[one] >= 0 and found.target[one] >= 0
        targets = dict.fromkeys((*([int(found.target[one])] if is_ours else []), *also))
        port, caller = int(found.port[one]), self._ends.vertices[int(found.source[one])]
        ways = ((address, target) for address in self._seen_as(value, one) for target in targets)
        callings = (self._calling(address, target, port, value.transport) for address, target in ways)
        self.callings.make(one, tuple(dict.fromkeys(callings)), caller)
        found.shared[one] = self.is_shared(one)

    def is_shared(self, one: int) -> bool:
        """Whether a client's server cannot tell who called."""
        return self.callings.is_shared(one) or self._served.masking(one) is Masking.ALWAYS

    def _seen_as(self, value: Flow, one: int) -> tuple[bytes, ...]:
        """By its server's end."""
        masking = self._served.masking(one)
        if masking is Masking.ALWAYS:
            return (_MASKED,)
        may_be_masked = masking is Masking.MAYBE or self._served.is_own(one)
        return (value.local_address, _MASKED) if may_be_masked else (value.local_address,)

    def _host_seen(self, value: Flow, one: int) -> int:
        """The end of the host whose address its server may see instead of its own."""
        own = self._claimed.place(value.endpoint)
        if self._served.masking(one) is not Masking.NEVER:
            return self._host(value.peer_address if self._hosts.have(value.peer_address) else b"", own.host)
        if self._served.is_own(one):
            return self._host(b"", own.host)
        return self._host(value.local_address, own.host) if self._hosts.have(value.local_address) else NOT_SHOWN

    # --- servers ---

    def resolve(self, found: Columns, one: int, owner: int | None, first_ns: int) -> None:
        """`owner`: who has the far address; the target is found. `first_ns`: when the flow was seen first."""
        value, target = self._tables.flows.values[one], self._ends.vertices[int(found.target[one])]
        found.source[one] = found.by_host[one] = NOT_SHOWN
        masked = _MASKED, target, value.port, value.transport
        if value.peer_address == MANY:
            found.source[one] = self._ends.id_of(one_of_many(value.port, self._cluster))
        elif value.far_endpoint == TOLD_ELSEWHERE:
            found.target[one] = NOT_SHOWN
        elif value.far_endpoint == NOBODY_KNOWN:
            found.source[one] = self._ends.id_of(self._strangers.bare(value.peer_address, pb.NODE_KIND_UNRESOLVED))
        elif owner is not None:
            self._called_by(found, one, owner, masked)
            return
        if found.source[one] >= 0 or found.target[one] < 0:
            self.callings.ask(one)
            return
        self.callings.ask(one, (value.peer_address, *masked[1:]), masked)
        if self._hosts.have(value.peer_address):
            self._by_host(found, one, value, masked, first_ns)
        else:
            self._by_address(found, one, value, self.callings.callers((value.peer_address, *masked[1:])), first_ns)

    def _called_by(self, found: Columns, one: int, owner: int, masked: Calling) -> None:
        """One of its own may ask for all of them, and be answered by another one or, by way of its host, by itself."""
        found.source[one] = self._end_of(owner)
        if self._ends.vertices[int(found.source[one])] != masked[1]:
            self.callings.ask(one)
            return
        self.callings.ask(one, masked)
        if masked[1] in self.callings.callers(masked):
            found.by_host[one] = self._host(b"", self._tables.endpoints.values[owner].host)

    def _by_host(self, found: Columns, one: int, value: Flow, masked: Calling, first_ns: int) -> None:
        known = self.callings.callers((value.peer_address, *masked[1:]))
        others = self.callings.callers(masked)
        if others or self._services.is_open(value.local_address, value.port):
            found.by_host[one] = self._host(value.peer_address, self._claimed.place(value.endpoint).host)
        is_nobodys = not known and not self._fresh.may_be_known(value, first_ns)
        if found.by_host[one] >= 0 and (others or len(known) > 1 or is_nobodys):
            found.source[one] = found.by_host[one]
        else:
            self._by_address(found, one, value, known, first_ns)

    def _by_address(self, found: Columns, one: int, value: Flow, known: list[int], first_ns: int) -> None:
        is_shared = self._hosts.have(value.peer_address) or is_loopback(value.peer_address)
        is_inside = is_shared or self._strangers.is_inside(value.peer_address, self._claimed.place(value.endpoint))
        is_fresh = self._fresh.may_be_known if is_shared else self._fresh.may_be_claimed
        if len(known) == 1:
            found.source[one] = known[0]
            found.far[one] = endpoint = self._ends.values[known[0]].endpoint
            found.far_host[one] = self._tables.endpoints.values[endpoint].host
        elif known:
            found.target[one] = NOT_SHOWN  # several on one address: their own rows tell them apart
        elif is_inside and is_fresh(value, first_ns):
            found.target[one] = NOT_SHOWN
            self._fresh.flows.add(one)
        else:
            kind = pb.NODE_KIND_UNRESOLVED if is_inside else pb.NODE_KIND_EXTERNAL
            found.source[one] = self._ends.id_of(self._strangers.bare(value.peer_address, kind))

    def _host(self, address: bytes, own: int) -> int:
        """Of an address, else of a host by its id."""
        return self._ends.id_of(self._hosts.end_of(self._hosts.at(address, own)))

    def _calling(self, client_address: bytes, target: int, port: int, transport: int) -> Calling:
        """Any container of a pod may have answered: what counts is the node."""
        return client_address, self._ends.vertices[target], port, transport
