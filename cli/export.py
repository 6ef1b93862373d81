"""`plumb export`: the graph for another tool, on stdout, exactly as the aggregator makes it."""

import sys
from typing import Any

import click

from cli import options


@click.command("export")
@click.argument("form", metavar="FORM")
@options.reading
def command(form: str, **access: Any) -> None:
    """The graph in a form that another tool reads.

    FORM is backstage: third parties as Resource entities of a service catalog.
    """
    from cli.client import Access, Aggregator

    with Aggregator(Access(access.pop("aggregator"), **access)) as aggregator:
        content = aggregator.export(form)
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
