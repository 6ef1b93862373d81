"""The table of docs/kernels.md, from what the last run of test_kernels.py found: `python -m tests.kernels.table`."""

import json
import re
import sys
from typing import Any

from tests.kernels import packages
from tests.kernels.test_kernels import KERNELS


def main() -> None:
    place = packages.cache() / "found"
    found = [
        json.loads(file.read_text())
        for name in ("here", "here1", *KERNELS)
        if (file := place / f"{name}.json").exists()
    ]
    rows = [["kernel", "BTF", "programs: instructions verified", "small load", "what is missing"]]
    sys.stdout.write("\n".join("| " + " | ".join(row) + " |" for row in [*rows, ["---"] * 5, *map(_row, found)]) + "\n")


def _row(found: dict[str, Any]) -> list[str]:
    programs = ", ".join(f"`{one['name']}` {one['verified']:,}" for one in found["programs"] if not one["refused"])
    refused = [f"`{one['name']}`: {one['refused']}" for one in found["programs"] if one["refused"]]
    missing = [event["reason"] for event in found["log"] if event["event"] in ("kernel_part_missing", "kernel_refused")]
    return [_version(found), "yes" if found["btf"] else "no", programs, _load(found), "; ".join(refused + missing)]


def _version(found: dict[str, Any]) -> str:
    """Older packages have the kernel's own version in its second line only: "#1 SMP Debian 6.1.176-1 (...)"."""
    told = re.search(r"Debian (\d[\d.]*)", found.get("version", ""))
    version = told[1] if told else str(found["release"])
    return version if found["machine"] == "x86_64" else f"{version} {found['machine']}"


def _load(found: dict[str, Any]) -> str:
    if "failed" in found:
        return "did not run"
    wrong = len(found["differences"])
    return f"{found['requests']} requests on {found['edges']} edges: {f'{wrong} differences' if wrong else 'exact'}"


if __name__ == "__main__":
    main()
