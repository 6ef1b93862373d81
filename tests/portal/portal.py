"""What the portal's own catalog model says of a stream of entities."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def verdict(stream: bytes) -> tuple[int, list[str]]:
    """How many entities are sound, and a line for each problem; with a problem, none counts as sound."""
    command = ["node", str(HERE / "validate.mjs")]
    done = subprocess.run(command, input=stream, capture_output=True, check=False, timeout=60)
    lines = done.stdout.decode().splitlines()
    if done.returncode == 1 and lines:
        return 0, lines
    assert done.returncode == 0, done.stderr.decode()
    return int(lines[0].split()[0]), []
