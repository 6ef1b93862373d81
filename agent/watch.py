"""From what the kernel tells to what the aggregator gets: announcements named, counts translated.

Used from the kernel's thread; `everything` from any.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from plumbline.v1 import flow_pb2
from plumbline.v1.columns import Columns

from agent.certificates import Certificates
from agent.coalescing import Portion, Span
from agent.dictionary import Dictionary
from agent.dns import parse_response
from agent.identity.host import Found, Host
from agent.notes import answer_note, endpoint_note, missing_note, ownership_note
from agent.outbox import Note
from agent.packing import Status
from agent.quic.hellos import Hellos, Settled
from agent.records import (
    OTHER,
    Announcement,
    DnsSeen,
    FlowSeen,
    Kernel,
    KernelFlow,
    ListenerSeen,
    NameSeen,
    OomKill,
    QuicSeen,
    ServerHelloSeen,
)
from agent.resources.usage import Usage
from agent.routes import text_of
from agent.succession.legacy import Meanings

_SECOND_NS = 1_000_000_000
_LOOK_AGAIN_NS = 15 * _SECOND_NS
_TIDY_NS = 60 * _SECOND_NS
# A moment when all is delivered is waited for so long: what was used waits for a heartbeat most of the time.
_PATIENCE_NS = 15 * _SECOND_NS
UNKNOWN_FLOW = "unknown_flow"
_WANTS_OF_ROOM = frozenset(("names_beyond_budget", "flows_as_other", "flow_table_full", "budgets_full"))


@dataclass(frozen=True, slots=True)
class Observation:
    """What one drain is worth to the outbox; notes by the field of a batch."""

    notes: dict[str, list[Note]]
    portion: Portion
    status: Status
    # Nothing but this agent's own reports: their counts would make the next report, and so on for ever.
    only_own: bool
    # Announced while we drained, so its counts may have come too late for it.
    new_flow: bool
    # What containers and units used, now and then.
    usage: Sequence[Portion] = ()


class Watch:
    """One kernel, the host it is about, and the ids of both. `own_process_id`: who reports."""

    def __init__(
        self,
        kernel: Kernel,
        host: Host,
        own_process_id: int,
        usage: Usage | None = None,
        hellos: Hellos | None = None,
    ) -> None:
        self._usage = usage
        self._hellos = hellos or Hellos()
        self._certificates = Certificates()
        self._own_process_id = own_process_id
        self._own_ends: set[tuple[bytes, bytes, int]] = set()
        self._own_flows: set[int] = set()
        self.kernel = kernel
        self._host = host
        self._dictionary = Dictionary()
        self._answers: list[Note] = []
        # Something found no room since the last tidying.
        self._pressed = False
        self._beyond_budget: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._now_ns = self._looked_ns = self._tidied_ns = 0
        self.cgroups = self.named_cgroups = self.flows = self.names = self.endpoints = 0
        self.claims = self.listeners = self.namespaces = 0

    def merge(self, found: Found, buffered: Iterable[Announcement], now_ns: int) -> None:
        """The host as it was read at the start, then what was announced meanwhile."""
        self._now_ns = self._looked_ns = self._tidied_ns = now_ns
        self.kernel.know_inside(self._host.inside())
        self._mark_named()
        self.kernel.adopt_connections(found.open_connections)
        self.hear(buffered)

    def listen(self, timeout_seconds: float) -> tuple[bool, bool]:
        """Waits for announcements: whether there were any, and whether a flow was among them."""
        heard = self.kernel.poll(timeout_seconds)
        return bool(heard), self.hear(heard)

    def hear(self, announcements: Iterable[Announcement]) -> bool:
        """Whether a flow was among them."""
        flows = 0
        with self._lock:
            for one in announcements:
                match one:
                    case FlowSeen(flow, time_ns):
                        flows += 1
                        self._learn_flow(flow, time_ns)
                    case NameSeen(name_id, kind, raw, _):
                        self._dictionary.learn_name(name_id, kind, text_of(kind, raw), self._now_ns)
                    case ListenerSeen():
                        self._host.listener(one)
                    case DnsSeen():
                        self._learn_answer(one)
                    case OomKill() if self._usage is not None:
                        self._usage.killed(one)
                    case QuicSeen():
                        self._settle(self._hellos.heard(one))
                    case ServerHelloSeen():
                        self._certificates.heard(one)
        return flows > 0

    def drain(self, now_ns: int, delivered: bool, last: bool = False) -> Observation:
        """What was counted since the last drain. `delivered`: nothing refers to old ids any more. `last`: nothing waits
        for a later one."""
        self._now_ns = now_ns
        drained = self.kernel.drain(now_ns)
        # Announced before it was counted, so what was drained has its names now.
        new_flow = self.hear(self.kernel.poll(0))
        if now_ns - self._looked_ns > _LOOK_AGAIN_NS:
            self._looked_ns = now_ns
            with self._lock:
                self._host.refresh(now_ns)
                self.kernel.know_inside(self._host.inside())
        self._mark_named()
        with self._lock:
            self._settle(self._hellos.overdue(now_ns, last))
            counted = self._hellos.without_waiting(drained.flows)
            asked = self._certificates.beside(drained.requests, now_ns)
            for flow_id in self._dictionary.unknown_flows(counted, asked):
                flow = self.kernel.known_flow(flow_id)
                if flow is not None:
                    self._learn_flow(flow, drained.from_ns)
            flows, requests, unknown = self._dictionary.translate(counted, asked, now_ns)
            if now_ns - self._tidied_ns > _TIDY_NS + (0 if delivered else _PATIENCE_NS):
                self._tidied_ns = now_ns
                self._tidy(now_ns, delivered)
            if over := self._hellos.over(now_ns):
                self.kernel.forget_flows(self._dictionary.strike(over))
            usage = self._usage.take(now_ns) if self._usage is not None else ()
            notes = self._new_notes()
        self._pressed |= not _WANTS_OF_ROOM.isdisjoint((*drained.lost, *drained.dropped))
        unread, beyond = self._hellos.take_told()
        lost = Counter(drained.lost) + unread + self._certificates.take_lost()
        if unknown:
            lost[UNKNOWN_FLOW] += unknown
        missing = [missing_note(one) for one in self.kernel.missing]
        status = Status(now_ns, missing, self._host.own_addresses())
        status.lost, status.dropped = lost, self._dropped(Counter(drained.dropped) + beyond)
        status.parsed_bytes, status.all_bytes = self._coverage(flows)
        portion = Portion(Span(drained.from_ns, drained.to_ns), flows, requests)
        only_own = self._own_flows.issuperset(np.unique(flows["flow"]).tolist())
        return Observation(notes, portion, status, only_own, new_flow, usage)

    def everything(self) -> dict[str, list[Note]]:
        """Whatever rows may refer to, as if it were new."""
        with self._lock:
            flows, names = self._dictionary.everything()
            return {
                "endpoints": [endpoint_note(one) for one in self._host.book.all()],
                "flow_definitions": [*flows],
                "names": [*names],
                "ownerships": [ownership_note(claim) for claim in self._host.claims.open()],
            }

    @property
    def cgroups_read(self) -> int:
        """Of containers and units, when they were read last."""
        return self._usage.cgroups if self._usage is not None else 0

    def meanings(self) -> Meanings:
        """For a successor, after the last drain."""
        told = self.everything()
        notes = flow_pb2.Batch(
            **{field: told[field] for field in ("endpoints", "flow_definitions", "names")}  # type: ignore[arg-type]
        )
        return Meanings(*self._dictionary.rows(), notes, self._host.known_namespaces())

    def inherit(self, meanings: Meanings) -> None:
        """What the agent before us knew; before anything is heard."""
        with self._lock:
            endpoints = self._host.inherit(meanings.notes.endpoints, meanings.namespaces)
            self._dictionary.inherit(meanings, endpoints)

    def _settle(self, hellos: Iterable[Settled]) -> None:
        """The kernel is told what connections are called, and their flows are learned that waited for it."""
        for one in hellos:
            self.kernel.name_connection(one.connection, one.name)
            for flow, time_ns in one.flows:
                self._learn_flow(flow, time_ns)

    def _learn_flow(self, announced: KernelFlow, time_ns: int) -> None:
        flow = self._hellos.meant(announced, time_ns)
        if flow is None:
            return
        if text := self._hellos.text(flow.server_name):
            self._dictionary.learn_name(flow.server_name, flow_pb2.NAME_KIND_HOST, text, time_ns)
        if self._dictionary.full:
            self._beyond_budget["flows_beyond_budget"] += 1
            flow = replace(OTHER, id=flow.id)
            endpoint = self._host.endpoint_of(OTHER, time_ns)
        else:
            endpoint = self._host.endpoint_of(flow, time_ns)
        flow_id = self._dictionary.learn_flow(flow, endpoint.id, time_ns)
        if flow.process_id == self._own_process_id and flow.role == flow_pb2.ROLE_CLIENT:
            self._own_ends.add((flow.peer_address, flow.local_address, flow.port))
            self._own_flows.add(flow_id)
        elif (flow.local_address, flow.peer_address, flow.port) in self._own_ends:
            self._own_flows.add(flow_id)

    def _learn_answer(self, seen: DnsSeen) -> None:
        response = parse_response(seen.message)
        if response is None or not response.addresses:
            return
        endpoint = self._dictionary.endpoint_of(seen.flow_id)
        if not endpoint:
            flow = self.kernel.known_flow(seen.flow_id)
            if flow is None:
                return
            endpoint = self._host.endpoint_of(flow, seen.time_ns).id
        self._answers.append(answer_note(endpoint, response, seen.time_ns))

    def _mark_named(self) -> None:
        if new := self._host.take_new_named_cgroups():
            self.named_cgroups += len(new)
            self.kernel.mark_named_cgroups(new)

    def _new_notes(self) -> dict[str, list[Note]]:
        flows, names = self._dictionary.take_new()
        answers, self._answers = self._answers, []
        self.flows, self.names = self._dictionary.flows, self._dictionary.names
        self.endpoints, self.cgroups = len(self._host.book.all()), len(self._host.index.living())
        claims = self._host.claims
        self.claims, self.listeners, self.namespaces = claims.size, len(claims.listeners), len(claims.namespaces())
        return {
            "endpoints": [endpoint_note(one) for one in self._host.book.take_changed()],
            "flow_definitions": [*flows],
            "names": [*names],
            "ownerships": [ownership_note(claim) for claim in self._host.claims.take_changes()],
            "dns_answers": answers,
        }

    def _dropped(self, by_kernel: Mapping[str, int]) -> Counter[str]:
        """Since the last drain: what the kernel and what this agent counted as (other), or left out."""
        refused = {
            "names_beyond_budget": self._dictionary.names_refused,
            "claims_beyond_budget": self._host.claims.refused,
            "endpoints_beyond_budget": self._host.book.refused,
        }
        dropped = Counter(by_kernel) + self._beyond_budget + Counter(refused)
        self._beyond_budget.clear()
        if self._usage is not None:
            dropped += self._usage.take_dropped()
        self._dictionary.names_refused = self._host.claims.refused = self._host.book.refused = 0
        return dropped

    def _coverage(self, flows: Columns) -> tuple[int, int]:
        """Parsed bytes and all bytes, without our own reports: on a quiet host there is little else."""
        others = ~np.isin(flows["flow"], list(self._own_flows))
        columns = ("parsed_bytes", "bytes_sent", "bytes_received")
        parsed, sent, received = (int(np.sum(flows[name][others], dtype=np.uint64)) for name in columns)
        return parsed, sent + received

    def _tidy(self, now_ns: int, delivered: bool) -> None:
        gone = self._host.forget_cgroups()
        if gone:
            self.kernel.forget_flows(self._dictionary.strike(self.kernel.flows_of(gone)))
            self.kernel.keep_named_cgroups(self._host.named_cgroups())
        flows, names = self._dictionary.strike_idle(now_ns, self._pressed)
        self._pressed = False
        self.kernel.forget_flows(flows)
        self.kernel.forget_names(names)
        self.kernel.correct_shares()
        self._dictionary.forget(now_ns, delivered)
        if delivered:
            used = self._usage.endpoints if self._usage is not None else frozenset()
            self._host.forget_endpoints({*used, *self._dictionary.endpoints()})
