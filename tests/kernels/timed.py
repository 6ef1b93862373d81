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

from agent.kernel import loader, programs

_PROBE_READ_KERNEL = 113
_STATISTICS_ONLY = 4
_LOG_BYTES = 1 << 16
_load = programs._prog_load
_file = Path(os.environ["PROGRAMS"])


def noting(kind: int, name: bytes, its_license: bytes, code: bytes, instructions: int, options: bytes | None) -> int:
    """As libbpf has it. Who asks for the verifier's log itself asks about one that is noted already, and who has no
    options asks what a program may call."""
    if options is None or len(options) == programs._LOG_OPTIONS.size:
        return int(_load(kind, name, its_license, code, instructions, options))
    _, _, attach_type = programs._PROGRAM_OPTIONS.unpack(options)
    log = ctypes.create_string_buffer(_LOG_BYTES)
    place = ctypes.addressof(log)
    asked = programs._LOG_OPTIONS.pack(programs._LOG_OPTIONS.size, 0, attach_type, _STATISTICS_ONLY, _LOG_BYTES, place)
    began = time.monotonic()
    descriptor = int(_load(kind, name, its_license, code, instructions, asked))
    seconds = time.monotonic() - began
    error = ctypes.get_errno()
    said = log.value.decode(errors="replace").strip()
    row = {
        "name": name.decode(),
        "instructions": instructions,
        "verified": int(found[1]) if (found := re.search(r"processed (\d+) insns", said)) else None,
        "seconds": round(seconds, 3),
        "refused": "" if descriptor >= 0 else f"{os.strerror(error)}: {said.splitlines()[0] if said else ''}",
    }
    with _file.open("a") as rows:
        rows.write(json.dumps(row) + "\n")
    ctypes.set_errno(error)
    return descriptor


programs._prog_load = noting
if os.environ.get("OLDER"):
    programs.may_call = lambda _, helper: helper == _PROBE_READ_KERNEL
sys.exit(loader.main())
