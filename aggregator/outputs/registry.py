"""Every form in which the graph leaves for other tools, a row each, and the HTTP paths that serve them."""

from collections.abc import Callable, Mapping

from aggregator.outputs.forms import Export, ExportOptions

EXPORTS: Mapping[str, Callable[[ExportOptions], Export]] = {}

# HTTP path -> form. Answer with ETag and Last-good semantics of the export; If-None-Match gives 304.
HTTP_ROUTES: Mapping[str, str] = {"/catalog/backstage.yaml": "backstage"}


def open_exports(options: ExportOptions) -> dict[str, Export]:
    """One live export a form, for the life of the aggregator: gRPC and HTTP serve the same one."""
    return {form: make(options) for form, make in EXPORTS.items()}
