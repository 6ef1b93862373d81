"""What one batch adds, in dense ids and the aggregator's time."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from aggregator.records import Owned, Status, Told

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Portion:
    """`flows` and `requests` are columns by the contract's names, with `from_ns` and `to_ns` instead of `bucket`.

    `new_flows` and `changed_endpoints` are those whose meaning is new. `through_ns`: everything of this host
    until then has been reported; 0 when the batch does not say.
    """

    host: int
    epoch: int
    received_ns: int
    begins_ns: int
    through_ns: int
    flows: dict[str, Ints]
    requests: dict[str, Ints]
    new_flows: list[int] = field(default_factory=list)
    changed_endpoints: list[int] = field(default_factory=list)
    owned: list[Owned] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    status: Status | None = None

    @property
    def rows(self) -> int:
        return len(self.flows["flow"]) + len(self.requests["flow"])
