"""What readers ask, answered from the live graph. Knows no transport; raises CannotServe."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from google.protobuf.duration_pb2 import Duration
from plumbline.v1 import insight_pb2, topology_pb2

from aggregator.asked import TooManyWindows
from aggregator.insight import QUESTIONS, ask
from aggregator.insight.case import CannotAnswer, Verdict
from aggregator.live import SECOND_NS, Live
from aggregator.outputs.forms import Export, NothingToServe, Rendered
from aggregator.outputs.refusals import CannotServe, Refusal
from aggregator.outputs.watching import Filtered, Watcher
from aggregator.telemetry import Telemetry

_VERDICTS: Final = {
    Verdict.DONE: insight_pb2.VERDICT_DONE,
    Verdict.CHECK_FAILED: insight_pb2.VERDICT_CHECK_FAILED,
    Verdict.NOT_ENOUGH_SEEN: insight_pb2.VERDICT_NOT_ENOUGH_SEEN,
}
_MOST_WATCHERS: Final = 500


class Reading:
    """One for all transports, so that what is made for one reader serves the next."""

    def __init__(self, live: Live, exports: Mapping[str, Export], telemetry: Telemetry) -> None:
        self._live = live
        self._exports = exports
        self._telemetry = telemetry
        self._filtered = Filtered()
        self._exporting = asyncio.Lock()

    async def topology(self, request: topology_pb2.GetTopologyRequest) -> topology_pb2.GetTopologyResponse:
        window_ns = self.window_ns(request.window if request.HasField("window") else None)
        with _busy():
            whole = await self._live.graph(window_ns)
        return topology_pb2.GetTopologyResponse(topology=self._filtered.of(whole, request.filter).message)

    async def watch(
        self, request: topology_pb2.WatchTopologyRequest
    ) -> AsyncIterator[topology_pb2.WatchTopologyResponse]:
        window_ns = self.window_ns(request.window if request.HasField("window") else None)
        if self._live.watchers >= _MOST_WATCHERS:
            raise CannotServe(Refusal.FULL, f"{_MOST_WATCHERS} readers are watching already; try again later.")
        with _busy():
            async with self._live.watching(window_ns) as versions:
                watcher = Watcher(versions, request, self._filtered)
                async for response in watcher.responses(self._live.closing):
                    self._telemetry.watched(response)
                    yield response
        raise CannotServe(Refusal.AWAY, "The aggregator is stopping; connect again.")

    async def ask(self, request: insight_pb2.AskRequest) -> insight_pb2.AskResponse:
        with _busy():
            case = await self._live.case(self.window_ns(request.window if request.HasField("window") else None))
        try:
            answer = await asyncio.to_thread(ask, case, request.question, request.subject)
        except CannotAnswer as error:
            question = QUESTIONS.get(request.question)
            is_wrong = question is None or (question.needs_subject and not request.subject)
            raise CannotServe(Refusal.WRONG if is_wrong else Refusal.UNKNOWN, str(error)) from error
        return insight_pb2.AskResponse(answer_json=json.dumps(answer.content), verdict=_VERDICTS[answer.verdict])

    async def export(self, request: insight_pb2.ExportRequest) -> insight_pb2.ExportResponse:
        rendered = await self.rendered(request.form)
        return insight_pb2.ExportResponse(media_type=rendered.media_type, content=rendered.content, etag=rendered.etag)

    async def rendered(self, form: str) -> Rendered:
        """The graph in a form for another tool, of everything that is kept."""
        export = self._exports.get(form)
        if export is None:
            known = ", ".join(sorted(self._exports)) or "none"
            raise CannotServe(Refusal.WRONG, f"There is no form {form[:100]!r}; there are: {known}.")
        with _busy():
            case = await self._live.case(int(self._live.settings.retention_seconds * SECOND_NS))
        # An export remembers what it served last: one at a time.
        async with self._exporting:
            try:
                rendered = await asyncio.to_thread(export, case)
            except NothingToServe as error:
                raise CannotServe(Refusal.NOTHING_YET, str(error)) from error
        self._telemetry.exported(form, rendered.left_out)
        return rendered

    def window_ns(self, window: Duration | None) -> int:
        """0 for the usual one."""
        if window is None:
            return 0
        asked_ns = window.seconds * SECOND_NS + window.nanos
        kept_seconds = self._live.settings.retention_seconds
        if asked_ns <= 0:
            raise CannotServe(Refusal.WRONG, "A window is a span of time above zero; write it like 30s, 5m or 1h.")
        if asked_ns > kept_seconds * SECOND_NS:
            sentence = f"Counts are kept for {kept_seconds:g} s; ask for no longer window, or raise --retention."
            raise CannotServe(Refusal.WRONG, sentence)
        # Windows of almost one length are one: each costs a snapshot.
        return -(-asked_ns // SECOND_NS) * SECOND_NS


@contextmanager
def _busy() -> Iterator[None]:
    try:
        yield
    except TooManyWindows as error:
        raise CannotServe(Refusal.FULL, str(error)) from error
