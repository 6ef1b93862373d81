"""What of a workload is as nobody who deploys made it, by the word of the cluster's API (docs/revisions.md)."""

from collections.abc import Iterator

from plumbline.v1.jsonform import to_json

from aggregator.insight.case import Case
from aggregator.insight.drift.finding import Finding

KIND = "changed_by_hand"
_SEVERITY = {"image": "high", "env": "medium", "resources": "medium", "probe": "medium"}
_SOURCES = frozenset({"deployments.apps", "statefulsets.apps", "daemonsets.apps"})


def changed_by_hand(case: Case) -> Iterator[Finding]:
    """One a field."""
    is_old = any(source.name in _SOURCES for source in case.topology.stale)
    for workload in case.topology.workloads:
        for change in workload.by_hand:
            told = to_json(change)
            evidence = {key: told[key] for key in ("what", "before", "after", "manager", "time")}
            evidence["owner"] = case.owners.get(workload.id)
            if workload.more_by_hand:
                evidence["more_fields"] = workload.more_by_hand
            severity = _SEVERITY.get(change.what, "low")
            yield Finding(KIND, workload.id, change.path, severity, "medium" if is_old else "high", evidence)
