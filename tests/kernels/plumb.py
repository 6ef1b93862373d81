"""`plumb`, but an agent's loader is one that notes what the verifier said."""

import subprocess
import sys
from typing import Any


def _popen(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
    words = ["tests.kernels.timed" if word == "agent.kernel.loader" else word for word in command]
    return subprocess.Popen(words, **options)


def main() -> None:
    if sys.argv[1] == "agent":
        from agent.kernel import handover

        handover.subprocess = type("subprocess", (), {**vars(subprocess), "Popen": staticmethod(_popen)})
    from cli.__main__ import main as plumb

    plumb()


if __name__ == "__main__":
    main()
