"""Every event that a daemon may log: its level, its fields and what it means to an operator.

docs/log-events.md shows the same table; a test holds the two together. A new event is a row here and there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Event:
    level: Level
    fields: tuple[str, ...]
    meaning: str


AGENT_EVENTS: Mapping[str, Event] = {
    "agent_starting": Event(
        Level.INFO,
        ("version", "kernel", "cgroup_root", "aggregator", "interval_seconds"),
        "The agent starts: what it runs on and whom it will tell.",
    ),
    "kernel_refused": Event(
        Level.ERROR, ("reason", "remedy"), "The kernel does not let us look; the agent ends with status 4."
    ),
    "kernel_attached": Event(
        Level.INFO,
        ("attached", "seconds", "cache", "kernel_memory_bytes"),
        "The programs are in the kernel and count from now on.",
    ),
    "kernel_part_missing": Event(
        Level.WARNING,
        ("part", "reason", "remedy"),
        "Something that this kernel or these rights do not allow: it is left out and its share is not seen.",
    ),
    "host_read": Event(
        Level.INFO,
        ("cgroups", "named", "network_namespaces", "listeners", "open_connections", "seconds"),
        "What was there before the agent: cgroups (named: a pod, unit or container), listening sockets, connections.",
    ),
    "memory_limited": Event(
        Level.INFO,
        ("limit_bytes", "parsers"),
        "The memory cgroup of the agent has a limit: so many connections may be parsed at once, by what is left now.",
    ),
    "metrics_served": Event(Level.INFO, ("address",), "The agent's own metrics are served at this address."),
    "metrics_refused": Event(
        Level.ERROR,
        ("address", "reason", "remedy"),
        "The agent's own metrics cannot be served: at its start it ends with status 4, after a hand-over it goes on.",
    ),
    "aggregator_connected": Event(
        Level.INFO,
        ("aggregator", "aggregator_version", "contract_version", "clock_offset_seconds"),
        "The stream to the aggregator is open. The offset is the aggregator's clock minus this host's.",
    ),
    "aggregator_away": Event(
        Level.WARNING,
        ("aggregator", "reason", "remedy"),
        "The aggregator cannot be reached or does not answer. Counts are kept, in wider time buckets with age.",
    ),
    "aggregator_refuses": Event(
        Level.ERROR,
        ("aggregator", "reason", "remedy"),
        "The aggregator is there and refuses this agent (token, certificate, version). Counts are kept.",
    ),
    "aggregator_back": Event(
        Level.INFO,
        ("aggregator", "away_seconds", "unacknowledged_batches", "waiting_rows"),
        "The aggregator answers again; what was kept is being delivered.",
    ),
    "aggregator_forgot": Event(
        Level.WARNING,
        ("acknowledged", "remembered"),
        "The aggregator lost batches that it had acknowledged (a new data directory?). Definitions are sent again.",
    ),
    "losing": Event(
        Level.WARNING,
        ("reason", "count"),
        "The kernel could not tell us something, for the first time in a while; told again after ten quiet minutes.",
    ),
    "losing_ended": Event(Level.INFO, ("reason", "count"), "Nothing was lost for this reason in the last ten minutes."),
    "dropping": Event(
        Level.WARNING,
        ("reason", "count"),
        "Detail is given up because a budget is reached; the sums are kept under (other).",
    ),
    "dropping_ended": Event(Level.INFO, ("reason", "count"), "Nothing was dropped for this reason for ten minutes."),
    "coverage_low": Event(
        Level.WARNING,
        ("coverage",),
        "Less than half of the bytes of the last minute were on connections whose protocol was understood.",
    ),
    "coverage_restored": Event(Level.INFO, ("coverage",), "Most bytes of the last minute were understood again."),
    "shedding": Event(
        Level.WARNING,
        ("shed", "reason"),
        "The agent takes more than it may and gathers less detail: what it leaves out now, and what it took. "
        "Counts stay whole.",
    ),
    "shedding_less": Event(Level.INFO, ("shed", "reason"), "There is room again; what is still left out."),
    "host_unreadable": Event(
        Level.WARNING,
        ("what", "reason", "effect", "remedy"),
        "Something about this host cannot be read: what, why, and what stays unknown because of it.",
    ),
    "summary": Event(
        Level.INFO,
        (
            "edges",
            "flows",
            "requests",
            "lost",
            "dropped",
            "unacknowledged_batches",
            "waiting_rows",
            "lag_seconds",
            "working_set_bytes",
            "kernel_memory_bytes",
            "coverage",
        ),
        "Once a minute: distinct edges and rows of flows, requests, losses by reason, and whether it is delivered. "
        "The lag is the age of the oldest count that is not acknowledged.",
    ),
    "takeover_begun": Event(
        Level.INFO,
        ("predecessor_process_id", "predecessor_version"),
        "An older agent watches this host, and hands over: its programs go on until ours are in their place.",
    ),
    "taken_over": Event(
        Level.INFO,
        ("flows", "names", "unread_seconds", "seconds"),
        "The older agent's maps are ours, with what its ids mean; for so long nobody read them while they counted.",
    ),
    "takeover_incomplete": Event(
        Level.WARNING,
        ("reason",),
        "The maps of the older agent are ours, but it died before all was told: there is a blind interval.",
    ),
    "takeover_not_possible": Event(
        Level.WARNING,
        ("reason", "gap_seconds"),
        "The older agent has ended and this one began anew; nothing was counted in between: a blind interval.",
    ),
    "handover_unavailable": Event(
        Level.WARNING,
        ("reason", "remedy"),
        "No newer agent can find this one: an upgrade will leave a blind interval.",
    ),
    "handover_begun": Event(
        Level.INFO,
        ("successor_process_id", "successor_version"),
        "A newer agent of this host wants to take over; this one goes on until it is ready.",
    ),
    "handover_refused": Event(
        Level.WARNING,
        ("caller_process_id", "reason"),
        "Somebody at the socket for hand-overs is no successor; told once for each reason.",
    ),
    "handover_broken_off": Event(
        Level.WARNING,
        ("successor_process_id", "reason"),
        "The newer agent did not finish: this one goes on, and nothing is lost.",
    ),
    "handed_over": Event(
        Level.INFO,
        ("successor_process_id", "undelivered_batches", "told", "seconds"),
        "The newer agent counts; what this one counted is delivered, or handed over too.",
    ),
    "agent_retired": Event(
        Level.INFO,
        (),
        "It has nothing left to do, and waits for SIGTERM since --stay asks for that, or for its successor's end.",
    ),
    "agent_stopping": Event(Level.INFO, ("reason",), "The agent ends: last counts are read and delivered."),
    "agent_stopped": Event(
        Level.INFO,
        ("unacknowledged_batches", "waiting_rows", "seconds"),
        "The agent has ended; nothing of it is left in the kernel. What was not acknowledged is lost.",
    ),
    "agent_failed": Event(Level.ERROR, ("reason", "remedy"), "The agent ends on an error of its own, with status 4."),
}

# The aggregator's rows.
_SIZES = ("snapshot_seconds", "journal_bytes", "working_set_bytes")

AGGREGATOR_EVENTS: Mapping[str, Event] = {
    "aggregator_starting": Event(
        Level.INFO,
        ("version", "data", "catalog"),
        "The aggregator starts: where its journal is, what it is held against.",
    ),
    "journal_damaged": Event(
        Level.WARNING,
        ("file", "at_byte", "cut_bytes", "reason"),
        "A file of --data is not as it was written (a crash, a disk); so many bytes at that place are left out.",
    ),
    "journal_restored": Event(
        Level.INFO,
        ("checkpoint_position", "records", "refused", "seconds"),
        "What earlier starts acknowledged is known again: the checkpoint, and the journal's records after it.",
    ),
    "aggregator_ready": Event(
        Level.INFO, ("agents_port", "grpc_port", "http_port"), "All listeners are open, with these ports."
    ),
    "agent_connected": Event(
        Level.INFO, ("agent", "agent_version", "boot_id"), "An agent's stream is open; `agent` is its host's name."
    ),
    "agent_left": Event(Level.INFO, ("agent",), "That stream has ended; the host is stale if no other one begins."),
    "agent_refused": Event(
        Level.WARNING,
        ("agent", "reason"),
        "An agent's hello cannot be accepted (its version, its name); told once an agent and reason in ten minutes.",
    ),
    "caller_refused": Event(
        Level.WARNING,
        ("listener", "caller", "reason"),
        "Someone showed no token, or another one, at this listener; told once a listener and address in ten minutes.",
    ),
    "batch_refused": Event(
        Level.WARNING,
        ("agent", "sequence", "reason"),
        "A batch cannot be used and is counted as refused; told once an agent and reason in ten minutes.",
    ),
    "agent_asked_again": Event(
        Level.INFO,
        ("agent",),
        "This agent counts under something that was given back: its stream ends, and it defines again what it knows.",
    ),
    "host_stale": Event(
        Level.WARNING, ("stale_host", "last_seen"), "No word from this host's agent: its numbers stand still."
    ),
    "host_back": Event(Level.INFO, ("stale_host",), "This host's agent reports again."),
    "kubernetes_stale": Event(
        Level.WARNING,
        ("resource", "since", "reason"),
        "This resource of the cluster's API cannot be read; what was known of it since then stays.",
    ),
    "kubernetes_current": Event(Level.INFO, ("resource",), "This resource of the cluster's API is read again."),
    "kubernetes_fault": Event(
        Level.ERROR, ("part", "reason"), "What learns this from the cluster's API met a fault of ours, and begins anew."
    ),
    "catalog_problem": Event(
        Level.WARNING,
        ("place", "reason"),
        "Something in the catalog cannot be used as written; the last good declaration holds.",
    ),
    "catalog_problem_ended": Event(Level.INFO, ("place",), "What was wrong at this place is right, or gone."),
    "export_left_out": Event(
        Level.WARNING, ("form", "count", "reason"), "An export cannot say everything; the first thing left out."
    ),
    "certificate_unreadable": Event(
        Level.WARNING, ("reason",), "A changed certificate or token cannot be used; the last good one holds."
    ),
    "request_failed": Event(Level.ERROR, ("reason",), "A request met a fault of our own; the process goes on."),
    "snapshot_failed": Event(
        Level.ERROR,
        ("reason",),
        "No snapshot can be made, by a fault of our own: the last one stays, and what is reported is kept. Told once.",
    ),
    "third_parties_fault": Event(Level.ERROR, ("reason",), "To look at them met a fault of ours, and goes on."),
    "record_unusable": Event(
        Level.ERROR,
        ("what", "reason"),
        "Something of --data met a fault of our own at a start and is left out; told once for each kind.",
    ),
    "given_back": Event(
        Level.INFO,
        ("hosts", "endpoints", "flows", "names", "definitions", "seconds"),
        "A table ran out of room: so many that nothing refers to any more are forgotten. Agents waited for so long.",
    ),
    "journal_failed": Event(
        Level.ERROR, ("reason",), "The disk does not take the journal: nothing is acknowledged, and agents keep it."
    ),
    "checkpoint_failed": Event(
        Level.ERROR, ("reason",), "No checkpoint can be written: the journal grows, and nothing is lost."
    ),
    "aggregator_summary": Event(
        Level.INFO,
        (*"agents nodes edges watchers batches records refused".split(), *_SIZES),
        "Once a minute: who reports, how large the graph is, what came in, what could not be used.",
    ),
    "aggregator_stopping": Event(Level.INFO, ("reason",), "The aggregator ends: it writes a checkpoint and closes."),
    "aggregator_stopped": Event(
        Level.INFO, ("journal_position",), "The aggregator has ended; all that it acknowledged is on disk."
    ),
    "aggregator_failed": Event(
        Level.ERROR, ("reason", "remedy"), "The aggregator ends: with status 2 for wrong use, else with 4."
    ),
}

EVENTS: Mapping[str, Event] = {**AGENT_EVENTS, **AGGREGATOR_EVENTS}
