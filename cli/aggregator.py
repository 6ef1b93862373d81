"""`plumb aggregator`: flags into aggregator.settings, then the aggregator's pipeline."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli.failure import Failure, Status
from cli.options import Span

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_LISTENERS = {"agents": "agents", "grpc": "readers", "http": "HTTP"}
_SECURITY = {
    "certificate": ("tls-cert", "Certificate (PEM) of the listener for {}: serve TLS."),
    "key": ("tls-key", "Key (PEM) of that certificate."),
    "client_authority": ("client-ca", "Certificate authority (PEM) that the certificates of {} must come from."),
    "token_file": ("token-file", "File with the token that {} must show."),
}


def _security_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for listener, who in reversed(_LISTENERS.items()):
        for field, (flag, text) in reversed(_SECURITY.items()):
            option = click.option(f"--{listener}-{flag}", f"{listener}__{field}", type=_FILE, help=text.format(who))
            command = option(command)
    return command


@click.command("aggregator")
@click.option("--agents", metavar="HOST:PORT", help="Listen for agents here.  [default: 127.0.0.1:7170]")
@click.option("--grpc", metavar="HOST:PORT", help="Listen for readers here.  [default: 127.0.0.1:7171]")
@click.option("--http", metavar="HOST:PORT", help="Listen for HTTP here.  [default: 127.0.0.1:7172]")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="The journal's place.")
@click.option("--cluster", metavar="NAME", help="The cluster's name in the graph.")
@click.option(
    "--kubernetes",
    is_flag=True,
    default=None,
    help="Ask this cluster's API what pods and Services are: by $KUBECONFIG, else as the pod that this is.",
)
@click.option(
    "--deployed-by",
    multiple=True,
    metavar="NAME",
    help="The field manager of one who deploys, * for anything; may be repeated. What others change of a workload is "
    "told as changed by hand.  [default: those of Helm, Argo CD and Flux]",
)
@click.option("--catalog", multiple=True, metavar="PATH", help="Declarations: a file or a directory; may be repeated.")
@click.option("--catalog-default-owner", metavar="GROUP", help="Who owns a third party that nobody declared.")
@click.option(
    "--vendors", type=_FILE, help="Whose outside names are, besides what is known already: rows of domain, vendor, use."
)
@click.option(
    "--allowed-vendors",
    multiple=True,
    metavar="NAME",
    help="A vendor that may be called; may be repeated. Calls to all others are drift.  [default: all may]",
)
@click.option("--inside", multiple=True, metavar="CIDR", help="Addresses that are ours, besides private ones.")
@click.option(
    "--window", "window_seconds", type=Span(), help="The span that readers get unless they ask.  [default: 5m]"
)
@click.option("--retention", "retention_seconds", type=Span(), help="How long counts are kept.  [default: 65m]")
@click.option(
    "--summary", "summary_seconds", type=float, metavar="SECONDS", help="One in the log so often.  [default: 60]"
)
@click.option("--insecure", is_flag=True, default=None, help="Serve plain text beyond this machine too.")
@_security_options
def command(**flags: Any) -> int:
    """Gather what agents report, keep the graph, and answer."""
    from aggregator import pipeline
    from aggregator.settings import ListenerSecurity, Settings
    from cli.daemon import run

    given = {name: value for name, value in flags.items() if value not in (None, ())}
    for listener in _LISTENERS:
        prefix = f"{listener}__"
        names = [name for name in given if name.startswith(prefix)]
        given[f"{listener}_security"] = ListenerSecurity(
            **{name.removeprefix(prefix): given.pop(name) for name in names}
        )
    try:
        settings = Settings(**given)
    except ValueError as wrong:
        raise Failure(Status.WRONG_USE, f"{str(wrong).rstrip('.')}.") from wrong
    return run(pipeline.run(settings))
