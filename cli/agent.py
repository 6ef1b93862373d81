"""`plumb agent`: flags into agent.settings, then the agent's pipeline."""

from pathlib import Path
from typing import Any

import click

from cli.failure import Failure, Status

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("agent")
@click.option("--host", metavar="NAME", help="This host's name in the graph.  [default: the machine's]")
@click.option(
    "--cgroup-root",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Watch this cgroup v2 directory and all below.  [default: the whole hierarchy]",
)
@click.option("--aggregator", metavar="HOST:PORT", help="Where to report.  [default: 127.0.0.1:7170]")
@click.option("--interval", "interval_seconds", type=float, metavar="SECONDS", help="How often.  [default: 1]")
@click.option(
    "--summary", "summary_seconds", type=float, metavar="SECONDS", help="One in the log so often.  [default: 60]"
)
@click.option("--metrics", metavar="HOST:PORT", help="Serve /metrics, /livez and /readyz here.  [default: nowhere]")
@click.option("--cluster", metavar="NAME", help="The cluster that this host is part of.")
@click.option("--tls-ca", type=_FILE, help="Certificate authority of the aggregator (PEM): report over TLS.")
@click.option("--tls-cert", type=_FILE, help="Own certificate (PEM).")
@click.option("--tls-key", type=_FILE, help="Key of the own certificate (PEM).")
@click.option("--token-file", type=_FILE, help="File with the token to show.")
@click.option("--insecure", is_flag=True, default=None, help="Plain text, beyond this machine too.")
@click.option(
    "--runtime-dir",
    "runtime_directory",
    type=click.Path(path_type=Path),
    metavar="PATH",
    default=Path("/run/plumbline"),
    show_default=True,
    help="Where a newer agent finds this one, to take over without a gap.",
)
@click.option(
    "--cache-dir",
    metavar="PATH|off",
    help="Keep compiled programs here, for the next start.  [default: /var/cache/plumbline]",
)
@click.option(
    "--stay", "stays", is_flag=True, default=None, help="When a newer agent has taken over, wait for SIGTERM to end."
)
@click.option(
    "--cpu-budget",
    metavar="CORES|PERCENT|off",
    help="Beyond it detail is given up, never counts.  [default: 0.5]",
)
@click.option(
    "--inside",
    multiple=True,
    metavar="CIDR",
    help="A range of ours, besides private ones and those that this host has routes to; can be repeated. A server's "
    "clients from elsewhere are one peer.",
)
@click.option("--names-each-endpoint", type=click.IntRange(min=1), help="Routes, hosts and DNS names kept for each.")
def command(**flags: Any) -> int:
    """Watch this host from its kernel and report to an aggregator.

    Needs root, or the capabilities that plumb doctor names.
    """
    from agent import pipeline
    from agent.settings import Settings, WrongSettings, cpu_budget
    from cli.daemon import run

    try:
        budget = flags.pop("cpu_budget")
        if budget is not None:
            flags["cpu_budget_cores"] = cpu_budget(budget)
        chosen = {name: value for name, value in flags.items() if value is not None}
        if (cache := chosen.pop("cache_dir", None)) is not None:
            chosen["cache_directory"] = None if cache == "off" else Path(cache)
        settings = Settings(**chosen)
    except WrongSettings as wrong:
        raise Failure(Status.WRONG_USE, f"{wrong}.") from wrong
    return run(pipeline.run(settings))
