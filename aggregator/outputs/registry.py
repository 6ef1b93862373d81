"""Every form in which the graph leaves for other tools, a row each, and the HTTP paths that serve them."""

from collections.abc import Callable, Mapping

from aggregator.outputs import backstage
from aggregator.outputs.forms import Export, ExportOptions

EXPORTS: Mapping[str, Callable[[ExportOptions], Export]] = {"backstage": backstage.Feed}

# HTTP path -> form. `If-None-Match` with the export's etag gives 304, NothingToServe 503.
HTTP_ROUTES: Mapping[str, str] = {"/catalog/backstage.yaml": "backstage"}


def open_exports(options: ExportOptions) -> dict[str, Export]:
    """One live export a form, for the life of the aggregator: gRPC and HTTP serve the same one.

    Raises ValueError, with one sentence, when the options cannot be used.
    """
    return {form: make(options) for form, make in EXPORTS.items()}
