"""What an agent says in a guest whose kernel cannot, and after how long.

refused.py OUT CASE
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.kernels.guest import facts, log

AGENT = [sys.executable, "-m", "cli", "agent", "--host", "alpha", "--aggregator", "127.0.0.1:9"]


def main() -> None:
    out, case = Path(sys.argv[1]), sys.argv[2]
    if case == "no_btf":
        subprocess.run(["mount", "--bind", tempfile.mkdtemp(), "/sys/kernel/btf"], check=True)
    began = time.monotonic()
    done = subprocess.run(AGENT, capture_output=True, text=True, check=False)
    seconds = round(time.monotonic() - began, 1)
    output = out.with_name("agent.log")
    output.write_text(done.stdout)
    found: dict[str, Any] = facts()
    found |= {"status": done.returncode, "log": log(output), "stderr": done.stderr}
    out.write_text(json.dumps({**found, "refused_seconds": seconds}))


if __name__ == "__main__":
    main()
