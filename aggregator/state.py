"""What a checkpoint has of an estate, as values: whoever has them may change them."""

import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aggregator.ingest.tables import Tables
from aggregator.kept import Kept
from aggregator.records import Owned
from aggregator.resolve.names import DnsMemory
from aggregator.resolve.places import Where
from aggregator.resolve.podnames import PodNames
from aggregator.resolve.services import Services
from aggregator.topology.columns import Rows
from aggregator.topology.coverage import HostCoverage
from aggregator.topology.firstseen import FirstSeen
from aggregator.topology.lives import Lives
from aggregator.topology.usage import Usage


@dataclass(slots=True)
class State:
    """`hot`: (tier, start, rows), as HotRows has them. `events` are as they are written."""

    tables: Tables
    dropped: Counter[str]
    dns: DnsMemory
    coverage: dict[int, HostCoverage]
    lives: Lives
    pods: PodNames
    services: Services
    claims: list[Owned]
    ours: set[Where]
    first_seen: FirstSeen
    events: bytes
    usage: Usage
    hot: Sequence[tuple[int, int, Rows]]

    @classmethod
    def of(cls, kept: Kept) -> "State":
        """It must be our own: it is unpickled."""
        changing, (tables, dropped), (claims, ours), first_seen, events, usage, *hot = kept.pieces
        tables.epochs, dns, coverage, lives, pods, services = pickle.loads(changing)  # noqa: S301 - our own
        return cls(tables, dropped, dns, coverage, lives, pods, services, claims, ours, first_seen, events, usage, hot)
