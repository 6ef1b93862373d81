"""What was read from the counting maps as columns of the contract, with the kernel's ids. Pure."""

import numpy as np
from plumbline.v1 import columns

from agent.kernel.maps import Rows
from agent.records import FLOW_OTHER

COUNTS = [name for name in columns.FLOW_TYPES if name not in ("bucket", "flow")]
_OF_TWO = {
    "bytes_sent": ("parsed_sent", "unparsed_sent"),
    "bytes_received": ("parsed_received", "unparsed_received"),
    "parsed_bytes": ("parsed_sent", "parsed_received"),
}
_REQUEST_KEYS = [name for name in columns.REQUEST_TYPES if name not in ("bucket", "count", "sum_ns")]


def flow_columns(keys: Rows, values: Rows) -> columns.Columns:
    sums = {name: values[one] + values[other] for name, (one, other) in _OF_TWO.items()}
    counts = {name: (sums if name in sums else values)[name].astype(columns.FLOW_TYPES[name]) for name in COUNTS}
    return {"flow": keys, **counts}


def request_columns(keys: Rows, values: Rows) -> columns.Columns:
    return {**{name: keys[name] for name in _REQUEST_KEYS}, "count": values["count"], "sum_ns": values["sum_ns"]}


def without_zeros(flows: columns.Columns) -> columns.Columns:
    """Without the row of (other) that nothing was counted in."""
    counted = flows["flow"] != FLOW_OTHER
    for name in COUNTS:
        counted |= flows[name] != 0
    return flows if counted.all() else {name: column[counted] for name, column in flows.items()}


def appended(first: columns.Columns, second: columns.Columns) -> columns.Columns:
    if not len(second["flow"]):
        return first
    return {name: np.concatenate([first[name], second[name].astype(first[name].dtype)]) for name in first}
