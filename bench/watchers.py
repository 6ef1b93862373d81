"""Two that watch pods, each in a process of its own, and note when they knew of each: times of the monotonic clock.

python -m bench.watchers bare FILE                       a client that does nothing else
python -m bench.watchers product FILE DATA PORT          the product's aggregator, as it is

A line: the time in nanoseconds, + (is there) or - (is gone), the pod's uid. $KUBECONFIG says where.
"""

import asyncio
import http.client
import json
import os
import re
import ssl
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import urlsplit

import yaml

from aggregator import pipeline
from aggregator.live import Live
from aggregator.resolve.workloads import PodName
from aggregator.settings import Settings

_UID: Final = re.compile(rb'"uid":"([^"]+)"')
_SIGNS: Final = {b'{"type":"ADDED"': "+", b'{"type":"DELETED': "-"}


class NotingLive(Live):
    """Notes what it has learned when it has."""

    file: TextIO

    async def learn_pods(self, names: Sequence[PodName], living: Sequence[str], gone: Sequence[str]) -> None:
        await super().learn_pods(names, living, gone)
        note(self.file, "+", [name.uid for name in names])
        note(self.file, "-", gone)


def note(file: TextIO, sign: str, uids: Sequence[str]) -> None:
    now_ns = time.monotonic_ns()
    file.writelines(f"{now_ns} {sign} {uid}\n" for uid in uids)
    file.flush()


def bare(file: TextIO) -> None:
    """Follows pods from now on, until it is ended. The first word is a line without a pod."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    trust = ssl.create_default_context(cafile=server["certificate-authority"])
    trust.load_cert_chain(user["client-certificate"], user["client-key"])
    place = urlsplit(server["server"])
    connection = http.client.HTTPSConnection(str(place.hostname), place.port, context=trust)
    connection.request("GET", "/api/v1/pods?limit=1")
    version = json.load(connection.getresponse())["metadata"]["resourceVersion"]
    connection.request("GET", f"/api/v1/pods?watch=1&resourceVersion={version}&timeoutSeconds=3600")
    answer = connection.getresponse()
    note(file, "=", [""])
    for line in answer:
        sign = _SIGNS.get(line[:16], _SIGNS.get(line[:15]))
        found = _UID.search(line)
        if found:
            note(file, sign or "~", [found[1].decode()])


def product(file: TextIO, data: str, port: str) -> int:
    NotingLive.file = file
    pipeline.Live = NotingLive  # type: ignore[attr-defined]
    own = Settings(data=Path(data), kubernetes=True, http=f"127.0.0.1:{port}", summary_seconds=3600)
    return asyncio.run(pipeline.run(own))


def main() -> int:
    what, path, *more = sys.argv[1:]
    with Path(path).open("w") as file:
        if what == "product":
            return product(file, *more)
        bare(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
