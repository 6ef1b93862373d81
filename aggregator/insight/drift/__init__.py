"""Declared against observed. docs/drift.md has the rule of every kind, and what is never said.

A new kind of drift is one file here and one row in _LOOKS; in _LOOKS_OF_CLUSTER, if it needs no catalog.
"""

from collections.abc import Callable, Iterator, Sequence

from plumbline.v1.jsonform import to_json

from aggregator.catalog.model import Problem
from aggregator.insight.case import Answer, Case, Json, Verdict
from aggregator.insight.drift.byhand import changed_by_hand
from aggregator.insight.drift.finding import Finding, Withheld
from aggregator.insight.drift.observation import Observation, observe
from aggregator.insight.drift.presence import component_without_workload, workload_without_component
from aggregator.insight.drift.undeclared import observed_only, undeclared_third_party
from aggregator.insight.drift.unseen import not_observed

_LOOKS: Sequence[Callable[[Case, Observation], Iterator[Finding | Withheld]]] = (
    undeclared_third_party,
    observed_only,
    not_observed,
    component_without_workload,
    workload_without_component,
)
_LOOKS_OF_CLUSTER: Sequence[Callable[[Case], Iterator[Finding | Withheld]]] = (changed_by_hand,)
_WEIGHT = {"high": 0, "medium": 1, "low": 2}


def drift(case: Case, subject: str) -> Answer:
    """The gravest findings first; `withheld` is what was not said, and why; `problems` are the catalog's own."""
    said: list[Finding | Withheld] = [each for look_at in _LOOKS_OF_CLUSTER for each in look_at(case)]
    if case.declarations.entities:
        seen = observe(case)
        said += [each for look in _LOOKS for each in look(case, seen)]
    elif case.vendors.limited:
        said += undeclared_third_party(case, observe(case))
    findings = sorted((each for each in said if isinstance(each, Finding)), key=_order)
    window = to_json(case.topology.window)
    content: Json = {
        "findings": [{**each.to_json(), "evidence": {**each.evidence, "window": window}} for each in findings],
        "withheld": [each.to_json() for each in said if isinstance(each, Withheld)],
        "problems": [_problem(each) for each in (*case.declarations.problems, *case.join.problems)],
        "reason": _reason(case),
    }
    return case.answer(content, Verdict.DONE if _is_enough(case) else Verdict.NOT_ENOUGH_SEEN)


def _is_enough(case: Case) -> bool:
    """With a catalog or a list of vendors it needs hosts, without any a cluster whose API is watched."""
    if case.declarations.entities or case.vendors.limited:
        return case.watch.share > 0
    return bool(case.topology.workloads)


def _order(finding: Finding) -> tuple[int, int, str, str, str]:
    levels = _WEIGHT[finding.severity], _WEIGHT[finding.confidence]
    return *levels, finding.kind, finding.subject, finding.object or ""


def _reason(case: Case) -> str | None:
    """Why there may be less here than there is."""
    if not case.declarations.configured:
        hand = ["changes by hand"] if case.topology.workloads else []
        looked_for = hand + (["vendors that are not allowed"] if case.vendors.limited else [])
        if looked_for:
            return (
                f"Without a catalog only {' and '.join(looked_for)} are looked for: "
                "start the aggregator with --catalog PATH."
            )
        return "Nothing is declared: start the aggregator with --catalog PATH."
    if not case.declarations.entities:
        return "The catalog declares no component: see problems, or correct --catalog."
    return "No host is watched: start an agent." if case.watch.share == 0 else None


def _problem(problem: Problem) -> Json:
    return {
        "file": problem.place.file,
        "line": problem.place.line or None,
        "subject": problem.subject,
        "sentence": problem.sentence,
    }
