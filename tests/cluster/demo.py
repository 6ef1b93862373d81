"""`make demo`: a shop on two hosts, watched live, until Ctrl-C. Everything is real; nothing of it stays."""

import argparse
import sys
import time

from tests.cluster.cluster import Cluster
from tests.cluster.leftovers import NoCluster
from tests.cluster.processes import ProgramFailed
from tests.cluster.product import Product
from tests.cluster.shop import CATALOG, FINDINGS, Shop

REFRESH_SECONDS = 1.0
CLEAR = "\x1b[H\x1b[2J"


def main() -> int:
    options = _options()
    try:
        _show(options.seconds, options.plain)
    except KeyboardInterrupt:
        _say("\nTaken down: no process, namespace, cgroup or BPF program is left.")
    except (NoCluster, ProgramFailed) as error:
        _say(f"demo: {error}")
        return 4
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0, metavar="N", help="end by itself after this time")
    parser.add_argument("--plain", action="store_true", help="one screen after another instead of one in place")
    return parser.parse_args()


def _show(seconds: float, plain: bool) -> None:
    _say("A cluster of two hosts, a shop of nine services, four third parties ...")
    with Cluster() as cluster:
        shop = Shop(cluster)
        _say("Two agents and an aggregator (the kernel's programs are compiled: a few seconds) ...")
        with Product(cluster, catalog=[CATALOG]) as product:
            shop.open()
            end = time.monotonic() + seconds if seconds else float("inf")
            while time.monotonic() < end:
                screen = _screen(product)
                _say(screen if plain else CLEAR + screen)
                time.sleep(min(REFRESH_SECONDS, max(0.0, end - time.monotonic())))


def _screen(product: Product) -> str:
    done, too_early = 0, 3
    drift = product.plumb("drift", statuses=(done, too_early))
    return "\n".join(
        [
            product.plumb("graph"),
            f"Drift: {CATALOG.name}, wrong in the six ways of {FINDINGS.name}, against what the shop does.",
            "",
            drift,
            f"Ask yourself: .venv/bin/plumb watch --aggregator {product.address}      Ctrl-C takes everything down.",
        ]
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
