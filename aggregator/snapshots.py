"""The graph of what an estate holds: rows are settled, both ends named, edges and nodes made.

A whole graph is made in steps: those that touch what agents change, in the store's thread; those that cost, beside it,
of values alone. What is new meanwhile, or between two whole graphs, is drawn into the one that is there: a new edge
does not wait for all others. No I/O and no clock of its own.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from plumbline.v1 import topology_pb2 as pb

from aggregator.held import Held, Looks
from aggregator.outside import Outside
from aggregator.records import SECOND_NS, End
from aggregator.resolve.past import Past
from aggregator.resolve.resolved import Resolved
from aggregator.resolve.settling import Settling, certain, likely
from aggregator.settings import Settings
from aggregator.steps import Step, at_once
from aggregator.topology.appearing import Spans, mark, spans_of
from aggregator.topology.background import Background
from aggregator.topology.changes import Compared, Hints
from aggregator.topology.columns import FlowRows, RequestRows, Rows, joined
from aggregator.topology.coverage import Covered
from aggregator.topology.edge import Drawn
from aggregator.topology.flows import Flows
from aggregator.topology.graph import edges_of, messages_of, nodes_of, with_span
from aggregator.topology.hosts import understood_shares
from aggregator.topology.hot import Span
from aggregator.topology.regions import Regions, regions_of
from aggregator.topology.resources import Running
from aggregator.topology.sheet import Sheet, with_news
from aggregator.topology.snapshot import Graph
from aggregator.topology.times import stamp
from aggregator.topology.traffic import Traffic

__all__ = ["Held", "Snapshots"]

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
R = TypeVar("R", FlowRows, RequestRows)
M = TypeVar("M", pb.Node, pb.Edge)
_KEPT_WINDOWS: Final = 4
_MOST_ROUNDS: Final = 20


@dataclass(frozen=True, slots=True)
class Made:
    """A graph; and, where there was one before, both, or two much like them, as they were compared."""

    graph: Graph
    compared: Compared | None


Steps: TypeAlias = Generator[Step, None, Made]


@dataclass(frozen=True, slots=True)
class Canvas:
    """Everything that edges are drawn from, as values."""

    span: Span
    rows: Rows
    resolved: Resolved
    flows: Flows
    coverage: Mapping[int, Covered]
    listens: Mapping[str, set[int]]
    listeners: Sequence[End]
    rollouts: Spans
    background: Background


class Snapshots:
    """Keeps the newest graph of the windows that were asked for last."""

    def __init__(self, settings: Settings, held: Held) -> None:
        self._cluster = settings.cluster
        self._held = held
        self._looks = Looks(settings, held)
        self.outside = Outside(held, self._looks, int(settings.retention_seconds * SECOND_NS))
        self._pasts: dict[int, Past] = {}
        self._sheets: dict[int, Sheet] = {}
        self._spans: Spans = {}
        self._spans_at = 0

    def heard(self, rows: Rows) -> None:
        """New rows, which are held already."""
        self._looks.presence.note(rows.flows)

    def warming(self, now_ns: int) -> Iterator[Step]:
        """All steps are ALONE."""
        while self._looks.resolve_some(now_ns):
            yield Step.ALONE

    def settling(self, now_ns: int) -> Settling:
        """Gives rows what they need to be merged over time from now on."""
        return self._looks.settling(now_ns)

    def topology(self, window_ns: int, now_ns: int) -> pb.Topology:
        """Everything of the window, background edges included; its position is left empty."""
        return at_once(self.steps(window_ns, now_ns)).graph.message

    def steps(self, window_ns: int, now_ns: int) -> Steps:
        """A whole graph of the window, background edges included. Says before each step, but the first, which is
        ALONE, what it needs."""
        looks, span = self._looks, self._held.hot.since(now_ns - window_ns)
        past, resolved, coverage = self._past(window_ns), looks.resolved(now_ns), looks.coverage()
        recent, hosts_of = self._held.usage.since(now_ns - window_ns), looks.endpoint_hosts()
        yield Step.BESIDE
        raw = past.together(span, resolved, lambda rows: certain(rows, resolved, coverage))
        used = recent.used(hosts_of)
        yield Step.ALONE
        canvas = self._canvas(span, raw, now_ns)
        users = used.rows["endpoint"].tolist()
        running = Running(used, looks.ends_of(users), looks.containers_of(users))
        yield Step.BESIDE
        before = sheet.graph if (sheet := self._sheets.get(window_ns)) else None
        edges, ends, regions = self._edges(canvas, now_ns, whole=True)
        graph = self._graph(canvas, (edges, ends, running), (window_ns, now_ns), before)
        compared = Compared.of(before, graph) if before else None
        understood = self._understood(canvas)
        sheet = Sheet.of(graph, edges, canvas.rows, (regions, canvas.flows.protocols, span.sealed, canvas.resolved))
        yield Step.ALONE
        self._held.first_seen.note(edges)
        hosts = {host.name: host for host in looks.hosts(understood, now_ns)}
        sheet.graph = graph.with_hosts(hosts)
        self._sheets[window_ns] = sheet
        # What was new meanwhile is in the graph that readers have: it must not vanish from it.
        for _ in range(_MOST_ROUNDS):
            if self.news(window_ns, now_ns) is None:
                break
        return Made(sheet.graph, compared)

    def _canvas(self, span: Span, raw: Rows, now_ns: int) -> Canvas:
        looks = self._looks
        rows, _ = looks.settler.pinned(raw, looks.resolved(now_ns), now_ns, keep=False)
        resolved, flows = looks.flows(now_ns)
        looks.name_hosts(rows.requests, flows)
        listeners, coverage, background = looks.listeners(now_ns), looks.coverage(), looks.background(now_ns)
        return Canvas(span, rows, resolved, flows, coverage, *listeners, self._rollouts(), background)

    def _rollouts(self) -> Spans:
        events = self._held.events
        if self._spans_at != events.version:
            self._spans, self._spans_at = spans_of(events.as_of_now().values()), events.version
        return self._spans

    def _edges(self, canvas: Canvas, now_ns: int, whole: bool) -> tuple[list[Drawn], Sequence[End], Regions]:
        """With where all flows belong. `whole`: its rows are all of the window."""
        looks, flows = self._looks, canvas.flows
        rows = likely(canvas.rows, canvas.resolved, canvas.coverage, now_ns)
        edges, ends = edges_of(rows, flows, looks.texts(), canvas.background, whole)
        self._held.first_seen.tell(edges)
        mark(edges, canvas.rollouts)
        return edges, ends, regions_of(flows, looks.resolver.third_parties.apart)

    def _graph(
        self,
        canvas: Canvas,
        found: tuple[Sequence[Drawn], Sequence[End], Running],
        times: tuple[int, int],
        before: Graph | None,
    ) -> Graph:
        """With the hosts of before."""
        (window_ns, now_ns), (edges, ends, running) = times, found
        window = pb.TimeWindow(to=stamp(now_ns))
        getattr(window, "from").CopyFrom(stamp(min(canvas.span.oldest_ns, now_ns - window_ns)))
        shown = [*ends, *canvas.listeners]
        listeners = [*canvas.listeners, *running.idle(shown)]
        nodes = nodes_of(edges, ends, canvas.listens, listeners, canvas.background.around.exposures)
        running.add_to(nodes, edges)
        messages = _shared(messages_of(edges), before.edges if before else {})
        return Graph(
            self._cluster,
            window,
            _shared({node.id: node for node in nodes}, before.nodes if before else {}),
            messages,
            before.hosts if before else {},
            traffic=Traffic.of(messages),
        )

    def _understood(self, canvas: Canvas) -> list[float]:
        """By host, of what others say: our own reports tell nothing of what is watched."""
        rows, looks = canvas.rows.flows, self._looks
        endpoints = canvas.flows.facts.endpoint[rows.flow]
        others = ~np.isin(endpoints, [one for one in np.unique(endpoints).tolist() if looks.is_own(one)])
        hosts = looks.endpoint_hosts()[endpoints[others]]
        return understood_shares(rows.take(others), hosts, looks.host_count())

    def news(self, window_ns: int, now_ns: int) -> Made | None:
        """The newest graph of a window with what is new in shape: edges that were in none of its rows before, and
        those whose ends are others by now. Their numbers are of now; all others' are of the last whole graph.

        None where there is nothing new; of very much, a part. ALONE.
        """
        sheet, looks = self._sheets.get(window_ns), self._looks
        if sheet is None:
            return None
        span = self._held.hot.since(now_ns - window_ns)
        parts = [rows for number, rows in span.log if number > sheet.sealed]
        if len(parts) != span.sealed - sheet.sealed:
            return None
        resolved = looks.resolved(now_ns)
        if resolved is not sheet.resolved:
            # Whose an address was is told anew for all of their rows.
            parts += [self._rows_of(span, np.zeros(len(resolved.moved), np.bool_), resolved)]
        came, _ = looks.settler.pinned(joined(parts), resolved, now_ns, keep=False)
        sheet.resolved, flows = looks.flows(now_ns)
        sheet.see(came, regions_of(flows, looks.resolver.third_parties.apart), flows.protocols)
        sheet.sealed = span.sealed
        regions = sheet.pending()
        if not len(regions):
            return None
        chosen = sheet.flows_in(regions)
        canvas = self._canvas(span, self._rows_of(span, chosen, sheet.resolved), now_ns)
        edges, ends, found = self._edges(_only(canvas, chosen), now_ns, whole=False)
        sheet.see(Rows.empty(), found, canvas.flows.protocols)
        self._held.first_seen.note(edges)
        nodes = nodes_of(edges, ends, canvas.listens, (), canvas.background.around.exposures)
        made = self._drawn_into(sheet, regions, edges, nodes, canvas, now_ns)
        sheet.draw(made.graph, regions, edges)
        return made

    def _rows_of(self, span: Span, chosen: Bools, resolved: Resolved) -> Rows:
        """All rows that are of these flows, or may be when they are pinned."""
        which = chosen.copy()
        which[: len(resolved.moved)] |= (resolved.moved | resolved.elsewhere)[: len(which)]
        if not which.any():
            return Rows.empty()
        first_ns = self._held.lives.first_ns[: len(which)][which]
        parts = span.parts(int(first_ns.min()) - 1)
        return joined([Rows(_of(part.flows, which), _of(part.requests, which)) for part in parts])

    def _drawn_into(
        self,
        sheet: Sheet,
        regions: Ints,
        edges: Sequence[Drawn],
        nodes: Sequence[pb.Node],
        canvas: Canvas,
        now_ns: int,
    ) -> Made:
        before, gone = sheet.graph, sheet.edges_in(regions)
        window = pb.TimeWindow(to=stamp(now_ns))
        getattr(window, "from").CopyFrom(getattr(before.window, "from"))
        ends = {node.id: with_span(node, before.nodes.get(node.id)) for node in nodes if node.HasField("first_seen")}
        new = _shared(messages_of(edges), before.edges)
        graph = with_news(before, window, gone, new, _shared(ends, before.nodes), canvas.listens)
        hints = Hints({}, dict.fromkeys(ends), dict.fromkeys((*gone, *new)))
        return Made(graph, Compared.of(before, graph, hints))

    def _past(self, window_ns: int) -> Past:
        """Of the windows that were asked for last."""
        past = self._pasts.pop(window_ns, None) or Past()
        self._pasts[window_ns] = past
        while len(self._pasts) > _KEPT_WINDOWS:
            oldest = next(iter(self._pasts))
            del self._pasts[oldest]
            self._sheets.pop(oldest, None)
        return past


def _only(canvas: Canvas, chosen: Bools) -> Canvas:
    """With what clients asked of several: that is shown as what others say."""
    which = np.concatenate([chosen, np.zeros(len(canvas.flows.target) - len(chosen), np.bool_)])
    which[: len(canvas.resolved.elsewhere)] |= canvas.resolved.elsewhere
    rows = Rows(_of(canvas.rows.flows, which), _of(canvas.rows.requests, which))
    return replace(canvas, rows=rows)


def _of(rows: R, which: Bools) -> R:
    return rows.take(which[rows.flow])


def _shared(made: dict[str, M], before: Mapping[str, M]) -> dict[str, M]:
    """What is equal to what was there before is that."""
    same = {key: known for key, value in made.items() if (known := before.get(key)) is not None and known == value}
    return {**made, **same}
