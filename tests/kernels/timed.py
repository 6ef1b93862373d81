"""The agent's loader, noting of each program what the kernel's verifier said of it, as JSON lines in $PROGRAMS.

With $OLDER set it compiles what an older kernel gets: one whose programs may call the helpers that all have, no more.
"""

import ctypes
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import bcc

from agent.kernel import loader, maps

_PROBE_READ_KERNEL = 113
_STATISTICS_ONLY = 4
_LOG_BYTES = 1 << 16
_load = bcc.lib.bcc_func_load
_file = Path(os.environ["PROGRAMS"])


def noting(*words: Any) -> int:
    """As libbcc has it: module, type, name, code, its bytes, license, version, level, log, its size, device, place."""
    log = ctypes.create_string_buffer(_LOG_BYTES)
    began = time.monotonic()
    descriptor = int(_load(*words[:7], _STATISTICS_ONLY, log, _LOG_BYTES, *words[10:]))
    seconds = time.monotonic() - began
    error = ctypes.get_errno()
    said = log.value.decode(errors="replace").strip()
    row = {
        "name": words[2].decode(),
        "instructions": words[4] // 8,
        "verified": int(found[1]) if (found := re.search(r"processed (\d+) insns", said)) else None,
        "seconds": round(seconds, 3),
        "refused": "" if descriptor >= 0 else f"{os.strerror(error)}: {said.splitlines()[0] if said else ''}",
    }
    with _file.open("a") as rows:
        rows.write(json.dumps(row) + "\n")
    ctypes.set_errno(error)
    return descriptor


bcc.lib.bcc_func_load = noting
if os.environ.get("OLDER"):
    maps.may_call = lambda _, helper: helper == _PROBE_READ_KERNEL
sys.exit(loader.main())
